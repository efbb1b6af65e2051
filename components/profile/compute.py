"""Computing profiles with DuckDB: a scan a column, bounded memory, exact counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb

from components.contract.clauses import uniqueness_rules
from components.contract.contract import IDENTIFIER, Column, Contract, LogicalType, Role
from components.contract.errors import InputError
from components.profile.profile import ColumnProfile, Profile
from components.profile.sql import connect, literal, parquet, quote

Watch = Callable[[str], None]
"""Called with a column's name when its turn has come, so that a person sees where things are."""


def nobody(_: str) -> None:
    """Watches nothing."""


@dataclass(frozen=True, slots=True)
class TypedRows:
    """Rows with a contract's columns and types, as SQL within an open DuckDB connection.

    ``relation`` is what may stand after FROM. ``unparseable`` maps a column to SQL that is true
    for a row whose cell held something, but nothing of the contract's type; absent: none can.
    """

    database: duckdb.DuckDBPyConnection
    relation: str
    unparseable: Mapping[str, str] = field(default_factory=dict)

    def where(self, condition: str) -> TypedRows:
        """Those of the rows for which a condition in SQL holds."""
        chosen = f"(SELECT * FROM {self.relation} WHERE {condition})"  # noqa: S608
        return TypedRows(self.database, chosen, self.unparseable)

    def one(self, select: str) -> tuple[Any, ...]:
        """The one row that a SELECT list of aggregates gives."""
        found = self.database.execute(f"SELECT {select} FROM {self.relation}")  # noqa: S608
        return tuple(found.fetchall()[0])


@contextmanager
def canonical_rows(files: Sequence[Path]) -> Iterator[TypedRows]:
    """The rows of canonical Parquet files taken together.

    Raises:
        InputError: no files.
    """
    if not files:
        raise InputError("no rows", where="profile", expected="at least one Parquet file")
    with connect() as database:
        database.execute(f"CREATE VIEW data AS SELECT * FROM {parquet(files)}")  # noqa: S608
        yield TypedRows(database, "data")


def is_numeric(column: Column) -> bool:
    """Whether a column is profiled by bins (and not by counting its values)."""
    return (
        not column.categorical
        and not is_identifier(column)
        and column.logical_type in (LogicalType.INTEGER, LogicalType.NUMBER)
    )


def is_identifier(column: Column) -> bool:
    """Whether a column names people: its values, extremes and edges stay out of every profile."""
    return column.role is Role.ENTITY or column.classification == IDENTIFIER


def profile_files(
    files: Sequence[Path],
    contract: Contract,
    edges: Mapping[str, tuple[float, ...]],
    *,
    max_categories: int,
    unparseable: Mapping[str, int] | None = None,
) -> Profile:
    """``profile_rows`` of canonical Parquet files.

    Args:
        files: Parquet files with the contract's columns, at least one.
        contract: names the columns and the values they may hold.
        edges: as for ``profile_rows``.
        max_categories: as for ``profile_rows``.
        unparseable: cells of each column that were not of its type when the rows were read in.

    Raises:
        InputError: no files.
    """
    with canonical_rows(files) as rows:
        return profile_rows(
            rows, contract, edges, max_categories=max_categories, counted=unparseable
        )


def profile_rows(
    rows: TypedRows,
    contract: Contract,
    edges: Mapping[str, tuple[float, ...]],
    *,
    max_categories: int,
    counted: Mapping[str, int] | None = None,
    keys: bool = True,
    watch: Watch = nobody,
) -> Profile:
    """The exact profile of some rows.

    Args:
        rows: where the rows are.
        contract: names the columns and the values they may hold.
        edges: inner bin edges of each numeric column, as from ``edges_of``.
        max_categories: most distinct values that are counted one by one.
        counted: numbers of unparseable cells, by column, that were counted before.
        keys: whether repeated keys are counted; they are the contract's business, not drift's.
        watch: told each column's name.
    """
    (total,) = rows.one("count(*)")
    columns = {}
    for column in contract.columns:
        watch(column.name)
        flag = rows.unparseable.get(column.name)
        bad: str | int = flag if flag is not None else (counted or {}).get(column.name, 0)
        if is_numeric(column) or is_identifier(column):
            inner = edges.get(column.name, ()) if is_numeric(column) else ()
            found = _by_row(rows, column, inner, bad)
        else:
            found = _by_value(rows, column, bad, max_categories)
        columns[column.name] = replace(
            found, rows=total, nulls=total - found.rows, max_categories=max_categories
        )
    if not keys:
        return Profile(int(total), columns)
    duplicates = {"+".join(key): _duplicates(rows, key) for key in uniqueness_rules(contract)}
    return Profile(int(total), columns, duplicates)


def value_sql(column: Column) -> str:
    """SQL for a column's value, with NaN as null."""
    name = quote(column.name)
    if column.logical_type is LogicalType.NUMBER:
        return f"CASE WHEN isnan({name}::DOUBLE) THEN NULL ELSE {name}::DOUBLE END"
    return name


