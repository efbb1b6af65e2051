"""The process in which runs with faults are made: the worker of any run, under a plan.

``python -m pipelines.fault_worker PLAN STACK RUN_DIR...``. PLAN is a JSON file that names, for each
run id, its fault and whether the referee is heard. A run that breaks down is closed as interrupted,
and the next one is made: that it broke down is what came of its fault.
"""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path

from components.stacks.process import ReleaseProcess
from pipelines import worker
from pipelines.fault_injections import injected, native_alone

BROKE_DOWN = "broke down with "
"""Begins the reason with which a run is closed whose stack, or whose referee, broke down."""


def main(plan: Path, stack: str, directories: list[str]) -> int:
    """Make every run in turn; exit code 0 whatever their faults lead to."""
    planned = json.loads(plan.read_bytes())
    for directory in directories:
        order = planned[Path(directory).name]
        with (
            injected(order["fault"], stack),
            nullcontext() if order["referee"] else native_alone(),
        ):
            _run(stack, directory)
    return 0


def _run(stack: str, directory: str) -> None:
    kind = ""
    try:
        if worker.main(stack, [directory], []):
            kind = "an error of Assay's own"
    except Exception as error:  # noqa: BLE001 - whatever a fault breaks is what is measured
        worker.tell_without_values(type(error), error, error.__traceback__)
        kind = type(error).__name__
    process = ReleaseProcess.open(Path(directory))
    if kind and not process.chain.closed:
        process.close(interrupted=BROKE_DOWN + kind)


if __name__ == "__main__":
    sys.excepthook = worker.tell_without_values
    separator = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    sys.exit(main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:separator]))
