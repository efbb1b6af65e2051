"""Native figures agree with the referee's, metric for metric and group for group."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest

from components.checks.measurement import Measurement, Status
from components.checks.release import Scored, agreement, changes, release_measurements
from components.checks.tallies import Groups
from components.contract.policy import MISSING, Metric, Policy
from components.stacks.pytorch_stack.metric_names import metric_name
from components.stacks.pytorch_stack.release_measurements import EvaluationRows, measure
from tests import clinic

GROUNDS = "long enough to be grounds"
AGES = ("young", "middle", "old", MISSING)


def limit(name: str, metric: str, **fields) -> clinic.Document:
    """One limit of a policy."""
    common = {"tested_on": "point", "min_n": 1, "grounds": GROUNDS}
    if "at_most" not in fields:
        common["at_least"] = 0.01
    return {"id": name.replace("_", "-"), "metric": metric, **common, **fields}


def every_metric(document: clinic.Document) -> None:
    """Limits that ask for everything, groups that are pooled alone and in pairs."""
    gate = document["release_gate"]
    for metric in ("roc_auc", "average_precision", "brier"):
        gate["limits"] += [
            limit(f"{metric}-age", metric, slice="age"),
            limit(f"{metric}-both", metric, slice=["sex", "age"]),
        ]
    change = {"change": "absolute"}
    gate["limits"] += [
        limit("auc-change", "roc_auc", at_least=-1.0, champion=change),
        limit("auc-share", "roc_auc", at_least=-1.0, champion={"change": "relative"}),
        limit("ppv-change", "ppv_difference", slice="sex", at_most=1.0, champion=change),
        limit("brier-change", "brier", slice={"age": "from 40"}, at_least=-1.0, champion=change),
    ]
    gate["pools"] = [
        {"slice": "age", "groups": ["middle", "old"], "into": "from 40", "grounds": GROUNDS},
        {
            "slice": ["sex", "age"],
            "groups": [["f", "young"], ["m", "young"]],
            "into": "below 40",
            "grounds": GROUNDS,
        },
    ]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """The clinic's policy with a limit on everything."""
    folder = tmp_path_factory.mktemp("figures")
    return clinic.policy(folder, clinic.contract(folder), every_metric)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    """The clinic's policy as it is, without pools."""
    folder = tmp_path_factory.mktemp("plain")
    return clinic.policy(folder, clinic.contract(folder))


class Case:
    """Generated rows; ages may be declared, as by the contract's bands, and have no row."""

    def __init__(self, n: int = 400, seed: int = 0) -> None:
        chance = np.random.default_rng(seed)
        self.labels = chance.random(n) < 0.4
        # As a model gives them: float32, many of them alike, some on the edges of bins.
        noise = chance.normal(0.45, 0.25, n) + 0.1 * self.labels
        self.scores = np.clip(np.round(noise, 2), 0, 1).astype(np.float32).astype(np.float64)
        self.champion = np.clip(noise + chance.normal(0, 0.2, n), 0, 1)
        self.sex: list[str | None] = [["f", "m", None][i] for i in chance.integers(0, 3, n)]
        self.age: list[str | None] = [AGES[i] for i in chance.integers(0, 4, n)]

    def rows(self) -> EvaluationRows:
        """As the stack reads them."""
        return EvaluationRows(
            self.labels.astype(np.int64),
            {"age": self.age, "sex": self.sex},
            {"age": AGES, "sex": ()},
        )

    def scored(self) -> Scored:
        """As the referee reads them."""
        return Scored(
            self.labels,
            self.scores,
            {
                "age": Groups.of(pa.chunked_array([self.age]), AGES),
                "sex": Groups.of(pa.chunked_array([pa.array(self.sex, pa.string())])),
            },
            self.champion,
        )


def figures(measurements) -> dict[tuple[str, str], Measurement]:
    """Measurements by name and slice, each there once."""
    found = {(m.name, m.slice): m for m in measurements}
    assert len(found) == len(measurements)
    return found


def native_figures(case: Case, policy: Policy) -> tuple[Measurement, ...]:
    """What the stack measures, changes against the champion among them."""
    now = measure(case.rows(), case.scores, policy)
    return now + changes(now, measure(case.rows(), case.champion, policy), policy)


def assert_same(case: Case, policy: Policy) -> dict[tuple[str, str], Measurement]:
    """Native and referee have the same figures of the same cases; returns the native ones."""
    native, referee = native_figures(case, policy), release_measurements(case.scored(), policy)
    mine, theirs = figures(native), figures(referee)
    assert set(mine) == set(theirs)
    for key, measured in mine.items():
        expected = theirs[key]
        assert measured.n == expected.n, key
        assert measured.of == expected.of, key
        assert measured.value == pytest.approx(expected.value, abs=1e-9, nan_ok=True), key
    return mine


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n", [12, 400])
def test_native_figures_are_the_referees(policy: Policy, plain: Policy, n: int, seed: int) -> None:
    case = Case(n, seed)
    assert {name for name, _ in assert_same(case, policy)} >= {str(m) for m in Metric}
    assert_same(case, plain)


