"""Whether scores mean what they say: Brier score, calibration error and calibration bias."""

from __future__ import annotations

import math

import numpy as np

from components.checks.measurement import Measurement
from components.checks.tallies import Tally
from components.contract.policy import Metric


def brier(held: Tally, confidence: float) -> Measurement:
    """Mean squared difference of score and label (Brier, 1950): 0 is perfect, 1 is worst.

    The interval is that of a mean, by the normal approximation, clipped to [0, 1]. NaN with fewer
    than two rows or with a score that is no number in [0, 1].
    """
    return _mean(Metric.BRIER, held, held.squares, held.fourths, confidence)


def calibration_bias(held: Tally, confidence: float) -> Measurement:
    """Mean score minus share of positives: calibration in the large. 0 is right on average.

    In [-1, 1]; above 0 the group's risk is overstated, below 0 it is understated. See Van Calster
    and others, BMC Medicine, 2019. The interval is that of a mean difference, by the normal
    approximation. NaN with fewer than two rows or with a score that is no number in [0, 1].
    """
    return _mean(Metric.CALIBRATION_BIAS, held, held.residuals, held.squares, confidence)


def bias_and_error(held: Tally) -> tuple[float, float]:
    """Mean of score minus label over at least two rows, and its standard error."""
    n = held.rows
    return held.residuals / n, _standard_error(n, held.residuals, held.squares)


def calibration_error(held: Tally, confidence: float) -> Measurement:
    """Expected calibration error over ten bins of equal width: 0 is perfect, 1 is worst.

    ``sum over bins of rows / n * |mean score - share of positives|`` (Naeini, Cooper and
    Hauskrecht, AAAI, 2015). It cannot be below 0, so chance alone makes it larger: by at most
    ``sqrt(2 / pi)`` times the bins' weighted standard errors (see Kumar, Liang and Ma, NeurIPS,
    2019); a limit on it errs on the closed side. The interval is that of a mean, by the normal
    approximation, clipped to [0, 1]: the error is the mean of score minus label, signed by its bin.
    It rests on the spread of what was seen: where positives are rare and few were seen, both ends
    are too low, and its lower end holds only well above 0, where the bins' signs are sure. NaN with
    fewer than two rows or with a score that is no number in [0, 1].
    """
    total = float(np.abs(held.bin_residuals).sum())
    return _mean(Metric.CALIBRATION_ERROR, held, total, held.squares, confidence)


def _mean(
    metric: Metric, held: Tally, total: float, squares: float, confidence: float
) -> Measurement:
    """The mean over a group's rows of numbers with that sum and that sum of squares."""
    from scipy.stats import norm

    n = held.rows
    if n < 2 or held.invalid:
        return Measurement(str(metric), math.nan, n)
    mean = total / n
    half = float(norm.ppf((1 + confidence) / 2)) * _standard_error(n, total, squares)
    low, high = metric.range
    return Measurement(str(metric), mean, n, low=max(low, mean - half), high=min(high, mean + half))


def _standard_error(n: int, total: float, squares: float) -> float:
    """Standard error of a mean from the sum and the sum of squares of n >= 2 numbers."""
    return math.sqrt(max(squares - total * total / n, 0.0) / (n - 1) / n)
