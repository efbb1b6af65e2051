"""MLflow's own evaluation of stored scores, and whether it says what was measured.

MLflow keeps metrics, a confusion matrix as an image, and the name, digest, schema and number of
rows of what it evaluated. A table of rows it keeps only for metrics with a score for each row,
and here are none; an explainer only runs on a model, and it is handed scores.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.data.pandas_dataset import PandasDataset
from mlflow.metrics import MetricValue
from mlflow.models import EvaluationMetric, make_metric
from sklearn.exceptions import UndefinedMetricWarning

from components.checks.measurement import Finding, Measurement, Status
from components.contract.policy import EVERYBODY, Metric
from components.lineage.digests import sha256_file
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack.dataset_inputs import DIGEST_LENGTH, CanonicalSource
from components.stacks.pytorch_stack.mlflow_store import TrackedRun
from components.stacks.pytorch_stack.native_metrics import OF_SCORES, Figure, Floats, Labels

CANDIDATE, CHAMPION = "evaluation_", "champion_"
"""Prefixes of the metrics of MLflow's evaluations."""

_LABEL, _SELECTED, _SCORE = "label", "selected", "score"
_LARGER_IS_BETTER = {Metric.ROC_AUC, Metric.AVERAGE_PRECISION}
_SAME = {
    "recall_score": Metric.TPR,
    "precision_score": Metric.PPV,
    **{str(metric): metric for metric in OF_SCORES},
}
"""Figures of MLflow's evaluation that are also measured, by MLflow's names."""


def evaluate(
    process: ReleaseProcess,
    run: TrackedRun,
    labels: Labels,
    scores: Floats,
    predictions: Path,
    prefix: str,
) -> dict[str, float]:
    """MLflow's figures of everybody, by MLflow's names; logged under them with the prefix.

    Args:
        process: names the dataset and the threshold.
        run: gets what MLflow writes.
        labels: shape (n,), 1 for positives.
        scores: shape (n,).
        predictions: the file of the scores, which names them by its content.
        prefix: of the logged metrics.
    """
    spec, selected = process.spec, scores >= process.policy.decision_threshold
    data = PandasDataset(
        pd.DataFrame({_LABEL: labels == 1, _SELECTED: selected, _SCORE: scores}),
        CanonicalSource(spec.dataset, spec.dataset_version, "evaluation"),
        targets=_LABEL,
        predictions=_SELECTED,
        name=f"{spec.dataset}-{prefix}scores",
        digest=sha256_file(predictions)[:DIGEST_LENGTH],
    )
    with run.active(), warnings.catch_warnings():
        # Where nobody is selected scikit-learn warns that it calls precision 0; ours is NaN then.
        warnings.simplefilter("ignore", UndefinedMetricWarning)
        result = mlflow.models.evaluate(
            data=data,
            model_type="classifier",
            evaluators="default",
            # Both classes are named: MLflow would infer them from rows that may lack one.
            evaluator_config={
                "label_list": [False, True],
                "pos_label": True,
                "metric_prefix": prefix,
            },
            extra_metrics=[_metric(metric, figure) for metric, figure in OF_SCORES.items()],
        )
    return {name.removeprefix(prefix): float(value) for name, value in result.metrics.items()}


def finding(
    evaluated: Mapping[str, float], measured: Sequence[Measurement], tolerance: float
) -> Finding:
    """Whether MLflow's evaluation gives the figures that were measured; anything else is closed.

    A figure that is no number when measured is left to the limits: MLflow gives 0 there.
    """
    everybody = {m.name: m for m in measured if m.slice == EVERYBODY.name}
    known = {
        name: everybody[metric]
        for name, metric in _SAME.items()
        if math.isfinite(everybody[metric].value)
    }
    other = [
        name
        for name, m in known.items()
        if not abs(evaluated.get(name, math.nan) - m.value) <= tolerance
    ]
    if other:
        reason = f"MLflow's evaluation gives another {', '.join(other)} than was measured"
        return Finding("mlflow", Status.INCONCLUSIVE, reason)
    if not known:
        return Finding("mlflow", Status.INCONCLUSIVE, "there was nothing for MLflow to evaluate")
    reason = f"MLflow's evaluation gives the same {len(known)} figures"
    return Finding("mlflow", Status.PASS, reason)


def _metric(metric: Metric, figure: Figure) -> EvaluationMetric:
    return make_metric(
        eval_fn=partial(_aggregate, metric, figure),
        greater_is_better=metric in _LARGER_IS_BETTER,
        name=str(metric),
    )


def _aggregate(
    metric: Metric, figure: Figure, predictions: pd.Series, targets: pd.Series, score: pd.Series
) -> MetricValue:
    """One figure of all rows. MLflow finds the column of scores by the argument's name."""
    value = figure(targets.to_numpy(np.int64), score.to_numpy(np.float64))
    return MetricValue(aggregate_results={str(metric): value})
