"""The yearly prior authorization metrics of CMS-0057-F, counted over raw requests.

42 CFR 422.122(c) names them for Medicare Advantage, 42 CFR 438.210(f) for Medicaid managed care,
45 CFR 156.223 for issuers on the federal exchange. Shares are of all requests of that urgency that
were sent in the year. A request that was approved after an appeal was denied at first, and counts
as both. Extensions of the time for review are in no column, so their share is not told.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.checks.suppression import FEWEST_SHOWN, Sum, hidden_cells, is_small
from components.contract.errors import InputError

RULES = {
    "medicare_advantage": "42 CFR 422.122(c)",
    "medicaid_managed_care": "42 CFR 438.210(f)",
    "exchange": "45 CFR 156.223",
}
"""The rule that each line of business reports under; other lines report under none."""

COLUMNS = ("line_of_business", "urgency", "requested_at", "decided_at", "outcome")
URGENCIES = ("standard", "expedited")
OUTCOMES = ("approved", "denied", "overturned")
EXTENDED = "the data do not say whether the time for review was extended"
_FIRST_YEAR, _LAST_YEAR = 1970, 9998
_SECONDS_AN_HOUR = 3600.0


def cms_metrics(data: Path, year: int) -> dict[str, Any]:
    """The metrics of one year, by line of business and urgency.

    Args:
        data: a Parquet file or a folder of them, with ``COLUMNS``; times are Unix seconds.
        year: calendar year, UTC, in which requests were sent.

    Returns:
        ``year`` and ``lines``: for each line its ``rule`` and, for ``standard`` and ``expedited``,
        ``requests``, counts and percentages of ``approved``, ``denied`` and
        ``approved_after_appeal``, and ``hours`` to a decision, mean and median. A count of 1 to 10,
        and what would give it away, is None, and so is every figure that is made of it.

    Raises:
        InputError: there are no such data, no such rows, or rows that nobody can count.
    """
    if not _FIRST_YEAR <= year <= _LAST_YEAR:
        raise InputError(str(year), where="--year", expected=f"{_FIRST_YEAR} to {_LAST_YEAR}")
    found: dict[str, dict[str, Any]] = {}
    for line, urgency, *figures in _counted(_files(data), year):
        told = found.setdefault(line, {"rule": RULES.get(line)})
        told[urgency] = _told(*figures)
    if not found:
        raise InputError(f"has no request of {year}", where=str(data), expected="another --year")
    return {"year": year, "extended": EXTENDED, "lines": found}


def _files(data: Path) -> list[str]:
    files = sorted(data.glob("*.parquet")) if data.is_dir() else [data]
    if not files or not all(f.is_file() for f in files):
        raise InputError("has no data", where=str(data), expected="Parquet, a file or a folder")
    return [str(f) for f in files]


def _counted(files: list[str], year: int) -> Iterator[tuple[Any, ...]]:
    """Line, urgency, requests, approved, denied, overturned, mean and median seconds."""
    import duckdb

    first, after = (int(datetime(y, 1, 1, tzinfo=UTC).timestamp()) for y in (year, year + 1))
    with duckdb.connect() as database:
        try:
            rows = database.read_parquet(files, union_by_name=True)
            _require_columns(rows.columns, files)
            mine = rows.filter(
                f"requested_at IS NULL OR (requested_at >= {first} AND requested_at < {after})"
            )
            _require_countable(mine, files)
            yield from (
                mine.aggregate(
                    "line_of_business, urgency, count(*), "
                    "count(*) FILTER (outcome = 'approved'), "
                    "count(*) FILTER (outcome IN ('denied', 'overturned')), "
                    "count(*) FILTER (outcome = 'overturned'), "
                    "avg(decided_at - requested_at), median(decided_at - requested_at)"
                )
                .order("line_of_business, urgency DESC")
                .fetchall()
            )
        except duckdb.Error as error:
            raise InputError(
                f"cannot be counted ({type(error).__name__})",
                where=str(Path(files[0]).parent),
                expected="Parquet of prior authorization requests, times as Unix seconds",
            ) from error


def _require_columns(held: list[str], files: list[str]) -> None:
    for name in COLUMNS:
        if name not in held:
            raise InputError(
                f"has no column {name}",
                where=str(Path(files[0]).parent),
                expected=", ".join(COLUMNS),
            )


def _require_countable(rows: Any, files: list[str]) -> None:
    """A row that falls out of every count would make the shares look sound."""
    sound = (
        f"coalesce(outcome IN {OUTCOMES} AND urgency IN {URGENCIES} "
        "AND line_of_business IS NOT NULL AND decided_at >= requested_at, false)"
    )
    if rows.filter(f"NOT {sound}").limit(1).fetchall():
        raise InputError(
            "has a request without a known line, urgency, outcome or time of decision",
            where=str(Path(files[0]).parent),
            expected=f"urgency {' or '.join(URGENCIES)}, outcome {', '.join(OUTCOMES)}",
        )


def _told(
    requests: int, approved: int, denied: int, overturned: int, mean: float, median: float
) -> dict[str, Any]:
    cells = {
        "requests": requests,
        "approved": approved,
        "denied": denied,
        "approved_after_appeal": overturned,
        "denied_for_good": denied - overturned,
    }
    hidden = hidden_cells(
        cells,
        [
            Sum("requests", frozenset({"approved", "denied"})),
            Sum("denied", frozenset({"approved_after_appeal", "denied_for_good"})),
        ],
    )
    told: dict[str, Any] = {"requests": None if "requests" in hidden else requests}
    for name in ("approved", "denied", "approved_after_appeal"):
        shown = name not in hidden
        percent = 100 * cells[name] / requests if shown and "requests" not in hidden else None
        told[name] = {"count": cells[name] if shown else None, "percent": percent}
    few = is_small(requests)
    told["hours"] = {
        "mean": None if few else mean / _SECONDS_AN_HOUR,
        "median": None if few else median / _SECONDS_AN_HOUR,
    }
    return told


def shown(value: float | None) -> str:
    """A figure for people: a count whole, a share or time with one digit, or that it is hidden."""
    if value is None:
        return f"<{FEWEST_SHOWN} or hidden"
    return str(value) if isinstance(value, int) else f"{value:.1f}"
