"""The referee's verdicts on the two gates: pure functions of profiles, scores, contract, policy."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from components.checks.coverage import uncovered_findings
from components.checks.drift import drift_findings
from components.checks.fairness import GroupRates, group_rates, largest_gap
from components.checks.measurement import (
    Finding,
    Measurement,
    Status,
    Verdict,
    conclude,
    within,
)
from components.checks.performance import Flags, Floats, brier, roc_auc
from components.checks.schema import schema_findings
from components.contract.clauses import drift_clauses, schema_clauses
from components.contract.contract import Contract
from components.contract.policy import Limit, Metric, Policy
from components.profile.profile import Profile


def data_gate(
    everything: Profile | None,
    current: Profile | None,
    baseline: Profile | None,
    contract: Contract,
    policy: Policy,
    spans: Sequence[str] | None,
    unusable_baseline: str | None = None,
    absent: Collection[str] = (),
) -> Verdict:
    """Schema of all rows, and drift of the current rows against the baseline's.

    Args:
        everything: profile of all rows; None where there is none.
        current: profile of the rows that are held against the baseline.
        baseline: profile of the baseline's rows; None where there is none.
        contract: the clauses.
        policy: the limits.
        spans: those that have rows: each must be named by the policy, and each that the policy
            names must be among them, or rows would reach training that no drift check has seen.
            None where the sides do not come from spans.
        unusable_baseline: why a baseline that there is cannot be compared with.
        absent: columns that the data are known to lack.
    """
    gate = policy.data_gate
    schema = schema_findings(everything, contract, absent) if everything is not None else []
    drift = drift_findings(current, baseline, contract, gate, unusable_baseline)
    sides = [] if spans is None else span_findings(spans, policy)
    clauses = (*schema_clauses(contract), *drift_clauses(contract, gate))
    found = schema + sides + drift
    return conclude(found + uncovered_findings(clauses, found))


def span_findings(spans: Sequence[str], policy: Policy) -> list[Finding]:
    """One finding for each span of the policy or of the data; one that the other lacks is open.

    A policy that declares a first release names no spans: all of them are current.
    """
    if policy.data_gate.first_release is not None:
        reason = f"a first release, declared by the policy: {policy.data_gate.first_release}"
        return [Finding("first_release", Status.PASS, reason)]
    named = {*policy.data_gate.baseline_spans, *policy.data_gate.current_spans}
    findings = []
    for span in sorted(named):
        rule = f"span:{span}"
        if span in spans:
            findings.append(Finding(rule, Status.PASS, f"span {span} is compared"))
        else:
            reason = f"span {span} of the policy has no rows"
            findings.append(Finding(rule, Status.INCONCLUSIVE, reason))
    # A span that the policy does not name is a cell of the data: it is counted and not quoted.
    if unnamed := len(set(spans) - named):
        reason = f"{unnamed} spans of the data are neither baseline nor current in the policy"
        findings.append(Finding("span:unnamed", Status.INCONCLUSIVE, reason))
    return findings


@dataclass(frozen=True, slots=True)
class Scored:
    """Evaluation rows with their scores.

    ``labels`` and ``scores`` have shape (n,); ``groups`` maps each protected column to n group
    labels, None where the row has none.
    """

    labels: Flags
    scores: Floats
    groups: dict[str, list[str | None]]


def release_measurements(scored: Scored, policy: Policy) -> tuple[Measurement, ...]:
    """Everything the referee measures: accuracy, rates by group, and gaps between groups."""
    confidence = policy.release_gate.confidence
    found = [
        roc_auc(scored.labels, scored.scores, confidence),
        brier(scored.labels, scored.scores, confidence),
    ]
    for attribute, groups in scored.groups.items():
        rates = _rates(scored, groups, policy)
        found.extend(
            r.rate(name, attribute, confidence)
            for r in rates
            for name in ("selection_rate", "tpr", "fpr")
        )
        found.extend(
            largest_gap(m, rates, attribute, confidence) for m in Metric if m.is_group_difference
        )
    return tuple(found)


def _rates(scored: Scored, groups: list[str | None], policy: Policy) -> list[GroupRates]:
    return group_rates(scored.labels, scored.scores, groups, policy.decision_threshold)


def finite_scores(scores: Floats) -> Finding:
    """Every score is a number in [0, 1]; one that is not makes every rate above it guesswork."""
    wrong = int((~((scores >= 0) & (scores <= 1))).sum())
    measurement = Measurement("scores outside [0, 1]", float(wrong), len(scores), unit="rows")
    if wrong:
        return Finding(
            "scores", Status.INCONCLUSIVE, f"{wrong} scores are no number in [0, 1]", measurement
        )
    return Finding("scores", Status.PASS, "every score is a number in [0, 1]", measurement)


def release_gate(measurements: Sequence[Measurement], policy: Policy) -> Verdict:
    """The limits of the policy against measurements; a limit without its figure is INCONCLUSIVE."""
    by_key = {(m.name, m.slice): m for m in measurements}
    return conclude(
        limit_finding(limit, by_key.get((str(limit.metric), limit.attribute or "overall")))
        for limit in policy.release_gate.limits
    )


def limit_finding(limit: Limit, measurement: Measurement | None) -> Finding:
    """One limit against its figure: enough cases first, then the point or the worse bound."""
    if measurement is None:
        return Finding(limit.id, Status.INCONCLUSIVE, f"{limit.metric} was not measured")
    where = "" if measurement.slice == "overall" else f" of {measurement.slice}"
    if measurement.n < limit.min_n:
        return Finding(
            limit.id,
            Status.INCONCLUSIVE,
            f"{limit.metric}{where} rests on {measurement.n} cases, {limit.min_n} required",
            measurement,
        )
    tested = measurement.value
    if limit.tested_on == "worst_bound":
        bound = measurement.low if limit.at_least is not None else measurement.high
        tested = math.nan if bound is None else bound
    return within(
        limit.id, measurement, at_least=limit.at_least, at_most=limit.at_most, tested=tested
    )


def agreement(
    native: Sequence[Measurement],
    referee: Sequence[Measurement],
    tolerance: float,
    limits: Sequence[Limit] = (),
) -> list[Finding]:
    """One finding for each figure that both sides have: they differ by at most the tolerance.

    No figure in common is INCONCLUSIVE, and so is a figure that one of ``limits`` is on and that
    the native tools lack: agreement that was not checked is not agreement. Where both sides count
    no cases there is no figure to agree on; a limit on it is closed anyway.
    """
    held = {(m.name, m.slice) for m in native}
    wanted = {(str(x.metric), x.attribute or "overall") for x in limits}
    by_key = {(m.name, m.slice): m for m in referee}
    findings = [
        Finding(
            f"agreement:{name}:{slice_}",
            Status.INCONCLUSIVE,
            f"native tools have no figure of {name} of {slice_}",
        )
        for name, slice_ in sorted(wanted - held)
    ]
    for mine in native:
        theirs = by_key.get((mine.name, mine.slice))
        if theirs is None or mine.n == theirs.n == 0:
            continue
        difference = Measurement(
            f"native minus referee {mine.name}",
            abs(mine.value - theirs.value),
            theirs.n,
            slice=mine.slice,
            source=mine.source,
        )
        findings.append(
            within(f"agreement:{mine.name}:{mine.slice}", difference, at_most=tolerance)
        )
    return findings or [
        Finding("agreement", Status.INCONCLUSIVE, "native and referee have no figure in common")
    ]
