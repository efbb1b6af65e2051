"""Release limits through MLflow's validation: closed wherever MLflow would let something pass."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from mlflow.models import MetricThreshold
from mlflow.models.evaluation import EvaluationResult
from mlflow.models.evaluation.validation import validate_evaluation_results

from components.checks.champion import change
from components.checks.measurement import Finding, Measurement, Status
from components.contract.policy import (
    EVERYBODY,
    ChampionLimit,
    Change,
    Limit,
    Metric,
    Policy,
    Slice,
)
from components.stacks.pytorch_stack import mlflow_limits
from tests import clinic

BY_SEX = Slice(("sex",))
PASS, FAIL, INCONCLUSIVE = Status.PASS, Status.FAIL, Status.INCONCLUSIVE


@cache
def of_the_clinic() -> Policy:
    """The clinic's policy: an accuracy limit on the point, a fairness limit on the worse bound."""
    with TemporaryDirectory() as folder:
        return clinic.policy(Path(folder), clinic.contract(Path(folder)))


@pytest.fixture
def policy() -> Policy:
    """The clinic's policy."""
    return of_the_clinic()


def limit(
    metric: Metric = Metric.ROC_AUC, *, slice: Slice = EVERYBODY, tested_on="point", **fields
) -> Limit:
    """One limit."""
    bounds = {"at_least": None, "at_most": None, **fields}
    return Limit("one", metric, slice, tested_on=tested_on, min_n=10, grounds="", **bounds)


def only(*limits: Limit) -> Policy:
    """The policy with other limits."""
    policy = of_the_clinic()
    return replace(policy, release_gate=replace(policy.release_gate, limits=limits))


def judged(
    of: Limit,
    now: Sequence[Measurement],
    before: Sequence[Measurement] = (),
    has_champion: bool | None = True,
) -> list[Finding]:
    """The findings of one limit, with the change against the champion measured where asked for."""
    policy = only(of)
    compiled = mlflow_limits.compile_to_mlflow(policy)
    measured = list(now)
    if of.champion is not None and before:
        measured.append(change(of, now[0], before[0]))
    return mlflow_limits.limit_findings(policy, compiled, measured, before, has_champion)


def status(*arguments, **fields) -> Status:
    """The status of a limit's only finding."""
    (found,) = judged(*arguments, **fields)
    return found.status


def against(kind: Change, none_yet: str | None = None, **fields) -> Limit:
    """A limit on a change of AUC, or of another metric."""
    return limit(champion=ChampionLimit(kind, none_yet), **fields)


def auc(value: float, n: int = 100) -> list[Measurement]:
    """An AUC of everybody."""
    return [Measurement("roc_auc", value, n)]


def test_every_limit_is_compiled_and_the_weaker_test_is_listed(policy: Policy) -> None:
    compiled = mlflow_limits.compile_to_mlflow(policy)
    assert [limit.id for limit, _ in compiled.thresholds] == ["auc", "tpr", "tpr-age"]
    assert [t.greater_is_better for _, t in compiled.thresholds] == [True, False, False]
    assert [n.rule for n in compiled.unexpressed] == ["limit:tpr", "limit:tpr-age"]


@pytest.mark.parametrize(
    ("auc", "gap", "expected"),
    [
        (0.6, 0.1, (PASS, PASS)),
        (0.5999, 0.1001, (FAIL, FAIL)),
        (math.nan, math.nan, (INCONCLUSIVE, INCONCLUSIVE)),
        (math.inf, -math.inf, (INCONCLUSIVE, INCONCLUSIVE)),
    ],
)
def test_limits_are_inclusive_and_closed(policy: Policy, auc: float, gap: float, expected) -> None:
    measured = [
        Measurement("roc_auc", auc, 100),
        Measurement("tpr_difference", gap, 100, slice="sex"),
    ]
    compiled = mlflow_limits.compile_to_mlflow(policy)
    found = {f.rule: f.status for f in mlflow_limits.limit_findings(policy, compiled, measured)}
    assert (found["limit:auc"], found["limit:tpr"]) == expected
    assert found["limit:tpr-age"] is INCONCLUSIVE


