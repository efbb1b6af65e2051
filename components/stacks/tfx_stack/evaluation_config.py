"""Compiles the policy's release limits to TFMA's configuration."""

from __future__ import annotations

import json
import math
from typing import Any

from tensorflow_model_analysis.proto import config_pb2

from components.contract.contract import Contract
from components.contract.policy import Limit, Metric, Policy
from components.stacks.tfx_stack.example_columns import LABEL_FEATURE
from components.stacks.tfx_stack.serving import SIGNATURE

AUC, MSE, COUNT, MATRIX = "roc_auc", "brier", "example_count", "confusion_matrix"
_OVERALL = {Metric.ROC_AUC: ("AUC", AUC), Metric.BRIER: ("MeanSquaredError", MSE)}


def compile_evaluation(contract: Contract, policy: Policy) -> Any:
    """TFMA's EvalConfig: accuracy, and the confusion matrix of every group.

    The policy's overall limits on the point are TFMA's own thresholds. Limits on gaps between
    groups and on an interval's worse end have no form in TFMA that closes when a group is absent;
    the release gate's node derives them from TFMA's counts.
    """
    # TFMA selects above a threshold, the policy at or above it; scores are 32 bits wide.
    threshold = float(math.nextafter(policy.decision_threshold, 0))
    metrics = [
        _metric("AUC", AUC, policy),
        _metric("MeanSquaredError", MSE, policy),
        _metric("ExampleCount", COUNT, policy),
        _metric("ConfusionMatrixAtThresholds", MATRIX, policy, thresholds=[threshold]),
    ]
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(
                model_type="tf_generic", signature_name=SIGNATURE, label_key=LABEL_FEATURE
            )
        ],
        slicing_specs=[
            config_pb2.SlicingSpec(),
            *(config_pb2.SlicingSpec(feature_keys=[c.group_column]) for c in contract.protected),
        ],
        metrics_specs=[config_pb2.MetricsSpec(metrics=metrics)],
    )


def native_limits(policy: Policy) -> list[Limit]:
    """The limits that TFMA itself holds the model against."""
    return [
        limit
        for limit in policy.release_gate.limits
        if limit.metric in _OVERALL and limit.tested_on == "point"
    ]


def _metric(kind: str, name: str, policy: Policy, **settings: Any) -> Any:
    config = config_pb2.MetricConfig(class_name=kind, config=json.dumps({"name": name, **settings}))
    lows = [x.at_least for x in _limits(name, policy) if x.at_least is not None]
    highs = [x.at_most for x in _limits(name, policy) if x.at_most is not None]
    if lows or highs:
        # Set plainly, a threshold would hold for every slice; the policy's is about all rows.
        overall = config.per_slice_thresholds.add(slicing_specs=[config_pb2.SlicingSpec()])
        bounds = overall.threshold.value_threshold
        if lows:
            bounds.lower_bound.value = max(lows)
        if highs:
            bounds.upper_bound.value = min(highs)
    return config


def _limits(name: str, policy: Policy) -> list[Limit]:
    return [x for x in native_limits(policy) if _OVERALL[x.metric][1] == name]
