"""The fault matrix: its cells on disk, one file a cell, and what they add up to.

A cell's file is written when the cell is known, so a matrix that was broken off is gone on with.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.compare.fault_catalogue import FAULTS
from components.compare.faults import STACKS, Cell, Column, Fault, Outcome
from components.contract.errors import InputError
from components.lineage.digests import canonical_json, parse_canonical
from components.lineage.durable import writable_directory, write_atomically
from components.lineage.regular_file import read_regular

CELLS = "cells"
_ORDER = {f.name: i for i, f in enumerate(FAULTS)}


@dataclass(frozen=True, slots=True)
class FaultMatrix:
    """Cells by fault, stack and column, in the catalogue's order."""

    cells: tuple[Cell, ...]

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults that have a cell."""
        named = {c.fault for c in self.cells}
        return tuple(f for f in FAULTS if f.name in named)

    def cell(self, fault: str, stack: str, column: Column) -> Cell | None:
        """That cell; None where it was not run."""
        return next((c for c in self.cells if c.key == (fault, stack, column)), None)

    def count(self, stack: str, column: Column) -> Mapping[Outcome, int]:
        """How many faults came to what, every outcome named."""
        found = Counter(c.outcome for c in self.cells if (c.stack, c.column) == (stack, column))
        return {outcome: found[outcome] for outcome in Outcome}

    @property
    def missing(self) -> tuple[tuple[str, str, Column], ...]:
        """Cells that the catalogue asks for and that were not run."""
        known = {c.key for c in self.cells}
        return tuple(
            key
            for f in FAULTS
            for s in STACKS
            for column in Column
            if (key := (f.name, s, column)) not in known
        )

    def to_json(self) -> dict[str, Any]:
        """Faults, cells and counts."""
        return {
            "faults": [
                {"name": f.name, "title": f.title, "harm": f.harm, "moment": str(f.moment)}
                for f in self.faults
            ],
            "cells": [c.to_json() for c in self.cells],
            "counts": [
                {
                    "stack": s,
                    "column": str(column),
                    **{str(o): n for o, n in self.count(s, column).items()},
                }
                for s in STACKS
                for column in Column
            ],
            "missing": [f"{f}/{s}/{column}" for f, s, column in self.missing],
        }


def sorted_matrix(cells: Iterable[Cell]) -> FaultMatrix:
    """A matrix of cells, in the catalogue's order."""
    columns = list(Column)
    return FaultMatrix(
        tuple(
            sorted(
                cells,
                key=lambda c: (_ORDER[c.fault], STACKS.index(c.stack), columns.index(c.column)),
            )
        )
    )


def save_cell(folder: Path, cell: Cell) -> Path:
    """Write a cell into ``<folder>/cells``, whole or not at all; returns its file."""
    path = writable_directory(folder / CELLS) / f"{cell.fault}-{cell.stack}-{cell.column}.json"
    write_atomically(path, canonical_json({**cell.to_json(), "seconds": f"{cell.seconds:.3f}"}))
    return path


def has_cells(folder: Path) -> bool:
    """Whether a folder holds a cell, sound or not."""
    return any((folder / CELLS).glob("*.json"))


def read_matrix(folder: Path) -> FaultMatrix:
    """The matrix that `assay faults` left in a folder, finished or not.

    Raises:
        InputError: there is none, or a file is none of its cells.
    """
    paths: Sequence[Path] = sorted((folder / CELLS).glob("*.json"))
    if not paths:
        raise InputError(
            "holds no fault matrix", where=str(folder), expected="the folder of `assay faults -o`"
        )
    return sorted_matrix(_read_cell(path) for path in paths)


def _read_cell(path: Path) -> Cell:
    document = parse_canonical(read_regular(path), path.name)
    try:
        seconds = float(document.get("seconds", ""))
    except (TypeError, ValueError) as error:
        raise InputError(
            "has no seconds", where=str(path), expected="a file of `assay faults`"
        ) from error
    cell = Cell.from_json({**document, "seconds": seconds}, str(path))
    if cell.fault not in _ORDER or path.name != f"{cell.fault}-{cell.stack}-{cell.column}.json":
        raise InputError(
            "is not the cell that its name says", where=str(path), expected="`assay faults` anew"
        )
    return cell
