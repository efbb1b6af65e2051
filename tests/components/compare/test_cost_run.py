"""What a run cost is read from its own evidence and files."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from components.compare.comparison import Table
from components.compare.cost_run import metadata_table, seconds_table
from components.contract.errors import EvidenceError
from components.contract.stages import Stage
from components.lineage.digests import canonical_json
from components.release.run_summary import NOT_RUN, RunSummary


def _values(table: Table, name: str) -> dict[str, float | str | None]:
    (line,) = [line for line in table.lines if line.name == name]
    return dict(line.values)


@pytest.fixture
def run(runs: list[RunSummary], tmp_path: Path) -> RunSummary:
    """A released run of TFX in a home of its own, with a store and a receipt of known sizes."""
    (released,) = [r for r in runs if r.stack == "tfx" and r.candidate == "mitigated"]
    directory = tmp_path / "runs" / released.directory.name
    shutil.copytree(released.directory, directory)
    stores = tmp_path / "stores"
    stores.mkdir()
    (stores / "mlmd.sqlite").write_bytes(b"x" * 1000)
    entries = {"artifact/1/uri": "näher", "run/1/name": ""}
    (directory / "native-entries.json").write_bytes(
        canonical_json({"entries": entries, "nonce": "0"})
    )
    (directory / "native-receipt.json").write_bytes(b"r" * 10)
    return replace(released, directory=directory)


def test_seconds_are_those_of_the_records(run: RunSummary) -> None:
    stages = tuple(replace(s, seconds=index + 0.126) for index, s in enumerate(run.stages))
    table = seconds_table({"tfx": replace(run, stages=stages)})
    assert [line.name for line in table.lines] == [*map(str, Stage), "all stages"]
    assert _values(table, "ingest") == {"tfx": 0.13}
    assert _values(table, "score") == {"tfx": 7.13}
    assert _values(table, "all stages") == {"tfx": 29.01}
    assert run.head[:12] in table.lines[0].evidence


def test_a_stage_that_did_not_run_has_no_seconds(run: RunSummary) -> None:
    """Nor one that was taken over from the run whose model this one releases."""
    skipped = replace(run.stages[-1], status=NOT_RUN)
    taken = replace(run.stages[0], run="earlier")
    table = seconds_table({"tfx": replace(run, stages=(taken, *run.stages[1:-1], skipped))})
    assert _values(table, "ingest") == {"tfx": None}
    assert _values(table, "score") == {"tfx": None}


def test_bytes_are_those_on_disk(run: RunSummary) -> None:
    table = metadata_table({"tfx": run})
    records = list((run.directory / "evidence").glob("0*.json"))
    assert _values(table, "evidence records") == {"tfx": len(records)}
    assert len(records) == len(Stage) + 1
    assert _values(table, "evidence") == {"tfx": sum(len(r.read_bytes()) for r in records)}
    assert _values(table, "properties in the native store") == {"tfx": 2}
    assert _values(table, "what these properties say") == {"tfx": 14 + 6 + 10}
    entries = len((run.directory / "native-entries.json").read_bytes())
    assert _values(table, "receipt and its list") == {"tfx": entries + 10}
    every = [p for p in run.directory.rglob("*") if p.is_file()]
    assert _values(table, "the run's folder, all of it") == {
        "tfx": sum(len(p.read_bytes()) for p in every)
    }


def test_a_share_of_the_database_is_an_estimate(run: RunSummary) -> None:
    """Only the stack's own runs share it."""
    for name in ("20260101T000000Z-tfx-plain-0", "20260101T000000Z-pytorch-plain-0"):
        (run.directory.parent / name).mkdir()
    table = metadata_table({"tfx": run})
    assert _values(table, "the store's database, for one run") == {"tfx": 500}
    assert [line.name for line in table.lines if line.estimate] == [
        "the store's database, for one run"
    ]


def test_what_is_not_there_has_no_figure(run: RunSummary) -> None:
    (run.directory / "native-entries.json").unlink()
    (run.directory.parents[1] / "stores" / "mlmd.sqlite").unlink()
    table = metadata_table({"tfx": run})
    for name in (
        "properties in the native store",
        "what these properties say",
        "the store's database, for one run",
        "receipt and its list",
    ):
        assert _values(table, name) == {"tfx": None}


@pytest.mark.parametrize("content", ["no JSON", "[]", '{"entries":[1]}', '{"nonce":"0"}'])
def test_a_list_that_is_none_is_no_figure_but_an_error(run: RunSummary, content: str) -> None:
    (run.directory / "native-entries.json").write_text(content)
    with pytest.raises(EvidenceError, match=r"native-entries\.json of run"):
        metadata_table({"tfx": run})
