"""From cells to values of the contract's types: what fits is converted, the rest is counted."""

from __future__ import annotations

import contextlib
import math

import duckdb
import pyarrow as pa

from components.contract.contract import Column, Contract, LogicalType
from components.contract.errors import InputError
from components.datasets.sources import RowSource
from components.profile.compute import literal, quote

_SQL_TYPES = {
    LogicalType.STRING: "VARCHAR",
    LogicalType.INTEGER: "BIGINT",
    LogicalType.NUMBER: "DOUBLE",
    LogicalType.BOOLEAN: "BOOLEAN",
}
_NUMERIC = (LogicalType.INTEGER, LogicalType.NUMBER)
_BOOLEAN_TEXTS = ", ".join(
    literal(t) for t in ("true", "false", "t", "f", "yes", "no", "y", "n", "1", "0", "1.0", "0.0")
)


def read_typed(
    database: duckdb.DuckDBPyConnection, contract: Contract, source: RowSource
) -> tuple[pa.Table, dict[str, int]]:
    """All rows of a source with the contract's types, and the cells that were of another type.

    Returns:
        The contract's columns and the group labels of the protected ones, ordered by entity, span
        and then all columns; and the number of unparseable cells of each column that has any.

    Raises:
        InputError: the header line stands among the rows as well.
        duckdb.Error: the file cannot be read; its message may quote cells.
    """
    columns = ", ".join(f"{_typed(c, contract)} AS {quote(c.name)}" for c in contract.columns)
    groups = ", ".join(f"{_group(c)} AS {quote(c.group_column)}" for c in contract.protected)
    select = (
        f"SELECT *{', ' + groups if groups else ''} FROM (SELECT {columns} FROM ({source.sql}))"  # noqa: S608
    )
    first = [contract.entity, *([contract.span] if contract.span else [])]
    order = [quote(c.name) for c in (*first, *contract.columns)]
    table = database.sql(f"{select} ORDER BY {', '.join(order)}").to_arrow_table()
    failed = ", ".join(_failed(c, contract) for c in contract.columns)
    header = " AND ".join(f"{quote(c.name)}::VARCHAR = {literal(c.name)}" for c in contract.columns)
    repeated, *counts = database.execute(
        f"SELECT count(*) FILTER (WHERE {header}), {failed} FROM ({source.sql})"  # noqa: S608
    ).fetchall()[0]
    if repeated:
        raise InputError(
            "the header line appears twice",
            where=", ".join(str(f) for f in source.files),
            expected="one header line, at the top",
        )
    found = {c.name: n for c, n in zip(contract.columns, counts, strict=True) if n}
    return table, found


def _cell(column: Column, contract: Contract) -> str:
    """SQL for a column's cell with the contract's missing markers, empty text and NaN as null.

    A marker that is a number marks every numeric cell of its value: ``-9`` marks ``-9.0``.
    """
    name = quote(column.name)
    markers = ", ".join(literal(m) for m in ("", *contract.missing_markers))
    missing = f"{name}::VARCHAR IN ({markers})"
    if column.logical_type in _NUMERIC:
        number = f"TRY_CAST({name} AS DOUBLE)"
        numbers = ["'nan'::DOUBLE", *(literal(n) for n in _numbers(contract.missing_markers))]
        missing += f" OR coalesce({number} IN ({', '.join(numbers)}), FALSE)"
    return f"CASE WHEN {missing} THEN NULL ELSE {name} END"


def _numbers(texts: tuple[str, ...]) -> list[float]:
    found = []
    for text in texts:
        with contextlib.suppress(ValueError):
            found.append(float(text))
    return [n for n in found if math.isfinite(n)]


def _typed(column: Column, contract: Contract) -> str:
    """SQL for a column's value; null where the cell holds nothing of the type without a loss.

    DuckDB would round 1.5 to an integer, read 2 as true, and take ``inf`` and ``1_000`` for
    numbers: all of these are cells of another type.
    """
    cell = _cell(column, contract)
    value = f"TRY_CAST({cell} AS {_SQL_TYPES[column.logical_type]})"
    plain = f"NOT contains(({cell})::VARCHAR, '_')"
    match column.logical_type:
        case LogicalType.INTEGER:
            kept = f"{plain} AND TRY_CAST({cell} AS DOUBLE) = ({value})::DOUBLE"
        case LogicalType.NUMBER:
            kept = f"{plain} AND isfinite({value})"
        case LogicalType.BOOLEAN:
            kept = f"lower(trim(({cell})::VARCHAR)) IN ({_BOOLEAN_TEXTS})"
        case _:
            return value
    return f"CASE WHEN {kept} THEN {value} END"


def _failed(column: Column, contract: Contract) -> str:
    """SQL that counts the cells that hold something, but nothing of the contract's type."""
    cell, typed = _cell(column, contract), _typed(column, contract)
    return f"count(*) FILTER (WHERE ({cell}) IS NOT NULL AND ({typed}) IS NULL)"


def _group(column: Column) -> str:
    """SQL for a protected column's group label; null where the column is null."""
    name = quote(column.name)
    if column.bands is None:
        return f"{name}::VARCHAR"
    cases = " ".join(
        f"WHEN {name} < {edge!r} THEN {literal(label)}"
        for edge, label in zip(column.bands.edges, column.bands.labels, strict=False)
    )
    last = literal(column.bands.labels[-1])
    return f"CASE WHEN {name} IS NULL THEN NULL {cases} ELSE {last} END"
