"""What came of each fault in real runs of both stacks: a quick part here, all of it when asked.

``ASSAY_FAULTS=all`` makes every run of the matrix (some ten minutes); else those that are cheap or
tell the columns apart. Faults after a release are always tried, on copies of the demo's home.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.compare.fault_catalogue import FAULTS
from components.compare.faults import Cell, Column, Moment, Outcome
from components.contract.errors import AssayError
from pipelines.fault_aftermath import Aftermath
from pipelines.fault_runs import RUN_FAULTS, fault_runs
from pipelines.spoilt_homes import SPOIL, Spoilt
from tests.conformance.conftest import STACKS, Demo

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

BEFORE_TRAINING, BEFORE_RELEASE = Outcome.BEFORE_TRAINING, Outcome.BEFORE_RELEASE
KEPT_OUT, AT_AUDIT, MISSED, NEVER = (
    Outcome.KEPT_OUT, Outcome.AT_AUDIT, Outcome.MISSED, Outcome.NOT_EXPRESSIBLE,
)  # fmt: skip

QUICK = {
    "tfx": ("new_category", "stale_baseline", "threshold_removed"),
    "pytorch": ("span_twice", "phi_in_text", "serving_skew", "stale_baseline", "threshold_removed"),
}

EXPECTED: dict[str, dict[str, tuple[Outcome, Outcome]]] = {
    # fault: what native tools alone come to, and what referee and evidence come to
    "dollars_to_cents": dict.fromkeys(STACKS, (BEFORE_TRAINING, BEFORE_TRAINING)),
    "new_category": dict.fromkeys(STACKS, (BEFORE_TRAINING, BEFORE_TRAINING)),
    "category_gone": dict.fromkeys(STACKS, (BEFORE_TRAINING, BEFORE_TRAINING)),
    "group_dropped": dict.fromkeys(STACKS, (BEFORE_RELEASE, BEFORE_RELEASE)),
    "leaked_label": dict.fromkeys(STACKS, (BEFORE_RELEASE, BEFORE_TRAINING)),
    "flipped_labels": {
        "tfx": (BEFORE_RELEASE, BEFORE_RELEASE),
        "pytorch": (MISSED, BEFORE_RELEASE),
    },
    "span_twice": {
        "tfx": (MISSED, BEFORE_TRAINING),
        "pytorch": (BEFORE_TRAINING, BEFORE_TRAINING),
    },
    "phi_in_text": dict.fromkeys(STACKS, (KEPT_OUT, KEPT_OUT)),
    "stale_baseline": dict.fromkeys(STACKS, (BEFORE_TRAINING, BEFORE_TRAINING)),
    "baseline_deleted": dict.fromkeys(STACKS, (BEFORE_TRAINING, BEFORE_TRAINING)),
    "threshold_removed": dict.fromkeys(STACKS, (BEFORE_TRAINING, BEFORE_TRAINING)),
    "nan_metric": dict.fromkeys(STACKS, (BEFORE_RELEASE, BEFORE_RELEASE)),
    "empty_slice": dict.fromkeys(STACKS, (BEFORE_RELEASE, BEFORE_RELEASE)),
    "serving_skew": dict.fromkeys(STACKS, (MISSED, BEFORE_RELEASE)),
    "row_edited": dict.fromkeys(STACKS, (AT_AUDIT, AT_AUDIT)),
    "file_edited": dict.fromkeys(STACKS, (AT_AUDIT, AT_AUDIT)),
    "schema_loosened": dict.fromkeys(STACKS, (MISSED, AT_AUDIT)),
    "model_edited": dict.fromkeys(STACKS, (AT_AUDIT, AT_AUDIT)),
    "mlflow_run_deleted": {"tfx": (NEVER, NEVER), "pytorch": (AT_AUDIT, AT_AUDIT)},
    "mlflow_metric_edited": {"tfx": (NEVER, NEVER), "pytorch": (AT_AUDIT, AT_AUDIT)},
    "alias_moved": {"tfx": (NEVER, NEVER), "pytorch": (AT_AUDIT, AT_AUDIT)},
    "mlmd_property_edited": {"tfx": (MISSED, AT_AUDIT), "pytorch": (NEVER, NEVER)},
    "mlmd_run_deleted": {"tfx": (AT_AUDIT, AT_AUDIT), "pytorch": (NEVER, NEVER)},
    "record_removed": dict.fromkeys(STACKS, (NEVER, AT_AUDIT)),
    "waiver_replayed": dict.fromkeys(STACKS, (NEVER, BEFORE_RELEASE)),
}

Cells = Callable[[str, str], dict[Column, Cell]]


def _made(stack: str) -> tuple[str, ...]:
    everything = os.environ.get("ASSAY_FAULTS") == "all"
    return RUN_FAULTS if everything else QUICK[stack]


@pytest.fixture(scope="session")
def folder(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A matrix' folder in which a home with a released run of both stacks is there already."""
    made = tmp_path_factory.mktemp("faults")
    for stack in STACKS:
        shutil.copytree(demo.home, made / "homes" / f"released-{stack}", symlinks=True)
    return made


