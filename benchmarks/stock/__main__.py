"""``python -m benchmarks.stock STACK FOLDER FAULT...``: the stock column, a line of JSON a cell.

Standard output holds the cells and nothing else; all that frameworks print goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.stock.faults import Stock
from components.compare.fault_catalogue import FAULTS
from components.compare.faults import STACKS
from components.contract.errors import AssayError, InputError


def main(arguments: Sequence[str]) -> int:
    """Exit code 0 once every cell is told, 2 for bad usage, 3 where the column broke off."""
    try:
        stock, names = _understood(arguments)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as cells:
        os.dup2(2, 1)
        _start(stock.stack)
        try:
            for cell in stock.cells(names):
                print(json.dumps(cell.to_json()), file=cells, flush=True)
        except AssayError as error:
            print(error, file=sys.stderr)
            return 3
    return 0


def _understood(arguments: Sequence[str]) -> tuple[Stock, Sequence[str]]:
    usage = "python -m benchmarks.stock tfx|pytorch FOLDER FAULT..."
    if len(arguments) < 3 or arguments[0] not in STACKS:
        raise InputError("names no stack, folder and fault", where="the arguments", expected=usage)
    stack, folder, *names = arguments
    known = [f.name for f in FAULTS]
    for name in names:
        if name not in known:
            raise InputError(
                f"no fault {name[:60]!r}", where="the arguments", expected=", ".join(known)
            )
    path = Path(folder).resolve()
    path.mkdir(parents=True, exist_ok=True)
    return Stock(stack, path), names


def _start(stack: str) -> None:
    """Telemetry and chatter off, before any framework is imported."""
    if stack == "tfx":
        from components.stacks.tfx_stack.quiet_start import prepare_environment

        prepare_environment()
        return
    from components.stacks.pytorch_stack import frameworks

    frameworks.start()
    # Arrays this small gain nothing from a second thread, and lose much where cores are shared.
    os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
    # Every fault begins with another file of the same name: no connection may outlive its use.
    os.environ["MLFLOW_SQLALCHEMYSTORE_POOLCLASS"] = "NullPool"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
