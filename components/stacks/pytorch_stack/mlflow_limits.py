"""The policy's release limits as MLflow's validation thresholds, closed where MLflow is not.

What MLflow lets pass and we do not: a relative change that is NaN, too few cases, a group that a
comparison leaves out. Each is INCONCLUSIVE before MLflow is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlflow.models import MetricThreshold
from mlflow.models.evaluation import EvaluationResult
from mlflow.models.evaluation.validation import (
    ModelValidationFailedException,
    validate_evaluation_results,
)

from components.checks.limits import Figures, release_gate
from components.checks.measurement import Finding, Measurement, Status
from components.contract.clauses import Unexpressed
from components.contract.policy import ChampionLimit, Change, Limit, Policy
from components.stacks.pytorch_stack.metric_names import metric_name

_INTERVALS = "MLflow's thresholds know no intervals: tested on the point"
_TOLERANCE = (
    "MLflow asks for an improvement over its baseline and knows no tolerance: "
    "tested on the change itself"
)
_MORE_THAN_ALL = "MLflow's relative change ends at 1: tested on the change itself"


@dataclass(frozen=True, slots=True)
class CompiledLimits:
    """A threshold for each limit of the policy, None where MLflow cannot say it, and the list of
    what it cannot say."""

    thresholds: tuple[tuple[Limit, MetricThreshold | None], ...]
    unexpressed: tuple[Unexpressed, ...]


def compile_to_mlflow(policy: Policy) -> CompiledLimits:
    """One ``MetricThreshold`` a limit, as far as MLflow has words for it.

    A limit on the worse bound is held against the point, which is the weaker test; the referee
    tests the bound. A limit against the champion becomes a comparison with MLflow's baseline.
    """
    thresholds, left_out = [], []
    for limit in policy.release_gate.limits:
        threshold, why = _threshold(limit)
        thresholds.append((limit, threshold))
        reasons = [why, _INTERVALS if limit.tested_on != "point" else ""]
        left_out += [Unexpressed(limit.rule, "mlflow", reason) for reason in reasons if reason]
    return CompiledLimits(tuple(thresholds), tuple(left_out))


def limit_findings(
    policy: Policy,
    compiled: CompiledLimits,
    measurements: Sequence[Measurement],
    champion: Sequence[Measurement] = (),
    has_champion: bool | None = None,
) -> list[Finding]:
    """The findings of every limit, under the rule ids of all engines.

    PASS only where the figure is there, is a number, rests on enough cases and holds, and MLflow's
    validation says so too, if it has words for the limit.

    Args:
        policy: the limits.
        compiled: the same, as MLflow has words for them.
        measurements: native figures of the candidate, changes against the champion among them.
        champion: native figures of the champion; none where it was not scored.
        has_champion: whether a champion stands; None where that is not known.
    """
    figures, baseline = Figures(measurements), Figures(champion)
    asked = {limit.id: (limit, threshold) for limit, threshold in compiled.thresholds}
    return [
        _confirmed(found, *asked[found.rule.split(":")[1]], figures, baseline)
        for found in release_gate(measurements, _on_the_point(policy), has_champion).findings
    ]


def _on_the_point(policy: Policy) -> Policy:
    """The policy with every limit tested on the point: native figures have no intervals."""
    rules = policy.release_gate
    limits = tuple(replace(limit, tested_on="point") for limit in rules.limits)
    return replace(policy, release_gate=replace(rules, limits=limits))


def _threshold(limit: Limit) -> tuple[MetricThreshold | None, str]:
    """MLflow's threshold, or None and why there is none."""
    greater = limit.at_least is not None
    bound = float(limit.at_least if limit.at_least is not None else limit.at_most or 0.0)
    if limit.champion is None:
        return MetricThreshold(threshold=bound, greater_is_better=greater), ""
    return _change_threshold(limit.champion, bound if greater else -bound, greater)


def _change_threshold(
    champion: ChampionLimit, improvement: float, greater: bool
) -> tuple[MetricThreshold | None, str]:
    if improvement <= 0:
        return None, _TOLERANCE
    if champion.change is Change.ABSOLUTE:
        return MetricThreshold(min_absolute_change=improvement, greater_is_better=greater), ""
    if improvement > 1:
        return None, _MORE_THAN_ALL
    return MetricThreshold(min_relative_change=improvement, greater_is_better=greater), ""


def _confirmed(
    found: Finding,
    limit: Limit,
    threshold: MetricThreshold | None,
    figures: Figures,
    baseline: Figures,
) -> Finding:
    """The finding if MLflow says the same or is not asked.

    Where MLflow says otherwise it is a FAIL of its own: the tools disagree about one figure, and
    that is no limit that anybody could excuse.
    """
    if threshold is None or found.measurement is None or found.status is Status.INCONCLUSIVE:
        return found
    candidate: Measurement | None = found.measurement
    champion: Measurement | None = None
    if limit.champion is not None:
        name, where = str(limit.metric), limit.slice.name
        candidate, champion = figures.get(name, where), baseline.get(name, where)
    passes = candidate is not None and _validate(threshold, candidate, champion)
    if passes == (found.status is Status.PASS):
        return found
    reason = f"{found.reason}; MLflow's validation says otherwise"
    return replace(found, rule=f"mlflow:{found.rule}", status=Status.FAIL, reason=reason)


def _validate(
    threshold: MetricThreshold, candidate: Measurement, champion: Measurement | None
) -> bool:
    name = metric_name(candidate)
    result = EvaluationResult(metrics={name: candidate.value}, artifacts={})
    baseline = EvaluationResult(metrics={name: champion.value}, artifacts={}) if champion else None
    try:
        validate_evaluation_results({name: threshold}, result, baseline)
    except ModelValidationFailedException:
        return False
    return True
