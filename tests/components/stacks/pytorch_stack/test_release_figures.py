"""Native figures agree with the referee's; limits are closed to everything that is no number."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.checks.gates import Scored, release_measurements
from components.checks.measurement import Measurement, Status
from components.stacks.pytorch_stack import mlflow_limits
from components.stacks.pytorch_stack import release_measurements as native
from components.stacks.pytorch_stack.mlflow_store import metric_name
from tests import clinic


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory):
    """The clinic's policy: an accuracy limit on the point, a fairness limit on the worse bound."""
    folder = tmp_path_factory.mktemp("limits")
    return clinic.policy(folder, clinic.contract(folder))


def scored(n: int = 400, seed: int = 0):
    """Labels, scores and groups, one of which has no name."""
    chance = np.random.default_rng(seed)
    labels = chance.random(n) < 0.4
    scores = np.clip(chance.normal(0.45, 0.2, n) + 0.1 * labels, 0, 1)
    sex = [[None, "f", "m"][i] for i in chance.integers(0, 3, n)]
    return labels, scores, {"sex": sex}


def figures(measurements) -> dict[tuple[str, str], Measurement]:
    """Measurements by name and slice."""
    return {(m.name, m.slice): m for m in measurements}


def test_native_figures_are_the_referees(policy) -> None:
    labels, scores, groups = scored()
    mine = figures(native.measure(labels, scores, groups, policy.decision_threshold))
    theirs = figures(release_measurements(Scored(labels, scores, groups), policy))
    assert set(mine) == set(theirs)
    assert ("tpr", "sex=(missing)") in mine
    for key, measured in mine.items():
        assert measured.value == pytest.approx(theirs[key].value), key
        assert measured.n == theirs[key].n, key
    assert mine["roc_auc", "overall"].source.startswith("scikit-learn 1")
    assert mine["tpr", "sex=f"].source.startswith("fairlearn 0")


def test_a_group_without_positives_has_no_rate_and_no_gap(policy) -> None:
    labels, scores, groups = scored()
    labels[[g == "f" for g in groups["sex"]]] = False
    mine = figures(native.measure(labels, scores, groups, policy.decision_threshold))
    assert math.isnan(mine["tpr", "sex=f"].value)
    assert math.isnan(mine["tpr_difference", "sex"].value)
    assert mine["tpr_difference", "sex"].n == 0
    assert math.isfinite(mine["fpr_difference", "sex"].value)


def test_one_group_has_no_gap(policy) -> None:
    labels, scores, _ = scored()
    mine = figures(native.measure(labels, scores, {"sex": ["f"] * len(labels)}, 0.5))
    assert math.isnan(mine["tpr_difference", "sex"].value)


@pytest.mark.parametrize("broken", ["nan score", "one class"])
def test_accuracy_of_broken_scores_is_not_a_number(broken: str) -> None:
    labels, scores, groups = scored()
    if broken == "nan score":
        scores[3] = math.nan
    else:
        labels[:] = True
    mine = figures(native.measure(labels, scores, groups, 0.5))
    assert math.isnan(mine["roc_auc", "overall"].value)
    assert math.isnan(mine["brier", "overall"].value)


def findings(policy, *measurements: Measurement) -> dict[str, Status]:
    """Status of each limit."""
    compiled = mlflow_limits.compile_to_mlflow(policy)
    return {f.rule: f.status for f in mlflow_limits.limit_findings(compiled, measurements)}


def test_every_limit_is_compiled_and_the_weaker_test_is_listed(policy) -> None:
    compiled = mlflow_limits.compile_to_mlflow(policy)
    assert [limit.id for limit, _ in compiled.thresholds] == ["auc", "tpr", "tpr-age"]
    assert [t.greater_is_better for _, t in compiled.thresholds] == [True, False, False]
    assert [n.rule for n in compiled.unexpressed] == ["tpr", "tpr-age"]


@pytest.mark.parametrize(
    ("auc", "gap", "expected"),
    [
        (0.6, 0.1, (Status.PASS, Status.PASS)),
        (0.5999, 0.1001, (Status.FAIL, Status.FAIL)),
        (math.nan, math.nan, (Status.INCONCLUSIVE, Status.INCONCLUSIVE)),
        (math.inf, -math.inf, (Status.INCONCLUSIVE, Status.INCONCLUSIVE)),
    ],
)
def test_limits_are_inclusive_and_closed(policy, auc: float, gap: float, expected) -> None:
    found = findings(
        policy,
        Measurement("roc_auc", auc, 100),
        Measurement("tpr_difference", gap, 100, slice="sex"),
    )
    assert (found["mlflow:auc"], found["mlflow:tpr"]) == expected


def test_few_cases_and_missing_figures_are_inconclusive(policy) -> None:
    found = findings(policy, Measurement("roc_auc", 0.9, 9))
    assert set(found.values()) == {Status.INCONCLUSIVE}
    elsewhere = Measurement("tpr_difference", 0.0, 100, slice="age")
    assert findings(policy, elsewhere)["mlflow:tpr"] is Status.INCONCLUSIVE


def test_no_two_groups_share_a_metric_name() -> None:
    groups = ["<30", ">30", "30", "[30", "30+", "a b"]
    names = {metric_name(Measurement("tpr", 0.0, 1, slice=f"age={g}")) for g in groups}
    assert len(names) == len(groups)
    assert metric_name(Measurement("tpr", 0.0, 1, slice="age=a b")) == "tpr/age/a b"