def _breaches(column: Column) -> tuple[str, str, str]:
    """SQL that is true where ``assay_v`` is outside the column's range, its domain, its pattern."""
    bounds = []
    if column.minimum is not None:
        bounds.append(f"assay_v < {literal(column.minimum)}")
    if column.maximum is not None:
        bounds.append(f"assay_v > {literal(column.maximum)}")
    domain = pattern = "FALSE"
    if column.allowed is not None:
        domain = f"assay_v NOT IN ({', '.join(literal(v) for v in column.allowed)})"
    if column.pattern is not None:
        pattern = f"NOT regexp_matches(assay_v, {literal(column.pattern)})"
    return " OR ".join(bounds) or "FALSE", domain, pattern


def _by_row(
    rows: TypedRows, column: Column, edges: tuple[float, ...], unparseable: str | int
) -> ColumnProfile:
    """A number's or an identifier's profile, in one scan; ``rows`` are those with a value.

    Of an identifier nothing is kept but counts.
    """
    flag = unparseable if isinstance(unparseable, str) else "FALSE"
    values = TypedRows(
        rows.database,
        f"(SELECT {value_sql(column)} AS assay_v, {flag} AS assay_bad FROM {rows.relation})",  # noqa: S608
    )
    conditions = [
        "assay_v IS NOT NULL",
        "assay_bad",
        *_breaches(column),
        *(f"assay_v >= {literal(edge)}" for edge in edges),
    ]
    # countif is three times as fast as a count with a filter; of no rows it is null.
    counted = ", ".join(f"countif({c})" for c in conditions)
    extremes = "min(assay_v), max(assay_v)" if is_numeric(column) else "NULL, NULL"
    low, high, *found = values.one(f"{extremes}, {counted}")
    present, bad, ranged, foreign, unmatched, *above = (int(n or 0) for n in found)
    at_or_above = [present, *above, 0]
    bins = tuple(a - b for a, b in zip(at_or_above[:-1], at_or_above[1:], strict=True))
    return ColumnProfile(
        rows=present,
        nulls=0,
        minimum=_extreme(low),
        maximum=_extreme(high),
        counts=None,
        max_categories=0,
        edges=edges,
        bins=bins if is_numeric(column) else (),
        out_of_range=ranged,
        out_of_domain=foreign,
        out_of_pattern=unmatched,
        unparseable=bad if isinstance(unparseable, str) else unparseable,
    )


def _by_value(rows: TypedRows, column: Column, unparseable: str | int, most: int) -> ColumnProfile:
    """A category's profile: each value is looked at once, however many rows hold it.

    ``rows`` are those with a value; the values are listed where there are no more than ``most``.
    """
    if isinstance(unparseable, str):
        unparseable = int(rows.one(f"countif({unparseable})")[0] or 0)
    values = TypedRows(
        rows.database,
        f"(SELECT {value_sql(column)} AS assay_v, count(*) AS assay_n "  # noqa: S608
        f"FROM {rows.relation} GROUP BY ALL)",
    )
    ordered = column.logical_type in (LogicalType.INTEGER, LogicalType.NUMBER)
    extremes = "min(assay_v), max(assay_v)" if ordered else "NULL, NULL"
    listed = (
        f"arg_min({{'v': assay_v::VARCHAR, 'n': assay_n}}, assay_v, {most + 1}) "
        "FILTER (assay_v IS NOT NULL)"
    )
    sums = ", ".join(
        f"sum(assay_n) FILTER ({c})" for c in ("assay_v IS NOT NULL", *_breaches(column))
    )
    low, high, held, *found = values.one(f"{extremes}, {listed}, {sums}")
    present, ranged, foreign, unmatched = (int(n or 0) for n in found)
    counts = {v["v"]: int(v["n"]) for v in held or ()}
    return ColumnProfile(
        rows=present,
        nulls=0,
        minimum=_extreme(low),
        maximum=_extreme(high),
        counts=dict(sorted(counts.items())) if len(counts) <= most else None,
        max_categories=most,
        out_of_range=ranged,
        out_of_domain=foreign,
        out_of_pattern=unmatched,
        unparseable=unparseable,
    )


def _extreme(value: Any) -> float | None:
    # Plus zero: -0.0 and 0.0 are one value, and which of them is the least is chance.
    return None if value is None else float(value) + 0.0


def _duplicates(rows: TypedRows, keys: tuple[str, ...]) -> int:
    names = ", ".join(quote(k) for k in keys)
    present = " AND ".join(f"{quote(k)} IS NOT NULL" for k in keys)
    return int(
        rows.database.execute(
            f"SELECT coalesce(sum(assay_n - 1), 0) FROM (SELECT count(*) AS assay_n "  # noqa: S608
            f"FROM {rows.relation} WHERE {present} GROUP BY {names})"
        ).fetchall()[0][0]
    )
