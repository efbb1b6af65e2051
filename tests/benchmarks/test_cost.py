"""What the cost benchmark makes of its figures; what they come to is no business of a test."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from benchmarks import cost_releases
from benchmarks.cost import measured_tables
from benchmarks.cost_memory import Sample, peaks_by_stage, watched
from benchmarks.cost_releases import year_before
from benchmarks.harness import RESULTS
from components.compare.comparison import Table, parse_tables

_CHILD = "import sys, time; held = bytearray(60_000_000); time.sleep(0.5)"


def _values(table: Table, name: str) -> dict[str, Any]:
    (line,) = [line for line in table.lines if line.name == name]
    return dict(line.values)


def test_a_sample_belongs_to_the_stage_whose_record_comes_next() -> None:
    ends = [("ingest", 10.0), ("train", 20.0), ("close", 21.0)]
    samples = [Sample(1, 5), Sample(10, 7.04), Sample(10.1, 6), Sample(19, 9), Sample(22, 30)]
    assert peaks_by_stage(samples, ends) == {"ingest": 7.0, "train": 9, "after the run": 30}
    assert peaks_by_stage(samples[::-1], ends) == peaks_by_stage(samples, ends)


def test_only_the_worker_and_what_it_starts_are_sampled(tmp_path: Path) -> None:
    """The worker starts a process that holds 60 MB; beside it another one holds as much."""
    command = [sys.executable, "-c", _CHILD]
    worker = f"import subprocess; subprocess.run({command!r})"
    both = (
        f"import subprocess; other = subprocess.Popen({command!r});"
        f"subprocess.run({[sys.executable, '-c', worker, 'the-worker']!r}); other.wait()"
    )
    peak = max(s.mb for s in watched([sys.executable, "-c", both], "the-worker", tmp_path))
    assert 65 < peak < 110


def test_a_command_that_breaks_down_is_told(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="ended with 3"):
        watched([sys.executable, "-c", "raise SystemExit(3)"], "worker", tmp_path)


@pytest.mark.parametrize(
    ("every", "before", "new"),
    [
        ({"1", "2", "3"}, {"1"}, 2),
        ({"1"}, {"1"}, 0),
        ({"1"}, set(), 1),
        ({"1"}, None, None),
        (None, None, None),
        (set(), set(), None),
    ],
)
def test_releases_are_those_that_were_not_there_a_year_ago(
    every: set[str] | None, before: set[str] | None, new: int | None, monkeypatch: Any
) -> None:
    """Nothing is told where pip knows no release at all, or no times."""
    monkeypatch.setattr(cost_releases, "_recent_pip", lambda folder: folder)
    monkeypatch.setattr(
        cost_releases, "_versions", lambda python, name, *options: before if options else every
    )
    since = datetime(2026, 1, 1, tzinfo=UTC)
    assert cost_releases.releases_in(["one"], since, Path()) == {"one": new}


@pytest.mark.parametrize(
    ("stderr", "found"),
    [
        ("ERROR: No matching distribution found for one", set()),
        ("ERROR: Index does not provide upload-time metadata", None),
    ],
)
def test_what_pip_says_is_told_apart(
    stderr: str, found: set[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = subprocess.CompletedProcess([], 1, "", stderr)
    monkeypatch.setattr(cost_releases.subprocess, "run", lambda *_, **__: done)
    assert cost_releases._versions(Path("python"), "one") == found


def test_a_year_before_a_day_that_comes_every_four_years() -> None:
    assert year_before(datetime(2028, 2, 29, tzinfo=UTC)) == datetime(2027, 2, 28, tzinfo=UTC)
    assert year_before(datetime(2026, 3, 1, tzinfo=UTC)) == datetime(2025, 3, 1, tzinfo=UTC)


@pytest.fixture
def result() -> dict[str, Any]:
    """The newest result that is kept."""
    newest = max(RESULTS.glob("cost-[0-9]*.json"), key=lambda p: p.stem.rpartition("-")[2])
    found: dict[str, Any] = json.loads(newest.read_text())
    return found


def test_the_kept_tables_are_what_the_figures_make_and_compare_reads_them(
    result: dict[str, Any],
) -> None:
    newest = max(RESULTS.glob("cost-tables-*.json"), key=lambda p: p.stem.rpartition("-")[2])
    assert parse_tables(newest.read_bytes(), newest.name) == measured_tables(result)


def test_a_machine_that_was_shared_is_said_to_have_been(result: dict[str, Any]) -> None:
    machine = result["machine"]
    for load, shared in ((0.5, False), (1.0, True)):
        busy = {**result, "machine": {**machine, "load_before": 0.2, "load_after": load}}
        assert ("the machine was shared" in measured_tables(busy)[0].note) is shared


def test_what_the_index_does_not_tell_is_not_counted(result: dict[str, Any]) -> None:
    told = {**dict.fromkeys(result["releases"], 0), "torch": None, "mlflow": 4}
    table = measured_tables({**result, "releases": told})[2]
    assert _values(table, "releases of torch") == {"tfx": "not asked for", "pytorch": "not told"}
    assert _values(table, "releases, all together") == {"tfx": 0, "pytorch": 4}
    without = len(result["direct"]["pytorch"]) - 2
    assert _values(table, "direct dependencies without a release")["pytorch"] == without
