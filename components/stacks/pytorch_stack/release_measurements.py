"""Native figures of the release gate: scikit-learn and fairlearn under the referee's names."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from fairlearn.metrics import (
    MetricFrame,
    count,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from sklearn.metrics import brier_score_loss, roc_auc_score

from components.checks.measurement import MISSING, Measurement
from components.stacks.pytorch_stack.frameworks import tool

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]

_RATES = {
    "selection_rate": selection_rate,
    "tpr": true_positive_rate,
    "fpr": false_positive_rate,
}


def measure(
    labels: Flags, scores: Floats, groups: Mapping[str, Sequence[str | None]], threshold: float
) -> tuple[Measurement, ...]:
    """Accuracy overall, rates by group and the largest gap of each rate, as the native tools say.

    Args:
        labels: shape (n,), true for positives.
        scores: shape (n,).
        groups: n group labels for each protected attribute, None where a row has none.
        threshold: a row is selected when its score is at or above it.
    """
    found = list(_accuracy(labels, scores))
    for attribute, members in groups.items():
        found.extend(_fairness(labels, scores >= threshold, attribute, members))
    return tuple(found)


def _accuracy(labels: Flags, scores: Floats) -> tuple[Measurement, Measurement]:
    n, positives, source = len(labels), int(labels.sum()), tool("scikit-learn")
    smaller = min(positives, n - positives)
    usable = smaller > 0 and bool(np.isfinite(scores).all())
    auc = float(roc_auc_score(labels, scores)) if usable else math.nan
    brier = float(brier_score_loss(labels, scores)) if usable else math.nan
    return (
        Measurement("roc_auc", auc, smaller, source=source),
        Measurement("brier", brier, n, source=source),
    )


def _fairness(
    labels: Flags, selected: Flags, attribute: str, members: Sequence[str | None]
) -> list[Measurement]:
    named = np.array([MISSING if m is None else m for m in members])
    source = tool("fairlearn")
    with warnings.catch_warnings():
        # fairlearn divides by zero for a group without cases; that figure is replaced below.
        warnings.simplefilter("ignore", RuntimeWarning)
        frame = MetricFrame(
            metrics={**_RATES, "cases": count},
            y_true=labels,
            y_pred=selected,
            sensitive_features=named,
        )
        gaps = frame.difference(method="between_groups")
    cases = {g: _cases(labels, named == g) for g in frame.by_group.index}
    found = [
        Measurement(
            rate,
            float(row[rate]) if cases[group][rate] else math.nan,
            cases[group][rate],
            slice=f"{attribute}={group}",
            source=source,
        )
        for group, row in frame.by_group.iterrows()
        for rate in _RATES
    ]
    for rate in _RATES:
        fewest = min(n[rate] for n in cases.values())
        comparable = fewest > 0 and len(cases) > 1
        gap = float(gaps[rate]) if comparable else math.nan
        found.append(Measurement(f"{rate}_difference", gap, fewest, slice=attribute, source=source))
    return found


def _cases(labels: Flags, held: Flags) -> dict[str, int]:
    """How many rows each rate of a group rests on; fairlearn gives 0 for a rate of none."""
    return {
        "selection_rate": int(held.sum()),
        "tpr": int((held & labels).sum()),
        "fpr": int((held & ~labels).sum()),
    }
