"""Where rows come from: a built-in public data set, or files of the user's own.

A source is a DuckDB relation, as SQL text. The columns of CSV files are all read as text, so that
a cell that is not of its contract's type is counted and never guessed at.
"""

from __future__ import annotations

import importlib.resources
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from components.contract.contract import Contract
from components.contract.errors import AssayError, InputError
from components.datasets.csv_files import csv_sql, csv_trouble, read_header
from components.datasets.prior_auth import GROUND_TRUTH
from components.datasets.prior_auth_source import made_here
from components.profile.sql import connect, parquet, path_literal, quote

_KINDS = ("csv", "parquet")


@dataclass(frozen=True, slots=True)
class RowSource:
    """SQL that yields the rows, and the files whose bytes they come from.

    ``types`` maps each column, in order, to DuckDB's type of it. ``typed`` says whether the columns
    carry types of their own (Parquet) or are all text (CSV).
    """

    sql: str
    files: tuple[Path, ...]
    typed: bool
    types: Mapping[str, str]

    @property
    def named(self) -> str:
        """The files, for a message."""
        first, *more = self.files
        return f"{first} and {len(more)} more" if more else str(first)


@contextmanager
def reading(source: RowSource) -> Iterator[None]:
    """What DuckDB cannot read within the block is the user's file, told in one line.

    Raises:
        InputError: DuckDB's error, without its message: that quotes cells.
    """
    try:
        yield
    except duckdb.OutOfMemoryException:
        raise AssayError(
            f"{source.named}: more distinct values than fit into memory; "
            "split the data, or declare fewer numeric columns"
        ) from None
    except RuntimeError as error:
        # How DuckDB says that a signal came in while it worked.
        if "interrupted" in str(error):
            raise KeyboardInterrupt from None
        raise
    except duckdb.Error as error:
        kind = "Parquet" if source.typed else "CSV"
        why = type(error).__name__ if source.typed else csv_trouble(str(error))
        raise InputError(
            f"cannot be read as {kind} ({why})",
            where=source.named,
            expected="whole files of the declared format and delimiter",
        ) from None


def open_source(contract: Contract, data: Path | None = None) -> RowSource:
    """The rows that a contract describes.

    Args:
        contract: its server entry names a built-in source, or a file or folder of the user's own.
        data: a file, or a folder of files, to read instead, in CSV or Parquet.

    Raises:
        InputError: a file is missing, truncated, or of an unknown format, or files do not fit
            together.
    """
    if data is not None:
        return _from_files(data, contract, None)
    if contract.source.builtin is None:
        path = contract.path.parent / str(contract.source.path)
        return _from_files(path, contract, contract.source.format)
    name, _, settings = contract.source.builtin.partition("?")
    if name not in _BUILTIN:
        raise InputError(
            f"unknown source {name}",
            where=str(contract.path),
            expected="one of " + ", ".join(sorted(_BUILTIN)),
        )
    if name == "prior_auth":
        return _from_files(made_here(settings, contract.path), contract, "parquet")
    if settings:
        raise InputError(f"settings on the source {name}", where=str(contract.path), expected=name)
    return _rand_hie()


def _suffix(path: Path) -> str:
    suffixes = [s for s in path.suffixes if s.lower() != ".gz"]
    return suffixes[-1].lstrip(".").lower() if suffixes else ""


def require_columns(contract: Contract, source: RowSource) -> None:
    """Refuse a source that lacks a column of the contract.

    Raises:
        InputError: names the first column that is missing; a lone column hints at the delimiter.
    """
    present = source.types
    missing = [c.name for c in contract.columns if c.name not in present]
    if not missing:
        return
    if not source.typed and len(present) == 1 and len(contract.columns) > 1:
        raise InputError(
            f"the header has one column where {contract.source.delimiter!r} separates columns",
            where=source.named,
            expected="the delimiter that the contract declares (assayDelimiter)",
        )
    raise InputError(
        f"column {missing[0]} of the contract is not in the data",
        where=source.named,
        expected=f"the columns of {contract.path}",
    )


