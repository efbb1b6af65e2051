"""Where rows come from: a built-in public data set, or files of the user's own.

A source is a DuckDB relation, as SQL text, whose columns are all read as text, so that a cell that
is not of its contract's type is counted and never guessed at.
"""

from __future__ import annotations

import importlib.resources
from dataclasses import dataclass
from pathlib import Path

import duckdb

from components.contract.contract import Contract
from components.contract.errors import InputError
from components.profile.compute import connect, literal, parquet, path_literal, quote


@dataclass(frozen=True, slots=True)
class RowSource:
    """SQL that yields the rows, and the files whose bytes they come from."""

    sql: str
    files: tuple[Path, ...]
    typed: bool
    """Whether the columns carry types of their own (Parquet) or are all text (CSV)."""


def open_source(contract: Contract, data: Path | None = None) -> RowSource:
    """The rows that a contract describes.

    Args:
        contract: its server entry names a built-in source or a file of the user's own.
        data: a file to read instead, in CSV or Parquet.

    Raises:
        InputError: the file is missing, truncated, or of an unknown format.
    """
    if data is None and contract.source.builtin is not None:
        if contract.source.builtin not in _BUILTIN:
            raise InputError(
                f"unknown source {contract.source.builtin}",
                where=str(contract.path),
                expected="one of " + ", ".join(sorted(_BUILTIN)),
            )
        return _BUILTIN[contract.source.builtin]()
    if data is not None:
        return _from_file(data, contract, _suffix(data))
    path, declared = contract.path.parent / str(contract.source.path), contract.source.format
    if _suffix(path) in ("csv", "parquet") and _suffix(path) != declared:
        raise InputError(
            f"the format is {declared}", where=str(contract.path), expected=f"that of {path.name}"
        )
    return _from_file(path, contract, declared)


def _suffix(path: Path) -> str:
    suffixes = [s for s in path.suffixes if s.lower() != ".gz"]
    return suffixes[-1].lstrip(".").lower() if suffixes else ""


def source_columns(source: RowSource) -> list[str]:
    """Names of the source's columns, in order.

    Raises:
        InputError: the file cannot be read as what it claims to be.
    """
    where = ", ".join(str(f) for f in source.files)
    with connect() as database:
        try:
            # Parse everything once: a file that is cut short fails here and nowhere later.
            database.execute(f"SELECT count(*) FROM (SELECT DISTINCT 1 FROM ({source.sql}))")  # noqa: S608
            described = database.execute(f"DESCRIBE {source.sql}").fetchall()
        except duckdb.Error as error:
            # DuckDB's message quotes the line, so it goes no further: not even as a cause.
            raise InputError(
                f"cannot be read as {'Parquet' if source.typed else 'CSV'} "
                f"({type(error).__name__})",
                where=where,
                expected="a whole file, with a header line if it is CSV",
            ) from None
    return [str(name) for name, *_ in described]


def _from_file(path: Path, contract: Contract, kind: str | None) -> RowSource:
    if not path.is_file():
        raise InputError("no such file", where=str(path), expected="a CSV or Parquet file")
    if kind == "parquet":
        return RowSource(f"SELECT * FROM {parquet([path])}", (path,), typed=True)  # noqa: S608
    if kind != "csv":
        raise InputError(
            f"unknown format {kind}",
            where=str(path),
            expected="a name that ends in .csv, .csv.gz or .parquet",
        )
    return RowSource(_csv(path, contract.source.delimiter), (path,), typed=False)


def _csv(path: Path, delimiter: str = ",") -> str:
    options = (
        f"delim={literal(delimiter)}, header=true, all_varchar=true, quote='\"', escape='\"', "
        f"strict_mode=true, auto_detect=false, hive_partitioning=false, "
        f"columns={_header(path, delimiter)}"
    )
    return f"SELECT * FROM read_csv({path_literal(path)}, {options})"  # noqa: S608 - literals


def _header(path: Path, delimiter: str) -> str:
    """The header as DuckDB's ``columns`` argument: every column as text, none guessed at."""
    import csv
    import gzip
    import zlib

    packed = path.suffix.lower() == ".gz"
    try:
        # utf-8-sig: spreadsheets put a byte order mark before the first name.
        with (gzip.open if packed else open)(
            path, "rt", encoding="utf-8-sig", newline=""
        ) as stream:
            names = next(csv.reader([stream.readline(1_000_000)], delimiter=delimiter), [])
        if packed:
            _unpack_to_the_end(path)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise InputError(
            f"cannot be read as CSV ({type(error).__name__})",
            where=str(path),
            expected="a whole UTF-8 file with a header line",
        ) from error
    if not all(names) or not names or len({n.casefold() for n in names}) != len(names):
        raise InputError(
            "no header line with each column once",
            where=str(path),
            expected="a header line with each column once",
        )
    return "{" + ", ".join(f"{literal(n)}: 'VARCHAR'" for n in names) + "}"


def _unpack_to_the_end(path: Path) -> None:
    """Check a packed file's own checksum, which stands at its end and which DuckDB passes over."""
    import gzip

    with gzip.open(path, "rb") as stream:
        while stream.read(1 << 20):
            pass


def _rand_hie() -> RowSource:
    """RAND Health Insurance Experiment, one row for each person and year that a row follows.

    The label is whether the person's following row has a hospital admission; a person's last row
    has no following row and no label, so it is left out. The label is the only thing that is taken
    from a following row.
    """
    resource = importlib.resources.files("statsmodels") / "datasets/randhie/src/randhie.csv"
    path = Path(str(resource))
    following = "lead(totadm::INTEGER) OVER (PARTITION BY zper ORDER BY year::INTEGER)"
    label = quote("admitted_next_year")
    sql = (
        f"SELECT * FROM (SELECT *, CASE WHEN {following} > 0 THEN '1' WHEN {following} = 0 "  # noqa: S608
        f"THEN '0' END AS {label} FROM ({_csv(path)})) WHERE {label} IS NOT NULL"
    )
    return RowSource(sql, (path,), typed=False)


_BUILTIN = {"rand_hie": _rand_hie}
