"""Rates of a group and comparisons between groups, against what their inventors printed."""

from __future__ import annotations

import math
import warnings
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import norm

from components.checks.fairness import (
    Proportion,
    compare,
    counted,
    group_measurements,
    largest_bias_difference,
    proportions,
    rates,
)
from components.checks.measurement import Measurement
from components.contract.policy import COMPARISONS, RATES, Metric, Slice
from tests.components.checks.samples import tallied

SEX = Slice(("sex",))
DIFFERENCE, RATIO = Metric.TPR_DIFFERENCE, Metric.TPR_RATIO
Counts = tuple[int, int]


def _compare(metric: Metric, *groups: Counts, confidence: float = 0.95) -> Measurement:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return compare(metric, [Proportion(*g) for g in groups], SEX, confidence)


@pytest.mark.parametrize(
    ("hits", "cases", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_newcombe_prints_it(hits: int, cases: int, low: float, high: float) -> None:
    """Newcombe, Statistics in Medicine 1998, 17:857, table I, method 3."""
    (found,) = rates({Metric.TPR: Proportion(hits, cases)}, 0.95)
    assert found.value == hits / cases
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)
    assert (found.n, found.name) == (cases, "tpr")


@pytest.mark.parametrize(
    ("one", "two", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), 0, 0.1926),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
        ((0, 10), (0, 20), 0, 0.2775),
        ((7, 34), (1, 34), 0.0189, 0.3404),
    ],
)
def test_a_difference_has_newcombes_interval(
    one: Counts, two: Counts, low: float, high: float
) -> None:
    """Newcombe, Statistics in Medicine 1998, 17:873, table II, method 10; last, Perondi and others
    (2004) as Fagerland, Lydersen and Laake print it (Contingency Tables, chapter 4).

    A largest difference is not below 0: what Newcombe prints there (-0.0381) is cut off. Of two
    groups alike, his interval of (0, 10) less (0, 20) is -0.1611 to 0.2775; either may be ahead.
    """
    found, turned = _compare(DIFFERENCE, one, two), _compare(DIFFERENCE, two, one)
    assert found == turned
    assert found.value == pytest.approx(one[0] / one[1] - two[0] / two[1])
    assert found.n == min(one[1], two[1])
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


def test_a_ratio_has_the_interval_of_mover_r() -> None:
    """Perondi and others, NEJM 2004: 7 of 34 against 1 of 34. The ratio's interval, 1.1537 to
    41.9763, is what the R package ``contingencytables`` prints of Fagerland, Lydersen and Laake;
    the smaller rate over the larger is its reciprocal."""
    found, turned = _compare(RATIO, (7, 34), (1, 34)), _compare(RATIO, (1, 34), (7, 34))
    assert found == turned
    assert found.value == pytest.approx(1 / 7)
    assert 1 / found.high == pytest.approx(1.1537, abs=5e-5)
    assert 1 / found.low == pytest.approx(41.9763, abs=5e-3)
    assert (found.n, found.name, found.slice) == (34, "tpr_ratio", "sex")


def test_the_four_fifths_rules_own_example() -> None:
    """Questions and answers on the Uniform Guidelines (44 FR 11996, 1979): 48 of 80 against 12 of
    40 is a selection rate half as high, which is less than four fifths."""
    found = _compare(Metric.SELECTION_RATE_RATIO, (48, 80), (12, 40))
    assert found.value == pytest.approx(0.5)
    assert found.high < 0.8
    assert found.n == 40


def _mover_r_by_the_book(one: Counts, two: Counts, confidence: float) -> tuple[float, float]:
    """Donner and Zou's equation 9, with the limits of each rate as Wilson (1927) has them."""
    z = norm.ppf((1 + confidence) / 2)

    def wilson(hits: int, cases: int) -> tuple[float, float, float]:
        centre, n = (hits + z * z / 2) / (cases + z * z), cases + z * z
        half = z / n * math.sqrt(hits * (cases - hits) / cases + z * z / 4)
        return hits / cases, centre - half, centre + half

    (p, l1, u1), (q, l2, u2) = wilson(*one), wilson(*two)
    low = (p * q - math.sqrt((p * q) ** 2 - l1 * u2 * (2 * p - l1) * (2 * q - u2))) / (
        u2 * (2 * q - u2)
    )
    high = (p * q + math.sqrt((p * q) ** 2 - u1 * l2 * (2 * p - u1) * (2 * q - l2))) / (
        l2 * (2 * q - l2)
    )
    return low, high


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
@pytest.mark.parametrize("seed", range(10))
def test_a_ratios_interval_is_the_published_formula(seed: int, confidence: float) -> None:
    chance = np.random.default_rng(seed)
    n1, n2 = (int(n) for n in chance.integers(5, 300, 2))
    one, two = (int(chance.integers(1, n1)), n1), (int(chance.integers(1, n2)), n2)
    one, two = sorted((one, two), key=lambda g: g[0] / g[1])
    low, high = _mover_r_by_the_book(one, two, confidence)
    found = _compare(RATIO, one, two, confidence=confidence)
    assert found.low == pytest.approx(min(low, 1 / high), abs=1e-12)
    assert found.high == pytest.approx(min(high, 1.0), abs=1e-12)


