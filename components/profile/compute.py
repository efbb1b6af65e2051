"""Computing profiles with DuckDB: a scan a column, bounded memory, exact counts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from components.contract.clauses import uniqueness_rules
from components.contract.contract import IDENTIFIER, Column, Contract, LogicalType, Role
from components.contract.errors import InputError
from components.profile.profile import ColumnProfile, Profile
from components.profile.sql import connect, literal, parquet, quote

Edges = Mapping[str, tuple[float, ...]]
"""Inner bin edges of each numeric column, strictly rising."""

Watch = Callable[[str], None]
"""Called with a column's name when its turn has come, so that a person sees where things are."""


def _nobody(_: str) -> None:
    return


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


def quantile_edges(
    files: Sequence[Path], contract: Contract, bins: int
) -> dict[str, tuple[float, ...]]:
    """``edges_of`` of canonical Parquet files; no edges where there are no files."""
    if not files:
        return {c.name: () for c in contract.columns if is_numeric(c)}
    with canonical_rows(files) as rows:
        return edges_of(rows, contract, bins)


def edges_of(
    rows: TypedRows, contract: Contract, bins: int, watch: Watch = _nobody
) -> dict[str, tuple[float, ...]]:
    """Inner bin edges for every numeric column: exact quantiles of the rows' values.

    At most ``bins - 1`` edges, strictly rising; fewer where values repeat. The lowest value is
    no edge, since no value lies below it. Where a bin's worth of rows or more hold the lowest
    value (most people spend nothing), that value gets a bin to itself and the quantiles are those
    of the values above it; it then is an edge as well, one more than ``bins - 1``, so that lower
    values in other data fall apart from it. A constant gets the bins below, at and above itself. A
    column without values gets no edges.
    """
    edges: dict[str, tuple[float, ...]] = {}
    for column in contract.columns:
        if is_numeric(column):
            watch(column.name)
            edges[column.name] = _edges(rows, f"({_value(column)})", bins)
    return edges


def _edges(rows: TypedRows, value: str, bins: int) -> tuple[float, ...]:
    (lowest,) = rows.one(f"min({value})")
    if lowest is None:
        return ()
    all_rows, at_lowest = rows.one(f"count({value}), count(*) FILTER ({value} = {literal(lowest)})")
    apart = at_lowest / all_rows >= 1 / bins
    steps = [i / (bins - apart) for i in range(0 if apart else 1, bins - apart)]
    above = rows.where(f"{value} > {literal(lowest)}") if apart else rows
    quantiles = above.one(f"quantile_disc({value}, {steps})")[0]
    found = {float(q) for q in quantiles or () if q > lowest}
    if apart:
        found = {float(lowest), *(found or {math.nextafter(lowest, math.inf)})}
    return tuple(sorted(found))


