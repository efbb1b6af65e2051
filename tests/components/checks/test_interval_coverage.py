"""Intervals hold the truth as often as they say: over made-up models whose truth is known."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.stats import norm

from components.checks.calibration import brier, calibration_bias, calibration_error
from components.checks.champion import paired_interval
from components.checks.fairness import Proportion, compare, largest_bias_difference, rates
from components.checks.measurement import Measurement
from components.checks.performance import Ranked, average_precision, roc_auc
from components.contract.policy import Metric, Slice
from tests.components.checks.samples import tallied

CONFIDENCE, REPEATS = 0.95, 600
SLACK = 3.5 * math.sqrt(CONFIDENCE * (1 - CONFIDENCE) / REPEATS)
"""What chance may take from the share of a good interval; three in ten thousand seeds take more."""

SEX = Slice(("sex",))


def _held(found: Iterator[Measurement], truth: float) -> tuple[float, float, float]:
    """How often the interval holds the truth, how often its upper end and its lower end do."""
    both = [(m.low <= truth, truth <= m.high) for m in found]
    low, high = (sum(x) / len(both) for x in zip(*both, strict=True))
    return sum(a and b for a, b in both) / len(both), high, low


def _assert_covers(found: Iterator[Measurement], truth: float, most: float = 0.99) -> None:
    """``most`` keeps an interval that is far too wide from passing for a good one."""
    held, _, _ = _held(found, truth)
    assert CONFIDENCE - SLACK <= held <= most


def _binormal(
    chance: np.random.Generator, n: int, apart: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and scores of two models whose areas are both ``Phi(apart / sqrt(2))``."""
    labels = chance.random(n) < 0.3
    shared = chance.normal(0, 1, n) * math.sqrt(0.6)
    models = [
        norm.cdf(apart * labels + shared + chance.normal(0, 1, n) * math.sqrt(0.4))
        for _ in range(2)
    ]
    return labels, models[0], models[1]


@pytest.mark.parametrize("apart", [0.0, 0.8, 1.6])
def test_area(apart: float) -> None:
    chance = np.random.default_rng(1)
    truth = norm.cdf(apart / math.sqrt(2))
    samples = (_binormal(chance, 250, apart) for _ in range(REPEATS))
    _assert_covers((roc_auc(Ranked.of(y, s), CONFIDENCE) for y, s, _ in samples), truth)


def test_average_precision() -> None:
    chance = np.random.default_rng(2)
    labels, scores, _ = _binormal(chance, 1_000_000, 1.0)
    truth = average_precision(Ranked.of(labels, scores), CONFIDENCE).value
    samples = (_binormal(chance, 400, 1.0) for _ in range(REPEATS))
    found = (average_precision(Ranked.of(y, s), CONFIDENCE) for y, s, _ in samples)
    _assert_covers(found, truth)


@pytest.mark.parametrize("metric", [Metric.ROC_AUC, Metric.BRIER])
def test_the_step_from_a_champion(metric: Metric) -> None:
    """Two models of equal worth: the truth is 0."""
    chance = np.random.default_rng(3)

    def found() -> Iterator[Measurement]:
        for _ in range(REPEATS):
            low, high = paired_interval(metric, *_binormal(chance, 250, 0.8), CONFIDENCE)
            yield Measurement("change", 0.0, 250, low=low, high=high)

    _assert_covers(found(), 0.0)


# Calibration: bins of unequal size, overstated and understated; labels follow the scores' risk.
_SCORES = np.array([0.05, 0.15, 0.35, 0.55, 0.95])
_SHARES = np.array([0.4, 0.3, 0.15, 0.1, 0.05])