def test_groups_are_named_pooled_and_complete(policy: Policy) -> None:
    case = Case()
    case.age = [g if g != "young" else "old" for g in case.age]
    found = assert_same(case, policy)
    ages = {m.slice for m in found.values() if m.of == "age"}
    assert ages == {"age=young", "age=from 40", f"age={MISSING}"}
    assert (found["tpr", "age=young"].n, found["brier", "age=young"].n) == (0, 0)
    assert math.isnan(found["tpr_difference", "age"].value)
    assert found["ppv_ratio", "age"].n == 0
    assert math.isfinite(found["ppv_ratio", "sex"].value)
    pairs = {m.slice for m in found.values() if m.of == "age*sex"}
    assert "age=from 40*sex=f" in pairs
    assert not any("young" in where for where in pairs)


def test_a_pool_of_pairs_is_one_group(policy: Policy) -> None:
    found = assert_same(Case(), policy)
    young = [i for i, g in enumerate(Case().age) if g == "young" and Case().sex[i] is not None]
    assert found["selection_rate", "age*sex=below 40"].n == len(young)


@pytest.mark.parametrize(
    "breakage", ["nan", "above one", "all positive", "none positive", "none selected", "one group"]
)
def test_what_cannot_be_measured_is_closed_on_both_sides(policy: Policy, breakage: str) -> None:
    case = Case(200)
    if breakage == "nan":
        case.scores[3] = math.nan
    elif breakage == "above one":
        case.scores[3] = 1.5
    elif breakage == "none selected":
        case.scores[:] = 0.0
    elif breakage == "one group":
        case.sex = ["f"] * 200
    else:
        case.labels[:] = breakage == "all positive"
    found = assert_same(case, policy)
    unknown = {
        "nan": [("roc_auc", "overall"), ("calibration_error", "overall")],
        "above one": [("brier", "overall"), ("selection_rate_difference", "sex")],
        "all positive": [("roc_auc", "overall"), ("fpr", "overall")],
        "none positive": [("average_precision", "overall"), ("tpr", "sex=f")],
        "none selected": [("ppv", "overall"), ("selection_rate_ratio", "sex")],
        "one group": [("tpr_difference", "sex"), ("calibration_bias_difference", "sex")],
    }[breakage]
    assert all(math.isnan(found[key].value) for key in unknown)


def test_a_broken_score_closes_only_the_groups_that_hold_it(policy: Policy) -> None:
    case = Case()
    held = case.sex.index("f")
    case.scores[held] = math.nan
    found = assert_same(case, policy)
    assert math.isnan(found["calibration_bias", "sex=f"].value)
    assert math.isfinite(found["calibration_bias", "sex=m"].value)
    assert math.isnan(found["calibration_bias_difference", "sex"].value)
    assert math.isnan(found["tpr_difference", "sex"].value)


def test_a_group_of_one_row_has_a_rate_but_no_calibration(policy: Policy) -> None:
    case = Case()
    case.sex = ["m", *["f"] * (len(case.sex) - 1)]
    found = assert_same(case, policy)
    assert found["selection_rate", "sex=m"].n == 1
    assert math.isnan(found["calibration_error", "sex=m"].value)
    assert math.isnan(found["calibration_bias_difference", "sex"].value)


@pytest.mark.parametrize(("edge", "beside"), [(0.5, 0.45), (1.0, 0.95)])
def test_a_score_on_an_edge_falls_into_the_referees_bin(
    policy: Policy, edge: float, beside: float
) -> None:
    """The rows beside it err the other way, so that two bins are not the sum of one."""
    case = Case(100)
    case.scores[::2], case.scores[1::2] = edge, beside
    case.labels[::2], case.labels[1::2] = False, True
    assert_same(case, policy)


def test_no_limit_lacks_a_native_figure(policy: Policy) -> None:
    case = Case()
    native, referee = native_figures(case, policy), release_measurements(case.scored(), policy)
    limits = policy.release_gate.limits
    found = agreement(native, referee, 1e-9, limits)
    assert {f.status for f in found} == {Status.PASS}
    assert len(found) == len(native)
    without = agreement([m for m in native if m.name != "brier"], referee, 1e-9, limits)
    assert Status.INCONCLUSIVE in {f.status for f in without}


def test_each_figure_names_its_tools(policy: Policy) -> None:
    found = figures(native_figures(Case(), policy))
    sources = {
        ("roc_auc", "overall"): "scikit-learn 1",
        ("calibration_error", "overall"): "torchmetrics 1",
        ("tpr", "sex=f"): "fairlearn 0",
        ("ppv", "sex=f"): "fairlearn 0.14.0 with scikit-learn 1",
        ("tpr_ratio", "sex"): "fairlearn 0",
        ("absolute change of roc_auc", "overall"): "scikit-learn 1",
    }
    for key, source in sources.items():
        assert found[key].source.startswith(source), key


def test_no_two_groups_share_a_metric_name() -> None:
    groups = ["<30", ">30", "30", "[30", "30+", "a b", "a*sex=f"]
    names = {metric_name(Measurement("tpr", 0.0, 1, slice=f"age={g}")) for g in groups}
    assert len(names) == len(groups)
    assert metric_name(Measurement("tpr", 0.0, 1, slice="age=a b")) == "tpr/age/a b"
