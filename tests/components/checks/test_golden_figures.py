"""Every metric of the policy: by hand, beside its peers, and unmoved by what is no matter."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import torch
from fairlearn.metrics import (
    MetricFrame,
    false_positive_rate,
    mean_prediction,
    selection_rate,
    true_positive_rate,
)
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    precision_score,
    roc_auc_score,
)
from torchmetrics.functional.classification import binary_calibration_error

from components.contract.policy import COMPARISONS, RATES, Metric, Policy
from tests.components.checks.samples import Rows, limit, measured, sample, with_limits

# score, label: the women, then the men. The threshold is 0.5.
_WOMEN = [(0.9, 1), (0.8, 1), (0.6, 0), (0.3, 1), (0.2, 0), (0.1, 0)]
_MEN = [(0.7, 1), (0.7, 0), (0.4, 0), (0.4, 1), (0.2, 0), (0.05, 0)]
ROWS = Rows(
    np.array([y == 1 for _, y in _WOMEN + _MEN]),
    np.array([s for s, _ in _WOMEN + _MEN]),
    {"sex": [*["f"] * 6, *["m"] * 6]},
)

WORKED: dict[Metric, dict[str, float]] = {
    # Pairs won, a tie counting half: 7 + 7 + 4 + 6.5 + 4.5 of 35; 3 + 3 + 2 of 9; 3.5 + 2.5 of 8.
    Metric.ROC_AUC: {"overall": 29 / 35, "sex=f": 8 / 9, "sex=m": 6 / 8},
    # Precision 1, 1, 3/4, 4/7, 5/8 where each fifth of the recall is added.
    Metric.AVERAGE_PRECISION: {
        "overall": (1 + 1 + 3 / 4 + 4 / 7 + 5 / 8) / 5,
        "sex=f": (1 + 1 + 3 / 4) / 3,
        "sex=m": (1 / 2 + 2 / 4) / 2,
    },
    Metric.BRIER: {"overall": 2.0925 / 12, "sex=f": 0.95 / 6, "sex=m": 1.1425 / 6},
    # Residuals by bin, all together: .05, .1, .4, -.7, -.2, .6, .4, -.2 and -.1.
    Metric.CALIBRATION_ERROR: {"overall": 2.75 / 12, "sex=f": 1.9 / 6, "sex=m": 0.85 / 6},
    Metric.CALIBRATION_BIAS: {"overall": 0.35 / 12, "sex=f": -0.1 / 6, "sex=m": 0.45 / 6},
    Metric.SELECTION_RATE: {"overall": 5 / 12, "sex=f": 3 / 6, "sex=m": 2 / 6},
    Metric.TPR: {"overall": 3 / 5, "sex=f": 2 / 3, "sex=m": 1 / 2},
    Metric.FPR: {"overall": 2 / 7, "sex=f": 1 / 3, "sex=m": 1 / 4},
    Metric.PPV: {"overall": 3 / 5, "sex=f": 2 / 3, "sex=m": 1 / 2},
    Metric.SELECTION_RATE_DIFFERENCE: {"sex": 1 / 6},
    Metric.TPR_DIFFERENCE: {"sex": 1 / 6},
    Metric.FPR_DIFFERENCE: {"sex": 1 / 12},
    Metric.PPV_DIFFERENCE: {"sex": 1 / 6},
    Metric.CALIBRATION_BIAS_DIFFERENCE: {"sex": 0.55 / 6},
    Metric.SELECTION_RATE_RATIO: {"sex": 2 / 3},
    Metric.TPR_RATIO: {"sex": 3 / 4},
    Metric.FPR_RATIO: {"sex": 3 / 4},
    Metric.PPV_RATIO: {"sex": 3 / 4},
}
_CASES = {
    Metric.ROC_AUC: {"overall": 5, "sex=f": 3, "sex=m": 2},
    Metric.AVERAGE_PRECISION: {"overall": 5, "sex=f": 3, "sex=m": 2},
    Metric.TPR: {"overall": 5, "sex=f": 3, "sex=m": 2, "sex": 2},
    Metric.FPR: {"overall": 7, "sex=f": 3, "sex=m": 4, "sex": 3},
    Metric.PPV: {"overall": 5, "sex=f": 3, "sex=m": 2, "sex": 2},
}
_ALL_ROWS = {"overall": 12, "sex=f": 6, "sex=m": 6, "sex": 6}
_ON_REQUEST = (Metric.ROC_AUC, Metric.AVERAGE_PRECISION, Metric.BRIER)


def _asked_of_groups(rules: Policy, *slices: tuple[str, ...]) -> Policy:
    """A policy that has every metric measured of every group."""
    limits = [limit(m, *s, at_least=0.0) for m in _ON_REQUEST for s in slices]
    return with_limits(rules, *limits)


def test_every_metric_is_worked_by_hand() -> None:
    assert set(WORKED) == set(Metric)
    assert set(COMPARISONS) == {m for m in WORKED if set(WORKED[m]) == {"sex"}}


@pytest.mark.parametrize("metric", WORKED)
def test_a_figure_is_what_it_is_by_hand(metric: Metric, rules: Policy) -> None:
    found = measured(ROWS, _asked_of_groups(rules, ("sex",)))
    mine = {where: m for (name, where), m in found.items() if name == metric}
    assert set(mine) == set(WORKED[metric])
    cases = _CASES.get(metric.of_group, _ALL_ROWS)
    for where, m in mine.items():
        assert m.value == pytest.approx(WORKED[metric][where], abs=1e-12), where
        assert m.n == cases[where], where
        assert m.of == ("sex" if "=" in where else "")
        if m.low is not None and m.high is not None:
            assert m.low <= m.value <= m.high


# Peers, on rows by the hundred

Figure = Callable[[npt.NDArray[np.bool_], npt.NDArray[np.float64]], float]


def _calibration_error(labels: npt.NDArray[np.bool_], scores: npt.NDArray[np.float64]) -> float:
    given = torch.from_numpy(np.asarray(scores)), torch.from_numpy(np.asarray(labels).astype(int))
    return float(binary_calibration_error(*given, n_bins=10))


OF_SCORES: dict[Metric, Figure] = {
    Metric.ROC_AUC: roc_auc_score,
    Metric.AVERAGE_PRECISION: average_precision_score,
    Metric.BRIER: brier_score_loss,
    Metric.CALIBRATION_ERROR: _calibration_error,
    Metric.CALIBRATION_BIAS: lambda y, s: mean_prediction(y, s) - mean_prediction(y, y),
}
OF_DECISIONS: dict[Metric, Figure] = {
    Metric.SELECTION_RATE: selection_rate,
    Metric.TPR: true_positive_rate,
    Metric.FPR: false_positive_rate,
    Metric.PPV: precision_score,
}


@pytest.mark.parametrize("seed", range(4))
def test_every_figure_is_its_peers(seed: int, rules: Policy) -> None:
    rows = sample(seed, 900, levels=200, a=2, b=3, c=2)
    slices = [("a",), ("b",), ("c",), *combinations("abc", 2)]
    found = measured(rows, _asked_of_groups(rules, *slices))
    checked = set()

    def check(metric: Metric, where: str, value: float) -> None:
        # torchmetrics sums in float32.
        tolerance = 1e-6 if metric is Metric.CALIBRATION_ERROR else 1e-9
        assert found[metric, where].value == pytest.approx(value, abs=tolerance), (metric, where)
        checked.add((str(metric), where))

    selected = rows.scores >= rules.decision_threshold
    for figures, predicted in ((OF_SCORES, rows.scores), (OF_DECISIONS, selected)):
        for metric, figure in figures.items():
            check(metric, "overall", figure(rows.labels, predicted))
        for attributes in slices:
            frame = MetricFrame(
                metrics={str(m): f for m, f in figures.items()},
                y_true=rows.labels,
                y_pred=predicted,
                sensitive_features=pd.DataFrame({a: rows.groups[a] for a in attributes}),
            )
            where = "*".join(attributes)
            for group, row in frame.by_group.iterrows():
                labels = group if isinstance(group, tuple) else (group,)
                name = "*".join(f"{a}={g}" for a, g in zip(attributes, labels, strict=True))
                for metric in figures:
                    check(metric, name, row[str(metric)])
            for metric in COMPARISONS:
                if metric.of_group in figures:
                    between = frame.difference if metric.is_difference else frame.ratio
                    expected = between(method="between_groups")[str(metric.of_group)]
                    check(metric, where, expected)
    assert checked == set(found)


# What is no matter


@pytest.fixture(scope="module")
def rows() -> Rows:
    return sample(7, 500, levels=50, a=3, b=4)


def _numbers(found: dict) -> dict[tuple[str, str], tuple[float | None, ...]]:
    return {k: (m.value, m.low, m.high, float(m.n)) for k, m in found.items()}


def _assert_same(one: dict, other: dict) -> None:
    assert set(one) == set(other)
    for key, numbers in _numbers(one).items():
        for left, right in zip(numbers, _numbers(other)[key], strict=True):
            assert (left is None) == (right is None), key
            if left is not None:
                assert left == pytest.approx(right, abs=1e-12, nan_ok=True), key


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_is_no_matter(seed: int, rows: Rows, rules: Policy) -> None:
    policy = _asked_of_groups(rules, ("a",), ("a", "b"))
    order = np.random.default_rng(seed).permutation(len(rows.labels))
    _assert_same(measured(rows, policy), measured(rows.taken(order), policy))


def test_the_names_of_groups_are_no_matter(rows: Rows, rules: Policy) -> None:
    """Groups are gone through in the order of their names."""
    turned = {g: f"{9 - int(g[1])}{g}" for g in ("a0", "a1", "a2", "b0", "b1", "b2", "b3")}
    renamed = replace(
        rows, groups={a: [turned[str(g)] for g in held] for a, held in rows.groups.items()}
    )
    policy = _asked_of_groups(rules, ("a",), ("a", "b"))
    found = measured(renamed, policy)
    for new, old in ((v, k) for k, v in turned.items()):
        found = {
            (name, where.replace(f"={new}", f"={old}")): replace(m, slice="")
            for (name, where), m in found.items()
        }
    _assert_same(measured(rows, policy), found)


def test_rows_twice_over_change_no_figure_but_its_interval(rows: Rows, rules: Policy) -> None:
    once = measured(rows, rules)
    twice = measured(rows.taken(np.tile(np.arange(len(rows.labels)), 2)), rules)
    for key, m in once.items():
        assert twice[key].value == pytest.approx(m.value, abs=1e-12, nan_ok=True)
        assert twice[key].n == 2 * m.n
        if m.low is not None and m.high is not None and m.low < m.high:
            assert twice[key].high - twice[key].low < m.high - m.low, key


def test_more_confidence_is_a_wider_interval(rows: Rows, rules: Policy) -> None:
    gate = replace(rules.release_gate, confidence=0.99)
    narrow, wide = measured(rows, rules), measured(rows, replace(rules, release_gate=gate))
    for key, m in narrow.items():
        if m.low is not None and m.high is not None and m.low < m.high:
            assert wide[key].low <= m.low and m.high <= wide[key].high, key
            assert wide[key].high - wide[key].low > m.high - m.low, key


@pytest.mark.parametrize("metric", Metric)
def test_a_figure_stays_within_its_range(metric: Metric, rules: Policy) -> None:
    """Small groups, where intervals are widest."""
    low, high = metric.range
    policy = _asked_of_groups(rules, ("a",), ("a", "b"))
    seen = 0
    for seed in range(6):
        for (name, _), m in measured(sample(seed, 40, a=2, b=3), policy).items():
            if name == metric and not math.isnan(m.value):
                seen += 1
                assert low <= m.value <= high
                assert m.low is None or low <= m.low <= m.value + 1e-12
                assert m.high is None or m.value - 1e-12 <= m.high <= high
    assert seen


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -1e-9, 1 + 1e-9])
def test_one_score_that_is_none_leaves_only_groups_without_it(
    bad: float, rows: Rows, rules: Policy
) -> None:
    scores = rows.scores.copy()
    scores[0] = bad
    policy = _asked_of_groups(rules, ("a",), ("b",), ("a", "b"))
    sound = measured(rows, policy)
    broken = measured(replace(rows, scores=scores), policy)
    mine = [f"a={rows.groups['a'][0]}", f"b={rows.groups['b'][0]}"]
    touched = {"overall", "a", "b", "a*b", *mine, "*".join(mine)}
    for (name, where), m in broken.items():
        if where in touched:
            assert math.isnan(m.value), (name, where)
            assert (m.low, m.high) == (None, None)
            if name in RATES:
                assert m.n == 0
        else:
            assert m == sound[name, where]
    assert {where for _, where in broken} > touched