def _files_at(path: Path, declared: str | None) -> tuple[list[Path], str]:
    """The files that a path means, and their one format.

    Raises:
        InputError: none, or files of several formats.
    """
    try:
        folder = path.is_dir()
        held = [p for p in path.iterdir() if not _is_beside(p.name)] if folder else [path]
        files = sorted(held)
        odd = next(
            (p for p in files if folder and not (p.is_file() and _suffix(p) in _KINDS)), None
        )
        if not files or not all(f.is_file() for f in files if odd is None):
            raise InputError("no such file", where=str(path), expected="CSV or Parquet files")
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", where=str(path), expected="readable files"
        ) from error
    if odd is not None:
        raise InputError(
            f"{odd.name} would not be read",
            where=str(path),
            expected="a folder of CSV or Parquet files and nothing else",
        )
    kinds = {_suffix(f) for f in files if _suffix(f) in _KINDS}
    if len(kinds) > 1:
        raise InputError("CSV and Parquet side by side", where=str(path), expected="one format")
    kind = next(iter(kinds), declared)
    if kind not in _KINDS:
        raise InputError(
            f"unknown format {_suffix(path) or declared}",
            where=str(path),
            expected="a name that ends in .csv, .csv.gz or .parquet",
        )
    return files, kind


def _is_beside(name: str) -> bool:
    """Whether a file in a folder of data is none: hidden, or what our generator planted."""
    return name[0] in "._" or name == GROUND_TRUTH


def _from_files(path: Path, contract: Contract, declared: str | None) -> RowSource:
    if declared is not None and _suffix(path) in _KINDS and _suffix(path) != declared:
        raise InputError(
            f"the format is {declared}", where=str(contract.path), expected=f"that of {path.name}"
        )
    files, kind = _files_at(path, declared)
    with connect() as database:
        parts = {f: _one_file(database, f, contract, kind) for f in files}
    first = parts[files[0]].types
    for file, part in parts.items():
        if part.types.keys() != first.keys():
            # A file without a header line has cells for names: only the contract's are quoted.
            odd = sorted((part.types.keys() ^ first.keys()) & {c.name for c in contract.columns})
            raise InputError(
                f"column {odd[0]} is in this file or in {files[0].name}, not in both"
                if odd
                else f"other columns than in {files[0].name}",
                where=str(file),
                expected="the same columns in every file",
            )
    if len(files) == 1:
        return parts[files[0]]
    names = ", ".join(quote(n) for n in first)
    sql = " UNION ALL ".join(f"SELECT {names} FROM ({p.sql})" for p in parts.values())  # noqa: S608
    with connect() as database:
        return _described(database, sql, tuple(files), typed=kind == "parquet")


def _one_file(
    database: duckdb.DuckDBPyConnection, path: Path, contract: Contract, kind: str
) -> RowSource:
    if kind == "parquet":
        _refuse_repeated_columns(database, path)
        return _described(database, f"SELECT * FROM {parquet([path])}", (path,), typed=True)  # noqa: S608
    delimiter = contract.source.delimiter
    sql = csv_sql(path, read_header(path, delimiter), delimiter)
    return _described(database, sql, (path,), typed=False)


def _refuse_repeated_columns(database: duckdb.DuckDBPyConnection, path: Path) -> None:
    """DuckDB gives the second of two columns another name, and its cells would go unchecked."""
    with reading(RowSource("", (path,), typed=True, types={})):
        found = database.execute(
            f"SELECT name, coalesce(num_children, 0) FROM parquet_schema({path_literal(path)})"  # noqa: S608
        ).fetchall()
    names, open_ends = [], [int(found[0][1])]
    for name, children in found[1:]:  # depth first, the root ahead of all
        if len(open_ends) == 1:
            names.append(str(name).casefold())
        open_ends[-1] -= 1
        open_ends.append(int(children))
        while len(open_ends) > 1 and open_ends[-1] == 0:
            open_ends.pop()
    if len(set(names)) != len(names):
        raise InputError("a column appears twice", where=str(path), expected="each column once")


def _described(
    database: duckdb.DuckDBPyConnection, sql: str, files: tuple[Path, ...], *, typed: bool
) -> RowSource:
    """The source with its columns; a file that is not what it claims to be is refused here."""
    source = RowSource(sql, files, typed, {})
    with reading(source):
        described = database.execute(f"DESCRIBE {sql}").fetchall()
    return replace(source, types={str(name): str(kind) for name, kind, *_ in described})


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
    rows = csv_sql(path, read_header(path, ","), ",")
    sql = (
        f"SELECT * FROM (SELECT *, CASE WHEN {following} > 0 THEN '1' WHEN {following} = 0 "  # noqa: S608
        f"THEN '0' END AS {label} FROM ({rows})) WHERE {label} IS NOT NULL"
    )
    with connect() as database:
        return _described(database, sql, (path,), typed=False)


_BUILTIN = ("prior_auth", "rand_hie")
