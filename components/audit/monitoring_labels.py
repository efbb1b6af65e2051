"""Accuracy, calibration and appeals of decisions whose labels came later."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from components.audit.monitoring_counts import Counted, Labelled
from components.audit.monitoring_secrecy import APPEALS, CLASSES, LABELLED, Figure
from components.audit.monitoring_shown import Shown
from components.checks.calibration import calibration_bias
from components.checks.fairness import Proportion, rates
from components.checks.measurement import Finding, Measurement, Status
from components.checks.performance import roc_auc
from components.contract.monitoring_policy import MonitoringPolicy
from components.contract.policy import Metric, Policy


def label_findings(
    found: Counted, secret: frozenset[Figure], limits: MonitoringPolicy, policy: Policy
) -> Iterator[Finding | Shown]:
    """What the labels say of all decisions: a finding where there is a limit, else the figure.

    Without labels, limits on them are INCONCLUSIVE; so are labels that no limit is set on.
    """
    held, rule = found.labelled, "monitoring:labels"
    if held is None:
        if limits.needs_labels:
            reason = "accuracy in production unknown: labels not given"
            yield Finding(rule, Status.INCONCLUSIVE, reason)
        return
    if not limits.needs_labels:
        reason = "labels not judged: the policy has no limit for them"
        yield Finding(rule, Status.INCONCLUSIVE, reason)
    known = held.everybody.rows
    share = _share("labelled share", Proportion(known, found.rows), policy)
    told = Shown(share, LABELLED not in secret)
    yield _limited(told, "labelled_share", at_least=limits.labelled_share_at_least)
    yield from _scores(held, secret, limits, policy)
    yield _appeals(held, secret, limits, policy)


def _scores(
    held: Labelled, secret: frozenset[Figure], limits: MonitoringPolicy, policy: Policy
) -> Iterator[Finding | Shown]:
    confidence, told = policy.release_gate.confidence, CLASSES not in secret
    area = Shown(roc_auc(held.ranked, confidence), told)
    yield _limited(area, "auc", at_least=limits.auc_at_least, min_n=limits.min_n)
    bias = calibration_bias(held.everybody, confidence)
    yield _limited(
        Shown(bias, told and LABELLED not in secret),
        "calibration_bias",
        at_most=limits.calibration_bias_at_most,
        tested=abs(bias.value),
        min_n=limits.min_n,
    )


def _appeals(
    held: Labelled, secret: frozenset[Figure], limits: MonitoringPolicy, policy: Policy
) -> Finding | Shown:
    """Overturned of the adverse decisions whose appeal is known."""
    limit, rule = limits.overturned_share_at_most, "monitoring:overturned_share"
    if policy.decision.adverse is None and limit is not None:
        reason = "overturned share unknown: the policy names no adverse outcome"
        return Finding(rule, Status.INCONCLUSIVE, reason)
    appealed = held.overturned + held.upheld
    figure = _share("overturned share", Proportion(held.overturned, appealed), policy)
    told = Shown(figure, APPEALS not in secret)
    return _limited(told, "overturned_share", at_most=limit, min_n=limits.min_n)


def _share(name: str, found: Proportion, policy: Policy) -> Measurement:
    (measured,) = rates({Metric.SELECTION_RATE: found}, policy.release_gate.confidence)
    return replace(measured, name=name)


def _limited(
    figure: Shown,
    name: str,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    tested: float | None = None,
    min_n: int = 0,
) -> Finding | Shown:
    """The finding of a limit; the figure itself where the policy sets none."""
    if at_least is None and at_most is None:
        return figure
    rule = f"monitoring:{name}"
    return figure.judged(rule, at_least=at_least, at_most=at_most, tested=tested, min_n=min_n)