def test_the_truth_may_be_the_other_way_round() -> None:
    """Two of three against 50 of 100: the three may well be the ones who are worse off."""
    one, other = (50, 100), (2, 3)
    low, high = _mover_r_by_the_book(one, other, 0.95)
    turned = _mover_r_by_the_book(other, one, 0.95)
    assert (1 / turned[1], 1 / turned[0]) == pytest.approx((low, high))
    assert _compare(RATIO, one, other).low == pytest.approx(turned[0])
    assert turned[0] < low
    difference = _compare(DIFFERENCE, (0, 10), (0, 20))
    assert difference.high == pytest.approx(0.2775, abs=5e-5)


@pytest.mark.parametrize("metric", [DIFFERENCE, RATIO])
@pytest.mark.parametrize(
    "groups",
    [
        ((0, 20), (0, 10), (3, 5)),
        ((1, 2), (50, 100), (5, 10)),
        ((10, 10), (20, 20), (3, 3)),
        ((9, 10), (90, 100), (450, 500), (1, 1)),
    ],
    ids=str,
)
def test_which_group_comes_first_says_nothing(metric: Metric, groups: tuple[Counts, ...]) -> None:
    """The names of groups decide their order, and must not decide whether a limit holds."""
    first = _compare(metric, *groups)
    assert all(_compare(metric, *turned) == first for turned in permutations(groups))


@pytest.mark.parametrize("metric", [DIFFERENCE, RATIO])
@pytest.mark.parametrize("hits", [10, 9, 1])
def test_alike_in_few_cases_proves_little(metric: Metric, hits: int) -> None:
    found = _compare(metric, (hits, 10), (hits, 10))
    best, width = (0.0, found.high) if metric is DIFFERENCE else (1.0, 1 - found.low)
    assert found.value == best
    assert width > 0.25
    wider = _compare(metric, (hits * 10, 100), (hits * 10, 100))
    assert (wider.high if metric is DIFFERENCE else 1 - wider.low) < width


def test_of_several_groups_the_worst_pair_counts() -> None:
    groups = ((50, 100), (24, 60), (8, 40))
    difference, ratio = _compare(DIFFERENCE, *groups), _compare(RATIO, *groups)
    assert (difference.value, ratio.value) == pytest.approx((0.3, 0.4))
    assert (difference.n, ratio.n) == (40, 40)
    assert (difference.name, difference.slice) == ("tpr_difference", "sex")
    pairs = 1 - 0.05 / 3
    pair = _compare(DIFFERENCE, (50, 100), (8, 40), confidence=pairs)
    assert (difference.low, difference.high) == pytest.approx((pair.low, pair.high))
    pair = _compare(RATIO, (50, 100), (8, 40), confidence=pairs)
    assert (ratio.low, ratio.high) == pytest.approx((pair.low, pair.high))


def test_a_small_group_between_two_large_ones_widens_the_interval() -> None:
    """The widest gap that is seen is certain; that of the group of three might be wider yet."""
    large = ((600, 1000), (500, 1000))
    known, unknown = _compare(DIFFERENCE, *large), _compare(DIFFERENCE, *large, (2, 3))
    assert unknown.value == pytest.approx(2 / 3 - 0.5)
    assert unknown.high > known.high + 0.2
    assert 0 < unknown.low <= known.low
    known, unknown = _compare(RATIO, *large), _compare(RATIO, *large, (1, 2))
    assert unknown.low < known.low - 0.2


@pytest.mark.parametrize("metric", [DIFFERENCE, RATIO])
@pytest.mark.parametrize(
    ("groups", "n"),
    [
        ((), 0),
        (((5, 10),), 10),
        (((5, 10), (0, 0)), 0),
        (((0, 0), (0, 0)), 0),
        (((5, 10), (5, 10), (0, 0)), 0),
    ],
)
def test_a_comparison_needs_two_groups_and_cases_in_each(
    metric: Metric, groups: tuple[Counts, ...], n: int
) -> None:
    found = _compare(metric, *groups)
    assert math.isnan(found.value)
    assert (found.low, found.high, found.n) == (None, None, n)


def test_a_ratio_of_nothing_to_nothing_is_no_number() -> None:
    found = _compare(RATIO, (0, 10), (0, 20))
    assert math.isnan(found.value)
    assert (found.low, found.high, found.n) == (None, None, 10)
    found = _compare(RATIO, (0, 10), (5, 20))
    assert (found.value, found.low) == (0, 0)


def test_a_ratio_of_nothing_to_something_has_an_interval() -> None:
    found = _compare(RATIO, (0, 10), (0, 20), (15, 20))
    assert (found.value, found.low) == (0, 0)
    assert 0 < found.high < 1


