"""The yearly prior authorization metrics of CMS-0057-F, over raw requests or a decision log.

42 CFR 422.122(c) names them for Medicare Advantage, 42 CFR 438.210(f) for Medicaid managed care,
45 CFR 156.223 for issuers on the federal exchange. Shares are of all requests of that urgency that
were sent in the year. A request that was approved after an appeal was denied at first, and counts
as both. Extensions of the time for review are in no column, so their share is not told.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from components.checks.suppression import FEWEST_SHOWN, Sum, hidden_cells, is_small
from components.contract.errors import InputError
from components.datasets.csv_files import csv_sql, read_header
from components.decisions.decision_log import REVIEW
from components.profile.sql import connect, parquet, path_literal

RULES = {
    "medicare_advantage": "42 CFR 422.122(c)",
    "medicaid_managed_care": "42 CFR 438.210(f)",
    "exchange": "45 CFR 156.223",
}
"""The rule that each line of business reports under; other lines report under none."""

LINES = (*RULES, "commercial")
OTHER = "other"
"""Lines that are told by their names; rows of any other are told together, for a name that nobody
knows may be a cell that went astray."""

COLUMNS = ("line_of_business", "urgency", "requested_at", "decided_at", "outcome")
URGENCIES = ("standard", "expedited")
OUTCOMES = ("approved", "denied", "overturned")
LEFT = "left_to_a_person"
EXTENDED = "the data do not say whether the time for review was extended"
_FIRST_YEAR, _LAST_YEAR = 1970, 9998
_SECONDS_AN_HOUR = 3600.0


def cms_metrics(data: Path, year: int) -> dict[str, Any]:
    """The metrics of one year, by line of business and urgency, of raw requests.

    Args:
        data: a Parquet or CSV file or a folder of them, with ``COLUMNS``; times are Unix seconds.
        year: calendar year, UTC, in which requests were sent.

    Returns:
        ``year`` and ``lines``: for each line its ``rule`` and, for ``standard`` and ``expedited``,
        ``requests``, counts and percentages of ``approved``, ``denied`` and
        ``approved_after_appeal``, and ``hours`` to a decision, mean and median. A count of 1 to 10,
        and what would give it away, is None, and so is every figure that is made of it.

    Raises:
        InputError: there are no such data, no such rows, or rows that nobody can count.
    """
    with _reading(data):
        return _metrics(_sql(data), str(data), year, reviewed=False)


def decided_metrics(requests: Path, named: str, year: int) -> dict[str, Any]:
    """The same of requests that a release decided about, with those that it left to a person.

    Args:
        requests: what ``components.decisions.cms_log`` wrote.
        named: what a message calls them.
        year: calendar year, UTC, in which requests were sent.

    Returns:
        As ``cms_metrics``, and ``left_to_a_person``; these requests have no hours to a decision.

    Raises:
        InputError: as ``cms_metrics``.
    """
    return _metrics(f"SELECT * FROM {parquet([requests])}", named, year, reviewed=True)  # noqa: S608


def _metrics(sql: str, named: str, year: int, *, reviewed: bool) -> dict[str, Any]:
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise InputError(str(year), where="--year", expected=f"{_FIRST_YEAR} to {_LAST_YEAR}")
    found: dict[str, dict[str, Any]] = {}
    for line, urgency, *figures in _counted(sql, named, year, reviewed=reviewed):
        told = found.setdefault(line, {"rule": RULES.get(line)})
        told[urgency] = _told(*figures, reviewed=reviewed)
    if not found:
        raise InputError(f"has no request of {year}", where=named, expected="another --year")
    return {"year": year, "extended": EXTENDED, "lines": found}


def _sql(data: Path) -> str:
    """A SELECT of the rows of a file, or of all files of one kind in a folder."""
    files = sorted(data.iterdir()) if data.is_dir() else [data]
    tables = [f for f in files if f.name.lower().endswith((".csv", ".csv.gz"))]
    others = [f for f in files if f.name.lower().endswith(".parquet")]
    if not (tables or others) or not all(f.is_file() for f in (*tables, *others)):
        raise InputError(
            "has no data", where=str(data), expected="Parquet or CSV, a file or a folder"
        )
    if tables and others:
        raise InputError("CSV and Parquet side by side", where=str(data), expected="one format")
    if others:
        names = ", ".join(path_literal(f) for f in others)
        return f"SELECT * FROM read_parquet([{names}], union_by_name=true, hive_partitioning=false)"  # noqa: S608
    return " UNION ALL BY NAME ".join(f"({csv_sql(f, read_header(f, ','), ',')})" for f in tables)


@contextmanager
def _reading(data: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", where=str(data), expected="readable files"
        ) from error


def _counted(sql: str, named: str, year: int, *, reviewed: bool) -> Iterator[tuple[Any, ...]]:
    """Line, urgency, requests, approved, denied, overturned, left to a person, mean, median."""
    first, after = (int(datetime(y, 1, 1, tzinfo=UTC).timestamp()) for y in (year, year + 1))
    with connect() as database:
        try:
            _require_columns(
                {str(r[0]) for r in database.execute(f"DESCRIBE {sql}").fetchall()}, named
            )
            mine = database.sql(
                f"SELECT {_LINE} AS line_of_business, urgency, outcome, sent, decided "  # noqa: S608
                f"FROM (SELECT *, {_seconds('requested_at')} AS sent, "
                f"{_seconds('decided_at')} AS decided FROM ({sql})) "
                f"WHERE sent IS NULL OR (sent >= {first} AND sent < {after})"
            )
            _require_countable(mine, named, (*OUTCOMES, REVIEW) if reviewed else OUTCOMES)
            yield from (
                mine.aggregate(
                    "line_of_business, urgency, count(*), "
                    "count(*) FILTER (outcome = 'approved'), "
                    "count(*) FILTER (outcome IN ('denied', 'overturned')), "
                    "count(*) FILTER (outcome = 'overturned'), "
                    f"count(*) FILTER (outcome = '{REVIEW}'), "
                    f"avg(decided - sent) FILTER (outcome <> '{REVIEW}'), "
                    f"median(decided - sent) FILTER (outcome <> '{REVIEW}')"
                )
                .order("line_of_business, urgency DESC")
                .fetchall()
            )
        except duckdb.Error as error:
            raise InputError(
                f"cannot be counted ({type(error).__name__})",
                where=named,
                expected="prior authorization requests, times as Unix seconds",
            ) from None  # the cause may quote a cell


_LINE = (
    f"CASE WHEN line_of_business IN {('', *LINES)} THEN line_of_business "
    f"WHEN line_of_business IS NOT NULL THEN '{OTHER}' END"
)


def _seconds(column: str) -> str:
    """SQL for a time; null where it is no plain number, such as ``inf`` and ``1_000``."""
    number = r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?"
    return f"CASE WHEN regexp_full_match({column}::VARCHAR, '{number}') THEN {column}::DOUBLE END"


def _require_columns(held: set[str], named: str) -> None:
    for name in COLUMNS:
        if name not in held:
            raise InputError(f"has no column {name}", where=named, expected=", ".join(COLUMNS))


def _require_countable(rows: duckdb.DuckDBPyRelation, named: str, outcomes: Sequence[str]) -> None:
    """A row that falls out of every count would make the shares look sound."""
    sound = (
        f"coalesce(outcome IN {tuple(outcomes)} AND urgency IN {URGENCIES} "
        "AND line_of_business <> '' AND decided >= sent, false)"
    )
    if rows.filter(f"NOT {sound}").limit(1).fetchall():
        raise InputError(
            "has a request without a known line, urgency, outcome or time of decision",
            where=named,
            expected=f"urgency {' or '.join(URGENCIES)}, outcome {', '.join(outcomes)}",
        )


def _told(
    requests: int,
    approved: int,
    denied: int,
    overturned: int,
    left: int,
    mean: float | None,
    median: float | None,
    *,
    reviewed: bool,
) -> dict[str, Any]:
    cells = {
        "requests": requests,
        "approved": approved,
        "denied": denied,
        "approved_after_appeal": overturned,
        "denied_for_good": denied - overturned,
    }
    parts = {"approved", "denied"}
    if reviewed:
        cells[LEFT] = left
        parts.add(LEFT)
    hidden = hidden_cells(
        cells,
        [
            Sum("requests", frozenset(parts)),
            Sum("denied", frozenset({"approved_after_appeal", "denied_for_good"})),
        ],
    )
    told: dict[str, Any] = {"requests": None if "requests" in hidden else requests}
    for name in ("approved", "denied", "approved_after_appeal", *([LEFT] if reviewed else [])):
        shown = name not in hidden
        percent = 100 * cells[name] / requests if shown and "requests" not in hidden else None
        told[name] = {"count": cells[name] if shown else None, "percent": percent}
    few = is_small(requests - left)
    told["hours"] = {
        "mean": None if few or mean is None else mean / _SECONDS_AN_HOUR,
        "median": None if few or median is None else median / _SECONDS_AN_HOUR,
    }
    return told


def shown(value: float | None) -> str:
    """A figure for people: a count whole, a share or time with one digit, or that it is hidden."""
    if value is None:
        return f"<{FEWEST_SHOWN} or hidden"
    return str(value) if isinstance(value, int) else f"{value:.1f}"
