"""A policy that does not fit its contract, or itself, is refused in one line that says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.contract.contract import Contract
from components.contract.policy import Metric
from tests.clinic import (
    Change,
    Document,
    column_of,
    contract,
    first_release,
    policy,
    table_of,
)
from tests.components.contract.policy_changes import limit, more, put, refusal, together

GATE = "release_gate"
FIRST, NEW = f"{GATE}.limits[0]: ", f"{GATE}.limits[3]: "
PROTECTED = "; expected one of age, sex"
STEP = {"change": "absolute"}
RELATIVE = {"change": "relative"}
POOL = {"slice": "age", "groups": ["young", "middle"], "into": "below 65"}


def pooled(*pools: Document, limits: tuple[Document, ...] = ()) -> Change:
    return more(*limits, pools=[{**POOL, **p} for p in pools])


def drift(column: str, statistic: str = "psi", at_most: float = 1) -> Change:
    return put("data_gate", "drift", columns={column: {"statistic": statistic, "at_most": at_most}})


UNKNOWN: dict[str, tuple[Change, str]] = {
    "metric": (
        limit(metric="accuracy"),
        f"{FIRST[:-2]}.metric: 'accuracy' is not one of ['roc_auc', 'average_precision', 'brier', "
        "'calibration_error', 'calibration_bias', 'selection_rate', 'tpr', 'fpr', 'ppv', "
        "'selection_r…; expected one of " + ", ".join(Metric),
    ),
    "slice": (limit(1, slice="colour"), f"{GATE}.limits[1]: unknown column colour{PROTECTED}"),
    "slice of two": (
        more({"metric": "tpr", "at_least": 0.1, "slice": ["colour", "sex"]}),
        f"{NEW}unknown column colour{PROTECTED}",
    ),
    "slice of a group": (
        more({"metric": "tpr", "at_least": 0.1, "slice": {"colour": "red"}}),
        f"{NEW}unknown column colour{PROTECTED}",
    ),
    "slice of a feature": (
        limit(1, slice="ward"),
        f"{GATE}.limits[1]: ward is not a protected column{PROTECTED}",
    ),
    "group": (
        more({"metric": "tpr", "at_least": 0.1, "slice": {"age": "ancient"}}),
        f"{NEW}age has no group ancient; expected one of (missing), middle, old, young",
    ),
    "group of two": (
        more({"metric": "tpr", "at_least": 0.1, "slice": {"sex": "f", "age": "ancient"}}),
        f"{NEW}age has no group ancient; expected one of (missing), middle, old, young",
    ),
    "group once pools are applied": (
        pooled({}, limits=({"metric": "tpr", "at_least": 0.1, "slice": {"age": "ancient"}},)),
        f"{NEW}age has no group ancient; expected one of (missing), below 65, middle, old, young",
    ),
    "drift column": (
        drift("colour"),
        "data_gate.drift.columns: unknown column colour; expected a feature or a protected column "
        "of clinic.yaml",
    ),
    "drift column that nobody watches": (
        drift("note"),
        "data_gate.drift.columns: note is not watched for drift; expected a feature or a "
        "protected column of clinic.yaml",
    ),
    "drift column that is the label": (
        drift("readmitted"),
        "data_gate.drift.columns: readmitted is not watched for drift; expected a feature or a "
        "protected column of clinic.yaml",
    ),
    "protected feature": (
        put("candidates", "plain", protected_features=["colour"]),
        f"candidates.plain: unknown column colour{PROTECTED}",
    ),
    "protected feature that is none": (
        put("candidates", "plain", protected_features=["age", "ward"]),
        f"candidates.plain: ward is not a protected column{PROTECTED}",
    ),
    "column to mitigate by": (
        put("candidates", "fair", mitigate_by=["colour"]),
        f"candidates.fair: unknown column colour{PROTECTED}",
    ),
    "column to mitigate by that is a feature": (
        put("candidates", "fair", mitigate_by=["ward"]),
        f"candidates.fair: ward is not a protected column{PROTECTED}",
    ),
    "column to pool": (
        pooled({"slice": "colour"}),
        f"{GATE}.pools[0]: unknown column colour{PROTECTED}",
    ),
    "group to pool": (
        pooled({"groups": ["young", "ancient"]}),
        f"{GATE}.pools[0]: age has no group ancient; expected one of (missing), below 65, middle, "
        "old, young",
    ),
    "dataset": (put(dataset="other"), "dataset: policy is for other; expected clinic"),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_the_contract_lacks_is_refused(tmp_path: Path, clinic: Contract, what: str) -> None:
    change, says = UNKNOWN[what]
    assert refusal(tmp_path, clinic, change) == says


@pytest.mark.parametrize("metric", Metric)
def test_a_threshold_outside_its_metrics_range_is_refused(
    tmp_path: Path, clinic: Contract, metric: Metric
) -> None:
    low, high = metric.range
    side = "at_most" if metric.is_difference else "at_least"
    slice_ = {"slice": "sex"} if metric.compares_groups else {}
    for outside in (low - 0.1, high + 0.1):
        fields = {"metric": str(metric), side: outside, **slice_}
        assert refusal(tmp_path, clinic, more(fields)) == (
            f"{NEW}threshold {outside:g} is outside the range of {metric}; "
            f"expected a number from {low:g} to {high:g}"
        )
    strictest = low if metric.is_difference else high
    policy(tmp_path, clinic, more({"metric": str(metric), side: strictest, **slice_}))


@pytest.mark.parametrize("metric", Metric)
def test_a_threshold_that_every_value_keeps_is_refused(
    tmp_path: Path, clinic: Contract, metric: Metric
) -> None:
    low, high = metric.range
    side, vain = ("at_most", high) if metric.is_difference else ("at_least", low)
    slice_ = {"slice": "sex"} if metric.compares_groups else {}
    assert refusal(tmp_path, clinic, more({"metric": str(metric), side: vain, **slice_})) == (
        f"{NEW}every value of {metric} keeps the threshold {vain:g}; "
        "expected a threshold that some values miss"
    )


def test_an_accuracy_limit_at_chance_is_none(tmp_path: Path, clinic: Contract) -> None:
    assert "accuracy has no limit" in refusal(tmp_path, clinic, limit(at_least=0.5))


def test_ranges_are_those_of_the_figures() -> None:
    odd = {m: m.range for m in Metric if m.range != (0.0, 1.0)}
    assert odd == {
        Metric.CALIBRATION_BIAS: (-1.0, 1.0),
        Metric.CALIBRATION_BIAS_DIFFERENCE: (0.0, 2.0),
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            put("data_gate", "drift", "default", at_most=1.5),
            "data_gate.drift.default: threshold 1.5 is outside the range of jensen_shannon; "
            "expected a number up to 1",
        ),
        (
            drift("ward", "l_infinity", 2),
            "data_gate.drift.columns.ward: threshold 2 is outside the range of l_infinity; "
            "expected a number up to 1",
        ),
    ],
)
def test_a_drift_threshold_outside_its_range_is_refused(
    tmp_path: Path, clinic: Contract, change: Change, says: str
) -> None:
    assert refusal(tmp_path, clinic, change) == says


def test_a_drift_statistic_without_a_ceiling_may_be_limited_anywhere(
    tmp_path: Path, clinic: Contract
) -> None:
    assert (
        policy(tmp_path, clinic, drift("ward", "psi", 2)).data_gate.limit_for("ward").at_most == 2
    )


# Contradictions between two limits


def _pair(metric: str, low: float, high: float, one: Any = None, other: Any = None, **both: Any):
    sliced = [{} if s is None else {"slice": s} for s in (one, other)]
    return more(
        {"metric": metric, "at_least": low, **sliced[0], **both},
        {"metric": metric, "at_most": high, **sliced[1], **both},
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            more({"metric": "roc_auc", "at_most": 0.5}),
            "auc and more-0 contradict each other: roc_auc of overall at least 0.6 and at most 0.5",
        ),
        (
            _pair("tpr", 0.8, 0.7),
            "more-0 and more-1 contradict each other: tpr of overall at least 0.8 and at most 0.7",
        ),
        (
            _pair("tpr", 0.8, 0.7, "sex", "sex"),
            "more-0 and more-1 contradict each other: tpr of sex at least 0.8 and at most 0.7",
        ),
        (
            _pair("tpr", 0.8, 0.7, {"sex": "f"}, "sex"),
            "more-0 and more-1 contradict each other: tpr of sex=f at least 0.8 and at most 0.7",
        ),
        (
            _pair("tpr", 0.8, 0.7, "sex", {"sex": "f"}),
            "more-0 and more-1 contradict each other: tpr of sex at least 0.8 and at most 0.7",
        ),
        (
            _pair("tpr", 0.8, 0.7, {"sex": "f", "age": "old"}, ["sex", "age"]),
            "more-0 and more-1 contradict each other: tpr of age=old*sex=f at least 0.8 and at "
            "most 0.7",
        ),
        (
            _pair("roc_auc", 0.02, 0.01, champion=STEP),
            "more-0 and more-1 contradict each other: roc_auc of overall at least 0.02 and at "
            "most 0.01",
        ),
        (
            together(_pair("calibration_bias", 0.0, -0.1)),
            "more-0 and more-1 contradict each other: calibration_bias of overall at least 0 and "
            "at most -0.1",
        ),
    ],
)
def test_limits_that_no_figure_satisfies_together_are_refused(
    tmp_path: Path, clinic: Contract, change: Change, says: str
) -> None:
    expected = "; expected limits that a figure can satisfy together"
    assert refusal(tmp_path, clinic, change) == f"{GATE}.limits: {says}{expected}"


@pytest.mark.parametrize(
    "change",
    [
        _pair("tpr", 0.7, 0.7),
        _pair("tpr", 0.7, 0.8),
        _pair("tpr", 0.8, 0.7, {"sex": "f"}, {"sex": "m"}),
        _pair("tpr", 0.8, 0.7, "sex", "age"),
        _pair("tpr", 0.8, 0.7, "sex", ["sex", "age"]),
        _pair("tpr", 0.8, 0.7, None, "sex"),
        more({"metric": "tpr", "at_least": 0.8}, {"metric": "fpr", "at_most": 0.1}),
        more({"metric": "tpr", "at_least": 0.8}, {"metric": "tpr", "at_least": 0.7}),
        more({"metric": "roc_auc", "at_most": 0.1, "champion": STEP}),
        more(
            {"metric": "roc_auc", "at_least": 0.02, "champion": STEP},
            {"metric": "roc_auc", "at_most": 0.01, "champion": RELATIVE},
        ),
    ],
)
def test_limits_on_other_figures_do_not_contradict(
    tmp_path: Path, clinic: Contract, change: Change
) -> None:
    policy(tmp_path, clinic, change)


# A protected column that the model sees


@pytest.mark.parametrize("column", ["age", "sex"])
def test_a_protected_column_is_a_feature_only_where_the_policy_says_why(
    tmp_path: Path, clinic: Contract, column: str
) -> None:
    says = (
        "protected_features and protected_grounds do not go together; expected grounds for every "
        "protected attribute that is also a feature, and only there"
    )
    undeclared = put("candidates", "fair", protected_features=[column])
    assert refusal(tmp_path, clinic, undeclared) == f"candidates.fair: {says}"
    idle = put("candidates", "fair", protected_grounds="long enough to be grounds")
    assert refusal(tmp_path, clinic, idle) == f"candidates.fair: {says}"
    declared = put(
        "candidates",
        "fair",
        protected_features=[column],
        protected_grounds="long enough to be grounds",
    )
    assert policy(tmp_path, clinic, declared).candidates["fair"].protected_features == (column,)


# Candidates

_PENALTY = {"mitigation": "opportunity_penalty"}


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        ("plain", {"mitigate_by": ["sex"]}, "mitigation none and mitigate_by"),
        ("fair", {"mitigate_by": None}, "mitigation reweighing and mitigate_by"),
        ("fair", {"mitigation": "none"}, "mitigation none and mitigate_by"),
        ("fair", {"penalty_strength": 1}, "mitigation reweighing and penalty_strength"),
        ("plain", {"penalty_strength": 1}, "mitigation none and penalty_strength"),
        ("fair", _PENALTY, "mitigation opportunity_penalty and penalty_strength"),
        (
            "fair",
            {**_PENALTY, "penalty_strength": 1, "mitigate_by": None},
            "mitigation opportunity_penalty and mitigate_by",
        ),
    ],
)
def test_half_a_mitigation_is_refused(
    tmp_path: Path, clinic: Contract, name: str, fields: Document, says: str
) -> None:
    told = refusal(tmp_path, clinic, put("candidates", name, **fields))
    expected = {
        "mitigate_by": "mitigate_by with a mitigation, and only there",
        "penalty_strength": "penalty_strength with mitigation: opportunity_penalty, and only there",
    }[says.rpartition(" ")[2]]
    assert told == f"candidates.{name}: {says} do not go together; expected {expected}"


def test_a_candidate_that_sees_nothing_is_refused(tmp_path: Path) -> None:
    def only_a_proxy(document: Document) -> None:
        kept = ("person", "year", "age", "sex", "under_40", "readmitted")
        table = table_of(document)
        table["properties"] = [column_of(document, name) for name in kept]

    bare = contract(tmp_path, only_a_proxy)
    assert refusal(tmp_path, bare, put()) == (
        "candidates.fair: the model would see no column; expected at least one feature"
    )


# Limits that are no limits


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (limit(1, id="auc"), f"{GATE}.limits[1]: limit auc appears twice; expected unique ids"),
        *(
            (
                more({"metric": metric, side: 0.5, **where}),
                f"{NEW}{metric} of {name} compares nothing; expected a slice of one or two "
                "protected columns",
            )
            for metric, side in (("tpr_difference", "at_most"), ("ppv_ratio", "at_least"))
            for where, name in (
                ({}, "overall"),
                ({"slice": {"sex": "f"}}, "sex=f"),
                ({"slice": {"sex": "f", "age": "old"}}, "age=old*sex=f"),
            )
        ),
        *(
            (
                more({"metric": metric, "slice": "sex", side: 0.1, **champion}),
                f"{NEW}{metric} {side.replace('_', ' ')} 0.1 asks for unequal treatment; "
                f"expected {right}",
            )
            for metric, side, right in (
                ("tpr_difference", "at_least", "at_most with a difference"),
                ("calibration_bias_difference", "at_least", "at_most with a difference"),
                ("tpr_ratio", "at_most", "at_least with a ratio"),
            )
            for champion in ({}, {"champion": STEP}, {"champion": RELATIVE})
        ),
    ],
)
def test_a_limit_that_limits_nothing_is_refused(
    tmp_path: Path, clinic: Contract, change: Change, says: str
) -> None:
    assert refusal(tmp_path, clinic, change) == says


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        (
            {"metric": "tpr", "slice": "sex", "at_least": 0},
            "tpr of sex is several figures; expected everybody or one group, where a champion is "
            "compared",
        ),
        (
            {"metric": "brier", "slice": ["sex", "age"], "at_most": 0},
            "brier of age*sex is several figures; expected everybody or one group, where a "
            "champion is compared",
        ),
        *(
            ({"metric": metric, "at_least": change, **where}, f"change {change:g} is outside the "
             f"range of {metric}; expected a number from -{width} to {width}")
            for metric, change, width, where in (
                ("roc_auc", 1.1, 1, {}),
                ("roc_auc", -1.1, 1, {}),
                ("calibration_bias", 2.5, 2, {}),
                ("calibration_bias", -2.5, 2, {}),
                ("tpr_ratio", -1.5, 1, {"slice": "sex"}),
            )
        ),
        *(
            ({"tested_on": "worst_bound", **fields}, f"a change of {name} has no interval; "
             "expected tested_on: point, or an absolute change of roc_auc or brier of everybody")
            for fields, name in (
                ({"metric": "tpr", "at_least": 0}, "tpr of overall"),
                ({"metric": "average_precision", "at_least": 0}, "average_precision of overall"),
                ({"metric": "roc_auc", "at_least": 0, "champion": RELATIVE}, "roc_auc of overall"),
                ({"metric": "roc_auc", "at_least": 0, "slice": {"sex": "f"}}, "roc_auc of sex=f"),
                ({"metric": "tpr_ratio", "at_least": 0, "slice": "sex"}, "tpr_ratio of sex"),
            )
        ),
    ],
)  # fmt: skip
def test_a_change_that_cannot_be_judged_is_refused(
    tmp_path: Path, clinic: Contract, fields: Document, says: str
) -> None:
    assert refusal(tmp_path, clinic, more({"champion": STEP, **fields})) == NEW + says


@pytest.mark.parametrize(
    "fields",
    [
        {"metric": "roc_auc", "at_least": -0.02, "tested_on": "worst_bound"},
        {"metric": "brier", "at_most": 0.02, "tested_on": "worst_bound"},
        {"metric": "calibration_bias", "at_least": -2, "champion": STEP},
        {"metric": "tpr", "at_least": -0.1, "slice": {"sex": "f"}},
        {"metric": "tpr_difference", "at_most": 0.01, "slice": ["sex", "age"]},
        {"metric": "brier", "at_most": 5, "champion": RELATIVE},
    ],
)
def test_a_change_that_can_be_judged_is_not(
    tmp_path: Path, clinic: Contract, fields: Document
) -> None:
    assert policy(tmp_path, clinic, more({"champion": STEP, **fields}))


@pytest.mark.parametrize(
    ("index", "says"),
    [
        (
            0,
            "accuracy has no limit; "
            "expected a limit on roc_auc of everybody with at_least above 0.5",
        ),
        (
            1,
            "protected column sex has no equal-opportunity limit; expected a limit on "
            "tpr_difference or tpr_ratio for each protected column",
        ),
        (
            2,
            "protected column age has no equal-opportunity limit; expected a limit on "
            "tpr_difference or tpr_ratio for each protected column",
        ),
    ],
)
@pytest.mark.parametrize("instead", ["nothing", "a change", "a slice", "the other side"])
def test_a_gate_that_is_blind_is_refused(
    tmp_path: Path, clinic: Contract, index: int, says: str, instead: str
) -> None:
    def change(document: Document) -> None:
        limits = document[GATE]["limits"]
        if instead == "nothing":
            del limits[index]
        elif instead == "a change":
            limits[index]["champion"] = STEP
            limits[index]["tested_on"] = "point"
        elif instead == "a slice":
            limits[index] |= {"metric": "roc_auc", "at_least": 0.6, "slice": ["sex", "age"]}
            limits[index].pop("at_most", None)
        else:
            limits[index] |= {"metric": "roc_auc", "at_most": 0.9}
            limits[index].pop("at_least", None)
            limits[index].pop("slice", None)

    assert refusal(tmp_path, clinic, change) == f"{GATE}.limits: {says}"


def test_a_ratio_of_true_positive_rates_is_an_equal_opportunity_limit(
    tmp_path: Path, clinic: Contract
) -> None:
    policy(tmp_path, clinic, limit(1, metric="tpr_ratio", at_most=None, at_least=0.8))
    fpr = limit(1, metric="fpr_ratio", at_most=None, at_least=0.8)
    assert "protected column sex has no equal-opportunity limit" in refusal(tmp_path, clinic, fpr)


# Pools


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            pooled({"groups": [["young", "f"], ["old", "f"]]}),
            "pools[0]: group young, f does not fit age; expected a label for each attribute",
        ),
        (
            pooled({"slice": ["sex", "age"], "groups": ["young", "old"]}),
            "pools[0]: group young does not fit age*sex; expected a label for each attribute",
        ),
        (
            pooled({}, {"groups": ["old", "young"], "into": "rest"}),
            "pools[1]: group young is pooled twice; expected each group in one pool",
        ),
        (
            pooled(
                {"slice": ["sex", "age"], "groups": [["f", "old"], ["m", "old"]], "into": "a"},
                {"slice": ["age", "sex"], "groups": [["old", "m"], ["young", "m"]], "into": "b"},
            ),
            "pools[1]: group old, m is pooled twice; expected each group in one pool",
        ),
        *(
            (
                pooled({"into": name}),
                f"pools[0]: into {name} is the name of another group; expected a name of its own, "
                "or of one of the pooled groups",
            )
            for name in ("old", "(missing)")
        ),
        (
            pooled({"into": "rest"}, {"groups": ["old", "(missing)"], "into": "rest"}),
            "pools[0]: into rest is the name of another group; expected a name of its own, or of "
            "one of the pooled groups",
        ),
        (
            pooled({}, {"slice": ["sex", "age"], "groups": [["f", "young"], ["f", "old"]]}),
            "pools[1]: group young, f is counted as below 65, f already; expected labels after "
            "the pools of one column",
        ),
    ],
)
def test_a_pool_that_says_less_than_it_does_is_refused(
    tmp_path: Path, clinic: Contract, change: Change, says: str
) -> None:
    assert refusal(tmp_path, clinic, change) == f"{GATE}.{says}"


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ({"age": "young"}, "age=young is counted within age=below 65"),
        ({"age": "young", "sex": "f"}, "age=young*sex=f is counted within age=below 65*sex=f"),
        ({"age": "old", "sex": "m"}, "age=old*sex=m is counted within age*sex=rest"),
    ],
)
def test_a_limit_on_a_group_that_is_pooled_is_refused(
    tmp_path: Path, clinic: Contract, where: Document, says: str
) -> None:
    rest = {
        "slice": ["sex", "age"],
        "groups": [["m", "old"], ["f", "(missing)"]],
        "into": "rest",
    }
    pools = ({}, rest)
    asked = pooled(*pools, limits=({"metric": "tpr", "at_least": 0.1, "slice": where},))
    assert refusal(tmp_path, clinic, asked) == (
        f"{NEW}{says}; expected a group that is not pooled, or the pool"
    )


@pytest.mark.parametrize(
    "where",
    [{"age": "below 65"}, {"age": "old"}, {"age": "below 65", "sex": "f"}, {"age": "(missing)"}],
)
def test_a_limit_may_be_on_a_pool(tmp_path: Path, clinic: Contract, where: Document) -> None:
    asked = pooled({}, limits=({"metric": "tpr", "at_least": 0.1, "slice": where},))
    assert policy(tmp_path, clinic, asked)


def test_a_pool_may_be_named_after_one_of_its_groups(tmp_path: Path, clinic: Contract) -> None:
    loaded = policy(tmp_path, clinic, pooled({"into": "middle"}))
    assert loaded.release_gate.pooled(("age",), ("young",)) == ("middle",)
    assert loaded.release_gate.pooled(("age",), ("middle",)) == ("middle",)


def test_people_of_no_age_may_be_pooled(tmp_path: Path, clinic: Contract) -> None:
    loaded = policy(tmp_path, clinic, pooled({"groups": ["(missing)", "old"], "into": "rest"}))
    assert loaded.release_gate.pooled(("age",), ("(missing)",)) == ("rest",)


# Splits and spans


@pytest.mark.parametrize("train", [0.7, 0.5999])
def test_shares_that_do_not_sum_to_one_are_refused(
    tmp_path: Path, clinic: Contract, train: float
) -> None:
    assert refusal(tmp_path, clinic, put("splits", train=train)) == (
        "splits: shares do not sum to 1; expected train + validation + evaluation = 1"
    )


def test_a_span_on_both_sides_is_refused(tmp_path: Path, clinic: Contract) -> None:
    both = put("data_gate", current_spans=["2002", "2001"])
    assert refusal(tmp_path, clinic, both) == (
        "data_gate: span 2001 is baseline and current; expected disjoint spans"
    )


def test_a_row_ratio_upside_down_is_refused(tmp_path: Path, clinic: Contract) -> None:
    change = put("data_gate", row_ratio={"at_least": 2, "at_most": 1})
    assert refusal(tmp_path, clinic, change) == (
        "data_gate.row_ratio: at_least is above at_most; expected at_least <= at_most"
    )
    equal = put("data_gate", row_ratio={"at_least": 1, "at_most": 1})
    assert policy(tmp_path, clinic, equal).data_gate.row_ratio_at_most == 1


def test_spans_need_a_span_column(tmp_path: Path) -> None:
    def without_span(document: Document) -> None:
        column_of(document, "year")["customProperties"][0]["value"] = "excluded"

    clinic = contract(tmp_path, without_span)
    assert refusal(tmp_path, clinic, put()) == (
        "data_gate.baseline_spans: clinic.yaml has no span column; expected first_release with "
        "its grounds, or a column with the role span"
    )
    assert policy(tmp_path, clinic, first_release).data_gate.first_release


# A contract without a protected column

_NOBODY = "; expected a column with the role protected in clinic.yaml"


@pytest.fixture
def unprotected(tmp_path: Path) -> Contract:
    def change(document: Document) -> None:
        for name in ("age", "sex"):
            properties = column_of(document, name)["customProperties"]
            properties[:] = [{"property": "assayRole", "value": "feature", "vendor": "assay"}]
        proxy = column_of(document, "under_40")["customProperties"]
        proxy[:] = [p for p in proxy if p["property"] != "assayProxyOf"]

    return contract(tmp_path, change)


def _accuracy_only(document: Document) -> None:
    document[GATE]["limits"] = document[GATE]["limits"][:1]
    document["candidates"] = {
        "plain": {"description": "d", "protected_features": [], "mitigation": "none"}
    }


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            put("candidates", "plain", protected_features=["age"], protected_grounds="x" * 20),
            f"candidates.plain: age is not a protected column{_NOBODY}",
        ),
        (
            put("candidates", "plain", mitigation="reweighing", mitigate_by=["sex"]),
            f"candidates.plain: sex is not a protected column{_NOBODY}",
        ),
        (
            more({"metric": "tpr_difference", "slice": "sex", "at_most": 0.1}),
            f"{GATE}.limits[1]: sex is not a protected column{_NOBODY}",
        ),
        (
            more({"metric": "tpr", "slice": {"colour": "red"}, "at_least": 0.1}),
            f"{GATE}.limits[1]: unknown column colour{_NOBODY}",
        ),
        (
            more({"metric": "tpr_difference", "at_most": 0.1}),
            f"{GATE}.limits[1]: tpr_difference of overall compares nothing; expected a slice of "
            "one or two protected columns",
        ),
        (pooled({}), f"{GATE}.pools[0]: age is not a protected column{_NOBODY}"),
        (
            put("release_gate", "limits", 0, slice="sex"),
            f"{GATE}.limits[0]: sex is not a protected column{_NOBODY}",
        ),
    ],
)
def test_without_a_protected_column_there_is_nobody_to_compare(
    tmp_path: Path, unprotected: Contract, change: Change, says: str
) -> None:
    assert refusal(tmp_path, unprotected, together(_accuracy_only, change)) == says


def test_without_a_protected_column_accuracy_is_enough(
    tmp_path: Path, unprotected: Contract
) -> None:
    loaded = policy(tmp_path, unprotected, _accuracy_only)
    assert [x.metric for x in loaded.release_gate.limits] == [Metric.ROC_AUC]

    def none_at_all(document: Document) -> None:
        _accuracy_only(document)
        document[GATE]["limits"][0]["metric"] = "brier"

    assert "accuracy has no limit" in refusal(tmp_path, unprotected, none_at_all)
