"""Computing profiles of Parquet files with DuckDB: one scan, bounded memory, exact counts."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

import duckdb

from components.contract.contract import IDENTIFIER, Column, Contract, LogicalType, Role
from components.contract.errors import InputError
from components.profile.profile import ColumnProfile, Profile

_BOUNDED_MEMORY = "1GB"


def connect() -> duckdb.DuckDBPyConnection:
    """A DuckDB connection that reaches no network, loads no extension and bounds its memory.

    It does not reason from a Parquet file's statistics either: they pass over NaN, so DuckDB 2.0
    takes ``isnan(x)`` for false on a column that holds NaN.
    """
    return duckdb.connect(
        config={
            "memory_limit": _BOUNDED_MEMORY,
            "disabled_optimizers": "statistics_propagation",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        }
    )


def quote(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """An SQL literal for a value out of a contract."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        # Without the cast 0.1 is a DECIMAL, which a large integer cannot be compared with.
        return f"'{value!r}'::DOUBLE"
    return repr(value)


def parquet(files: Sequence[Path]) -> str:
    """SQL for the rows of some Parquet files: these files only, and what is in them only.

    DuckDB takes ``*``, ``?`` and ``[`` in a path for a pattern, and ``key=value`` in a folder's
    name for a column of the data.
    """
    paths = ", ".join(path_literal(f) for f in files)
    return f"read_parquet([{paths}], hive_partitioning=false)"


def path_literal(path: Path) -> str:
    """An SQL literal that DuckDB reads as this one path and not as a pattern."""
    return literal(re.sub(r"([*?\[])", r"[\1]", str(path.absolute())))


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
    """Inner bin edges for every numeric column: exact quantiles of the files' values.

    At most ``bins - 1`` edges, strictly rising; fewer where values repeat. The lowest value is
    no edge, since no value lies below it. Where a bin's worth of rows or more hold the lowest
    value (most people spend nothing), that value gets a bin to itself and the quantiles are those
    of the values above it; it then is an edge as well, one more than ``bins - 1``, so that lower
    values in other data fall apart from it. A constant gets the bins below, at and above itself. A
    column without values gets no edges.
    """
    numeric = [c for c in contract.columns if is_numeric(c)]
    if not numeric or not files:
        return {c.name: () for c in numeric}
    edges: dict[str, tuple[float, ...]] = {}
    with connect() as database:
        _view(database, files)
        for column in numeric:
            value = f"({_value(column)})"
            lowest, lowest_share = database.execute(
                f"SELECT min({value}), avg(({value} = (SELECT min({value}) FROM data))::INT) "  # noqa: S608
                "FROM data"
            ).fetchall()[0]
            if lowest is None:
                edges[column.name] = ()
                continue
            apart = lowest_share >= 1 / bins
            steps = [i / (bins - apart) for i in range(0 if apart else 1, bins - apart)]
            above = f"WHERE {value} > {literal(lowest)}" if apart else ""
            quantiles = database.execute(
                f"SELECT quantile_disc({value}, {steps}) FROM data {above}"  # noqa: S608
            ).fetchall()[0][0]
            found = {float(q) for q in quantiles or () if q > lowest}
            if apart:
                found = {float(lowest), *(found or {math.nextafter(lowest, math.inf)})}
            edges[column.name] = tuple(sorted(found))
    return edges


def _view(database: duckdb.DuckDBPyConnection, files: Sequence[Path]) -> None:
    database.execute(f"CREATE VIEW data AS SELECT * FROM {parquet(files)}")  # noqa: S608


def profile_files(
    files: Sequence[Path],
    contract: Contract,
    edges: dict[str, tuple[float, ...]],
    *,
    max_categories: int,
    unparseable: dict[str, int] | None = None,
) -> Profile:
    """The exact profile of canonical Parquet files taken together.

    Args:
        files: Parquet files with the contract's columns, at least one.
        contract: names the columns and the values they may hold.
        edges: inner bin edges of each numeric column, as from ``quantile_edges``.
        max_categories: most distinct values that are counted one by one.
        unparseable: cells of each column that were not of its type when the rows were read in.

    Raises:
        InputError: no files.
    """
    unparseable = unparseable or {}
    if not files:
        raise InputError("no rows", where="profile", expected="at least one Parquet file")
    with connect() as database:
        _view(database, files)
        rows = int(database.execute("SELECT count(*) FROM data").fetchall()[0][0])
        columns = {
            c.name: _profile_column(
                database,
                c,
                rows,
                edges.get(c.name, ()),
                max_categories,
                unparseable.get(c.name, 0),
            )
            for c in contract.columns
        }
        duplicates = {
            "+".join(keys): _duplicates(database, keys) for keys in uniqueness_rules(contract)
        }
    return Profile(rows, columns, duplicates)


