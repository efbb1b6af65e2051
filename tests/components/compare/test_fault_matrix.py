"""Cells on disk, what they add up to, and what is no cell."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.compare.fault_catalogue import FAULTS
from components.compare.fault_matrix import read_matrix, save_cell, sorted_matrix
from components.compare.faults import STACKS, Cell, Column, Moment, Outcome
from components.contract.errors import InputError


def cell(**fields: object) -> Cell:
    """A cell with some fields of its own."""
    told = {
        "fault": "span_twice", "stack": "tfx", "column": Column.ASSAY,
        "outcome": Outcome.BEFORE_TRAINING, "stage": "data_gate", "tool": "referee",
        "message": "repeated keys", "seconds": 1.25, "evidence": "a record",
    }  # fmt: skip
    return Cell(**{**told, **fields})  # type: ignore[arg-type]


def test_there_are_twenty_faults_and_more_each_with_its_own_name() -> None:
    names = [f.name for f in FAULTS]
    assert len(names) == len(set(names)) >= 20
    assert {f.moment for f in FAULTS} == set(Moment)
    assert all(set(f.stacks) <= set(STACKS) and f.title and f.harm for f in FAULTS)


def test_a_cell_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    written = cell(crashed=True, message="é <script>")
    save_cell(tmp_path, written)
    assert read_matrix(tmp_path).cells == (written,)


def test_cells_stand_in_the_order_of_the_catalogue_whatever_order_they_come_in() -> None:
    cells = [
        cell(fault="row_edited"),
        cell(stack="pytorch", column=Column.STOCK),
        cell(column=Column.NATIVE),
        cell(),
    ]
    found = [c.key for c in sorted_matrix(cells).cells]
    assert found == [
        ("span_twice", "tfx", Column.NATIVE),
        ("span_twice", "tfx", Column.ASSAY),
        ("span_twice", "pytorch", Column.STOCK),
        ("row_edited", "tfx", Column.ASSAY),
    ]
    assert [f.name for f in sorted_matrix(cells).faults] == ["span_twice", "row_edited"]


def test_every_outcome_is_counted_and_what_was_not_run_is_named() -> None:
    matrix = sorted_matrix([cell(), cell(fault="row_edited", outcome=Outcome.MISSED)])
    counts = matrix.count("tfx", Column.ASSAY)
    assert set(counts) == set(Outcome)
    assert counts[Outcome.BEFORE_TRAINING] == counts[Outcome.MISSED] == 1
    assert sum(matrix.count("pytorch", Column.ASSAY).values()) == 0
    assert len(matrix.missing) == len(FAULTS) * 6 - 2
    assert ("span_twice", "tfx", Column.ASSAY) not in matrix.missing
    document = matrix.to_json()
    assert json.loads(json.dumps(document)) == document


def _spoil(folder: Path, **fields: object) -> Path:
    (path,) = (folder / "cells").glob("*.json")
    document = json.loads(path.read_bytes())
    document.update(fields)
    path.write_text(json.dumps(document, separators=(",", ":"), sort_keys=True))
    return path


@pytest.mark.parametrize(
    "fields",
    [
        {"outcome": "fine"},
        {"column": "ours"},
        {"stack": "other"},
        {"fault": "row_edited"},
        {"fault": "unknown"},
        {"seconds": "soon"},
        {"message": ["a"]},
        {"more": "a"},
    ],
)
def test_what_is_no_cell_is_refused(tmp_path: Path, fields: dict[str, object]) -> None:
    save_cell(tmp_path, cell())
    path = _spoil(tmp_path, **fields)
    with pytest.raises(InputError) as error:
        read_matrix(tmp_path)
    assert path.name in str(error.value)


def test_a_folder_without_a_matrix_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no fault matrix"):
        read_matrix(tmp_path)
