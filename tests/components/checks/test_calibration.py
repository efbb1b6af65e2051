"""Brier score, calibration error and calibration bias, against peers, by hand, and when broken."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.stats import norm
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import binary_calibration_error

from components.checks.calibration import brier, calibration_bias, calibration_error
from components.checks.measurement import Measurement
from tests.components.checks.samples import sample, tallied

FIGURES = (brier, calibration_error, calibration_bias)


def _assert_interval_of_a_mean(
    found: Measurement, values: npt.NDArray[np.float64], confidence: float, least: float
) -> None:
    half = norm.ppf((1 + confidence) / 2) * np.std(values, ddof=1) / math.sqrt(len(values))
    assert found.low == pytest.approx(max(least, found.value - half), abs=1e-12)
    assert found.high == pytest.approx(min(1, found.value + half), abs=1e-12)
    assert found.n == len(values)


@pytest.mark.parametrize("seed", range(5))
def test_brier_is_scikit_learns_with_the_interval_of_a_mean(seed: int) -> None:
    rows = sample(seed, 150)
    found = brier(tallied(rows.labels, rows.scores), 0.9)
    assert found.value == pytest.approx(brier_score_loss(rows.labels, rows.scores), abs=1e-12)
    _assert_interval_of_a_mean(found, (rows.scores - rows.labels) ** 2, 0.9, 0)
    assert found.name == "brier"


@pytest.mark.parametrize("seed", range(5))
def test_calibration_error_is_torchmetrics_own(seed: int) -> None:
    rows = sample(seed, 150)
    found = calibration_error(tallied(rows.labels, rows.scores), 0.9)
    peer = binary_calibration_error(
        torch.from_numpy(rows.scores), torch.from_numpy(rows.labels.astype(int)), n_bins=10
    )
    assert found.value == pytest.approx(float(peer), abs=1e-7)
    bins = np.minimum((rows.scores * 10).astype(int), 9)
    residuals = rows.scores - rows.labels
    sign = np.array([np.sign(residuals[bins == b].sum()) for b in range(10)])
    _assert_interval_of_a_mean(found, sign[bins] * residuals, 0.9, 0)
    assert found.name == "calibration_error"


@pytest.mark.parametrize("seed", range(5))
def test_calibration_bias_is_a_difference_of_two_means(seed: int) -> None:
    rows = sample(seed, 150)
    found = calibration_bias(tallied(rows.labels, rows.scores), 0.9)
    assert found.value == pytest.approx(rows.scores.mean() - rows.labels.mean(), abs=1e-12)
    _assert_interval_of_a_mean(found, rows.scores - rows.labels, 0.9, -1)
    assert found.name == "calibration_bias"


def test_the_first_bin_holds_zero_and_the_last_one_one() -> None:
    """Bins [0, 0.1), ..., [0.9, 1]: scores of 0.9 and 1 share one, 0.8 and 0.9 do not."""
    assert calibration_error(tallied([True, False], [0.9, 1.0]), 0.95).value == pytest.approx(0.45)
    assert calibration_error(tallied([True, False], [0.8, 1.0]), 0.95).value == pytest.approx(0.6)
    assert calibration_error(tallied([True, False], [0.8, 0.9]), 0.95).value == pytest.approx(0.55)
    assert calibration_error(tallied([True, False], [0.0, 0.09]), 0.95).value == pytest.approx(
        0.455
    )
    assert calibration_error(tallied([True, False], [0.0, 0.1]), 0.95).value == pytest.approx(0.55)


def test_errors_within_a_bin_balance_and_between_bins_do_not() -> None:
    within = tallied([True, False] * 5, [0.55] * 10)
    assert calibration_error(within, 0.95).value == pytest.approx(0.05)
    between = tallied([True] * 5 + [False] * 5, [0.45] * 5 + [0.55] * 5)
    assert calibration_error(between, 0.95).value == pytest.approx(0.55)
    assert calibration_bias(between, 0.95).value == pytest.approx(0)


@pytest.mark.parametrize(("labels", "bias"), [([False] * 4, 0.75), ([True] * 4, -0.25)])
def test_a_bias_above_zero_overstates_the_risk(labels: list[bool], bias: float) -> None:
    assert calibration_bias(tallied(labels, [0.75] * 4), 0.95).value == bias


def test_no_end_of_an_interval_is_beyond_the_figures_range() -> None:
    over, under = tallied([False] * 3, [1, 1, 0.5]), tallied([True] * 3, [0, 0, 0.5])
    assert calibration_bias(over, 0.95).high == 1.0
    assert calibration_bias(under, 0.95).low == -1.0
    assert calibration_error(over, 0.95).high == 1.0
    assert brier(over, 0.95).high == 1.0
    low = tallied([False] * 3, [0, 0, 0.5])
    assert calibration_bias(low, 0.95).low < 0
    assert calibration_error(low, 0.95).low == 0.0
    assert brier(low, 0.95).low == 0.0


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("scores", [[], [0.5]])
def test_one_row_or_none_is_no_figure(figure, scores: list[float]) -> None:
    found = figure(tallied([True] * len(scores), scores), 0.95)
    assert math.isnan(found.value)
    assert (found.low, found.high, found.n) == (None, None, len(scores))


@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -0.001, 1.001])
def test_a_score_that_is_none_leaves_no_figure(figure, bad: float) -> None:
    found = figure(tallied([True, False, True], [0.5, 0.4, bad]), 0.95)
    assert math.isnan(found.value)
    assert (found.low, found.high, found.n) == (None, None, 3)
    assert not math.isnan(figure(tallied([True, False, True], [0.5, 0.4, 1.0]), 0.95).value)
