"""How well scores rank: against scikit-learn, the definitions, and what was printed of them."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import norm
from sklearn.metrics import average_precision_score, roc_auc_score

from components.checks.measurement import Measurement
from components.checks.performance import Ranked, average_precision, roc_auc
from components.contract.policy import Slice

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


def _auc(labels: list[bool] | Flags, scores: list[float] | Floats) -> Measurement:
    return roc_auc(Ranked.of(np.array(labels, dtype=bool), np.array(scores, dtype=float)), 0.95)


def _ap(labels: list[bool] | Flags, scores: list[float] | Floats) -> Measurement:
    ranked = Ranked.of(np.array(labels, dtype=bool), np.array(scores, dtype=float))
    return average_precision(ranked, 0.95)


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


@pytest.mark.parametrize("levels", [1, 3, 10, 1_000_000])
@pytest.mark.parametrize("seed", range(8))
def test_area_and_interval_are_those_of_the_definition(seed: int, levels: int) -> None:
    labels, scores = _sample(seed, levels)
    found = roc_auc(Ranked.of(labels, scores), 0.9)
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
    ratings = np.arange(1.0, 6.0) / 5
    scores = np.concatenate([np.repeat(ratings, normal), np.repeat(ratings, abnormal)])
    labels = np.arange(len(scores)) >= sum(normal)
    found = _auc(labels, scores)
    assert found.value == pytest.approx(0.8932, abs=5e-5)
    assert found.low == pytest.approx(0.83295, abs=5e-6)
    assert found.high == pytest.approx(0.95339, abs=5e-6)
    assert found.n == 51


def test_perfect_chance_and_worst() -> None:
    labels = [True, True, False, False]
    assert _auc(labels, [0.9, 0.8, 0.2, 0.1]).value == 1.0
    assert _auc(labels, [0.5] * 4).value == 0.5
    assert _auc(labels, [0.1, 0.2, 0.8, 0.9]).value == 0.0


@pytest.mark.parametrize("n", [2, 3, 7, 30, 101])
@pytest.mark.parametrize("perfect", [True, False])
def test_a_perfect_order_says_nothing_of_how_far_it_may_be_trusted(n: int, perfect: bool) -> None:
    """DeLong's variance is 0 there, of two people as of two thousand."""
    chance = np.random.default_rng(n)
    labels = np.arange(3 * n) < n
    scores = np.where(labels == perfect, 0.6, 0.1) + chance.random(3 * n) / 4
    found = _auc(labels, scores)
    assert (found.value, found.low, found.high, found.n) == (float(perfect), None, None, n)
    scores[0], scores[-1] = 0.5, 0.5
    assert _auc(labels, scores).low is not None


def test_no_end_of_an_interval_is_beyond_the_figures_range() -> None:
    labels = [True, True, True, False, False, False]
    assert _auc(labels, [0.9, 0.8, 0.3, 0.5, 0.1, 0.2]).high == 1.0
    assert _auc(labels, [0.1, 0.2, 0.5, 0.3, 0.8, 0.9]).low == 0.0


BROKEN = [math.nan, math.inf, -math.inf, -1e-300, 1 + 1e-15]


@pytest.mark.parametrize("bad", BROKEN)
def test_a_score_that_is_none_leaves_no_figure(bad: float) -> None:
    for figure in (_auc, _ap):
        found = figure([True, False, True, False], [0.5, bad, 0.6, 0.1])
        assert math.isnan(found.value)
        assert (found.low, found.high, found.n) == (None, None, 0)
    assert _auc([True, False, True, False], [0.5, 0.2, 0.6, 0.1]).value == 1


@pytest.mark.parametrize(
    ("labels", "scores"), [([True, True], [0.5, 0.6]), ([False, False], [0.5, 0.6]), ([], [])]
)
def test_an_area_without_one_of_the_classes_is_no_number(
    labels: list[bool], scores: list[float]
) -> None:
    found = _auc(labels, scores)
    assert math.isnan(found.value)
    assert (found.low, found.high, found.n) == (None, None, 0)


def test_one_positive_gives_an_area_and_no_interval() -> None:
    for labels in ([True, False, False], [False, True, True]):
        found = _auc(labels, [0.5, 0.1, 0.9])
        assert (found.value, found.n, found.low, found.high) == (0.5, 1, None, None)


