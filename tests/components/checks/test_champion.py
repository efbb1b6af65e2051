"""How far a candidate is from the champion: signs, zeros, and intervals of paired scores."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

from components.checks.champion import change, change_name, paired_interval
from components.checks.limits import release_gate
from components.checks.measurement import Measurement, Status
from components.checks.performance import Ranked, roc_auc
from components.checks.release import release_measurements
from components.contract.policy import Change, Limit, Metric, Policy
from tests.components.checks.samples import limit, measured, sample, with_limits

BIAS, AUC, BRIER = Metric.CALIBRATION_BIAS, Metric.ROC_AUC, Metric.BRIER


def _limit(metric: Metric, kind: Change, *attributes: str) -> Limit:
    return limit(metric, *attributes, at_least=0.0, change=kind)


@pytest.mark.parametrize(
    ("candidate", "champion", "absolute", "relative"),
    [
        (0.6, 0.5, 0.1, 0.2),
        (0.5, 0.6, -0.1, -1 / 6),
        (0.5, 0.5, 0.0, 0.0),
        (0.0, 0.5, -0.5, -1.0),
        # The champion's figure is negative: a larger one is above it still.
        (-0.1, -0.2, 0.1, 0.5),
        (-0.3, -0.2, -0.1, -0.5),
        (0.2, -0.2, 0.4, 2.0),
        (-0.2, 0.2, -0.4, -2.0),
        # Nothing is any number of times nothing.
        (0.1, 0.0, 0.1, math.nan),
        (0.0, 0.0, 0.0, math.nan),
        (-0.1, -0.0, -0.1, math.nan),
        (math.nan, 0.5, math.nan, math.nan),
        (0.5, math.nan, math.nan, math.nan),
    ],
)
def test_a_change_keeps_its_sign(
    candidate: float, champion: float, absolute: float, relative: float
) -> None:
    mine, theirs = Measurement(str(BIAS), candidate, 40), Measurement(str(BIAS), champion, 30)
    for kind, expected in ((Change.ABSOLUTE, absolute), (Change.RELATIVE, relative)):
        found = change(_limit(BIAS, kind), mine, theirs)
        assert found.value == pytest.approx(expected, nan_ok=True)
        assert (found.n, found.name) == (30, f"{kind} change of calibration_bias")
        assert (found.low, found.high) == (None, None)


@pytest.mark.parametrize("kind", Change)
def test_a_figure_that_is_not_there_changed_by_no_number(kind: Change) -> None:
    there = Measurement(str(AUC), 0.7, 50)
    for pair in ((None, there), (there, None), (None, None)):
        found = change(_limit(AUC, kind), *pair)
        assert math.isnan(found.value)
        assert found.n == 0


def test_a_change_is_named_and_placed() -> None:
    of_group = limit(Metric.TPR, "sex", groups=("f",), at_least=0.0, change=Change.RELATIVE)
    there = Measurement("tpr", 0.5, 9, slice="sex=f")
    assert change_name(of_group) == "relative change of tpr"
    assert change(of_group, there, there).slice == "sex=f"


# Intervals of paired scores


def _scores(seed: int, n: int = 120, levels: int = 40):
    chance = np.random.default_rng(seed)
    labels = chance.random(n) < 0.4
    one = np.clip(chance.normal(0.4 + 0.2 * labels, 0.2), 0, 1)
    other = np.clip(one + chance.normal(0, 0.1, n), 0, 1)
    return labels, np.round(one * levels) / levels, np.round(other * levels) / levels


@pytest.mark.parametrize("seed", range(6))
def test_an_area_change_has_delongs_paired_interval(seed: int) -> None:
    """DeLong, DeLong and Clarke-Pearson (1988), pair by pair: the variance of
    the difference is that of one area and of the other less twice their covariance."""
    labels, one, other = _scores(seed)

    def components(scores):
        x, y = scores[labels], scores[~labels]
        kernel = (x[:, None] > y) + 0.5 * (x[:, None] == y)
        return kernel.mean(axis=1), kernel.mean(axis=0)

    v, w = components(one), components(other)
    s10, s01 = (np.cov(np.stack([a, b])) for a, b in zip(v, w, strict=True))
    covariance = s10 / len(v[0]) + s01 / len(v[1])
    variance = covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1]
    value = v[0].mean() - w[0].mean()
    half = norm.ppf(0.95) * math.sqrt(variance)
    found = paired_interval(AUC, labels, one, other, 0.9)
    assert found == pytest.approx((value - half, value + half), abs=1e-12)
    areas = [roc_auc(Ranked.of(labels, s), 0.9).value for s in (one, other)]
    assert sum(found) / 2 == pytest.approx(areas[0] - areas[1], abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_a_brier_change_has_the_interval_of_a_mean_difference(seed: int) -> None:
    labels, one, other = _scores(seed)
    differences = (one - labels) ** 2 - (other - labels) ** 2
    half = norm.ppf(0.95) * np.std(differences, ddof=1) / math.sqrt(len(labels))
    middle = differences.mean()
    found = paired_interval(BRIER, labels, one, other, 0.9)
    assert found == pytest.approx((middle - half, middle + half), abs=1e-12)


@pytest.mark.parametrize("metric", [AUC, BRIER])
def test_a_change_turned_round_is_its_negative(metric: Metric) -> None:
    labels, one, other = _scores(0)
    low, high = paired_interval(metric, labels, one, other, 0.95)
    assert paired_interval(metric, labels, other, one, 0.95) == pytest.approx((-high, -low))
    assert paired_interval(metric, labels, one, one, 0.95) == (0.0, 0.0)


def test_pairing_is_worth_something() -> None:
    """Had other people been scored, the interval would be wider than either model's own."""
    labels, one, other = _scores(1, n=400)
    low, high = paired_interval(AUC, labels, one, other, 0.95)
    own = roc_auc(Ranked.of(labels, one), 0.95)
    assert high - low < 0.75 * (own.high - own.low)


