"""The stock column: what each fault comes to, read off runs; and what is said of bad usage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from hashlib import sha256
from pathlib import Path

import pytest

from benchmarks.stock.__main__ import main
from benchmarks.stock.spoiling import spoil
from components.compare.faults import Cell, Column, Outcome
from components.contract.errors import AssayError

ROOT = Path(__file__).parents[2]
PYTORCH: Mapping[str, Outcome] = {
    "dollars_to_cents": Outcome.AT_AUDIT,
    "new_category": Outcome.AT_AUDIT,
    "category_gone": Outcome.AT_AUDIT,
    "group_dropped": Outcome.AT_AUDIT,
    "leaked_label": Outcome.AT_AUDIT,
    "flipped_labels": Outcome.MISSED,
    "span_twice": Outcome.AT_AUDIT,
    "phi_in_text": Outcome.KEPT_OUT,
    "stale_baseline": Outcome.MISSED,
    "baseline_deleted": Outcome.BEFORE_TRAINING,
    "threshold_removed": Outcome.MISSED,
    "nan_metric": Outcome.BEFORE_RELEASE,
    "empty_slice": Outcome.AT_AUDIT,
    "serving_skew": Outcome.MISSED,
    "row_edited": Outcome.MISSED,
    "file_edited": Outcome.AT_AUDIT,
    "schema_loosened": Outcome.MISSED,
    "model_edited": Outcome.MISSED,
    "mlflow_run_deleted": Outcome.AT_AUDIT,
    "mlflow_metric_edited": Outcome.AT_AUDIT,
    "alias_moved": Outcome.MISSED,
    "mlmd_property_edited": Outcome.NOT_EXPRESSIBLE,
    "mlmd_run_deleted": Outcome.NOT_EXPRESSIBLE,
    "record_removed": Outcome.NOT_EXPRESSIBLE,
    "waiver_replayed": Outcome.NOT_EXPRESSIBLE,
}
TFX: Mapping[str, Outcome] = {
    **dict.fromkeys(PYTORCH, Outcome.MISSED),
    "nan_metric": Outcome.BEFORE_RELEASE,
    "empty_slice": Outcome.AT_AUDIT,
    "row_edited": Outcome.AT_AUDIT,
    "model_edited": Outcome.AT_AUDIT,
    "mlflow_run_deleted": Outcome.NOT_EXPRESSIBLE,
    "mlflow_metric_edited": Outcome.NOT_EXPRESSIBLE,
    "alias_moved": Outcome.NOT_EXPRESSIBLE,
    "mlmd_run_deleted": Outcome.AT_AUDIT,
    "record_removed": Outcome.NOT_EXPRESSIBLE,
    "waiver_replayed": Outcome.NOT_EXPRESSIBLE,
}
EVERY = bool(os.environ.get("ASSAY_STOCK_EVERY"))
"""Whether every fault is tried: minutes. Else a few that need a run, and all that need a look."""
QUICK = ("new_category", "baseline_deleted", "nan_metric", *list(PYTORCH)[14:])
TRIED = {
    "pytorch": list(PYTORCH) if EVERY else list(QUICK),
    "tfx": list(TFX) if EVERY else ["row_edited", "file_edited", "model_edited"],
}


def _column(stack: str, folder: Path, faults: Iterable[str]) -> Mapping[str, Cell]:
    command = [sys.executable, "-m", "benchmarks.stock", stack, str(folder), *faults]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    cells = [Cell.from_json(json.loads(line), stack) for line in done.stdout.splitlines()]
    return {c.fault: c for c in cells}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A matrix' folder for both stacks."""
    return tmp_path_factory.mktemp("stock")


@pytest.fixture(scope="module")
def pytorch(folder: Path) -> Mapping[str, Cell]:
    """The cells of the PyTorch stack, one run for all tests."""
    return _column("pytorch", folder, TRIED["pytorch"])


@pytest.fixture(scope="module")
def tfx(folder: Path) -> Mapping[str, Cell]:
    """A few cells of the TFX stack, one run for all tests."""
    return _column("tfx", folder, TRIED["tfx"])


def _holds(cell: Cell, expected: Outcome, folder: Path) -> None:
    assert cell.outcome is expected, cell
    assert cell.column is Column.STOCK
    heard = expected not in (Outcome.MISSED, Outcome.KEPT_OUT, Outcome.NOT_EXPRESSIBLE)
    assert bool(cell.stage and cell.tool) is heard
    assert cell.message
    assert str(folder) not in cell.message
    if expected is Outcome.NOT_EXPRESSIBLE:
        assert cell.evidence == "nothing was run"
        return
    file, digest = cell.evidence.split(", sha256 ")
    assert sha256((folder / file).read_bytes()).hexdigest() == digest


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", TRIED["pytorch"])
def test_pytorch(fault: str, pytorch: Mapping[str, Cell], folder: Path) -> None:
    _holds(pytorch[fault], PYTORCH[fault], folder)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", TRIED["tfx"])
def test_tfx(fault: str, tfx: Mapping[str, Cell], folder: Path) -> None:
    _holds(tfx[fault], TFX[fault], folder)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "names no stack"),
        (["keras", "x", "row_edited"], "names no stack"),
        (["tfx", "x", "row_eaten"], "no fault 'row_eaten'"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert told in captured.err


def test_a_fault_that_changes_nothing_is_an_error(tmp_path: Path) -> None:
    schema = tmp_path / "work" / "schema" / "schema.pbtxt"
    schema.parent.mkdir(parents=True)
    schema.write_text('feature { name: "income" }', "utf-8")
    with pytest.raises(AssayError, match="no such bound"):
        spoil("schema_loosened", "tfx", tmp_path)


def test_an_edited_file_keeps_its_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "data" / "rows.csv"
    path.parent.mkdir()
    path.write_text("income\n" + "100\n" * 50, "utf-8")
    before, content = path.stat(), path.read_bytes()
    spoil("file_edited", "pytorch", tmp_path)
    after = path.stat()
    assert (after.st_size, after.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert sum(a != b for a, b in zip(content, path.read_bytes(), strict=True)) == 1