def test_zero_has_one_value_whatever_its_sign() -> None:
    found = _auc([True, False, True, False], [0.0, -0.0, -0.0, 0.0])
    assert found.value == 0.5
    assert Ranked.of(np.array([True, False]), np.array([-0.0, 0.0])).positives.tolist() == [1]


def test_neighbouring_numbers_are_told_apart() -> None:
    above = np.nextafter(0.5, 1)
    assert _auc([True, True, False, False], [above, above, 0.5, 0.5]).value == 1.0
    assert _auc([True, True, False, False], [0.5, 0.5, above, above]).value == 0.0
    assert _auc([True, False], [1.0, np.nextafter(1.0, 0)]).value == 1.0
    assert _auc([True, False], [5e-324, 0.0]).value == 1.0


def test_the_caller_keeps_its_scores() -> None:
    scores = np.array([0.5, 0.25, 1.0, 0.0])
    before = scores.copy()
    Ranked.of(np.array([True, False, True, False]), scores)
    assert scores.tolist() == before.tolist()


def test_counts_by_score_worked_by_hand() -> None:
    ranked = Ranked.of(
        np.array([True, False, True, True, False]), np.array([0.5, 0.2, 0.5, 0.2, 0.9])
    )
    assert ranked.positives.tolist() == [1, 2, 0]
    assert ranked.negatives.tolist() == [1, 0, 1]
    assert ranked.valid


def test_no_rows_are_ranked_and_prove_nothing() -> None:
    empty = Ranked.of(np.array([], dtype=bool), np.array([]))
    assert empty.valid
    assert math.isnan(roc_auc(empty, 0.95).value)
    assert math.isnan(average_precision(empty, 0.95).value)


@pytest.mark.parametrize("levels", [1, 3, 10, 1_000_000])
@pytest.mark.parametrize("seed", range(8))
def test_average_precision_is_scikit_learns(seed: int, levels: int) -> None:
    labels, scores = _sample(seed, levels)
    found = _ap(labels, scores)
    assert found.value == pytest.approx(average_precision_score(labels, scores), abs=1e-12)
    assert found.n == labels.sum()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_average_precision_has_the_logit_interval(seed: int, confidence: float) -> None:
    """Boyd, Eng and Page (2013): logit(AP) +- z / sqrt(n AP (1 - AP))."""
    labels, scores = _sample(seed, 1000)
    found = average_precision(Ranked.of(labels, scores), confidence)
    middle = math.log(found.value / (1 - found.value))
    spread = 1 / math.sqrt(labels.sum() * found.value * (1 - found.value))
    z = norm.ppf((1 + confidence) / 2)
    for end, side in ((found.low, -1), (found.high, 1)):
        assert end == pytest.approx(1 / (1 + math.exp(-(middle + side * z * spread))), abs=1e-12)


def test_average_precision_worked_by_hand() -> None:
    # Precision 1/1, 2/3 and 3/5 where each third of the recall is added.
    found = _ap([True, False, True, False, True], [0.9, 0.8, 0.7, 0.6, 0.5])
    assert found.value == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)


def test_average_precision_at_its_ends() -> None:
    perfect = _ap([True, True, False], [0.9, 0.8, 0.1])
    assert (perfect.value, perfect.low, perfect.high, perfect.n) == (1.0, None, None, 2)
    none = _ap([False, False], [0.9, 0.1])
    assert math.isnan(none.value)
    assert (none.low, none.high, none.n) == (None, None, 0)
    assert _ap([True], [0.3]).value == 1.0


def test_a_groups_figure_says_whose_it_is() -> None:
    ranked = Ranked.of(np.array([True, False, True, False]), np.array([0.9, 0.1, 0.4, 0.6]))
    for figure, name in ((roc_auc, "roc_auc"), (average_precision, "average_precision")):
        everybody = figure(ranked, 0.95)
        assert (everybody.name, everybody.slice, everybody.of) == (name, "overall", "")
        group = figure(ranked, 0.95, Slice(("sex", "age"), ("f", "old")))
        assert (group.slice, group.of) == ("sex=f*age=old", "sex*age")
        assert group.value == everybody.value
