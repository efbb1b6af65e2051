"""What the referee measures of a model from its stored scores, and whether the natives agree."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

import numpy as np

from components.checks.calibration import brier, calibration_bias, calibration_error
from components.checks.champion import change, change_name, paired_interval
from components.checks.fairness import group_measurements, proportions, rates
from components.checks.limits import Figures
from components.checks.measurement import Finding, Measurement, Status, within
from components.checks.performance import Ranked, average_precision, roc_auc
from components.checks.tallies import Flags, Floats, Groups, tally
from components.contract.policy import (
    EVERYBODY,
    Change,
    Limit,
    Metric,
    Policy,
    ReleaseGatePolicy,
    Slice,
)


@dataclass(frozen=True, slots=True)
class Scored:
    """Evaluation rows with their scores.

    ``labels`` and ``scores`` have shape (n,), and so has ``champion``, the scores of the model that
    the candidate would supersede; None where there is none. ``groups`` has each protected column.
    """

    labels: Flags
    scores: Floats
    groups: dict[str, Groups]
    champion: Floats | None = None


def release_measurements(scored: Scored, policy: Policy) -> tuple[Measurement, ...]:
    """Everything the referee measures of a model.

    Accuracy and calibration of everybody; rates and calibration of every group of each protected
    column and of each pair of them; comparisons between groups; what a limit asks for beside that;
    and how far the champion is.
    """
    found = _own_measurements(scored.labels, scored.scores, scored.groups, policy)
    if scored.champion is not None:
        before = _own_measurements(scored.labels, scored.champion, scored.groups, policy)
        moved = changes(found, before, policy)
        found += _with_intervals(moved, scored, scored.champion, policy)
    return tuple(found)


def slices_measured(attributes: Iterable[str]) -> list[tuple[str, ...]]:
    """Whose groups are measured: each protected column and each pair, in the contract's order."""
    names = list(attributes)
    return [*((a,) for a in names), *combinations(names, 2)]


def _own_measurements(
    labels: Flags, scores: Floats, groups: dict[str, Groups], policy: Policy
) -> list[Measurement]:
    rules = policy.release_gate
    ranked = Ranked.of(labels, scores)
    tallies = tally(labels, scores, groups, policy.decision_threshold)
    everybody = tallies.overall()
    found = [
        roc_auc(ranked, rules.confidence),
        average_precision(ranked, rules.confidence),
        brier(everybody, rules.confidence),
        calibration_error(everybody, rules.confidence),
        calibration_bias(everybody, rules.confidence),
        *rates(proportions(everybody), rules.confidence),
    ]
    for attributes in slices_measured(groups):
        by_group = tallies.by(attributes, rules)
        found += group_measurements(by_group, attributes, rules.confidence)
        wanted = {x.metric for x in rules.limits if x.slice.attributes == attributes}
        if Metric.BRIER in wanted:
            found += [
                _of_group(brier(t, rules.confidence), attributes, g) for g, t in by_group.items()
            ]
        for metric, measure in _RANKING.items():
            if metric in wanted:
                for group, held in _members(groups, attributes, rules).items():
                    where = Slice(attributes, group)
                    ranked = Ranked.of(labels[held], scores[held])
                    found.append(measure(ranked, rules.confidence, where))
    return found


_RANKING = {Metric.ROC_AUC: roc_auc, Metric.AVERAGE_PRECISION: average_precision}


def _of_group(m: Measurement, attributes: tuple[str, ...], group: tuple[str, ...]) -> Measurement:
    return replace(m, slice=Slice(attributes, group).name, of=Slice(attributes).name)


def _members(
    groups: dict[str, Groups], attributes: tuple[str, ...], rules: ReleaseGatePolicy
) -> dict[tuple[str, ...], Flags]:
    """Which rows are in each group; ranking cannot be summed up like rates."""
    found: dict[tuple[str, ...], Flags] = {}
    held = [groups[a] for a in attributes]
    for codes in product(*(range(len(g.labels)) for g in held)):
        rows = np.logical_and.reduce([g.codes == c for g, c in zip(held, codes, strict=True)])
        if len(attributes) > 1 and not rows.any():
            continue
        names = tuple(g.labels[c] for g, c in zip(held, codes, strict=True))
        group = rules.pooled(attributes, names)
        found[group] = found[group] | rows if group in found else rows
    return found


