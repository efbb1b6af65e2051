"""DuckDB as the core uses it: nothing from the network, bounded memory, names and paths quoted."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

_BOUNDED_MEMORY = "600MB"


@contextmanager
def connect() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB connection that reaches no network, loads no extension and bounds its memory.

    What does not fit is spilt to a folder that only this user can open, and that is gone
    afterwards: DuckDB's own choice would be ``.tmp`` in the folder one happens to work in.

    It does not reason from a Parquet file's statistics either: they pass over NaN, so DuckDB 2.0
    takes ``isnan(x)`` for false on a column that holds NaN.
    """
    with (
        tempfile.TemporaryDirectory(prefix="assay-") as spill,
        duckdb.connect(
            config={
                "memory_limit": _BOUNDED_MEMORY,
                "temp_directory": spill,
                "disabled_optimizers": "statistics_propagation",
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
            }
        ) as database,
    ):
        yield database


def quote(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: object) -> str:
    """An SQL literal for a value out of a contract."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int) and abs(value) >= 2**63:
        value = float(value)  # no integer column holds it; as an integer DuckDB may not either
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