def uniqueness_rules(contract: Contract) -> tuple[tuple[str, ...], ...]:
    """Every set of columns that must be unique together, single columns included."""
    singles = tuple((c.name,) for c in contract.columns if c.unique)
    return singles + contract.unique_together


def _value(column: Column) -> str:
    """The column's value, with NaN as null."""
    name = quote(column.name)
    if column.logical_type is LogicalType.NUMBER:
        return f"CASE WHEN isnan({name}::DOUBLE) THEN NULL ELSE {name}::DOUBLE END"
    return name


def _outside(column: Column) -> str:
    """SQL that is true for a value outside the contract's range, domain or pattern."""
    value, rules = f"({_value(column)})", []
    if column.minimum is not None:
        rules.append(f"{value} < {literal(column.minimum)}")
    if column.maximum is not None:
        rules.append(f"{value} > {literal(column.maximum)}")
    if column.allowed is not None:
        domain = ", ".join(literal(v) for v in column.allowed)
        rules.append(f"{value} NOT IN ({domain})")
    if column.pattern is not None:
        rules.append(f"NOT regexp_matches({value}, {literal(column.pattern)})")
    return " OR ".join(rules) or "FALSE"


def _profile_column(
    database: duckdb.DuckDBPyConnection,
    column: Column,
    rows: int,
    edges: tuple[float, ...],
    max_categories: int,
    unparseable: int,
) -> ColumnProfile:
    value, numeric = f"({_value(column)})", is_numeric(column)
    extremes = numeric or (
        not is_identifier(column)
        and column.logical_type in (LogicalType.INTEGER, LogicalType.NUMBER)
    )
    parts = [
        f"count({value})",
        f"count(*) FILTER (WHERE {_outside(column)})",
        f"min({value})" if extremes else "NULL",
        f"max({value})" if extremes else "NULL",
        *(f"count(*) FILTER (WHERE {value} >= {literal(edge)})" for edge in edges if numeric),
    ]
    present, outside, low, high, *above = database.execute(
        f"SELECT {', '.join(parts)} FROM data"  # noqa: S608 - quoted identifiers and literals
    ).fetchall()[0]
    bins: tuple[int, ...] = ()
    counts: dict[str, int] | None = None
    if numeric:
        at_or_above = [present, *above, 0]
        bins = tuple(a - b for a, b in zip(at_or_above[:-1], at_or_above[1:], strict=True))
    elif not is_identifier(column):
        found = database.execute(
            f"SELECT {value}::VARCHAR, count(*) FROM data WHERE {value} IS NOT NULL "  # noqa: S608
            f"GROUP BY 1 LIMIT {max_categories + 1}"
        ).fetchall()
        counts = dict(sorted(found)) if len(found) <= max_categories else None
    return ColumnProfile(
        rows=rows,
        nulls=rows - present,
        # Plus zero: -0.0 and 0.0 are one value, and which of them is the least is chance.
        minimum=None if low is None else float(low) + 0.0,
        maximum=None if high is None else float(high) + 0.0,
        counts=counts,
        max_categories=max_categories,
        edges=edges if numeric else (),
        bins=bins,
        outside=outside,
        unparseable=unparseable,
    )


def _duplicates(database: duckdb.DuckDBPyConnection, keys: tuple[str, ...]) -> int:
    names = ", ".join(quote(k) for k in keys)
    present = " AND ".join(f"{quote(k)} IS NOT NULL" for k in keys)
    return int(
        database.execute(
            f"SELECT coalesce(sum(assay_n - 1), 0) FROM "  # noqa: S608 - quoted identifiers
            f"(SELECT count(*) AS assay_n FROM data WHERE {present} GROUP BY {names})"
        ).fetchall()[0][0]
    )