def changes(
    now: Sequence[Measurement], before: Sequence[Measurement], policy: Policy
) -> tuple[Measurement, ...]:
    """How far the candidate's figures are from the champion's, on the point.

    One figure for each different change that a limit of the policy is on.
    """
    mine, theirs = Figures(now), Figures(before)
    found: dict[tuple[str, str], Measurement] = {}
    for limit in policy.release_gate.limits:
        if limit.champion is not None:
            name, where = str(limit.metric), limit.slice.name
            measured = change(limit, mine.get(name, where), theirs.get(name, where))
            found[measured.name, where] = measured
    return tuple(found.values())


def _with_intervals(
    found: Iterable[Measurement], scored: Scored, champion: Floats, policy: Policy
) -> list[Measurement]:
    """Changes, with an interval where the two models' scores of the same rows give one."""
    intervals = {
        change_name(x): paired_interval(
            x.metric, scored.labels, scored.scores, champion, policy.release_gate.confidence
        )
        for x in policy.release_gate.limits
        if x.champion is not None
        and x.champion.change is Change.ABSOLUTE
        and not x.slice.attributes
    }
    overall = EVERYBODY.name
    return [
        replace(m, low=interval[0], high=interval[1])
        if m.slice == overall and (interval := intervals.get(m.name)) is not None
        else m
        for m in found
    ]


def finite_scores(scores: Floats) -> Finding:
    """Every score is a number in [0, 1]; one that is not makes every rate above it guesswork."""
    wrong = int((~((scores >= 0) & (scores <= 1))).sum())
    measurement = Measurement("scores outside [0, 1]", float(wrong), len(scores), unit="rows")
    if wrong:
        return Finding(
            "scores", Status.INCONCLUSIVE, f"{wrong} scores are no number in [0, 1]", measurement
        )
    return Finding("scores", Status.PASS, "every score is a number in [0, 1]", measurement)


def agreement(
    native: Sequence[Measurement],
    referee: Sequence[Measurement],
    tolerance: float,
    limits: Sequence[Limit] = (),
) -> list[Finding]:
    """One finding for each figure that both sides have: they differ by at most the tolerance.

    No figure in common is INCONCLUSIVE, and so is a figure that one of ``limits`` is on and that
    the native tools lack: agreement that was not checked is not agreement. Changes against a
    champion follow from two such figures and are not asked for. Where neither side has a number
    there is no figure to agree on; a limit on it is closed anyway. Of a native figure that a record
    hides nothing is found.
    """
    mine, theirs = Figures(referee), Figures(native)
    findings = [
        Finding(
            agreement_rule(name, where),
            Status.INCONCLUSIVE,
            f"native tools have no figure of {name} of {where}",
        )
        for name, where in sorted(_wanted(limits, mine))
        if theirs.get(name, where) is None
    ]
    for measured in native:
        own = mine.get(measured.name, measured.slice)
        if own is None or measured.hidden or (_no_number(measured.value) and _no_number(own.value)):
            continue
        difference = Measurement(
            f"native minus referee {measured.name}",
            abs(measured.value - own.value),
            own.n,
            slice=measured.slice,
            source=measured.source,
        )
        rule = agreement_rule(measured.name, measured.slice)
        findings.append(within(rule, difference, at_most=tolerance))
    if any(m.hidden for m in native):
        return findings
    return findings or [
        Finding("agreement", Status.INCONCLUSIVE, "native and referee have no figure in common")
    ]


def agreement_rule(name: str, where: str) -> str:
    """The rule that native tools and referee agree on a figure of a slice."""
    return f"agreement:{name}:{where}"


def _no_number(value: float) -> bool:
    return value != value  # NaN, which alone is not itself; a native tool may hand over any type


def _wanted(limits: Sequence[Limit], referee: Figures) -> set[tuple[str, str]]:
    """Name and slice of every figure that a limit rests on."""
    wanted = set()
    for limit in limits:
        if limit.champion is not None:
            continue
        where = limit.slice.name
        each = not limit.metric.compares_groups and not limit.slice.groups
        groups = referee.of_groups(str(limit.metric), where) if each else []
        wanted |= {(m.name, m.slice) for m in groups} or {(str(limit.metric), where)}
    return wanted
