"""Compiles the policy's release gate to TFMA's configuration: slices, metrics and thresholds."""

from __future__ import annotations

import json
import math
from typing import Any

from tensorflow_model_analysis.proto import config_pb2

from components.checks.release import slices_measured
from components.contract.contract import Contract
from components.contract.policy import Metric, Policy
from components.stacks.tfx_stack.evaluation_thresholds import (
    Combinations,
    Labels,
    NativeThreshold,
    compile_limits,
)
from components.stacks.tfx_stack.example_columns import LABEL_FEATURE
from components.stacks.tfx_stack.serving import SIGNATURE

CANDIDATE, CHAMPION = "candidate", "champion"
COUNT, MATRIX, CALIBRATION = "example_count", "confusion_matrix", "calibration_plot"

_AVERAGE_PRECISION = "components.stacks.tfx_stack.average_precision"
_RATES = {
    Metric.SELECTION_RATE: "PredictedPositiveRate",
    Metric.TPR: "Recall",
    Metric.FPR: "FallOut",
    Metric.PPV: "Precision",
}


def compile_evaluation(
    contract: Contract, policy: Policy, held: Combinations, *, with_champion: bool = False
) -> Any:
    """TFMA's EvalConfig: every figure of everybody and of every group of each attribute and pair.

    TFMA is asked for no confidence intervals. Its jackknife draws buckets of rows without a seed,
    so that a limit on a bound could fall either way for one and the same model, and it takes ten
    times as long. ``evaluation_sums`` has what intervals are made of.

    Args:
        contract: the protected attributes.
        policy: the decision threshold and the limits.
        held: groups of the evaluation rows.
        with_champion: whether there is a second model to compare with.
    """
    limits = compile_limits(contract, policy, held)
    # Evaluator drops a threshold on a change without a word where there is no second model.
    thresholds = [t for t in limits.thresholds if with_champion or t.limit.champion is None]
    slices = [(), *slices_measured(c.name for c in contract.protected)]
    return config_pb2.EvalConfig(
        model_specs=_model_specs(with_champion),
        slicing_specs=[config_pb2.SlicingSpec(feature_keys=_columns(contract, s)) for s in slices],
        cross_slicing_specs=[
            spec
            for attributes in limits.compared
            for spec in _pairs(_columns(contract, attributes), sorted(held[attributes]))
        ],
        metrics_specs=[config_pb2.MetricsSpec(metrics=_metrics(policy, thresholds))],
    )


def _columns(contract: Contract, attributes: Labels) -> list[str]:
    return [contract.column(a).group_column for a in attributes]


def _model_specs(with_champion: bool) -> list[Any]:
    settings = {
        "model_type": "tf_generic",
        "signature_name": SIGNATURE,
        "label_key": LABEL_FEATURE,
    }
    if not with_champion:
        return [config_pb2.ModelSpec(**settings)]
    return [
        config_pb2.ModelSpec(name=CANDIDATE, **settings),
        config_pb2.ModelSpec(name=CHAMPION, is_baseline=True, **settings),
    ]


def _pairs(columns: list[str], groups: list[Labels]) -> list[Any]:
    """Each group against those after it, so that each pair is compared once."""
    specs = [
        config_pb2.SlicingSpec(feature_values=dict(zip(columns, g, strict=True))) for g in groups
    ]
    return [
        config_pb2.CrossSlicingSpec(baseline_spec=one, slicing_specs=specs[i + 1 :])
        for i, one in enumerate(specs[:-1])
    ]


def _metrics(policy: Policy, thresholds: list[NativeThreshold]) -> list[Any]:
    # TFMA selects above a threshold, the policy at or above it; scores are 32 bits wide.
    threshold = float(math.nextafter(policy.decision_threshold, 0))
    limited = [
        _metric("AUC", Metric.ROC_AUC),
        _metric("AveragePrecision", Metric.AVERAGE_PRECISION, module=_AVERAGE_PRECISION),
        _metric("MeanSquaredError", Metric.BRIER),
        *(_metric(kind, metric, thresholds=[threshold]) for metric, kind in _RATES.items()),
    ]
    for config in limited:
        _set_thresholds(config, thresholds)
    return [
        _metric("ExampleCount", COUNT),
        _metric("ConfusionMatrixAtThresholds", MATRIX, thresholds=[threshold]),
        _metric("CalibrationPlot", CALIBRATION, num_buckets=10, left=0.0, right=1.0),
        *limited,
    ]


def _metric(kind: str, name: str, module: str = "", **settings: Any) -> Any:
    return config_pb2.MetricConfig(
        class_name=kind, module=module, config=json.dumps({"name": str(name), **settings})
    )


def _set_thresholds(config: Any, thresholds: list[NativeThreshold]) -> None:
    """One threshold for each limit and not the tightest of all: a failure then names its limit."""
    name = json.loads(config.config)["name"]
    for threshold in thresholds:
        if threshold.metric == name:
            config.per_slice_thresholds.add(
                slicing_specs=[threshold.where], threshold=threshold.bounds
            )
