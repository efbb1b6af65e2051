"""The clauses of a contract and of a policy's data gate, under the rule ids of all engines."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from components.contract.contract import Column, Contract, Role
from components.contract.policy import DataGatePolicy

ERROR = "error"
"""Severity of a clause that does not say another."""


class ClauseKind(StrEnum):
    """What a clause asks; the first half of its rule id."""

    CONFIRMED = "confirmed"
    ROW_COUNT = "row_count"
    ROW_RATIO = "row_ratio"
    TYPE = "type"
    NULLS = "nulls"
    RANGE = "range"
    DOMAIN = "domain"
    PATTERN = "pattern"
    UNIQUE = "unique"
    DRIFT = "drift"


@dataclass(frozen=True, slots=True)
class Clause:
    """One thing that data must keep to.

    ``subject`` is a column, columns joined with ``+`` for a composite key, or ``least`` or ``most``
    for a count of rows. ``severity`` is the contract's word (``error``, ``warning``, ``info``): it
    tells people how urgent a breach is, and opens no gate.
    """

    kind: ClauseKind
    subject: str
    severity: str = ERROR

    @property
    def rule(self) -> str:
        """The clause's id in every finding, record and report: ``<kind>:<subject>``."""
        return f"{self.kind}:{self.subject}"


@dataclass(frozen=True, slots=True)
class Unexpressed:
    """A clause that an engine cannot check, or checks in another sense; another engine checks it.

    ``rule`` is the clause's rule id, ``engine`` the tool that lacks it, ``why`` a sentence without
    any value out of the data.
    """

    rule: str
    engine: str
    why: str

    def to_json(self) -> dict[str, str]:
        """JSON of the three fields."""
        return {"rule": self.rule, "engine": self.engine, "why": self.why}


def uniqueness_rules(contract: Contract) -> tuple[tuple[str, ...], ...]:
    """Every set of columns that must be unique together, single columns included."""
    singles = tuple((c.name,) for c in contract.columns if c.unique)
    return singles + contract.unique_together


def drifting_columns(contract: Contract) -> tuple[str, ...]:
    """The columns that the drift gate watches: features and protected columns."""
    watched = (Role.FEATURE, Role.PROTECTED)
    return tuple(c.name for c in contract.columns if c.role in watched)


def schema_clauses(contract: Contract) -> tuple[Clause, ...]:
    """Every clause of the contract, in its order; each rule id once."""
    found = [("row_count", "least")]
    if math.isfinite(contract.max_rows):
        found.append(("row_count", "most"))
    for column in contract.columns:
        found += [(kind, column.name) for kind in _column_clauses(column)]
    found += [("unique", "+".join(keys)) for keys in uniqueness_rules(contract)]
    return tuple(
        Clause(ClauseKind(kind), subject, contract.severities.get(f"{kind}:{subject}", ERROR))
        for kind, subject in found
    )


def _column_clauses(column: Column) -> Iterator[str]:
    if column.to_confirm:
        yield "confirmed"
    yield "type"
    if column.max_null_fraction < 1.0:
        yield "nulls"
    if column.minimum is not None or column.maximum is not None:
        yield "range"
    if column.allowed is not None:
        yield "domain"
    if column.pattern is not None:
        yield "pattern"


def drift_clauses(contract: Contract, gate: DataGatePolicy) -> tuple[Clause, ...]:
    """What the policy asks of the current rows in the light of the baseline's."""
    columns = tuple(Clause(ClauseKind.DRIFT, name) for name in drifting_columns(contract))
    sides = (("least", gate.row_ratio_at_least), ("most", gate.row_ratio_at_most))
    ratio = tuple(Clause(ClauseKind.ROW_RATIO, side) for side, x in sides if x is not None)
    return ratio + columns


def claimed(clauses: Sequence[Clause], unexpressed: Sequence[Unexpressed]) -> tuple[Clause, ...]:
    """The clauses that an engine claims to check: all but those it lists as unexpressed.

    Raises:
        ValueError: the list names a rule that no clause has, so it was made for other clauses.
    """
    left_out = {u.rule for u in unexpressed}
    if unknown := left_out - {c.rule for c in clauses}:
        raise ValueError(f"{min(unknown)} is no clause")
    return tuple(c for c in clauses if c.rule not in left_out)
