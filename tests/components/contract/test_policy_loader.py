from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from components.contract.clauses import drift_clauses
from components.contract.contract import Contract
from components.contract.errors import InputError
from components.contract.json_schema import ROOT
from components.contract.policy import DriftLimit, DriftStatistic, Metric
from components.contract.policy_loader import load_policy
from tests.clinic import Change, Document, column_of, contract, first_release, policy, table_of


def refusal(tmp_path: Path, clinic: Contract, change: Change) -> str:
    with pytest.raises(InputError) as caught:
        policy(tmp_path, clinic, change)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(f"{tmp_path / 'clinic_policy.yaml'}, field ")
    assert "; expected " in message
    return message


def put(*path: str | int, **fields: Any) -> Change:
    """Set fields at a place in the policy; None takes one away."""

    def change(document: Document) -> None:
        node: Any = document
        for part in path:
            node = node[part]
        node.update(fields)
        for name in [k for k, v in fields.items() if v is None]:
            del node[name]

    return change


def limit(index: int = 0, **fields: Any) -> Change:
    return put("release_gate", "limits", index, **fields)


@pytest.mark.parametrize("name", ["rand_hie", "rand_hie_pilot"])
def test_a_shipped_policy_loads(rand_hie_contract: Contract, name: str) -> None:
    path = ROOT / "policies" / f"{name}.yaml"
    loaded = load_policy(path, rand_hie_contract)
    assert loaded.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    fair = {x.attribute for x in loaded.release_gate.limits if x.metric is Metric.TPR_DIFFERENCE}
    assert fair == {c.name for c in rand_hie_contract.protected}
    assert loaded.data_gate.limit_for("plan") == DriftLimit(DriftStatistic.PSI, 0.25)
    assert loaded.data_gate.limit_for("income") == DriftLimit(DriftStatistic.JENSEN_SHANNON, 0.1)
    assert loaded.candidates["mitigated"].protected_features == ()


@pytest.mark.parametrize(
    "path",
    [
        (),
        ("splits",),
        ("data_gate",),
        ("data_gate", "drift"),
        ("data_gate", "drift", "default"),
        ("training",),
        ("candidates", "plain"),
        ("decision",),
        ("release_gate",),
        ("release_gate", "limits", 0),
    ],
    ids=str,
)
def test_an_unknown_key_is_refused_at_every_level(
    tmp_path: Path, clinic: Contract, path: tuple[str | int, ...]
) -> None:
    assert "'treshold' was unexpected" in refusal(tmp_path, clinic, put(*path, treshold=1))


@pytest.mark.parametrize(
    ("path", "name"),
    [
        (path, name)
        for path, names in {
            (): "schemaVersion name dataset purpose splits data_gate training candidates "
            "decision release_gate",
            ("splits",): "salt train validation evaluation",
            ("data_gate",): "baseline_spans current_spans min_rows bins max_categories drift",
            ("data_gate", "drift"): "default",
            ("data_gate", "drift", "default"): "statistic at_most",
            ("training",): "seed epochs batch_size learning_rate weight_decay dropout hidden "
            "min_category_count",
            ("candidates", "plain"): "description protected_features mitigation",
            ("decision",): "threshold",
            ("release_gate",): "confidence agreement transform_tolerance serving_tolerance limits",
            ("release_gate", "limits", 0): "id metric at_least tested_on min_n grounds",
        }.items()
        for name in names.split()
    ],
    ids=str,
)
def test_nothing_has_a_default(
    tmp_path: Path, clinic: Contract, path: tuple[str | int, ...], name: str
) -> None:
    refusal(tmp_path, clinic, put(*path, **{name: None}))