def test_few_cases_and_missing_figures_are_inconclusive() -> None:
    floor = limit(at_least=0.6)
    assert status(floor, auc(0.9, n=9)) is INCONCLUSIVE
    assert status(floor, []) is INCONCLUSIVE
    assert status(floor, [Measurement("roc_auc", 0.9, 100, slice="sex=f")]) is INCONCLUSIVE


def test_a_limit_on_every_group_has_a_finding_for_each() -> None:
    groups = [
        Measurement("ppv", value, n, slice=f"sex={g}", of="sex")
        for g, value, n in (("f", 0.5, 50), ("m", 0.1, 50), ("x", 0.9, 3))
    ]
    found = judged(limit(Metric.PPV, slice=BY_SEX, at_least=0.2), groups)
    assert {f.rule: f.status for f in found} == {
        "limit:one:sex=f": PASS,
        "limit:one:sex=m": FAIL,
        "limit:one:sex=x": INCONCLUSIVE,
    }


def test_a_comparison_that_leaves_out_a_small_group_names_it() -> None:
    gap = limit(Metric.TPR_DIFFERENCE, slice=BY_SEX, at_most=0.2)
    groups = [
        Measurement("tpr", 0.5, n, slice=f"sex={g}", of="sex")
        for g, n in (("f", 50), ("m", 50), ("x", 3))
    ]
    (found,) = judged(gap, [*groups, Measurement("tpr_difference", 0.0, 50, slice="sex")])
    assert found.status is INCONCLUSIVE
    assert "sex=x (under 11)" in found.reason


def test_a_pair_of_groups_without_rows_is_inconclusive() -> None:
    pairs = Slice(("age", "sex"))
    groups = [
        Measurement("selection_rate", 0.5, 50, slice=where, of=of)
        for where, of in (
            ("age=old", "age"),
            ("age=young", "age"),
            ("sex=f", "sex"),
            ("age=old*sex=f", "age*sex"),
        )
    ]
    found = judged(limit(Metric.SELECTION_RATE, slice=pairs, at_least=0.2), groups)
    assert [(f.rule, f.status) for f in found] == [
        ("limit:one:age=old*sex=f", PASS),
        ("limit:one", INCONCLUSIVE),
    ]
    assert "age=young*sex=f" in found[1].reason


def test_mlflow_alone_lets_a_relative_change_of_nan_pass_and_we_do_not() -> None:
    """What MLflow does is shown beside it: should it change, this says so."""
    candidate = EvaluationResult({"roc_auc": math.nan}, {})
    baseline = EvaluationResult({"roc_auc": 0.7}, {})
    threshold = MetricThreshold(min_relative_change=0.1, greater_is_better=True)
    validate_evaluation_results({"roc_auc": threshold}, candidate, baseline)
    better = against(Change.RELATIVE, at_least=0.1)
    assert status(better, auc(math.nan), auc(0.7)) is INCONCLUSIVE
    assert status(better, auc(0.9), auc(math.nan)) is INCONCLUSIVE


def test_mlflow_alone_says_nothing_of_a_missing_threshold_and_we_ask_for_each_limit() -> None:
    validate_evaluation_results({}, EvaluationResult({"roc_auc": 0.1}, {}))
    assert status(limit(at_least=0.6), auc(0.1)) is FAIL