@pytest.mark.parametrize("metric", RATES)
def test_a_rate_without_cases_is_no_number(metric: Metric) -> None:
    (found,) = rates({metric: Proportion(0, 0)}, 0.95)
    assert math.isnan(found.value)
    assert (found.n, found.low, found.high) == (0, None, None)
    assert math.isnan(Proportion(0, 0).value)


def test_rates_are_what_they_are_called() -> None:
    """A confusion matrix: 30 true and 10 false positives, 20 false and 40 true negatives."""
    assert counted(rows=100, positives=50, selected=40, true_positives=30) == {
        Metric.SELECTION_RATE: Proportion(40, 100),
        Metric.TPR: Proportion(30, 50),
        Metric.FPR: Proportion(10, 50),
        Metric.PPV: Proportion(30, 40),
    }


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -0.001, 1.001])
def test_a_score_that_is_none_leaves_its_group_without_rates(bad: float) -> None:
    held = tallied([True, False, True], [0.9, 0.1, bad])
    assert proportions(held) == dict.fromkeys(RATES, Proportion(0, 0))
    sound = tallied([True, False, True], [0.9, 0.1, 0.8])
    assert proportions(sound)[Metric.TPR] == Proportion(2, 2)
    found = group_measurements({("f",): held, ("m",): sound}, ("sex",), 0.95)
    for measured in found:
        if measured.slice == "sex" or measured.slice == "sex=f":
            assert math.isnan(measured.value), measured
            assert (measured.low, measured.high) == (None, None)
        else:
            assert not math.isnan(measured.value), measured


def test_every_group_and_every_comparison_is_measured() -> None:
    held = tallied([True, False, True, False], [0.9, 0.1, 0.8, 0.7])
    groups = {("f", "old"): held, ("rare",): held}
    found = group_measurements(groups, ("sex", "age"), 0.95)
    own = [*RATES, Metric.CALIBRATION_BIAS, Metric.CALIBRATION_ERROR]
    assert [(m.name, m.slice, m.of) for m in found] == [
        *((str(m), "sex=f*age=old", "sex*age") for m in own),
        *((str(m), "sex*age=rare", "sex*age") for m in own),
        *((str(m), "sex*age", "") for m in COMPARISONS),
    ]
    assert [m.value for m in found[-len(COMPARISONS) :]] == [0.0] * 5 + [1.0] * 4


# Calibration bias between groups


def test_the_largest_difference_of_bias_worked_by_hand() -> None:
    """Biases 0.5 and -0.2; residuals of 0.2, 0.8 and of -0.6, 0.2 have variances 0.18 and 0.32."""
    groups = [tallied([False, False], [0.2, 0.8]), tallied([True, False], [0.4, 0.2])]
    found = largest_bias_difference(groups, SEX, 0.95)
    assert found.value == pytest.approx(0.7)
    half = 1.959963984540054 * math.sqrt(0.18 / 2 + 0.32 / 2)
    assert found.low == 0.0
    assert found.high == pytest.approx(0.7 + half)
    assert (found.n, found.name, found.slice) == (2, "calibration_bias_difference", "sex")
    assert largest_bias_difference(groups[::-1], SEX, 0.95) == found


def test_bias_differences_of_three_groups_share_the_confidence() -> None:
    chance = np.random.default_rng(1)
    groups = [
        tallied(chance.random(n) < p, chance.uniform(0.1, 0.6, n))
        for n, p in ((500, 0.2), (300, 0.35), (40, 0.3))
    ]
    found = largest_bias_difference(groups, SEX, 0.95)
    ends = [
        largest_bias_difference([groups[i], groups[j]], SEX, 1 - 0.05 / 3)
        for i, j in ((0, 1), (0, 2), (1, 2))
    ]
    assert found.value == max(e.value for e in ends)
    assert found.low == pytest.approx(max(e.low for e in ends))
    assert found.high == pytest.approx(max(e.high for e in ends))
    assert found.n == 40


def test_two_is_the_widest_difference_of_bias() -> None:
    groups = [tallied([False] * 3, [1.0, 1.0, 0.9]), tallied([True] * 3, [0.0, 0.0, 0.1])]
    found = largest_bias_difference(groups, SEX, 0.999)
    assert found.value == pytest.approx(2 - 0.2 / 3)
    assert found.high == 2.0


@pytest.mark.parametrize(
    ("groups", "n"),
    [
        ([], 0),
        ([tallied([True] * 3, [0.5] * 3)], 3),
        ([tallied([True] * 3, [0.5] * 3), tallied([True], [0.5])], 1),
        ([tallied([True] * 3, [0.5] * 3), tallied([], [])], 0),
        ([tallied([True] * 3, [0.5] * 3), tallied([True] * 3, [0.5, 0.5, math.nan])], 0),
    ],
)
def test_a_difference_of_bias_needs_two_rows_in_each_of_two_groups(groups: list, n: int) -> None:
    found = largest_bias_difference(groups, SEX, 0.95)
    assert math.isnan(found.value)
    assert (found.low, found.high, found.n) == (None, None, n)
