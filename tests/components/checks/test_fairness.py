from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from components.checks.fairness import GroupRates, group_rates, largest_gap
from components.contract.policy import Metric

TPR = Metric.TPR_DIFFERENCE


def _rates(*groups: tuple[str, int, int]) -> list[GroupRates]:
    return [
        GroupRates(
            name,
            dict.fromkeys(("tpr", "fpr", "selection_rate"), hits),
            dict.fromkeys(("tpr", "fpr", "selection_rate"), cases),
        )
        for name, hits, cases in groups
    ]


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
    (rates,) = _rates(("a", hits, cases))
    found = rates.rate("tpr", "sex", 0.95)
    assert found.value == hits / cases
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)
    assert (found.n, found.slice, found.name) == (cases, "sex=a", "tpr")


@pytest.mark.parametrize(
    ("one", "two", "low", "high"),
    [
        ((56, 70), (48, 80), 0.0524, 0.3339),
        ((9, 10), (3, 10), 0.1705, 0.8090),
        ((6, 7), (2, 7), 0.0582, 0.8062),
        ((5, 56), (0, 29), -0.0381, 0.1926),
        ((0, 10), (0, 20), None, None),
        ((10, 10), (0, 20), 0.6791, 1.0),
        ((10, 10), (0, 10), 0.6075, 1.0),
    ],
)
def test_newcombe_as_he_prints_it(
    one: tuple[int, int], two: tuple[int, int], low: float | None, high: float | None
) -> None:
    """Newcombe, Statistics in Medicine 1998, 17:873, table II, method 10."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = largest_gap(TPR, _rates(("a", *one), ("b", *two)), "sex", 0.95)
        turned = largest_gap(TPR, _rates(("a", *two), ("b", *one)), "sex", 0.95)
    assert found.value == turned.value == pytest.approx(one[0] / one[1] - two[0] / two[1])
    assert found.n == min(one[1], two[1])
    assert found.low is not None
    assert found.high is not None
    if low is None:
        # No gap: which group comes first is chance, so the interval may be either way round.
        assert sorted((abs(found.low), found.high)) == pytest.approx([0.1611, 0.2775], abs=5e-5)
        return
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)
    assert (turned.low, turned.high) == (found.low, found.high)


def test_of_three_groups_the_widest_gap_counts() -> None:
    found = largest_gap(TPR, _rates(("a", 50, 100), ("b", 24, 60), ("c", 8, 40)), "plan", 0.95)
    assert found.value == pytest.approx(0.3)
    assert found.n == 40
    assert (found.name, found.slice) == ("tpr_difference", "plan")


@pytest.mark.parametrize(
    "groups",
    [
        [],
        [("a", 5, 10)],
        [("a", 5, 10), ("b", 0, 0)],
        [("a", 0, 0), ("b", 0, 0)],
        [("a", 5, 10), ("b", 5, 10), ("c", 0, 0)],
    ],
)
def test_a_gap_needs_two_groups_and_cases_in_each(groups: list[tuple[str, int, int]]) -> None:
    found = largest_gap(TPR, _rates(*groups), "sex", 0.95)
    assert math.isnan(found.value)
    assert (found.low, found.high) == (None, None)


def test_a_rate_without_cases_is_not_a_number() -> None:
    (rates,) = _rates(("a", 0, 0))
    found = rates.rate("fpr", "sex", 0.95)
    assert math.isnan(found.value)
    assert found.n == 0


def test_rates_are_counted_by_group() -> None:
    labels = np.array([1, 1, 0, 0, 1, 0, 1, 0], dtype=bool)
    scores = np.array([0.5, 0.4, 0.6, 0.1, 0.9, 0.8, 0.49999, 0.5])
    groups = ["f", "f", "f", "f", "m", "m", None, None]
    missing, female, male = group_rates(labels, scores, groups, 0.5)
    assert (female.group, male.group, missing.group) == ("f", "m", "(missing)")
    assert female.hits == {"selection_rate": 2, "tpr": 1, "fpr": 1}
    assert female.cases == {"selection_rate": 4, "tpr": 2, "fpr": 2}
    assert male.hits == {"selection_rate": 2, "tpr": 1, "fpr": 1}
    assert male.cases == {"selection_rate": 2, "tpr": 1, "fpr": 1}
    assert missing.hits == {"selection_rate": 1, "tpr": 0, "fpr": 1}


def test_the_gap_is_that_of_the_metric() -> None:
    labels = np.array([1, 1, 1, 1, 0, 0, 0, 0], dtype=bool)
    scores = np.array([0.9, 0.9, 0.9, 0.1, 0.9, 0.1, 0.1, 0.1])
    rates = group_rates(labels, scores, ["f", "f", "m", "m"] * 2, 0.5)
    gaps = {m: largest_gap(m, rates, "sex", 0.95).value for m in Metric if m.is_group_difference}
    assert gaps == {
        Metric.TPR_DIFFERENCE: 0.5,
        Metric.FPR_DIFFERENCE: 0.5,
        Metric.SELECTION_RATE_DIFFERENCE: 0.5,
    }
    rates = group_rates(labels, scores, ["f", "m"] * 4, 0.5)
    assert largest_gap(Metric.FPR_DIFFERENCE, rates, "sex", 0.95).value == 0.5
    assert largest_gap(Metric.TPR_DIFFERENCE, rates, "sex", 0.95).value == 0.5
    assert largest_gap(Metric.SELECTION_RATE_DIFFERENCE, rates, "sex", 0.95).value == 0.5


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_no_number_makes_its_groups_rates_unknown(bad: float) -> None:
    labels = np.array([1, 0, 1, 0], dtype=bool)
    rates = group_rates(labels, np.array([0.9, bad, 0.9, 0.1]), ["f", "f", "m", "m"], 0.5)
    assert [r.cases["tpr"] for r in rates] == [0, 1]
    for metric in Metric:
        if metric.is_group_difference:
            assert math.isnan(largest_gap(metric, rates, "sex", 0.95).value)


def test_no_rows_are_no_groups() -> None:
    empty = np.array([])
    assert group_rates(empty.astype(bool), empty, [], 0.5) == []
