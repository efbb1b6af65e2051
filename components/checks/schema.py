"""The referee's schema checks: an exact profile against the contract's clauses."""

from __future__ import annotations

import math
from collections.abc import Iterator

from components.checks.measurement import Finding, Measurement, Status, within
from components.contract.contract import Column, Contract
from components.profile.profile import ColumnProfile, Profile


def schema_findings(profile: Profile, contract: Contract) -> list[Finding]:
    """One finding for every clause of the contract, checked on all rows.

    Rules are named ``<clause>:<column>``: ``type``, ``nulls``, ``values`` (range, domain and
    pattern) for each column that has them, ``unique:<columns>`` and ``row_count``. A column that
    the profile lacks is INCONCLUSIVE.
    """
    findings = list(_row_count(profile, contract))
    for column in contract.columns:
        found = profile.columns.get(column.name)
        if found is None:
            findings.append(
                Finding(
                    f"type:{column.name}",
                    Status.INCONCLUSIVE,
                    f"column {column.name} was not profiled",
                )
            )
            continue
        findings.extend(_column(column, found))
    findings.extend(_unique(profile, contract))
    return findings


def _row_count(profile: Profile, contract: Contract) -> Iterator[Finding]:
    rows = Measurement("rows", float(profile.rows), profile.rows, unit="rows")
    yield within("row_count:least", rows, at_least=float(contract.min_rows))
    if math.isfinite(contract.max_rows):
        yield within("row_count:most", rows, at_most=float(contract.max_rows))


def _column(column: Column, found: ColumnProfile) -> Iterator[Finding]:
    def count(name: str, value: int) -> Measurement:
        return Measurement(name, float(value), found.rows, slice=column.name, unit="rows")

    yield within(
        f"type:{column.name}", count("cells of another type", found.unparseable), at_most=0.0
    )
    nulls = Measurement(
        "null fraction",
        found.nulls / found.rows if found.rows else math.nan,
        found.rows,
        slice=column.name,
    )
    if column.max_null_fraction < 1.0:
        yield within(f"nulls:{column.name}", nulls, at_most=column.max_null_fraction)
    bounded = (column.minimum, column.maximum, column.allowed, column.pattern)
    if any(b is not None for b in bounded):
        yield within(
            f"values:{column.name}",
            count("values outside range, domain or pattern", found.outside),
            at_most=0.0,
        )


def _unique(profile: Profile, contract: Contract) -> Iterator[Finding]:
    rules = [(c.name,) for c in contract.columns if c.unique] + list(contract.unique_together)
    for keys in rules:
        name = "+".join(keys)
        repeated = (profile.duplicates or {}).get(name)
        if repeated is None:
            yield Finding(
                f"unique:{name}",
                Status.INCONCLUSIVE,
                f"duplicates of {name} were not counted over all rows",
            )
            continue
        yield within(
            f"unique:{name}",
            Measurement("repeated keys", float(repeated), profile.rows, slice=name, unit="rows"),
            at_most=0.0,
        )
