"""CSV files as DuckDB reads them: every cell as text, nothing guessed at, bombs refused."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from pathlib import Path

from components.contract.errors import InputError
from components.profile.sql import literal, path_literal

MAX_UNPACKED_RATIO = 200
"""Most bytes that a packed file may unpack to, as a multiple of its size.

Tables of text come to 5 to 30; DEFLATE itself cannot pass 1,032. A small file is let be.
"""
_LET_BE_BYTES = 1 << 20
_LONGEST_HEADER = 1_000_000
_CHUNK = 1 << 20


def csv_sql(path: Path, header: list[str], delimiter: str) -> str:
    """A SELECT of a CSV file's rows, every column as text.

    Args:
        path: the file, packed with gzip or not.
        header: names of the columns, as from ``read_header``.
        delimiter: one character.
    """
    columns = "{" + ", ".join(f"{literal(n)}: 'VARCHAR'" for n in header) + "}"
    options = (
        f"delim={literal(delimiter)}, header=true, all_varchar=true, quote='\"', escape='\"', "
        f"strict_mode=true, auto_detect=false, hive_partitioning=false, columns={columns}"
    )
    return f"SELECT * FROM read_csv({path_literal(path)}, {options})"  # noqa: S608 - literals


def read_header(path: Path, delimiter: str) -> list[str]:
    """Names of the columns, after a packed file was checked to its end.

    Raises:
        InputError: not a whole UTF-8 file, a bomb, or no header line with each column once.
    """
    packed = path.suffix.lower() == ".gz"
    try:
        # utf-8-sig: spreadsheets put a byte order mark before the first name.
        with (gzip.open if packed else open)(
            path, "rt", encoding="utf-8-sig", newline=""
        ) as stream:
            line = stream.readline(_LONGEST_HEADER)
        names = next(csv.reader([line], delimiter=delimiter), [])
        if packed:
            _unpack_to_the_end(path)
    except UnicodeDecodeError:
        raise InputError(
            "cannot be read as CSV (it has bytes that are not UTF-8)",
            where=str(path),
            expected="a whole UTF-8 file with a header line",
        ) from None  # the cause holds the line
    except (OSError, EOFError, csv.Error, zlib.error) as error:
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
    return names


def _unpack_to_the_end(path: Path) -> None:
    """Check a packed file's own checksum, which stands at its end and which DuckDB passes over."""
    most = max(_LET_BE_BYTES, path.stat().st_size * MAX_UNPACKED_RATIO)
    unpacked = 0
    with gzip.open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK):
            unpacked += len(chunk)
            if unpacked > most:
                raise InputError(
                    f"unpacks to more than {MAX_UNPACKED_RATIO} times its size",
                    where=str(path),
                    expected="a table of text, or the file unpacked",
                )


_UNREADABLE = (
    (r"^Expected Number of Columns: (\d+) Found: (\d+)$", "{1} cells, the header has {0}"),
    (r"^Invalid unicode", "bytes that are not UTF-8"),
    (r"^Value with unterminated quote|quote should be followed", "quotes that do not fit together"),
    (r"^Maximum line size", "a line that is too long"),
)
"""How DuckDB begins the line of its message that says what is wrong, and what we say instead."""


def csv_trouble(message: str) -> str:
    """What DuckDB's message says of a CSV file, without the cells that it quotes."""
    line = re.search(r"CSV Error on Line: (\d+)", message)
    where = f"line {line[1]} has " if line else "it has "
    for pattern, says in _UNREADABLE:
        if found := re.search(pattern, message, re.MULTILINE):
            return where + says.format(*found.groups())
    return where + "something that does not fit"
