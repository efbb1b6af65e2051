"""From cells to values of the contract's types: what fits is converted, the rest is counted."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from components.contract.contract import Column, Contract, LogicalType
from components.contract.errors import InputError
from components.datasets.sources import RowSource, reading, require_columns
from components.profile.compute import TypedRows
from components.profile.sql import connect, literal, path_literal, quote

if TYPE_CHECKING:
    import pyarrow as pa

_SQL_TYPES = {
    LogicalType.STRING: "VARCHAR",
    LogicalType.INTEGER: "BIGINT",
    LogicalType.NUMBER: "DOUBLE",
    LogicalType.BOOLEAN: "BOOLEAN",
}
_NUMERIC = (LogicalType.INTEGER, LogicalType.NUMBER)
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER")
_FLOATS = ("FLOAT", "DOUBLE")
_EXACT = (*_INTEGERS, "UBIGINT", "HUGEINT", "DECIMAL")
_FITTING = {
    LogicalType.STRING: ("VARCHAR", "ENUM", "UUID", "DATE", *_EXACT),
    LogicalType.INTEGER: ("VARCHAR", "BOOLEAN", *_EXACT, *_FLOATS),  # a flag is 0 or 1
    LogicalType.NUMBER: ("VARCHAR", *_EXACT, *_FLOATS),
    LogicalType.BOOLEAN: ("VARCHAR", "BOOLEAN", *_EXACT, *_FLOATS),
}
"""DuckDB's types whose values can be of a logical type; a cell of any other never is."""
_BOOLEAN_TEXTS = ", ".join(
    literal(t) for t in ("true", "false", "t", "f", "yes", "no", "y", "n", "1", "0", "1.0", "0.0")
)
_FAILED = "assay_failed_"
_PACKING = "(FORMAT parquet, COMPRESSION lz4)"


@contextlib.contextmanager
def open_rows(contract: Contract, source: RowSource) -> Iterator[TypedRows]:
    """The source's rows with the contract's types, for as many scans as are wanted.

    Parquet is read where it lies. CSV is parsed once, into a file in a folder that only this user
    can open and that is gone afterwards.

    Raises:
        InputError: a column of the contract is absent, the header line stands among the rows as
            well, or the files cannot be read; also from within the block.
    """
    require_columns(contract, source)
    failed = {
        c.name: f"{_FAILED}{i}"
        for i, c in enumerate(contract.columns)
        if _failed(c, contract, source.types[c.name]) is not None
    }
    with (
        tempfile.TemporaryDirectory(prefix="assay-") as folder,
        connect() as database,
        reading(source),
    ):
        select = typed_select(contract, source, failed)
        if not source.typed:
            _refuse_repeated_header(database, contract, source)
            parsed = Path(folder) / "rows.parquet"
            database.execute(f"COPY ({select}) TO {literal(str(parsed))} {_PACKING}")
            select = f"SELECT * FROM read_parquet({path_literal(parsed)})"  # noqa: S608
        database.execute(f"CREATE VIEW data AS {select}")
        yield TypedRows(database, "data", failed)


def typed_select(contract: Contract, source: RowSource, failed: Mapping[str, str]) -> str:
    """A SELECT of the contract's columns, the labels of grouped columns, and flags.

    Args:
        contract: the columns and their types.
        source: the rows.
        failed: for each column that can hold a cell of another type, the name of its flag.
    """
    types = source.types
    columns = [f"{_typed(c, contract, types[c.name])} AS {quote(c.name)}" for c in contract.columns]
    flags = [
        f"{_failed(contract.column(name), contract, types[name])} AS {quote(flag)}"
        for name, flag in failed.items()
    ]
    groups = [f", {_group(c)} AS {quote(c.group_column)}" for c in contract.grouped]
    inner = f"SELECT {', '.join([*columns, *flags])} FROM ({source.sql})"  # noqa: S608
    return f"SELECT *{''.join(groups)} FROM ({inner})"  # noqa: S608


def read_typed(
    database: duckdb.DuckDBPyConnection, contract: Contract, source: RowSource
) -> tuple[pa.Table, dict[str, int]]:
    """All rows of a source with the contract's types, and the cells that were of another type.

    Returns:
        The contract's columns and the labels of the grouped ones, ordered by entity, span
        and then all columns; and the number of unparseable cells of each column that has any.

    Raises:
        InputError: the header line stands among the rows as well.
        duckdb.Error: the file cannot be read; its message may quote cells.
    """
    types = source.types
    select = typed_select(contract, source, {})
    first = [contract.entity, *([contract.span] if contract.span else [])]
    order = [quote(c.name) for c in (*first, *contract.columns)]
    table = database.sql(f"{select} ORDER BY {', '.join(order)}").to_arrow_table()
    _refuse_repeated_header(database, contract, source)
    flags = {c.name: _failed(c, contract, types[c.name]) for c in contract.columns}
    counted = [f"count(*) FILTER ({flag or 'FALSE'})" for flag in flags.values()]
    counts = database.execute(
        f"SELECT {', '.join(counted)} FROM ({source.sql})"  # noqa: S608
    ).fetchall()[0]
    return table, {name: n for name, n in zip(flags, counts, strict=True) if n}


