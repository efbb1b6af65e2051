"""Where the cells of the fault matrix come from: runs, what is done to a home afterwards, stock."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from components.compare.faults import Cell, Column
from components.contract.errors import AssayError
from components.contract.json_schema import ROOT


class Source(Protocol):
    """Gives cells of some columns; faults that it knows nothing about it leaves out."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns that it gives cells of."""

    def cells(self, stack: str, faults: Sequence[str]) -> Iterator[Cell]:
        """The cells of faults in one stack, each as soon as it is known."""


@dataclass(frozen=True, slots=True)
class Stock:
    """The stacks as their quickstarts wire them: ``benchmarks/stock``, in a checkout only."""

    folder: Path
    columns: tuple[Column, ...] = (Column.STOCK,)

    def cells(self, stack: str, faults: Sequence[str]) -> Iterator[Cell]:
        """One process for all of them, a line of JSON a cell."""
        if not faults:
            return
        command = [sys.executable, "-m", "benchmarks.stock", stack, str(self.folder), *faults]
        with (
            (self.folder / f"stock-{stack}.log").open("ab") as log,
            subprocess.Popen(
                command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True
            ) as process,
        ):
            for line in process.stdout or []:
                yield Cell.from_json(json.loads(line), f"benchmarks.stock {stack}")
        if process.returncode:
            raise AssayError(f"the stock {stack} pipeline broke off (output: {log.name})")


def sources(folder: Path, tell: Callable[[str], None]) -> tuple[Source, ...]:
    """The sources for a matrix in a folder; without a checkout there is no stock column."""
    from pipelines.fault_aftermath import Aftermath
    from pipelines.fault_runs import fault_runs

    found: list[Source] = [fault_runs(folder, tell), Aftermath(folder, tell)]
    if (ROOT / "benchmarks" / "stock" / "__main__.py").is_file():
        found.append(Stock(folder))
    return tuple(found)