@pytest.fixture(scope="session")
def run_cells(folder: Path) -> Cells:
    """Cells of faults that runs are made with, by fault and stack."""
    made = {
        (c.fault, stack, c.column): c
        for stack in STACKS
        for c in fault_runs(folder, lambda _: None).cells(stack, _made(stack))
    }
    return lambda fault, stack: {c: made[fault, stack, c] for c in (Column.NATIVE, Column.ASSAY)}


def _held(cells: dict[Column, Cell], fault: str, stack: str) -> None:
    expected = dict(zip((Column.NATIVE, Column.ASSAY), EXPECTED[fault][stack], strict=True))
    found = {column: (c.outcome, c.message) for column, c in cells.items()}
    assert {column: c.outcome for column, c in cells.items()} == expected, found
    for cell in cells.values():
        caught = cell.outcome in (BEFORE_TRAINING, BEFORE_RELEASE, AT_AUDIT)
        assert bool(cell.tool) == bool(cell.stage) == caught
        assert cell.message and cell.evidence


@pytest.mark.parametrize(("fault", "stack"), [(f, s) for s in STACKS for f in _made(s)])
def test_a_run_with_a_fault_ends_as_expected(run_cells: Cells, fault: str, stack: str) -> None:
    _held(run_cells(fault, stack), fault, stack)


def _afterwards() -> list[tuple[str, str]]:
    """Faults after a release; a waiver takes whole runs, so of tfx only where all is asked for."""
    named = [(f.name, s) for s in STACKS for f in FAULTS if f.moment is Moment.AFTER]
    costly = set() if os.environ.get("ASSAY_FAULTS") == "all" else {("waiver_replayed", "tfx")}
    return [key for key in named if key not in costly]


@pytest.mark.parametrize(("fault", "stack"), _afterwards())
def test_a_fault_after_the_release_is_found_by_whom_it_should(
    folder: Path, fault: str, stack: str
) -> None:
    cells = {c.column: c for c in Aftermath(folder, lambda _: None).cells(stack, [fault])}
    _held(cells, fault, stack)


def test_every_fault_has_an_expectation_in_every_column() -> None:
    assert list(EXPECTED) == [f.name for f in FAULTS]
    assert all(set(by_stack) == set(STACKS) for by_stack in EXPECTED.values())
    for fault in FAULTS:
        for stack in set(STACKS) - set(fault.stacks):
            assert EXPECTED[fault.name][stack] == (NEVER, NEVER)


def test_a_fault_that_changes_nothing_is_no_cell(folder: Path) -> None:
    home = folder / "homes" / "released-pytorch"
    spoilt = Spoilt(home, home / "runs", "pytorch")
    with pytest.raises(AssayError, match="nothing was changed"):
        spoilt.change("UPDATE runs SET status = 'x' WHERE run_uuid = 'none'")
    with pytest.raises(AssayError, match="no such range"):
        (folder / "contract.yaml").write_text("nothing")
        SPOIL["schema_loosened"](Spoilt(home, folder, "pytorch"))
