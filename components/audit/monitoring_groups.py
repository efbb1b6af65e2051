"""Rates of the groups of protected columns, and the gaps between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from components.audit.monitoring_cells import ANY, NEGATIVE, POSITIVE
from components.audit.monitoring_counts import Counted
from components.audit.monitoring_secrecy import Figure, rate_of
from components.audit.monitoring_shown import Shown
from components.checks.fairness import Proportion, compare, rates
from components.checks.measurement import Finding, Status
from components.checks.suppression import told_count
from components.contract.monitoring_policy import MonitoringPolicy
from components.contract.policy import Metric, Slice

_KINDS = {Metric.SELECTION_RATE: ANY, Metric.TPR: POSITIVE, Metric.FPR: NEGATIVE}
_CASES = {
    Metric.SELECTION_RATE: "decisions",
    Metric.TPR: "labelled positives",
    Metric.FPR: "labelled negatives",
}


def gaps(
    found: Counted,
    secret: frozenset[Figure],
    columns: Iterable[str],
    limits: MonitoringPolicy,
    confidence: float,
) -> Iterator[Finding]:
    """The largest gap of each rate that has a limit, of each protected column.

    Decisions that were left to a person are not counted: people decide those.
    """
    wanted = {
        Metric.SELECTION_RATE: ("selection_gap", limits.selection_gap_at_most),
        Metric.TPR: ("tpr_gap", limits.tpr_gap_at_most),
        Metric.FPR: ("fpr_gap", limits.fpr_gap_at_most),
    }
    if found.labelled is None:
        del wanted[Metric.TPR], wanted[Metric.FPR]
    for column in columns:
        for metric, (name, limit) in wanted.items():
            if limit is not None:
                rule = f"monitoring:{name}:{column}"
                yield _gap(rule, found, secret, column, metric, limit, limits.min_n, confidence)


def _gap(
    rule: str,
    found: Counted,
    secret: frozenset[Figure],
    column: str,
    metric: Metric,
    limit: float,
    min_n: int,
    confidence: float,
) -> Finding:
    what = f"{str(metric).replace('_', ' ')} gap of {column}"
    if not found.grouped(column):
        reason = f"{what} unknown: a log does not hold the groups"
        return Finding(rule, Status.INCONCLUSIVE, reason)
    groups = {g: _rate(found, column, g, metric) for g in found.labels(column)}
    fewest = min(rate.cases for rate in groups.values())
    told = all(_open(secret, column, g, metric) for g in groups)
    if fewest < min_n:
        cases = told_count(fewest) if told else "too few"
        reason = (
            f"{what} unknown: {cases} {_CASES[metric]} in the smallest group, "
            f"at least {min_n} required"
        )
        return Finding(rule, Status.INCONCLUSIVE, reason)
    gap = Metric(f"{metric}_difference")
    figure = compare(gap, list(groups.values()), Slice((column,)), confidence)
    return Shown(figure, told).judged(rule, at_most=limit)


def group_rates(
    found: Counted, secret: frozenset[Figure], columns: Iterable[str], confidence: float
) -> Iterator[Shown]:
    """Each group's rates with Wilson's interval: of selection, and with labels TPR and FPR."""
    metrics = list(_KINDS) if found.labelled is not None else [Metric.SELECTION_RATE]
    for column in filter(found.grouped, columns):
        slice_ = Slice((column,))
        for metric in metrics:
            for label in found.labels(column):
                (measured,) = rates({metric: _rate(found, column, label, metric)}, confidence)
                where = slice_.group((label,)).name
                figure = replace(measured, slice=where, of=slice_.name)
                yield Shown(figure, _open(secret, column, label, metric))


def _open(secret: frozenset[Figure], column: str, label: str, metric: Metric) -> bool:
    return rate_of(column, label, _KINDS[metric]) not in secret


def _rate(found: Counted, column: str, label: str, metric: Metric) -> Proportion:
    if metric is Metric.SELECTION_RATE or found.labelled is None:
        return found.decided(column, label)
    held = found.labelled.group(column, label)
    if metric is Metric.TPR:
        return Proportion(held.true_positives, held.positives)
    return Proportion(held.selected - held.true_positives, held.rows - held.positives)