@pytest.mark.parametrize("metric", [m for m in Metric if m not in (AUC, BRIER)])
def test_no_other_metric_has_a_paired_interval(metric: Metric) -> None:
    assert paired_interval(metric, *_scores(0), 0.95) is None


@pytest.mark.parametrize("metric", [AUC, BRIER])
@pytest.mark.parametrize(
    ("labels", "broken"),
    [
        ([1, 0, 0, 0], None),
        ([1, 1, 1, 0], None),
        ([0, 0, 0, 0], None),
        ([1, 1, 0, 0], math.nan),
        ([1, 1, 0, 0], math.inf),
    ],
)
def test_no_interval_from_one_case_or_a_score_that_is_none(
    metric: Metric, labels: list[int], broken: float | None
) -> None:
    flags = np.array(labels, dtype=bool)
    sound = np.array([0.9, 0.4, 0.5, 0.1])
    assert (
        paired_interval(metric, np.array([1, 1, 0, 0], dtype=bool), sound, sound, 0.9) is not None
    )
    other = sound if broken is None else np.array([0.9, broken, 0.5, 0.1])
    assert paired_interval(metric, flags, sound, other, 0.95) is None
    assert paired_interval(metric, flags, other, sound, 0.95) is None


# Changes as the referee measures them


def test_changes_are_measured_where_a_limit_asks(rules: Policy) -> None:
    rows = sample(5, 300, sex=2, age=3)
    champion = np.clip(rows.scores + 0.1, 0, 1)
    policy = with_limits(
        rules,
        _limit(AUC, Change.ABSOLUTE),
        _limit(AUC, Change.RELATIVE),
        _limit(BRIER, Change.ABSOLUTE),
        _limit(BIAS, Change.ABSOLUTE),
        limit(Metric.TPR_RATIO, "age", at_least=-0.1, change=Change.ABSOLUTE),
        limit(AUC, "sex", groups=("sex1",), at_least=-0.1, change=Change.ABSOLUTE),
        limit(Metric.BRIER, "sex", groups=("sex1",), at_most=0.1, change=Change.RELATIVE),
        limit(AUC, at_least=0.5),
    )
    now, before = (
        measured(rows, policy),
        measured(type(rows)(rows.labels, champion, rows.groups), policy),
    )
    both = measured(rows, policy, champion)
    changes = {k: m for k, m in both.items() if " change of " in k[0]}
    assert {k: v for k, v in both.items() if k not in changes} == now
    expected = {
        ("absolute change of roc_auc", "overall"): ("roc_auc", True),
        ("relative change of roc_auc", "overall"): ("roc_auc", False),
        ("absolute change of brier", "overall"): ("brier", True),
        ("absolute change of calibration_bias", "overall"): ("calibration_bias", False),
        ("absolute change of tpr_ratio", "age"): ("tpr_ratio", False),
        ("absolute change of roc_auc", "sex=sex1"): ("roc_auc", False),
        ("relative change of brier", "sex=sex1"): ("brier", False),
    }
    assert set(changes) == set(expected)
    for key, (name, has_interval) in expected.items():
        mine, theirs = now[name, key[1]], before[name, key[1]]
        difference = mine.value - theirs.value
        if key[0].startswith("relative"):
            difference /= abs(theirs.value)
        assert changes[key].value == pytest.approx(difference, abs=1e-12)
        assert changes[key].n == min(mine.n, theirs.n)
        assert (changes[key].low is not None) == has_interval
    for metric in (AUC, BRIER):
        found = changes[f"absolute change of {metric}", "overall"]
        interval = paired_interval(metric, rows.labels, rows.scores, champion, 0.95)
        assert (found.low, found.high) == interval
        assert found.low < found.value < found.high


def test_without_a_champion_or_a_limit_nothing_changes(rules: Policy) -> None:
    rows = sample(5, 100, sex=2)
    asked = with_limits(rules, _limit(AUC, Change.ABSOLUTE))
    assert not [m for m in release_measurements(rows.scored(), asked) if "change" in m.name]
    assert not [
        m for m in release_measurements(rows.scored(rows.scores), rules) if "change" in m.name
    ]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -0.5, 1.5])
@pytest.mark.parametrize("side", ["candidate", "champion"])
def test_a_score_that_is_none_on_either_side_closes_every_change(
    rules: Policy, bad: float, side: str
) -> None:
    rows = sample(5, 100, sex=2)
    policy = with_limits(
        rules,
        *(_limit(m, kind) for m in (AUC, BRIER, BIAS, Metric.TPR) for kind in Change),
        limit(AUC, at_least=-1.0, change=Change.ABSOLUTE, tested_on="worst_bound"),
    )
    sound = release_measurements(rows.scored(rows.scores), policy)
    assert release_gate(sound, policy, True).is_open
    broken = rows.scores.copy()
    broken[3] = bad
    pair = (broken, rows.scores) if side == "candidate" else (rows.scores, broken)
    scored = type(rows)(rows.labels, pair[0], rows.groups).scored(pair[1])
    verdict = release_gate(release_measurements(scored, policy), policy, True)
    assert {f.status for f in verdict.findings} == {Status.INCONCLUSIVE}
