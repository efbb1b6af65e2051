"""The referee's schema checks: an exact profile against the contract's clauses."""

from __future__ import annotations

from collections.abc import Collection

from components.checks.measurement import Finding, Measurement, Status, within
from components.contract.clauses import Clause, ClauseKind, schema_clauses
from components.contract.contract import Column, Contract
from components.profile.profile import ColumnProfile, Profile

_BREACHES = {
    ClauseKind.TYPE: ("cells of another type", "unparseable"),
    ClauseKind.RANGE: ("values outside the range", "out_of_range"),
    ClauseKind.DOMAIN: ("values outside the domain", "out_of_domain"),
    ClauseKind.PATTERN: ("values that do not match the pattern", "out_of_pattern"),
}
"""For each clause that no row may break: what is counted, and the profile's field for it."""


def schema_findings(
    profile: Profile, contract: Contract, absent: Collection[str] = ()
) -> list[Finding]:
    """One finding for every clause of the contract, under its rule id, over all rows.

    Args:
        profile: of all rows.
        contract: the clauses.
        absent: columns that the data are known to lack: FAIL in ``type``. A column that the
            profile lacks for whatever reason is INCONCLUSIVE in each of its other clauses, and so
            is everything but the row count where there are no rows.
    """
    return [_finding(clause, profile, contract, absent) for clause in schema_clauses(contract)]


def _finding(
    clause: Clause, profile: Profile, contract: Contract, absent: Collection[str]
) -> Finding:
    if clause.kind is ClauseKind.TYPE and clause.subject in absent:
        return Finding(clause.rule, Status.FAIL, f"column {clause.subject} is not in the data")
    if clause.kind is ClauseKind.ROW_COUNT:
        return _row_count(clause, profile, contract)
    if clause.kind is ClauseKind.UNIQUE:
        return _unique(clause, profile)
    column, found = contract.column(clause.subject), profile.columns.get(clause.subject)
    if clause.kind is ClauseKind.CONFIRMED:
        reason = f"a person has yet to confirm of {column.name}: {column.to_confirm}"
        return Finding(clause.rule, Status.INCONCLUSIVE, reason)
    if found is None:
        reason = f"column {clause.subject} was not profiled"
        return Finding(clause.rule, Status.INCONCLUSIVE, reason)
    if found.rows == 0:
        return _no_rows(clause)
    if clause.kind is ClauseKind.NULLS:
        return _nulls(clause, column, found)
    return _none_may(clause, found)


def _no_rows(clause: Clause) -> Finding:
    return Finding(clause.rule, Status.INCONCLUSIVE, f"{clause.rule} unknown: there are no rows")


def _row_count(clause: Clause, profile: Profile, contract: Contract) -> Finding:
    rows = Measurement("rows", float(profile.rows), profile.rows, unit="rows")
    if clause.subject == "least":
        return within(clause.rule, rows, at_least=float(contract.min_rows))
    return within(clause.rule, rows, at_most=float(contract.max_rows))


def _nulls(clause: Clause, column: Column, found: ColumnProfile) -> Finding:
    fraction = found.nulls / found.rows
    measured = Measurement("null fraction", fraction, found.rows, slice=column.name)
    return within(clause.rule, measured, at_most=column.max_null_fraction)


def _none_may(clause: Clause, found: ColumnProfile) -> Finding:
    name, field = _BREACHES[clause.kind]
    count = float(getattr(found, field))
    measured = Measurement(name, count, found.rows, slice=clause.subject, unit="rows")
    return within(clause.rule, measured, at_most=0.0)


def _unique(clause: Clause, profile: Profile) -> Finding:
    if profile.rows == 0:
        return _no_rows(clause)
    repeated = (profile.duplicates or {}).get(clause.subject)
    if repeated is None:
        reason = f"duplicates of {clause.subject} were not counted over all rows"
        return Finding(clause.rule, Status.INCONCLUSIVE, reason)
    measured = Measurement(
        "repeated keys", float(repeated), profile.rows, slice=clause.subject, unit="rows"
    )
    return within(clause.rule, measured, at_most=0.0)
