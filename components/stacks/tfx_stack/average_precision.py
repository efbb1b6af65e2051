"""Average precision as a TFMA metric; TFMA's own areas under the curve all smooth it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tensorflow_model_analysis.metrics import confusion_matrix_metrics, metric_types


class AveragePrecision(confusion_matrix_metrics.AUCPrecisionRecall):
    """``sum over thresholds of (recall added) * (precision at the lower threshold)``.

    The step-wise sum of ``components.checks.performance``, made of the confusion matrices at 10,000
    thresholds that TFMA's areas are made of. TFMA interpolates between two thresholds, or takes the
    larger or the smaller of their precisions: on many tied scores that is another figure. NaN
    without positives.
    """

    def _metric_value(self, key: Any, matrices: Any, **settings: Any) -> float:
        del key, settings
        tp, flagged = np.array(matrices.tp), np.array(matrices.tp) + np.array(matrices.fp)
        positives = float((tp + np.array(matrices.fn))[0])
        if positives == 0:
            return math.nan
        precision = tp / np.maximum(flagged, 1)
        return float((-np.diff(tp) * precision[:-1]).sum() / positives)


metric_types.register_metric(AveragePrecision)