def _calibrated(
    chance: np.random.Generator, n: int, shift: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    held = chance.choice(5, n, p=_SHARES)
    return chance.random(n) < (_SCORES - shift)[held], _SCORES[held]


_WRONG = np.array([-0.15, 0.1, -0.2, 0.3, 0.25])


def test_brier() -> None:
    chance = np.random.default_rng(4)
    risk = _SCORES - _WRONG
    truth = float((_SHARES * (risk * (1 - _SCORES) ** 2 + (1 - risk) * _SCORES**2)).sum())
    samples = (_calibrated(chance, 300, _WRONG) for _ in range(REPEATS))
    _assert_covers((brier(tallied(*x), CONFIDENCE) for x in samples), truth)


def test_calibration_bias() -> None:
    chance = np.random.default_rng(5)
    truth = float((_SHARES * _WRONG).sum())
    samples = (_calibrated(chance, 300, _WRONG) for _ in range(REPEATS))
    _assert_covers((calibration_bias(tallied(*x), CONFIDENCE) for x in samples), truth)


def test_calibration_error_where_it_is_plain() -> None:
    chance = np.random.default_rng(6)
    truth = float((_SHARES * np.abs(_WRONG)).sum())
    samples = (_calibrated(chance, 600, _WRONG) for _ in range(REPEATS))
    _assert_covers((calibration_error(tallied(*x), CONFIDENCE) for x in samples), truth)


def test_calibration_error_that_follows_from_which_people_came() -> None:
    """Nobody is positive: the error is the mean score, which moves with the mix of people only."""
    chance = np.random.default_rng(7)
    truth = float((_SHARES * _SCORES).sum())
    samples = (_calibrated(chance, 300, _SCORES) for _ in range(REPEATS))
    _assert_covers((calibration_error(tallied(*x), CONFIDENCE) for x in samples), truth)


def test_calibration_error_of_a_sound_model_is_overstated_and_never_understated() -> None:
    chance = np.random.default_rng(8)
    samples = [_calibrated(chance, 300, np.zeros(5)) for _ in range(REPEATS)]
    found = [calibration_error(tallied(*x), CONFIDENCE) for x in samples]
    assert np.mean([m.value for m in found]) > 0.02
    assert _held(iter(found), 0.0)[1] == 1.0


# Rates, and comparisons between groups


@pytest.mark.parametrize(("p", "n"), [(0.5, 40), (0.05, 100), (0.97, 80)])
def test_a_rate(p: float, n: int) -> None:
    """Over every number of hits, each as often as it comes."""
    from scipy.stats import binom

    held = 0.0
    for hits in range(n + 1):
        (found,) = rates({Metric.TPR: Proportion(hits, n)}, CONFIDENCE)
        held += binom.pmf(hits, n, p) * (found.low <= p <= found.high)
    assert 0.935 <= held <= 0.985


_RATES = {
    "two groups": ([0.6, 0.75], [60, 90]),
    "two groups near one": ([0.9, 0.99], [40, 300]),
    "two small groups near one": ([0.8, 0.97], [20, 25]),
    "two groups near zero": ([0.02, 0.1], [300, 60]),
    "five groups, one apart": ([0.6, 0.62, 0.58, 0.61, 0.8], [200, 60, 90, 40, 120]),
    "six groups alike": ([0.7] * 6, [40, 50, 60, 70, 80, 90]),
    "a group of ten": ([0.7, 0.7, 0.9], [500, 400, 10]),
}


@pytest.mark.parametrize("metric", [Metric.TPR_DIFFERENCE, Metric.TPR_RATIO])
@pytest.mark.parametrize("case", _RATES)
def test_a_comparison_of_groups(metric: Metric, case: str) -> None:
    """The end that a limit is tested on holds at least as often as the confidence says, both ends
    together likewise, whichever pair is the worst: Bonferroni errs on the closed side."""
    chance = np.random.default_rng(9)
    truth, sizes = (np.array(x) for x in _RATES[case])
    worst = truth.max() - truth.min() if metric.is_difference else truth.min() / truth.max()
    found = []
    for hits in chance.binomial(sizes, truth, (REPEATS, len(sizes))):
        groups = [Proportion(int(h), int(n)) for h, n in zip(hits, sizes, strict=True)]
        measured = compare(metric, groups, SEX, CONFIDENCE)
        if not math.isnan(measured.value):
            found.append(measured)
    both, high, low = _held(iter(found), float(worst) + 0.0)
    assert len(found) > 0.99 * REPEATS
    assert both >= CONFIDENCE - SLACK
    # One end alone errs half as often.
    tested = high if metric.is_difference else low
    assert tested >= (1 + CONFIDENCE) / 2 - SLACK


@pytest.mark.parametrize("sizes", [(80, 120), (60, 90, 200, 70)])
def test_a_difference_of_calibration_bias(sizes: tuple[int, ...]) -> None:
    chance = np.random.default_rng(10)
    shifts = [0.2 * _WRONG, _WRONG + 0.05, 0 * _WRONG, -0.5 * _WRONG][: len(sizes)]
    biases = [float((_SHARES * s).sum()) for s in shifts]
    found = []
    for _ in range(REPEATS):
        groups = [tallied(*_calibrated(chance, n, s)) for n, s in zip(sizes, shifts, strict=True)]
        found.append(largest_bias_difference(groups, SEX, CONFIDENCE))
    held, high, _ = _held(iter(found), max(biases) - min(biases))
    assert held >= CONFIDENCE - SLACK
    assert high >= (1 + CONFIDENCE) / 2 - SLACK
