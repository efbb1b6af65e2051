"""Figures of one set of rows by the native tools, closed where a tool would guess or raise."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from fairlearn.metrics import (
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

from components.checks.tallies import CALIBRATION_BINS
from components.contract.policy import RATES, Metric

Labels = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Figure = Callable[[Labels, npt.NDArray[Any]], float]
"""Takes labels of 0 and 1 and predictions, each of shape (n,), as fairlearn and MLflow call it."""

_JUST_BELOW_ONE = np.nextafter(1.0, 0.0)


@dataclass(frozen=True, slots=True)
class Cases:
    """How many rows there are of each kind. ``invalid`` have a score that is none in [0, 1]."""

    rows: int = 0
    positives: int = 0
    selected: int = 0
    invalid: int = 0

    @classmethod
    def of(cls, labels: Labels, scores: Floats, threshold: float) -> Cases:
        """The cases of some rows."""
        selected, wrong = int((scores >= threshold).sum()), int(invalid(labels, scores))
        return cls(len(labels), int(labels.sum()), selected, wrong)

    def behind(self, metric: Metric) -> int:
        """Cases that a figure rests on, as the referee counts them."""
        if self.invalid and metric in _WITHOUT_CASES:
            return 0
        return {
            Metric.ROC_AUC: min(self.positives, self.rows - self.positives),
            Metric.AVERAGE_PRECISION: self.positives,
            Metric.TPR: self.positives,
            Metric.FPR: self.rows - self.positives,
            Metric.PPV: self.selected,
        }.get(metric, self.rows)


_WITHOUT_CASES = {*RATES, Metric.ROC_AUC, Metric.AVERAGE_PRECISION}
"""What has no cases at all where one score is no number; the mean of residuals keeps its rows."""


def invalid(labels: Labels, scores: Floats) -> float:
    """Number of scores that are no number in [0, 1]; a figure like the others, but a count."""
    return float((~((scores >= 0) & (scores <= 1))).sum())


def _closed(positives: int, negatives: int, rows: int) -> Callable[[Figure], Figure]:
    """NaN with fewer rows of a kind than that, or with a score that is no number in [0, 1].

    scikit-learn raises where a class is absent, or gives 0; torchmetrics takes scores outside
    [0, 1] for logits.
    """

    def close(figure: Figure) -> Figure:
        @wraps(figure)
        def closed(labels: Labels, scores: Floats) -> float:
            held, n = int(labels.sum()), len(labels)
            if held < positives or n - held < negatives or n < rows or invalid(labels, scores):
                return math.nan
            return float(figure(labels, scores))

        return closed

    return close


@_closed(positives=1, negatives=1, rows=0)
def roc_auc(labels: Labels, scores: Floats) -> float:
    """Area under the ROC curve."""
    return roc_auc_score(labels, scores)


@_closed(positives=1, negatives=0, rows=0)
def average_precision(labels: Labels, scores: Floats) -> float:
    """Average precision."""
    return average_precision_score(labels, scores)


@_closed(positives=0, negatives=0, rows=2)
def brier(labels: Labels, scores: Floats) -> float:
    """Brier score."""
    return brier_score_loss(labels, scores, pos_label=1)


@_closed(positives=0, negatives=0, rows=2)
def calibration_error(labels: Labels, scores: Floats) -> float:
    """Expected calibration error over ten bins of equal width, the last one closed.

    torchmetrics gives a score of exactly 1 a bin of its own, so 1 becomes the number below. Its
    inner edges are the doubles nearest to i/10, give or take one unit in the last place; a model's
    scores are float32, of which only 0.5 is such an edge, and that one is exact.
    """
    within = torch.from_numpy(np.minimum(scores, _JUST_BELOW_ONE))
    return float(
        binary_calibration_error(
            within, torch.from_numpy(np.asarray(labels)), n_bins=CALIBRATION_BINS, norm="l1"
        )
    )


@_closed(positives=0, negatives=0, rows=2)
def calibration_bias(labels: Labels, scores: Floats) -> float:
    """Mean score minus share of positives."""
    return mean_prediction(labels, scores) - mean_prediction(labels, labels)


def _precision(labels: Labels, selected: Labels) -> float:
    return float(precision_score(labels, selected, zero_division=math.nan))


OF_SCORES: Mapping[Metric, Figure] = {
    Metric.ROC_AUC: roc_auc,
    Metric.AVERAGE_PRECISION: average_precision,
    Metric.BRIER: brier,
    Metric.CALIBRATION_ERROR: calibration_error,
    Metric.CALIBRATION_BIAS: calibration_bias,
}
"""Figures of labels and scores."""

OF_DECISIONS: Mapping[Metric, Figure] = {
    Metric.SELECTION_RATE: selection_rate,
    Metric.TPR: true_positive_rate,
    Metric.FPR: false_positive_rate,
    Metric.PPV: _precision,
}
"""Figures of labels and of who is selected; 0 where fairlearn has no cases, so ask ``Cases``."""

LIBRARIES: Mapping[Metric, str] = {
    Metric.ROC_AUC: "scikit-learn",
    Metric.AVERAGE_PRECISION: "scikit-learn",
    Metric.BRIER: "scikit-learn",
    Metric.CALIBRATION_ERROR: "torchmetrics",
    Metric.CALIBRATION_BIAS: "fairlearn",
    Metric.SELECTION_RATE: "fairlearn",
    Metric.TPR: "fairlearn",
    Metric.FPR: "fairlearn",
    Metric.PPV: "scikit-learn",
}
"""The distribution that computes each figure."""
