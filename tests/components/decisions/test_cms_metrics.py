"""The yearly metrics, held against a count of the same rows by hand."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import statistics
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from components.contract.errors import InputError
from components.datasets.prior_auth import Population
from components.datasets.prior_auth_writer import generate
from components.decisions.cms_metrics import cms_metrics
from pipelines.monitor_cli import cms_metrics as command

NEW_YEAR_2024, NEW_YEAR_2025 = 1_704_067_200, 1_735_689_600
HOUR = 3600


def write(path: Path, rows: list[tuple[str, int, int]], urgency: str = "standard") -> Path:
    """Requests of Medicare Advantage: outcome, time sent and hours to a decision."""
    columns: dict[str, list[Any]] = {
        "line_of_business": ["medicare_advantage"] * len(rows),
        "urgency": [urgency] * len(rows),
        "requested_at": [sent for _, sent, _ in rows],
        "decided_at": [sent + hours * HOUR for _, sent, hours in rows],
        "outcome": [outcome for outcome, _, _ in rows],
    }
    pq.write_table(pa.table(columns), path)
    return path


def test_lines_that_nobody_knows_are_told_together_and_not_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", [("approved", NEW_YEAR_2024, 1)] * 40)
    lines = ["Zoe Quinn", *["medicaid_ffs"] * 19, *["commercial"] * 20]
    table = pq.read_table(path)
    pq.write_table(table.set_column(0, "line_of_business", pa.array(lines)), path)
    found = cms_metrics(path, 2024)["lines"]
    assert {k: v["standard"]["requests"] for k, v in found.items()} == {
        "commercial": 20, "other": 20,
    }  # fmt: skip
    assert found["other"]["rule"] is None


def test_generated_requests_are_counted_as_by_hand(tmp_path: Path) -> None:
    generate(Population(20_000, 5), tmp_path / "made", lambda _rows: None)
    found = cms_metrics(tmp_path / "made", 2024)
    files = sorted((tmp_path / "made").glob("*.parquet"))
    rows = [r for f in files for r in pq.ParquetFile(f).read().to_pylist()]
    mine = [
        r
        for r in rows
        if NEW_YEAR_2024 <= r["requested_at"] < NEW_YEAR_2025
        and r["line_of_business"] == "medicare_advantage"
        and r["urgency"] == "standard"
    ]
    denied = sum(r["outcome"] in ("denied", "overturned") for r in mine)
    appealed = sum(r["outcome"] == "overturned" for r in mine)
    hours = [(r["decided_at"] - r["requested_at"]) / HOUR for r in mine]
    told = found["lines"]["medicare_advantage"]
    assert told["rule"] == "42 CFR 422.122(c)"
    held = told["standard"]
    assert (held["requests"], held["denied"]["count"]) == (len(mine), denied)
    assert held["approved"]["percent"] == pytest.approx(100 * (len(mine) - denied) / len(mine))
    assert held["approved_after_appeal"]["count"] == appealed
    assert held["hours"]["mean"] == pytest.approx(statistics.mean(hours))
    assert held["hours"]["median"] == pytest.approx(statistics.median(hours))


def test_the_year_ends_with_its_last_second(tmp_path: Path) -> None:
    inside = [("approved", NEW_YEAR_2024, 1)] * 20 + [("denied", NEW_YEAR_2025 - 1, 3)] * 20
    outside = [("denied", NEW_YEAR_2025, 9), ("denied", NEW_YEAR_2024 - 1, 9)]
    held = cms_metrics(write(tmp_path / "a.parquet", inside + outside), 2024)
    told = held["lines"]["medicare_advantage"]["standard"]
    assert (told["requests"], told["approved"]["count"], told["denied"]["count"]) == (40, 20, 20)
    assert told["hours"] == {"mean": 2.0, "median": 2.0}


def test_few_people_are_not_shown_nor_given_away(tmp_path: Path) -> None:
    rows = [("approved", NEW_YEAR_2024, 1)] * 50 + [("denied", NEW_YEAR_2024, 1)] * 10
    told = cms_metrics(write(tmp_path / "a.parquet", rows), 2024)["lines"]["medicare_advantage"]
    held = told["standard"]
    assert held["denied"] == {"count": None, "percent": None}
    # The rest must not resolve: requests less approved would be the ten.
    assert None in (held["requests"], held["approved"]["count"])


@pytest.mark.parametrize(
    ("rows", "urgency", "year"),
    [
        ([("approved", NEW_YEAR_2024, 1)], "standard", 2023),
        ([("approved", NEW_YEAR_2024, -1)], "standard", 2024),
        ([("lost", NEW_YEAR_2024, 1)], "standard", 2024),
        ([("approved", NEW_YEAR_2024, 1)], "soon", 2024),
        ([("approved", NEW_YEAR_2024, 1)], "standard", 20_000),
    ],
)
def test_what_nobody_can_count_is_refused(
    tmp_path: Path, rows: list[tuple[str, int, int]], urgency: str, year: int
) -> None:
    with pytest.raises(InputError):
        cms_metrics(write(tmp_path / "a.parquet", rows, urgency), year)


def test_missing_files_and_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no data"):
        cms_metrics(tmp_path / "none.parquet", 2024)
    pq.write_table(pa.table({"urgency": ["standard"]}), tmp_path / "a.parquet")
    with pytest.raises(InputError, match="no column line_of_business"):
        cms_metrics(tmp_path, 2024)


def test_the_command_tells_people_and_machines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write(tmp_path / "a.parquet", [("approved", NEW_YEAR_2024, 2)] * 12)
    command(data, 2024)
    assert "100.0 %" in capsys.readouterr().out
    command(data, 2024, as_json=True)
    assert json.loads(capsys.readouterr().out)["year"] == 2024


def test_csv_and_parquet_come_to_the_same(tmp_path: Path) -> None:
    rows = [("approved", NEW_YEAR_2024, 1)] * 50 + [("overturned", NEW_YEAR_2024, 3)] * 20
    path = write(tmp_path / "a.parquet", rows)
    table = pq.ParquetFile(path).read()
    (folder := tmp_path / "csv").mkdir()
    pa_csv.write_csv(table.slice(0, 30), folder / "a.csv")
    (folder / "b.csv.gz").write_bytes(gzip.compress(_csv(table.slice(30))))
    assert cms_metrics(folder, 2024) == cms_metrics(path, 2024)
    with pytest.raises(InputError, match="side by side"):
        cms_metrics(_copied(path, folder), 2024)


def _csv(table: pa.Table) -> bytes:
    sink = io.BytesIO()
    pa_csv.write_csv(table, sink)
    return sink.getvalue()


def _copied(path: Path, folder: Path) -> Path:
    shutil.copy(path, folder / "c.parquet")
    return folder


@pytest.mark.parametrize("cell", ["soon", "", "1_704_067_200", "inf", "nan"])
def test_a_csv_cell_that_is_no_time_is_refused_and_not_quoted(tmp_path: Path, cell: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "line_of_business,urgency,requested_at,decided_at,outcome\n"
        f"exchange,standard,{cell},1704067300,approved\n"
    )
    with pytest.raises(InputError, match="without a known line") as refused:
        cms_metrics(path, 2024)
    assert not cell or cell not in str(refused.value)