def _refuse_repeated_header(
    database: duckdb.DuckDBPyConnection, contract: Contract, source: RowSource
) -> None:
    header = " AND ".join(f"{quote(c.name)}::VARCHAR = {literal(c.name)}" for c in contract.columns)
    if database.execute(f"SELECT 1 FROM ({source.sql}) WHERE {header} LIMIT 1").fetchall():  # noqa: S608
        raise InputError(
            "the header line appears twice",
            where=source.named,
            expected="one header line, at the top",
        )


def _cell(column: Column, contract: Contract, sql_type: str) -> str:
    """SQL for a column's cell with the contract's missing markers, empty text and NaN as null.

    A marker that is a number marks every numeric cell of its value: ``-9`` marks ``-9.0``.
    """
    name, missing = quote(column.name), []
    numeric = column.logical_type in _NUMERIC
    if not (numeric and sql_type in (*_INTEGERS, *_FLOATS)):
        markers = ", ".join(literal(m) for m in ("", *contract.missing_markers))
        missing.append(f"{name}::VARCHAR IN ({markers})")
    if numeric:
        numbers = [literal(n) for n in _numbers(contract.missing_markers)]
        if sql_type not in _INTEGERS:
            numbers.append("'nan'::DOUBLE")
        if numbers:
            number = f"TRY_CAST({name} AS DOUBLE)"
            missing.append(f"coalesce({number} IN ({', '.join(numbers)}), FALSE)")
    return f"CASE WHEN {' OR '.join(missing)} THEN NULL ELSE {name} END" if missing else name


def _numbers(texts: tuple[str, ...]) -> list[float]:
    found = []
    for text in texts:
        with contextlib.suppress(ValueError):
            found.append(float(text))
    return [n for n in found if math.isfinite(n)]


def _fits(column: Column, sql_type: str) -> bool:
    return sql_type.partition("(")[0] in _FITTING[column.logical_type]


def _typed(column: Column, contract: Contract, sql_type: str) -> str:
    """SQL for a column's value; null where the cell holds nothing of the type without a loss.

    DuckDB would round 1.5 to an integer, read 2 as true, and take ``inf`` and ``1_000`` for
    numbers: all of these are cells of another type. Cells that are numbers already are not taken
    to text and back.
    """
    if not _fits(column, sql_type):
        return f"NULL::{_SQL_TYPES[column.logical_type]}"
    cell = _cell(column, contract, sql_type)
    value = f"TRY_CAST({cell} AS {_SQL_TYPES[column.logical_type]})"
    plain = f"NOT contains(({cell})::VARCHAR, '_')"
    match column.logical_type:
        case LogicalType.INTEGER if sql_type in _INTEGERS:
            return value
        case LogicalType.INTEGER:
            kept = f"TRY_CAST({cell} AS DOUBLE) = ({value})::DOUBLE"
            kept = kept if sql_type in _FLOATS else f"{plain} AND {kept}"
        case LogicalType.NUMBER if sql_type in _INTEGERS:
            return value
        case LogicalType.NUMBER if sql_type in _FLOATS and not _numbers(contract.missing_markers):
            name = f"{quote(column.name)}::DOUBLE"
            return f"CASE WHEN isfinite({name}) THEN {name} END"
        case LogicalType.NUMBER:
            kept = f"isfinite({value})"
            kept = kept if sql_type in _FLOATS else f"{plain} AND {kept}"
        case LogicalType.BOOLEAN if sql_type == "BOOLEAN":
            return value
        case LogicalType.BOOLEAN:
            kept = f"lower(trim(({cell})::VARCHAR)) IN ({_BOOLEAN_TEXTS})"
        case _:
            return value
    return f"CASE WHEN {kept} THEN {value} END"


def _failed(column: Column, contract: Contract, sql_type: str) -> str | None:
    """SQL that is true where a cell holds something, but nothing of the contract's type.

    None where there can be no such cell.
    """
    if not _fits(column, sql_type):
        return f"{quote(column.name)} IS NOT NULL"
    integer = sql_type in _INTEGERS
    if column.logical_type is LogicalType.STRING or (integer and column.logical_type in _NUMERIC):
        return None
    if sql_type in _FLOATS and column.logical_type is LogicalType.NUMBER:
        # Every cell is a number; markers are finite.
        return f"isinf({quote(column.name)})"
    cell, typed = _cell(column, contract, sql_type), _typed(column, contract, sql_type)
    return f"({cell}) IS NOT NULL AND ({typed}) IS NULL"


def _group(column: Column) -> str:
    """SQL for a grouped column's label; null where the column is null."""
    name = quote(column.name)
    if column.bands is None:
        return f"{name}::VARCHAR"
    cases = " ".join(
        f"WHEN {name} < {edge!r} THEN {literal(label)}"
        for edge, label in zip(column.bands.edges, column.bands.labels, strict=False)
    )
    last = literal(column.bands.labels[-1])
    return f"CASE WHEN {name} IS NULL THEN NULL {cases} ELSE {last} END"
