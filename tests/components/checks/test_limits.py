"""The policy's limits against figures: every way in which one does not hold stays closed."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from components.checks.limits import Figures, limit_findings, release_gate
from components.checks.measurement import Finding, Measurement, Status
from components.contract.errors import ProcessError
from components.contract.policy import Change, Limit, Metric, Policy, Pool
from tests.components.checks.samples import GROUNDS, limit, with_limits

AUC = limit(Metric.ROC_AUC, at_least=0.6, min_n=10)
GAP = limit(Metric.TPR_DIFFERENCE, "sex", at_most=0.1, tested_on="worst_bound", min_n=10)
EACH = limit(Metric.TPR, "sex", at_least=0.5, min_n=10)
ONE = limit(Metric.TPR, "sex", groups=("f",), at_least=0.5, min_n=10)
PAIR = limit(Metric.SELECTION_RATE_RATIO, "sex", "age", at_least=0.8, min_n=10)
STEP = limit(Metric.ROC_AUC, at_least=-0.02, min_n=10, change=Change.ABSOLUTE)
FIRST = replace(STEP, champion=replace(STEP.champion, none_yet="nobody was ever ranked before"))


def _auc(value: float, n: int = 50, low: float | None = 0.5, high: float | None = 0.9):
    return Measurement("roc_auc", value, n, low=low, high=high)


def _gap(value: float, n: int = 50, low: float | None = 0.0, high: float | None = 0.2):
    return Measurement("tpr_difference", value, n, slice="sex", low=low, high=high)


def _tpr(group: str, value: float, n: int = 50) -> Measurement:
    return Measurement("tpr", value, n, slice=f"sex={group}", of="sex")


def _step(value: float, n: int = 50) -> Measurement:
    return Measurement("absolute change of roc_auc", value, n)


def _only(held: Limit, *measurements: Measurement, has_champion: bool | None = None) -> Finding:
    (found,) = limit_findings(held, Figures(measurements), has_champion)
    return found


def _status(held: Limit, *measurements: Measurement) -> Status:
    return _only(held, *measurements).status


def test_a_point_limit_looks_at_the_point() -> None:
    assert _status(AUC, _auc(0.6)) is Status.PASS
    assert _status(AUC, _auc(0.59)) is Status.FAIL
    ceiling = replace(AUC, at_least=None, at_most=0.6)
    assert _status(ceiling, _auc(0.6)) is Status.PASS
    assert _status(ceiling, _auc(0.61)) is Status.FAIL


def test_a_worst_bound_limit_looks_at_the_worse_end() -> None:
    assert _status(GAP, _gap(0.05, high=0.1)) is Status.PASS
    assert _status(GAP, _gap(0.05, high=0.11)) is Status.FAIL
    floor = replace(AUC, tested_on="worst_bound")
    assert _status(floor, _auc(0.7, low=0.6)) is Status.PASS
    assert _status(floor, _auc(0.7, low=0.59)) is Status.FAIL
    ceiling = replace(floor, at_least=None, at_most=0.9)
    assert _status(ceiling, _auc(0.7, high=0.9)) is Status.PASS
    assert _status(ceiling, _auc(0.7, high=0.91)) is Status.FAIL


@pytest.mark.parametrize("bound", [None, math.nan, math.inf, -math.inf])
def test_without_its_bound_a_worst_bound_limit_is_inconclusive(bound: float | None) -> None:
    assert _status(GAP, _gap(0.05, high=bound)) is Status.INCONCLUSIVE
    floor = replace(AUC, tested_on="worst_bound")
    assert _status(floor, _auc(0.9, low=bound)) is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    ("held", "measured", "says"),
    [
        (AUC, _auc(0.9, n=9), "roc_auc rests on under 11 cases, 10 required"),
        (AUC, _auc(0.1, n=9), "roc_auc rests on under 11 cases, 10 required"),
        (GAP, _gap(0.0, n=3), "tpr_difference of sex rests on under 11 cases, 10 required"),
        (ONE, _tpr("f", 0.9, n=0), "tpr of sex=f rests on 0 cases, 10 required"),
        (STEP, _step(0.5, n=9), "absolute change of roc_auc rests on under 11 cases, 10 required"),
    ],
    ids=str,
)
def test_too_few_cases_are_inconclusive_whatever_they_say(
    held: Limit, measured: Measurement, says: str
) -> None:
    found = _only(held, measured)
    assert (found.status, found.reason) == (Status.INCONCLUSIVE, says)
    assert _status(held, replace(measured, n=10)) is not Status.INCONCLUSIVE


@pytest.mark.parametrize("held", [AUC, GAP, ONE, PAIR, STEP, EACH], ids=str)
def test_a_figure_that_was_not_measured_is_inconclusive(held: Limit) -> None:
    found = _only(held)
    where = "" if held.slice.name == "overall" else f" of {held.slice.name}"
    assert found.reason == f"{held.metric}{where} was not measured"
    assert (found.status, found.rule) == (Status.INCONCLUSIVE, held.rule)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("held", [AUC, GAP, replace(AUC, tested_on="worst_bound")], ids=str)
def test_a_figure_that_is_no_number_is_inconclusive(held: Limit, value: float) -> None:
    broken = Measurement(str(held.metric), value, 50, slice=held.slice.name, low=0.9, high=0.0)
    assert _status(held, broken) is Status.INCONCLUSIVE


# Every group in turn


def test_a_limit_on_every_group_has_a_finding_for_each() -> None:
    figures = Figures([_tpr("f", 0.4), _tpr("m", 0.6), _tpr("x", 0.9, n=4), _gap(0.2)])
    found = limit_findings(EACH, figures)
    assert [(f.rule, f.status) for f in found] == [
        ("limit:tpr:sex=f", Status.FAIL),
        ("limit:tpr:sex=m", Status.PASS),
        ("limit:tpr:sex=x", Status.INCONCLUSIVE),
    ]
    assert found[0].reason == "tpr of sex=f 0.4, at least 0.5 required"
    assert found[2].reason == "tpr of sex=x rests on under 11 cases, 10 required"


def test_a_limit_on_one_group_leaves_the_others_alone() -> None:
    figures = [_tpr("f", 0.6), _tpr("m", 0.1)]
    assert _only(ONE, *figures) == replace(_only(ONE, figures[0]), rule="limit:tpr")
    assert _status(ONE, *figures) is Status.PASS
    assert _status(ONE, figures[1]) is Status.INCONCLUSIVE


def test_a_group_of_another_slice_is_no_group_of_this_one() -> None:
    others = [
        Measurement("tpr", 0.9, 50, slice="age=old", of="age"),
        Measurement("tpr", 0.9, 50, slice="sex=f*age=old", of="sex*age"),
        Measurement("fpr", 0.9, 50, slice="sex=f", of="sex"),
        Measurement("tpr", 0.9, 50),
    ]
    assert _only(EACH, *others).reason == "tpr of sex was not measured"


# Pairs of groups that are not there


def _rates(*groups: str) -> list[Measurement]:
    """A selection rate of each group; ``*`` joins the groups of two columns."""
    found = []
    for group in groups:
        of = "*".join(part.partition("=")[0] for part in group.split("*"))
        found.append(Measurement("selection_rate", 0.5, 50, slice=group, of=of))
    return found


_SINGLE = _rates("sex=f", "sex=m", "age=old", "age=young")
_PAIRS = _rates("sex=f*age=old", "sex=f*age=young", "sex=m*age=old", "sex=m*age=young")
_BY_PAIR = limit(Metric.SELECTION_RATE, "sex", "age", at_least=0.1)


@pytest.mark.parametrize("held", [_BY_PAIR, replace(PAIR, min_n=1)], ids=str)
@pytest.mark.parametrize("gone", [(), (0,), (3,), (0, 3)], ids=str)
def test_a_limit_on_pairs_misses_no_pair(held: Limit, gone: tuple[int, ...], rules: Policy) -> None:
    policy = with_limits(rules, held)
    ratio = Measurement("selection_rate_ratio", 0.9, 50, slice="sex*age")
    pairs = [m for i, m in enumerate(_PAIRS) if i not in gone]
    verdict = release_gate([*_SINGLE, *pairs, ratio], policy)
    if not gone:
        assert verdict.is_open
        return
    names = ", ".join(_PAIRS[i].slice for i in gone)
    assert verdict.status is Status.INCONCLUSIVE
    assert verdict.reason == f"{held.metric} of sex*age has no rows of {names}"
    assert verdict.findings[-1].rule == held.rule


def test_a_pool_stands_for_its_pairs(rules: Policy) -> None:
    pool = Pool(("sex", "age"), (("f", "old"), ("m", "old")), "old", GROUNDS)
    policy = with_limits(rules, _BY_PAIR)
    policy = replace(policy, release_gate=replace(policy.release_gate, pools=(pool,)))
    pooled = replace(_PAIRS[0], slice="sex*age=old")
    young = [_PAIRS[1], _PAIRS[3]]
    assert release_gate([*_SINGLE, *young, pooled], policy).is_open
    verdict = release_gate([*_SINGLE, *young], policy)
    assert verdict.reason == "selection_rate of sex*age has no rows of sex*age=old"


def test_a_limit_on_one_pair_or_one_column_needs_no_other(rules: Policy) -> None:
    one = limit(Metric.SELECTION_RATE, "sex", "age", groups=("f", "old"), at_least=0.1)
    column = limit(Metric.SELECTION_RATE, "sex", at_least=0.1)
    assert release_gate([*_SINGLE, _PAIRS[0]], with_limits(rules, one)).is_open
    assert release_gate(_SINGLE, with_limits(rules, column)).is_open


# Comparisons


def test_groups_that_are_too_small_to_compare_are_named() -> None:
    figures = [_gap(0.0, n=3, high=0.0), _tpr("f", 0.5, n=3), _tpr("m", 0.5), _tpr("x", 0.5, n=9)]
    found = _only(GAP, *figures)
    assert found.status is Status.INCONCLUSIVE
    assert found.reason == (
        "tpr_difference of sex leaves too few cases in sex=f (under 11), sex=x (under 11), "
        "10 required in each group"
    )
    assert found.measurement == figures[0]


def test_the_groups_of_a_comparison_are_those_of_its_own_figure() -> None:
    """Positives are behind a true positive rate; that there are few rows says nothing of them."""
    few = Measurement("selection_rate", 0.5, 3, slice="sex=f", of="sex")
    assert _status(GAP, _gap(0.0, high=0.0), few, _tpr("f", 0.5)) is Status.PASS
    bias = limit(Metric.CALIBRATION_BIAS_DIFFERENCE, "sex", at_most=0.1, min_n=10)
    own = Measurement("calibration_bias_difference", 0.0, 3, slice="sex")
    small = Measurement("calibration_bias", 0.0, 3, slice="sex=f", of="sex")
    assert "too few cases in sex=f (under 11)" in _only(bias, own, small).reason


def test_a_comparison_without_its_groups_still_counts_its_cases() -> None:
    assert _status(GAP, _gap(0.0, n=9, high=0.0)) is Status.INCONCLUSIVE
    assert _status(GAP, _gap(0.0, n=10, high=0.0)) is Status.PASS


# A champion


@pytest.mark.parametrize(
    ("held", "has_champion", "figures", "status", "says"),
    [
        (STEP, True, [_step(-0.02)], Status.PASS, "roc_auc -0.02, at least -0.02 required"),
        (STEP, True, [_step(-0.021)], Status.FAIL, "roc_auc -0.021, at least -0.02 required"),
        (STEP, True, [_auc(0.9)], Status.INCONCLUSIVE, "roc_auc was not measured"),
        (STEP, None, [_auc(0.9)], Status.INCONCLUSIVE, "roc_auc was not measured"),
        (STEP, None, [_step(0.0)], Status.PASS, "roc_auc 0, at least -0.02 required"),
        (STEP, False, [], Status.INCONCLUSIVE, "roc_auc has no champion to be held against"),
        (STEP, False, [_auc(0.9)], Status.INCONCLUSIVE, "no champion to be held against"),
        (FIRST, False, [], Status.PASS, "may be: nobody was ever ranked before"),
        # A champion that stands but was not scored is no first release.
        (FIRST, True, [], Status.INCONCLUSIVE, "roc_auc was not measured"),
        (FIRST, None, [], Status.INCONCLUSIVE, "roc_auc was not measured"),
        (FIRST, True, [_step(-0.5)], Status.FAIL, "-0.5, at least -0.02 required"),
    ],
)
def test_a_limit_on_the_step_from_the_champion(
    held: Limit,
    has_champion: bool | None,
    figures: list[Measurement],
    status: Status,
    says: str,
) -> None:
    found = _only(held, *figures, has_champion=has_champion)
    assert found.status is status
    assert says in found.reason
    assert found.rule == "limit:roc-auc"


def test_a_first_release_is_excused_from_no_other_limit(rules: Policy) -> None:
    policy = with_limits(rules, AUC, FIRST)
    assert release_gate([_auc(0.7)], policy, False).is_open
    assert release_gate([_auc(0.5)], policy, False).status is Status.FAIL
    assert release_gate([], policy, False).status is Status.INCONCLUSIVE
    assert not release_gate([_auc(0.7)], policy).is_open


# All of them


def test_every_limit_is_held_against_its_own_figure(rules: Policy) -> None:
    policy = with_limits(rules, AUC, GAP)
    good = [_auc(0.7), _gap(0.01, high=0.05)]
    assert release_gate(good, policy).is_open
    for measurements in (
        [],
        good[:1],
        good[1:],
        [good[0], replace(good[1], slice="age")],
        [good[0], replace(good[1], slice="overall")],
        [replace(good[0], slice="sex"), good[1]],
    ):
        assert release_gate(measurements, policy).status is Status.INCONCLUSIVE
    assert release_gate([_auc(0.5), good[1]], policy).status is Status.FAIL
    assert len(release_gate(good, policy).findings) == 2


def test_a_gate_without_limits_stays_closed(rules: Policy) -> None:
    assert release_gate([_auc(0.9)], with_limits(rules)).status is Status.INCONCLUSIVE


def test_a_figure_that_was_measured_twice_is_a_malfunction(rules: Policy) -> None:
    for twice in ([_auc(0.7), _auc(0.7)], [_auc(0.7), _gap(0.1), _auc(0.2)]):
        with pytest.raises(ProcessError, match="roc_auc of overall was measured twice"):
            Figures(twice)
        with pytest.raises(ProcessError, match="roc_auc of overall was measured twice"):
            release_gate(twice, rules)
    assert Figures([_auc(0.7), replace(_auc(0.7), slice="sex=f")]).get("roc_auc", "sex=f")
