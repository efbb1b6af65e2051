"""Accuracy of scores against labels, with intervals."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from components.checks.measurement import Measurement

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def roc_auc(labels: Flags, scores: Floats, confidence: float) -> Measurement:
    """Area under the ROC curve with DeLong's interval.

    The chance that a positive scores above a negative, ties counting half; 0.5 is chance, 1 is
    perfect. The variance is DeLong, DeLong and Clarke-Pearson (Biometrics, 1988), computed from
    midranks in O(n log n) as in Sun and Xu (IEEE Signal Processing Letters, 2014). The interval is
    normal, clipped to [0, 1]. NaN if a class is absent or a score is not finite.

    Args:
        labels: shape (n,), true for positives.
        scores: shape (n,), higher means more likely positive.
        confidence: in (0, 1).
    """
    from scipy.stats import norm, rankdata

    positives, negatives = scores[labels], scores[~labels]
    m, n = len(positives), len(negatives)
    if m == 0 or n == 0 or not np.isfinite(scores).all():
        return Measurement("roc_auc", math.nan, min(m, n))
    ranks_all = rankdata(np.concatenate([positives, negatives]))
    above = (ranks_all[:m] - rankdata(positives)) / n
    below = 1 - (ranks_all[m:] - rankdata(negatives)) / m
    auc = float(above.mean())
    if m < 2 or n < 2:
        return Measurement("roc_auc", auc, min(m, n))
    error = math.sqrt(above.var(ddof=1) / m + below.var(ddof=1) / n)
    half = float(norm.ppf((1 + confidence) / 2)) * error
    return Measurement(
        "roc_auc", auc, min(m, n), low=max(0.0, auc - half), high=min(1.0, auc + half)
    )


def brier(labels: Flags, scores: Floats, confidence: float) -> Measurement:
    """Mean squared difference of score and label (Brier, 1950): 0 is perfect, 1 is worst.

    The interval is that of a mean, by the normal approximation, clipped to [0, 1]. NaN without
    rows or where a score is not a number in [0, 1].
    """
    from scipy.stats import norm

    n = len(scores)
    if n < 2 or not ((scores >= 0) & (scores <= 1)).all():
        return Measurement("brier", math.nan, n)
    errors = (scores - labels) ** 2
    half = float(norm.ppf((1 + confidence) / 2)) * float(errors.std(ddof=1)) / math.sqrt(n)
    mean = float(errors.mean())
    return Measurement("brier", mean, n, low=max(0.0, mean - half), high=min(1.0, mean + half))