@pytest.mark.parametrize(
    "change",
    [
        put(schemaVersion="assay-policy/v2"),
        put("data_gate", min_rows=0),
        put("data_gate", min_rows=10.0),
        put("data_gate", min_rows="10"),
        put("data_gate", bins=1),
        put("data_gate", bins=10.0),
        put("data_gate", max_categories=1000.0),
        put("data_gate", baseline_spans=[]),
        put("data_gate", baseline_spans=[2001]),
        put("data_gate", baseline_spans=["2001", "2001"]),
        put("data_gate", "drift", "default", statistic="wasserstein"),
        put("data_gate", "drift", "default", at_most=0),
        put("data_gate", "drift", "default", at_most="0.1"),
        put("data_gate", "drift", "default", at_most=True),
        put("training", epochs=0),
        put("training", epochs=15.0),
        put("training", seed=1.0),
        put("training", seed=-1),
        put("training", seed=True),
        put("training", hidden=[]),
        put("training", hidden=[32.0]),
        put("training", dropout=1),
        put("training", learning_rate=0),
        put("candidates", plain=None, fair=None),
        put("candidates", "fair", mitigation="thresholds"),
        put("candidates", "fair", reweigh_by=[]),
        put("decision", threshold=0),
        put("decision", threshold=1),
        put("release_gate", confidence=0.5),
        put("release_gate", confidence=95),
        put("release_gate", agreement=0),
        put("release_gate", limits=[]),
        limit(metric="accuracy"),
        limit(tested_on="mean"),
        limit(min_n=0),
        limit(min_n=10.0),
        limit(grounds="because"),
        limit(at_most=0.9),
        limit(at_least="0.6"),
    ],
)
def test_a_value_of_the_wrong_type_or_range_is_refused(
    tmp_path: Path, clinic: Contract, change: Change
) -> None:
    refusal(tmp_path, clinic, change)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (put(dataset="other"), "policy is for other; expected clinic"),
        (put("splits", train=0.7), "shares do not sum to 1"),
        (put("splits", train=0.5999), "shares do not sum to 1"),
        (
            put("data_gate", current_spans=["2002", "2001"]),
            "span 2001 is baseline and current; expected disjoint spans",
        ),
        (
            put("data_gate", "drift", columns={"colour": {"statistic": "psi", "at_most": 1}}),
            "unknown column colour",
        ),
        (
            put("data_gate", "drift", columns={"note": {"statistic": "psi", "at_most": 1}}),
            "note is not watched for drift",
        ),
        (
            put("data_gate", "drift", columns={"readmitted": {"statistic": "psi", "at_most": 1}}),
            "readmitted is not watched for drift",
        ),
        (
            put("data_gate", "drift", "default", at_most=1.5),
            "threshold 1.5 is outside the range of jensen_shannon",
        ),
        (
            put("data_gate", "drift", columns={"ward": {"statistic": "l_infinity", "at_most": 2}}),
            "threshold 2 is outside the range of l_infinity",
        ),
        (put("candidates", "plain", protected_features=["ward"]), "ward is not a protected column"),
        (put("candidates", "plain", protected_features=["x"]), "x is not a protected column"),
        (put("candidates", "fair", reweigh_by=["ward"]), "ward is not a protected column"),
        (put("candidates", "plain", reweigh_by=["sex"]), "reweighing and reweigh_by do not go"),
        (put("candidates", "fair", reweigh_by=None), "reweighing and reweigh_by do not go"),
        (limit(1, id="auc"), "limit auc appears twice; expected unique ids"),
        (limit(attribute="sex"), "roc_auc and attribute do not fit"),
        (limit(1, attribute=None), "tpr_difference and attribute do not fit"),
        (limit(1, attribute="ward"), "ward is not a protected column; expected one of age, sex"),
        (limit(at_least=1.1), "threshold 1.1 is outside the range of roc_auc"),
        (limit(1, at_most=-0.1), "threshold -0.1 is outside the range of tpr_difference"),
        (limit(1, at_most=None, at_least=0.1), "asks for unequal treatment"),
    ],
)
def test_a_policy_that_does_not_fit_is_refused(
    tmp_path: Path, clinic: Contract, change: Change, shown: str
) -> None:
    assert shown in refusal(tmp_path, clinic, change)


