"""The referee's verdict on the data gate: a pure function of profiles, contract and policy."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from components.checks.coverage import uncovered_findings
from components.checks.drift import drift_findings
from components.checks.measurement import Finding, Status, Verdict, conclude
from components.checks.schema import schema_findings
from components.contract.clauses import drift_clauses, schema_clauses
from components.contract.contract import Contract
from components.contract.policy import Policy
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
