from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import norm
from sklearn.metrics import brier_score_loss, roc_auc_score

from components.checks.performance import brier, roc_auc

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def _sample(seed: int, levels: int) -> tuple[Flags, Floats]:
    chance = np.random.default_rng(seed)
    n = int(chance.integers(20, 200))
    labels = chance.random(n) < 0.3
    labels[:4] = [True, True, False, False]
    scores = np.clip(chance.normal(0.4 + 0.2 * labels, 0.2), 0, 1)
    return labels, np.round(scores * levels) / levels


def _delong_by_pairs(labels: Flags, scores: Floats) -> tuple[float, float]:
    """Area and variance as DeLong et al. (1988) define them: every positive with every negative."""
    positives, negatives = scores[labels], scores[~labels]
    kernel = np.array(
        [[1.0 if x > y else 0.5 if x == y else 0.0 for y in negatives] for x in positives]
    )
    area, m, n = kernel.mean(), len(positives), len(negatives)
    s10 = ((kernel.mean(axis=1) - area) ** 2).sum() / (m - 1)
    s01 = ((kernel.mean(axis=0) - area) ** 2).sum() / (n - 1)
    return float(area), float(s10 / m + s01 / n)


@pytest.mark.parametrize("levels", [3, 10, 1_000_000])
@pytest.mark.parametrize("seed", range(8))
def test_area_and_interval_are_those_of_the_definition(seed: int, levels: int) -> None:
    labels, scores = _sample(seed, levels)
    found = roc_auc(labels, scores, 0.9)
    area, variance = _delong_by_pairs(labels, scores)
    assert found.value == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    assert found.value == pytest.approx(area, abs=1e-12)
    half = norm.ppf(0.95) * math.sqrt(variance)
    assert found.low == pytest.approx(max(0, area - half), abs=1e-12)
    assert found.high == pytest.approx(min(1, area + half), abs=1e-12)
    assert found.n == min(labels.sum(), (~labels).sum())


def test_hanley_and_mcneils_tomography_ratings() -> None:
    """Hanley and McNeil, Radiology 1982; area and DeLong interval as Stata's roctab prints them."""
    normal, abnormal = [33, 6, 6, 11, 2], [3, 2, 2, 11, 33]
    ratings = np.arange(1.0, 6.0)
    scores = np.concatenate([np.repeat(ratings, normal), np.repeat(ratings, abnormal)])
    labels = np.arange(len(scores)) >= sum(normal)
    found = roc_auc(labels, scores, 0.95)
    assert found.value == pytest.approx(0.8932, abs=5e-5)
    assert found.low == pytest.approx(0.83295, abs=5e-6)
    assert found.high == pytest.approx(0.95339, abs=5e-6)


def test_perfect_chance_and_worst() -> None:
    labels = np.array([True, True, False, False])
    assert roc_auc(labels, np.array([0.9, 0.8, 0.2, 0.1]), 0.95).value == 1.0
    assert roc_auc(labels, np.full(4, 0.5), 0.95).value == 0.5
    worst = roc_auc(labels, np.array([0.1, 0.2, 0.8, 0.9]), 0.95)
    assert (worst.value, worst.low) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("labels", "scores"),
    [
        ([True, True], [0.5, 0.6]),
        ([False, False], [0.5, 0.6]),
        ([], []),
        ([True, False, False], [0.5, math.nan, 0.1]),
        ([True, False, False], [0.5, math.inf, 0.1]),
    ],
)
def test_a_missing_class_or_score_is_not_a_number(labels: list[bool], scores: list[float]) -> None:
    found = roc_auc(np.array(labels, dtype=bool), np.array(scores), 0.95)
    assert math.isnan(found.value)
    assert (found.low, found.high) == (None, None)


def test_one_positive_gives_an_area_and_no_interval() -> None:
    found = roc_auc(np.array([True, False, False]), np.array([0.5, 0.1, 0.9]), 0.95)
    assert (found.value, found.n, found.low, found.high) == (0.5, 1, None, None)


@pytest.mark.parametrize("seed", range(5))
def test_brier_is_the_mean_squared_error_with_the_interval_of_a_mean(seed: int) -> None:
    labels, scores = _sample(seed, 1_000_000)
    found = brier(labels, scores, 0.95)
    assert found.value == pytest.approx(brier_score_loss(labels, scores), abs=1e-12)
    errors = (scores - labels) ** 2
    half = norm.ppf(0.975) * np.std(errors, ddof=1) / math.sqrt(len(errors))
    assert found.low == pytest.approx(max(0, found.value - half))
    assert found.high == pytest.approx(min(1, found.value + half))
    assert found.n == len(labels)


@pytest.mark.parametrize("scores", [[0.5], [], [0.5, math.nan], [0.5, 1.5], [0.5, -0.1]])
def test_brier_of_no_probabilities_is_not_a_number(scores: list[float]) -> None:
    assert math.isnan(brier(np.zeros(len(scores), dtype=bool), np.array(scores), 0.95).value)