@pytest.mark.parametrize(
    ("wanted", "now", "before", "expected"),
    [
        (against(Change.ABSOLUTE, at_least=0.02), 0.73, 0.70, PASS),
        (against(Change.ABSOLUTE, at_least=0.02), 0.71, 0.70, FAIL),
        (against(Change.RELATIVE, at_least=0.1), 0.78, 0.70, PASS),
        (against(Change.RELATIVE, at_least=0.1), 0.76, 0.70, FAIL),
        (against(Change.ABSOLUTE, at_most=-0.01), 0.08, 0.10, PASS),
        (against(Change.ABSOLUTE, at_most=-0.01), 0.095, 0.10, FAIL),
    ],
)
def test_an_improvement_is_asked_for_through_mlflows_baseline(
    wanted: Limit, now: float, before: float, expected: Status, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    honest = mlflow_limits.validate_evaluation_results

    def watched(thresholds, candidate, baseline):
        asked.append((candidate.metrics, baseline.metrics))
        honest(thresholds, candidate, baseline)

    monkeypatch.setattr(mlflow_limits, "validate_evaluation_results", watched)
    assert status(wanted, auc(now), auc(before)) is expected
    assert asked == [({"roc_auc": now}, {"roc_auc": before})]


@pytest.mark.parametrize(
    ("wanted", "now", "before", "expected"),
    [
        (against(Change.ABSOLUTE, at_least=-0.02), 0.685, 0.70, PASS),
        (against(Change.ABSOLUTE, at_least=-0.02), 0.67, 0.70, FAIL),
        (against(Change.ABSOLUTE, at_least=0.0), 0.70, 0.70, PASS),
        (against(Change.RELATIVE, at_least=0.0), 0.69, 0.70, FAIL),
        (against(Change.ABSOLUTE, at_most=0.01), 0.71, 0.70, FAIL),
        (against(Change.RELATIVE, at_least=1.5), 0.8, 0.2, PASS),
    ],
)
def test_what_mlflow_has_no_words_for_is_listed_and_judged_on_the_change(
    wanted: Limit, now: float, before: float, expected: Status
) -> None:
    compiled = mlflow_limits.compile_to_mlflow(only(wanted))
    assert [t for _, t in compiled.thresholds] == [None]
    assert [u.rule for u in compiled.unexpressed] == ["limit:one"]
    assert "tested on the change itself" in compiled.unexpressed[0].why
    assert status(wanted, auc(now), auc(before)) is expected


def test_a_relative_change_of_a_negative_figure_keeps_its_sign() -> None:
    """A bias that goes from -0.10 to -0.15 has grown by half of its size downwards."""
    bias = [Measurement("calibration_bias", v, 100) for v in (-0.15, -0.10)]
    up, down = (
        against(Change.RELATIVE, metric=Metric.CALIBRATION_BIAS, **bound)
        for bound in ({"at_least": 0.2}, {"at_most": -0.2})
    )
    assert status(up, bias[:1], bias[1:]) is FAIL
    assert status(down, bias[:1], bias[1:]) is PASS


def test_a_relative_change_from_zero_is_inconclusive() -> None:
    assert status(against(Change.RELATIVE, at_least=0.1), auc(0.9), auc(0.0)) is INCONCLUSIVE


def test_without_a_champion_only_declared_grounds_pass() -> None:
    declared = against(Change.ABSOLUTE, "there was no model before", at_least=0.02)
    assert status(declared, auc(0.7), has_champion=False) is PASS
    assert status(against(Change.ABSOLUTE, at_least=0.02), auc(0.7), has_champion=False) is (
        INCONCLUSIVE
    )
    assert status(declared, auc(0.7), has_champion=True) is INCONCLUSIVE
    assert status(declared, auc(0.7), has_champion=None) is INCONCLUSIVE


def test_a_worst_bound_is_listed_also_for_a_change() -> None:
    compiled = mlflow_limits.compile_to_mlflow(
        only(against(Change.ABSOLUTE, at_least=-0.02, tested_on="worst_bound"))
    )
    assert sorted(u.why.split(":")[0] for u in compiled.unexpressed) == [
        "MLflow asks for an improvement over its baseline and knows no tolerance",
        "MLflow's thresholds know no intervals",
    ]


@pytest.mark.parametrize("value", [0.7, 0.5])
def test_mlflow_and_the_limit_must_both_hold(value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mlflow_limits, "_validate", lambda *_: value < 0.6)
    (found,) = judged(limit(at_least=0.6), auc(value))
    assert (found.rule, found.status) == ("mlflow:limit:one", FAIL)
    assert "MLflow's validation says otherwise" in found.reason


def test_a_change_without_the_champions_own_figure_is_not_confirmed() -> None:
    wanted = against(Change.ABSOLUTE, at_least=0.02)
    measured = [*auc(0.9), change(wanted, *auc(0.9), *auc(0.7))]
    compiled = mlflow_limits.compile_to_mlflow(only(wanted))
    (found,) = mlflow_limits.limit_findings(only(wanted), compiled, measured, (), True)
    assert found.status is FAIL
