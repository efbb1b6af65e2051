"""The policy's release limits against measurements, whichever tool measured."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import product

from components.checks.champion import change_name
from components.checks.measurement import Finding, Measurement, Status, Verdict, conclude, within
from components.checks.suppression import told_count
from components.contract.errors import ProcessError
from components.contract.policy import Limit, Metric, Policy, ReleaseGatePolicy


class Figures:
    """Measurements by name and slice; no two may share both.

    Raises:
        ProcessError: two do, so that one of them would be overlooked.
    """

    def __init__(self, measurements: Iterable[Measurement]) -> None:
        self._by_key: dict[tuple[str, str], Measurement] = {}
        for m in measurements:
            if (m.name, m.slice) in self._by_key:
                raise ProcessError(f"{m.name} of {m.slice} was measured twice")
            self._by_key[m.name, m.slice] = m

    def get(self, name: str, where: str) -> Measurement | None:
        """The figure of that name and slice, if it was measured."""
        return self._by_key.get((name, where))

    def of_groups(self, name: str, attributes: str) -> list[Measurement]:
        """The figure of that name of every group of some attributes."""
        return [m for m in self._by_key.values() if m.name == name and m.of == attributes]


def release_gate(
    measurements: Sequence[Measurement], policy: Policy, has_champion: bool | None = None
) -> Verdict:
    """The limits of the policy against measurements; a limit without its figure is INCONCLUSIVE.

    Args:
        measurements: of one tool, or of the referee.
        policy: the limits.
        has_champion: whether a release stands that the candidate would supersede; None where that
            is not known.
    """
    figures, rules = Figures(measurements), policy.release_gate
    findings = []
    for limit in rules.limits:
        findings += limit_findings(limit, figures, has_champion)
        findings += _absent_intersections(limit, figures, rules)
    return conclude(findings)


def _absent_intersections(
    limit: Limit, figures: Figures, rules: ReleaseGatePolicy
) -> list[Finding]:
    """INCONCLUSIVE where a limit on two attributes leaves out a pair of their groups.

    Nothing is measured of people who are not there, and a group whose last rows went must not open
    a gate that its few rows kept closed.
    """
    attributes = limit.slice.attributes
    if len(attributes) < 2 or limit.slice.groups:
        return []
    rate = str(Metric.SELECTION_RATE)
    labels = [
        [m.slice.removeprefix(f"{a}=") for m in figures.of_groups(rate, a)] for a in attributes
    ]
    held = {m.slice for m in figures.of_groups(rate, limit.slice.name)}
    wanted = {limit.slice.group(rules.pooled(attributes, pair)).name for pair in product(*labels)}
    if not (absent := sorted(wanted - held)):
        return []
    reason = f"{limit.metric} of {limit.slice.name} has no rows of {', '.join(absent)}"
    return [Finding(limit.rule, Status.INCONCLUSIVE, reason)]


def limit_findings(
    limit: Limit, figures: Figures, has_champion: bool | None = None
) -> list[Finding]:
    """The findings of one limit: one, or one for each group that it holds for."""
    if limit.champion is not None:
        return [_champion_finding(limit, figures, has_champion)]
    metric, where = str(limit.metric), limit.slice.name
    if limit.metric.compares_groups:
        groups = figures.of_groups(str(limit.metric.of_group), where)
        return [_comparison(limit, figures.get(metric, where), groups)]
    if limit.slice.attributes and not limit.slice.groups:
        groups = figures.of_groups(metric, where)
        if groups:
            return [_single(f"{limit.rule}:{m.slice}", limit, m) for m in groups]
    return [_single(limit.rule, limit, figures.get(metric, where))]


def _champion_finding(limit: Limit, figures: Figures, has_champion: bool | None) -> Finding:
    if has_champion is False:
        grounds = limit.champion.none_yet if limit.champion is not None else None
        if grounds is not None:
            reason = f"there is no champion yet, and the policy says why that may be: {grounds}"
            return Finding(limit.rule, Status.PASS, reason)
        reason = f"{limit.metric} has no champion to be held against"
        return Finding(limit.rule, Status.INCONCLUSIVE, reason)
    return _single(limit.rule, limit, figures.get(change_name(limit), limit.slice.name))


def _comparison(
    limit: Limit, measurement: Measurement | None, groups: Sequence[Measurement]
) -> Finding:
    """Groups under the minimum are named: a gap that leaves them out proves nothing of them."""
    small = [g for g in groups if g.n < limit.min_n]
    if measurement is not None and small:
        named = ", ".join(f"{g.slice} ({told_count(g.n)})" for g in small)
        reason = (
            f"{limit.metric} of {limit.slice.name} leaves too few cases in {named}, "
            f"{limit.min_n} required in each group"
        )
        return Finding(limit.rule, Status.INCONCLUSIVE, reason, measurement)
    return _single(limit.rule, limit, measurement)


def _single(rule: str, limit: Limit, measurement: Measurement | None) -> Finding:
    """One figure: enough cases first, then the point or the worse bound."""
    if measurement is None:
        where = "" if not limit.slice.attributes else f" of {limit.slice.name}"
        reason = f"{limit.metric}{where} was not measured"
        return Finding(rule, Status.INCONCLUSIVE, reason)
    where = "" if measurement.slice == "overall" else f" of {measurement.slice}"
    if measurement.n < limit.min_n:
        cases = told_count(measurement.n)
        reason = f"{measurement.name}{where} rests on {cases} cases, {limit.min_n} required"
        return Finding(rule, Status.INCONCLUSIVE, reason, measurement)
    tested = measurement.value
    if limit.tested_on == "worst_bound":
        bound = measurement.low if limit.at_least is not None else measurement.high
        tested = math.nan if bound is None else bound
    return within(rule, measurement, at_least=limit.at_least, at_most=limit.at_most, tested=tested)