def test_neither_and_both_limits_are_refused(tmp_path: Path, clinic: Contract) -> None:
    assert "limits[0]" in refusal(tmp_path, clinic, limit(at_least=None))
    assert "limits[0]" in refusal(tmp_path, clinic, limit(at_least=0.6, at_most=0.9))


def test_a_candidate_that_sees_nothing_is_refused(tmp_path: Path) -> None:
    def only_a_proxy(document: Document) -> None:
        kept = ("person", "year", "age", "sex", "under_40", "readmitted")
        table = table_of(document)
        table["properties"] = [column_of(document, name) for name in kept]

    bare = contract(tmp_path, only_a_proxy)
    with pytest.raises(InputError, match="candidates.fair: the model would see no column"):
        policy(tmp_path, bare)


@pytest.mark.parametrize(
    ("index", "says"),
    [
        (0, "accuracy has no limit"),
        (1, "protected column sex has no equal-opportunity limit"),
        (2, "protected column age has no equal-opportunity limit"),
    ],
)
def test_a_gate_without_a_limit_on_accuracy_or_on_a_group_is_refused(
    tmp_path: Path, clinic: Contract, index: int, says: str
) -> None:
    def change(document: dict) -> None:
        del document["release_gate"]["limits"][index]

    assert says in refusal(tmp_path, clinic, change)


@pytest.mark.parametrize("name", ["agreement", "transform_tolerance", "serving_tolerance"])
def test_a_tolerance_that_tolerates_everything_is_refused(
    tmp_path: Path, clinic: Contract, name: str
) -> None:
    assert name in refusal(tmp_path, clinic, put("release_gate", **{name: 5}))


# A first release, and rows against the baseline's


def test_a_first_release_is_declared_with_grounds(tmp_path: Path, clinic: Contract) -> None:
    gate = policy(tmp_path, clinic, first_release).data_gate
    assert gate.first_release == "nothing was ever collected before"
    assert gate.baseline_spans == gate.current_spans == ()
    assert policy(tmp_path, clinic).data_gate.first_release is None


@pytest.mark.parametrize(
    "change",
    [
        put("data_gate", first_release={"grounds": "and a baseline beside it, too"}),
        put("data_gate", baseline_spans=None),
        put("data_gate", baseline_spans=None, current_spans=None),
        put("data_gate", current_spans=None),
        put("data_gate", baseline_spans=None, current_spans=None, first_release={}),
        put("data_gate", baseline_spans=None, current_spans=None, first_release={"grounds": "x"}),
        put("data_gate", row_ratio={}),
        put("data_gate", row_ratio={"at_least": 0}),
        put("data_gate", row_ratio={"at_least": 2, "at_most": 1}),
        put("data_gate", row_ratio={"exactly": 1}),
    ],
)
def test_half_a_declaration_is_refused(tmp_path: Path, clinic: Contract, change: Change) -> None:
    assert "data_gate" in refusal(tmp_path, clinic, change)


def test_row_ratios_are_read(tmp_path: Path, clinic: Contract) -> None:
    one = policy(tmp_path, clinic, put("data_gate", row_ratio={"at_least": 0.5})).data_gate
    assert (one.row_ratio_at_least, one.row_ratio_at_most) == (0.5, None)
    rules = [c.rule for c in drift_clauses(clinic, one)]
    assert rules[0] == "row_ratio:least"
    assert "row_ratio:most" not in rules


def test_spans_need_a_span_column(tmp_path: Path) -> None:
    def without_span(document: Document) -> None:
        column_of(document, "year")["customProperties"][0]["value"] = "excluded"

    clinic = contract(tmp_path, without_span)
    assert "has no span column; expected first_release" in refusal(tmp_path, clinic, put())
    assert policy(tmp_path, clinic, first_release).data_gate.first_release
