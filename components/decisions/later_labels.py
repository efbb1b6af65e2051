"""Labels that come after the decisions, joined by the name of the decision and by nothing else.

A decision's name is its log and its row's place in the batch: whoever hands in labels needs neither
a person's number nor the row key, and the file tells nobody who was decided about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

from components.checks.suppression import told_count
from components.contract.errors import InputError
from components.datasets.csv_files import csv_sql, read_header
from components.datasets.sources import RowSource, reading
from components.profile.sql import connect, parquet

NONE = -1
"""In the place of a label or an appeal that is not known."""

_EXPECTED = "Parquet or CSV with decision_id (LOG.NUMBER), label (0 or 1) and, if known, overturned"
_NAMED = r"^([A-Za-z0-9_-]{1,120})\.([0-9]{10})$"
_YES, _NO = "('1', '1.0', 'true')", "('0', '0.0', 'false')"
_Codes = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of some decisions in a row: 0, 1 or ``NONE``, each of shape (rows,).

    ``labels`` is 1 for what the contract calls positive; ``overturned`` is 1 where an appeal
    overturned the decision, 0 where an appeal upheld it.
    """

    labels: _Codes
    overturned: _Codes


class LaterLabels:
    """A file's labels, checked; see ``open_labels``."""

    def __init__(self, database: duckdb.DuckDBPyConnection, source: RowSource) -> None:
        self._database, self._source = database, source

    def of(self, log: str, first: int, rows: int) -> Known:
        """What is known of a log's decisions ``first`` to ``first + rows - 1``."""
        with reading(self._source):
            found = self._database.execute(
                "SELECT place - $1 AS place, label, overturned FROM labels "
                "WHERE log = $2 AND place >= $1 AND place < $1 + $3",
                [first, log, rows],
            ).fetchnumpy()
        labels, overturned = (np.full(rows, NONE, np.int8) for _ in range(2))
        labels[found["place"]] = found["label"]
        overturned[found["place"]] = found["overturned"]
        return Known(labels, overturned)


@contextmanager
def open_labels(path: Path, logs: Mapping[str, int]) -> Iterator[LaterLabels]:
    """Read and check a file of labels; memory is bounded, what does not fit is spilt.

    Args:
        path: Parquet, or CSV with commas, packed with gzip or not. Other columns are not read.
        logs: number of decisions of each log that the labels may be about.

    Raises:
        InputError: it cannot be read or lacks a column; a decision is in none of the logs or has
            two labels; a label is not 0 or 1; ``overturned`` is neither true, false nor empty.
    """
    source = _source(path)
    with connect() as database:
        with reading(source):
            held = {str(row[0]) for row in database.execute(f"DESCRIBE {source.sql}").fetchall()}
        for name in ("decision_id", "label"):
            if name not in held:
                raise InputError(f"has no column {name}", where=str(path), expected=_EXPECTED)
        with reading(source):
            _load(database, source, appeals="overturned" in held)
            _require_sound(database, path, logs)
        yield LaterLabels(database, source)


def _source(path: Path) -> RowSource:
    if not path.is_file():
        raise InputError("is no file", where=str(path), expected=_EXPECTED)
    if path.suffix.lower() == ".parquet":
        return RowSource(f"SELECT * FROM {parquet([path])}", (path,), typed=True, types={})  # noqa: S608
    if [s.lower() for s in path.suffixes if s.lower() != ".gz"][-1:] == [".csv"]:
        return RowSource(csv_sql(path, read_header(path, ","), ","), (path,), typed=False, types={})
    raise InputError("is neither .parquet nor .csv", where=str(path), expected=_EXPECTED)


def _load(database: duckdb.DuckDBPyConnection, source: RowSource, *, appeals: bool) -> None:
    """Labels and appeals as codes, null where a cell says neither; sorted, to be found by place."""

    def code(cell: str) -> str:
        text = f"lower({cell}::VARCHAR)"
        return f"CASE WHEN {text} IN {_YES} THEN 1 WHEN {text} IN {_NO} THEN 0 END"

    overturned = "coalesce(overturned::VARCHAR, '')" if appeals else "''"
    database.execute(
        f"CREATE TABLE labels AS SELECT regexp_extract(named, '{_NAMED}', 1) AS log, "  # noqa: S608
        f"TRY_CAST(regexp_extract(named, '{_NAMED}', 2) AS BIGINT) AS place, "
        f"({code('label')})::TINYINT AS label, (CASE WHEN {overturned} = '' THEN {NONE} "
        f"ELSE {code(overturned)} END)::TINYINT AS overturned "
        f"FROM (SELECT *, coalesce(decision_id::VARCHAR, '') AS named FROM ({source.sql})) "
        "ORDER BY log, place"
    )


def _require_sound(
    database: duckdb.DuckDBPyConnection, path: Path, logs: Mapping[str, int]
) -> None:
    """Refuse what would be joined to no decision, to two, or counted as something that it is not.

    A line says how many rows, and never which: a name in it would be of a case.
    """
    database.execute("CREATE TABLE known (log VARCHAR, decisions BIGINT)")
    if logs:
        database.executemany("INSERT INTO known VALUES (?, ?)", [list(x) for x in logs.items()])
    checks = (
        ("label", "no label of 0 or 1", "label IS NULL", "0 or 1"),
        ("overturned", "an appeal that is neither", "overturned IS NULL", "true, false or nothing"),
        (
            "decision_id",
            "a decision that is in none of the logs",
            "NOT EXISTS (FROM known k WHERE k.log = labels.log AND place < k.decisions)",
            "decisions of the logs that are read, as LOG.NUMBER",
        ),
    )
    for column, what, where, expected in checks:
        sql = f"SELECT count(*) FROM labels WHERE {where}"  # noqa: S608
        _refuse(database, sql, path, column, what, expected)
    twice = "SELECT count(*) - count(DISTINCT (log, place)) FROM labels"
    _refuse(database, twice, path, "decision_id", "a decision named before", "each decision once")


def _refuse(
    database: duckdb.DuckDBPyConnection, sql: str, path: Path, column: str, what: str, expected: str
) -> None:
    ((found,),) = database.execute(sql).fetchall()
    if found:
        raise InputError(
            f"column {column}: {told_count(found)} rows with {what}",
            where=str(path),
            expected=expected,
        )
