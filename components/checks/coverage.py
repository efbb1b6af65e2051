"""Which engine executed which clause, and what it found: no clause is dropped without a word."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from components.checks.measurement import Finding, Status, conclude
from components.contract.clauses import Clause


@dataclass(frozen=True, slots=True)
class Covered:
    """One clause and each engine's status of it, for the engines that executed it."""

    clause: Clause
    by_engine: Mapping[str, Status]

    def to_json(self) -> dict[str, object]:
        """JSON of rule id, severity and the status by engine."""
        return {
            "rule": self.clause.rule,
            "severity": self.clause.severity,
            "engines": {engine: str(status) for engine, status in self.by_engine.items()},
        }


def coverage(
    clauses: Iterable[Clause], findings: Mapping[str, Sequence[Finding]]
) -> tuple[Covered, ...]:
    """One row for each clause, in the clauses' order.

    Args:
        clauses: everything that should have been checked.
        findings: each engine's findings, under the clauses' rule ids; other rules are passed over,
            and of several findings of one rule the worst counts.
    """
    return tuple(
        Covered(
            clause,
            {
                engine: conclude(mine).status
                for engine, found in findings.items()
                if (mine := [f for f in found if f.rule == clause.rule])
            },
        )
        for clause in clauses
    )


def uncovered_findings(clauses: Iterable[Clause], findings: Sequence[Finding]) -> list[Finding]:
    """A finding, INCONCLUSIVE, for each clause that none of the findings is about."""
    executed = {f.rule for f in findings}
    return [
        Finding(c.rule, Status.INCONCLUSIVE, f"no engine executed {c.rule}")
        for c in clauses
        if c.rule not in executed
    ]
