"""How far a candidate's figures are from the champion's, on the same rows."""

from __future__ import annotations

import math

import numpy as np

from components.checks.measurement import Measurement
from components.checks.tallies import Flags, Floats
from components.contract.policy import Change, Limit, Metric


def change(
    limit: Limit, candidate: Measurement | None, champion: Measurement | None
) -> Measurement:
    """The candidate's figure less the champion's, or that over the size of the champion's.

    Relative: ``(candidate - champion) / |champion|``, so that better and worse keep their sign
    where the champion's figure is negative; NaN where it is 0. Above 0 means that the candidate's
    figure is the larger one, whichever is better. ``n`` is the smaller of the two, ``source`` the
    candidate's.
    """
    name = change_name(limit)
    if candidate is None or champion is None:
        return Measurement(name, math.nan, 0, slice=limit.slice.name)
    value = candidate.value - champion.value
    if limit.champion is not None and limit.champion.change is Change.RELATIVE:
        value = value / abs(champion.value) if champion.value else math.nan
    n, where = min(candidate.n, champion.n), limit.slice.name
    return Measurement(name, value, n, slice=where, source=candidate.source)


def change_name(limit: Limit) -> str:
    """Name of the figure, as ``absolute change of roc_auc``."""
    kind = limit.champion.change if limit.champion is not None else ""
    return f"{kind} change of {limit.metric}"


def paired_interval(
    metric: Metric, labels: Flags, candidate: Floats, champion: Floats, confidence: float
) -> tuple[float, float] | None:
    """Interval of an absolute change over everybody, from scores of the same rows.

    AUC: the difference of two correlated areas (DeLong, DeLong and Clarke-Pearson, Biometrics,
    1988). Brier score: the mean difference of squared errors. Both by the normal approximation.
    None for any other metric, or where a class has fewer than two rows or a score is not finite.
    """
    from scipy.stats import norm

    positives = int(labels.sum())
    if min(positives, len(labels) - positives) < 2:
        return None
    if not (np.isfinite(candidate).all() and np.isfinite(champion).all()):
        return None
    if metric is Metric.ROC_AUC:
        value, error = _auc_change(labels, candidate, champion)
    elif metric is Metric.BRIER:
        differences = (candidate - labels) ** 2 - (champion - labels) ** 2
        value = float(differences.mean())
        error = float(differences.std(ddof=1)) / math.sqrt(len(labels))
    else:
        return None
    half = float(norm.ppf((1 + confidence) / 2)) * error
    return value - half, value + half


def _auc_change(labels: Flags, candidate: Floats, champion: Floats) -> tuple[float, float]:
    (above, below), (other_above, other_below) = (
        _placements(labels, scores) for scores in (candidate, champion)
    )
    first, second = above - other_above, below - other_below
    variance = first.var(ddof=1) / len(first) + second.var(ddof=1) / len(second)
    return float(first.mean()), math.sqrt(float(variance))


def _placements(labels: Flags, scores: Floats) -> tuple[Floats, Floats]:
    """For each positive the share of negatives below it; for each negative, of positives above."""
    from scipy.stats import rankdata

    positives, negatives = scores[labels], scores[~labels]
    m, n = len(positives), len(negatives)
    ranks = rankdata(np.concatenate([positives, negatives]))
    above = (ranks[:m] - rankdata(positives)) / n
    below = 1 - (ranks[m:] - rankdata(negatives)) / m
    return above, below
