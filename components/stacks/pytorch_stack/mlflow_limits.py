"""The policy's release limits as MLflow's model validation thresholds, closed to NaN."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlflow.models import MetricThreshold
from mlflow.models.evaluation import EvaluationResult
from mlflow.models.evaluation.validation import (
    ModelValidationFailedException,
    validate_evaluation_results,
)

from components.checks.measurement import Finding, Measurement, Status
from components.contract.clauses import Unexpressed
from components.contract.policy import Limit, Policy
from components.stacks.pytorch_stack.mlflow_store import metric_name


@dataclass(frozen=True, slots=True)
class CompiledLimits:
    """A threshold for each limit of the policy, and what MLflow cannot say of them."""

    thresholds: tuple[tuple[Limit, MetricThreshold], ...]
    unexpressed: tuple[Unexpressed, ...]


def compile_to_mlflow(policy: Policy) -> CompiledLimits:
    """One ``MetricThreshold`` a limit. MLflow has no intervals: a limit on the worse bound is
    held against the point, which is the weaker test, and is listed; the referee tests the bound.
    """
    thresholds, left_out = [], []
    for limit in policy.release_gate.limits:
        at_least = limit.at_least is not None
        bound = limit.at_least if at_least else limit.at_most
        thresholds.append((limit, MetricThreshold(threshold=bound, greater_is_better=at_least)))
        if limit.tested_on != "point":
            left_out.append(
                Unexpressed(
                    limit.id, "mlflow", "MLflow's thresholds know no intervals: tested on the point"
                )
            )
    return CompiledLimits(tuple(thresholds), tuple(left_out))


def limit_findings(compiled: CompiledLimits, measurements: Sequence[Measurement]) -> list[Finding]:
    """One finding ``mlflow:<limit>`` for each limit.

    MLflow's comparison is asked only where the figure is there, is finite and rests on enough
    cases; everything else is INCONCLUSIVE.
    """
    by_key = {(m.name, m.slice): m for m in measurements}
    return [
        _finding(limit, threshold, by_key.get((str(limit.metric), limit.attribute or "overall")))
        for limit, threshold in compiled.thresholds
    ]


def _finding(limit: Limit, threshold: MetricThreshold, measured: Measurement | None) -> Finding:
    rule = f"mlflow:{limit.id}"
    if measured is None:
        return Finding(rule, Status.INCONCLUSIVE, f"{limit.metric} was not measured")
    where = "" if measured.slice == "overall" else f" of {measured.slice}"
    if measured.n < limit.min_n:
        reason = f"rests on {measured.n} cases, at least {limit.min_n} required"
        return Finding(rule, Status.INCONCLUSIVE, f"{limit.metric}{where} {reason}", measured)
    if not math.isfinite(measured.value):
        reason = f"{limit.metric}{where} is not a number"
        return Finding(rule, Status.INCONCLUSIVE, reason, measured)
    name = metric_name(measured)
    result = EvaluationResult(metrics={name: measured.value}, artifacts={})
    try:
        validate_evaluation_results({name: threshold}, result)
        status = Status.PASS
    except ModelValidationFailedException:
        status = Status.FAIL
    relation = "at least" if threshold.greater_is_better else "at most"
    reason = (
        f"{limit.metric}{where} {measured.value:.4g}, {relation} {threshold.threshold:g} required"
    )
    return Finding(rule, status, reason, measured)