def profile_files(
    files: Sequence[Path],
    contract: Contract,
    edges: Edges,
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
    told = {name: str(count) for name, count in (unparseable or {}).items()}
    with canonical_rows(files) as rows:
        return profile_rows(rows, contract, edges, max_categories=max_categories, counted=told)


def profile_rows(
    rows: TypedRows,
    contract: Contract,
    edges: Edges,
    *,
    max_categories: int,
    counted: Mapping[str, str] | None = None,
    keys: bool = True,
    watch: Watch = _nobody,
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
    columns = {}
    for column in contract.columns:
        watch(column.name)
        bad = (counted or {}).get(column.name)
        if bad is None:
            flag = rows.unparseable.get(column.name)
            bad = f"count(*) FILTER ({flag})" if flag else "0"
        inner = edges.get(column.name, ()) if is_numeric(column) else ()
        columns[column.name] = _profile_column(rows, column, inner, max_categories, bad)
    (total,) = rows.one("count(*)")
    if not keys:
        return Profile(int(total), columns)
    duplicates = {"+".join(key): _duplicates(rows, key) for key in uniqueness_rules(contract)}
    return Profile(int(total), columns, duplicates)


def _value(column: Column) -> str:
    """The column's value, with NaN as null."""
    name = quote(column.name)
    if column.logical_type is LogicalType.NUMBER:
        return f"CASE WHEN isnan({name}::DOUBLE) THEN NULL ELSE {name}::DOUBLE END"
    return name


def _breaches(column: Column, value: str) -> tuple[str | None, str | None, str | None]:
    """SQL that is true for a value outside the contract's range, its domain, its pattern.

    None for a clause that the contract does not have.
    """
    bounds = []
    if column.minimum is not None:
        bounds.append(f"{value} < {literal(column.minimum)}")
    if column.maximum is not None:
        bounds.append(f"{value} > {literal(column.maximum)}")
    domain = pattern = None
    if column.allowed is not None:
        domain = f"{value} NOT IN ({', '.join(literal(v) for v in column.allowed)})"
    if column.pattern is not None:
        pattern = f"NOT regexp_matches({value}, {literal(column.pattern)})"
    return " OR ".join(bounds) or None, domain, pattern


def _profile_column(
    rows: TypedRows,
    column: Column,
    edges: tuple[float, ...],
    max_categories: int,
    unparseable: str,
) -> ColumnProfile:
    value, numeric = f"({_value(column)})", is_numeric(column)
    extremes = not is_identifier(column) and column.logical_type in (
        LogicalType.INTEGER,
        LogicalType.NUMBER,
    )
    total, bad = rows.one(f"count(*), {unparseable}")
    counts: dict[str, int] | None = None
    bins: tuple[int, ...] = ()
    # Of a category each value is looked at once, however many rows hold it.
    grouped = not numeric and not is_identifier(column)
    held = _grouped(rows, value) if grouped else _each(rows, value)
    weight = "sum(assay_n)" if grouped else "count(*)"
    parts = [
        f"{weight} FILTER (assay_v IS NOT NULL)",
        *(
            "0" if breach is None else f"{weight} FILTER ({breach})"
            for breach in _breaches(column, "assay_v")
        ),
        "min(assay_v)" if extremes else "NULL",
        "max(assay_v)" if extremes else "NULL",
        *(f"count(*) FILTER (assay_v >= {literal(edge)})" for edge in edges),
    ]
    *sums, low, high = (found := held.one(", ".join(parts)))[:6]
    # A sum over no rows is null.
    present, ranged, foreign, unmatched = (int(n or 0) for n in sums)
    if numeric:
        at_or_above = [present, *found[6:], 0]
        bins = tuple(a - b for a, b in zip(at_or_above[:-1], at_or_above[1:], strict=True))
    elif grouped:
        counts = _counts(held, max_categories)
    return ColumnProfile(
        rows=total,
        nulls=total - present,
        # Plus zero: -0.0 and 0.0 are one value, and which of them is the least is chance.
        minimum=None if low is None else float(low) + 0.0,
        maximum=None if high is None else float(high) + 0.0,
        counts=counts,
        max_categories=max_categories,
        edges=edges,
        bins=bins,
        out_of_range=ranged,
        out_of_domain=foreign,
        out_of_pattern=unmatched,
        unparseable=bad,
    )


def _each(rows: TypedRows, value: str) -> TypedRows:
    """Every row's value."""
    relation = f"(SELECT {value} AS assay_v FROM {rows.relation})"  # noqa: S608
    return TypedRows(rows.database, relation)


def _grouped(rows: TypedRows, value: str) -> TypedRows:
    """Every distinct value once, its weight the number of rows that hold it."""
    relation = (
        f"(SELECT {value} AS assay_v, count(*) AS assay_n "  # noqa: S608
        f"FROM {rows.relation} GROUP BY ALL)"
    )
    return TypedRows(rows.database, relation)


def _counts(values: TypedRows, most: int) -> dict[str, int] | None:
    """Rows of each value as text; None where there are more values than ``most``."""
    found = values.database.execute(
        f"SELECT assay_v::VARCHAR, sum(assay_n)::BIGINT FROM {values.relation} "  # noqa: S608
        f"WHERE assay_v IS NOT NULL GROUP BY 1 LIMIT {most + 1}"
    ).fetchall()
    return dict(sorted(found)) if len(found) <= most else None


def _duplicates(rows: TypedRows, keys: tuple[str, ...]) -> int:
    names = ", ".join(quote(k) for k in keys)
    present = " AND ".join(f"{quote(k)} IS NOT NULL" for k in keys)
    return int(
        rows.database.execute(
            f"SELECT coalesce(sum(assay_n - 1), 0) FROM (SELECT count(*) AS assay_n "  # noqa: S608
            f"FROM {rows.relation} WHERE {present} GROUP BY {names})"
        ).fetchall()[0][0]
    )
