"""How well scores rank, from TFMA's figure and the counts of the two classes."""

from __future__ import annotations

import math
from collections.abc import Mapping

from components.checks.measurement import Measurement
from components.checks.performance import average_precision_interval
from components.checks.tallies import Tally
from components.contract.policy import Metric


def ranking(
    metric: Metric, figures: Mapping[str, float], held: Tally, confidence: float
) -> Measurement:
    """TFMA's AUC or average precision of a slice, with an interval that needs counts alone.

    NaN where a class is absent that the metric needs: TFMA gives a number there.

    Args:
        metric: ``roc_auc`` or ``average_precision``.
        figures: TFMA's numbers of the slice.
        held: the slice's sums.
        confidence: of the interval.
    """
    value = figures.get(metric, math.nan)
    if metric is Metric.ROC_AUC:
        n = min(held.positives, held.rows - held.positives)
        low, high = _auc_interval(value, held.positives, held.rows - held.positives, confidence)
    else:
        n = held.positives
        low, high = average_precision_interval(value, n, confidence) if n else (None, None)
    return Measurement(str(metric), value if n else math.nan, n, low=low, high=high)


def _auc_interval(
    auc: float, positives: int, negatives: int, confidence: float
) -> tuple[float | None, float | None]:
    """Hanley and McNeil's interval (Radiology, 1982), clipped to [0, 1].

    The standard error comes from the area and the class sizes under exponential scores. An area of
    0 or 1 would have none, which says nothing: there is no interval then.
    """
    from scipy.stats import norm

    if min(positives, negatives) == 0 or not 0 < auc < 1:
        return None, None
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (
        auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    ) / (positives * negatives)
    half = float(norm.ppf((1 + confidence) / 2)) * math.sqrt(max(variance, 0.0))
    return max(0.0, auc - half), min(1.0, auc + half)
