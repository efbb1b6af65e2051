"""`assay faults`: the same faults put into both stacks, and what came of each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.options import JsonOption

if TYPE_CHECKING:
    from components.compare.fault_matrix import FaultMatrix
    from components.compare.faults import Cell

_STYLES = {
    "caught before training": "green",
    "caught before release": "green",
    "kept out": "green",
    "caught at audit": "yellow",
    "missed": "bold red",
    "cannot be expressed": "dim",
}
_STACKS = ("tfx", "pytorch")


def faults(
    names: Annotated[
        list[str] | None, typer.Argument(help="Faults, by name; all of them if none is given.")
    ] = None,
    stack: Annotated[str, typer.Option(help="tfx, pytorch or both.")] = "both",
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for cells, homes and data.")
    ] = Path(".assay-faults"),
    as_json: JsonOption = False,
) -> None:
    """Put faults into real runs of both stacks, in three columns, and say what caught each.

    stock: the stack as its quickstart wires it. native: our wiring, native tools alone. assay:
    referee and evidence on. Cells that are there are kept, so what was broken off goes on.
    Exit 0 once every cell is known, whatever it says.
    """
    from components.compare.fault_matrix import read_matrix
    from pipelines.json_output import print_json
    from pipelines.launch import stacks_named

    chosen = _chosen(names)
    stacks = stacks_named(stack)
    others = [_beside(s, chosen, output) for s in stacks[1:]]
    try:
        _run(stacks[0], chosen, output)
    except BaseException:
        for process in others:
            process.terminate()
        raise
    finally:
        codes = [process.wait() for process in others]
    if failed := [s for s, code in zip(stacks[1:], codes, strict=True) if code]:
        from components.contract.errors import AssayError

        raise AssayError(f"the {failed[0]} half broke off (see {output / failed[0]}.log)")
    matrix = read_matrix(output)
    if as_json:
        print_json(matrix.to_json())
    else:
        print_matrix(matrix, stacks)


def _chosen(names: Sequence[str] | None) -> list[str]:
    from components.compare.fault_catalogue import FAULTS
    from components.contract.errors import InputError

    known = [f.name for f in FAULTS]
    for name in names or []:
        if name not in known:
            raise InputError(
                f"no fault {name[:60]!r}", where="the arguments", expected=", ".join(known)
            )
    return [n for n in known if not names or n in names]


def _beside(stack: str, names: Sequence[str], output: Path) -> subprocess.Popen[bytes]:
    """The other stack's half, in a process of its own: the two share nothing but the folder."""
    output.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-P", "-m", "pipelines.cli", "faults", *names]
    with (output / f"{stack}.log").open("wb") as log:
        return subprocess.Popen(
            [*command, "--stack", stack, "-o", str(output)],
            stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        )  # fmt: skip


def _run(stack: str, names: Sequence[str], output: Path) -> None:
    from rich.console import Console
    from rich.text import Text

    from components.compare.fault_matrix import save_cell
    from components.lineage.durable import writable_directory

    console = Console(stderr=True, highlight=False)
    folder = writable_directory(output).resolve()
    with console.status(f"{stack}: making runs with faults (minutes)") as status:
        for cell in _missing_cells(stack, names, folder, lambda t: status.update(f"{stack}: {t}")):
            save_cell(folder, cell)
            console.print(
                Text(f"{stack:<8} {cell.fault:<20} {cell.column:<7}"),
                Text(str(cell.outcome), _STYLES[str(cell.outcome)]),
                Text(f"  {cell.tool}", "dim"),
                sep="",
            )


def _missing_cells(
    stack: str, names: Sequence[str], folder: Path, tell: Callable[[str], None]
) -> Iterator[Cell]:
    from components.compare.fault_matrix import has_cells, read_matrix
    from pipelines.fault_sources import sources

    known = {c.key for c in read_matrix(folder).cells} if has_cells(folder) else set()
    for source in sources(folder, tell):
        due = [n for n in names if any((n, stack, c) not in known for c in source.columns)]
        for cell in source.cells(stack, due):
            if cell.key not in known:
                yield cell


def print_matrix(matrix: FaultMatrix, stacks: Sequence[str]) -> None:
    """The matrix as a table, a line a fault."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from components.compare.faults import Column

    table = Table(title="Faults, and when each was caught", title_justify="left")
    table.add_column("fault")
    for stack in stacks:
        for column in Column:
            table.add_column(f"{stack}\n{column}")
    for fault in matrix.faults:
        cells = [matrix.cell(fault.name, s, c) for s in stacks for c in Column]
        table.add_row(
            fault.name,
            *(
                Text(str(c.outcome), _STYLES[str(c.outcome)]) if c else Text("not run", "dim")
                for c in cells
            ),
        )
    Console(highlight=False).print(table)
