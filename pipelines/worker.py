"""The process in which one stack's runs happen, so that a crash there can be told from a verdict.

``python -m pipelines.worker STACK RUN_DIR...`` runs each started run to its end and closes it;
then the stack's own store is brought into line, which is all that is left to do of a run that was
closed before. The frameworks are imported once for all of them.
"""

from __future__ import annotations

import ctypes
import logging
import signal
import sys
import traceback
from pathlib import Path
from types import TracebackType

from components.contract.errors import AssayError
from components.stacks.process import ReleaseProcess
from components.stacks.telemetry import switch_off

TOLD = "assay: "
"""Begins the lines of a worker's output that hold no value out of the data."""

_PR_SET_PDEATHSIG = 1


def main(stack: str, directories: list[str], beam_args: list[str]) -> int:
    """Run every run in turn; exit code 0 however the gates decide, the error's own otherwise."""
    _die_with_parent()
    switch_off()
    logging.getLogger("assay").setLevel(logging.INFO)
    for directory in directories:
        try:
            process = ReleaseProcess.open(Path(directory))
            if not process.chain.closed:
                process.begin()
                _run(stack, process, beam_args)
                process.close()
            _settle(stack, process)
        except AssayError as error:
            print(f"{TOLD}{error}", file=sys.stderr)
            return error.exit_code
    return 0


def _die_with_parent() -> None:
    """Nobody would close the run of a worker that outlives the process that started it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def tell_without_values(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Say where a framework broke down, and with what, but not its message.

    Frameworks quote rows in their messages; what is printed here ends in a log.
    """
    for frame in traceback.extract_tb(trace):
        print(f"  {frame.filename}:{frame.lineno} in {frame.name}", file=sys.stderr)
    chain = [kind.__name__]
    while error := error.__cause__ or error.__context__:  # type: ignore[assignment]
        chain.append(type(error).__name__)
    print(f"{TOLD}broke down with {', from '.join(chain)}", file=sys.stderr)


def _run(stack: str, process: ReleaseProcess, beam_args: list[str]) -> None:
    if stack == "tfx":
        from pipelines import tfx_pipeline

        if process.spec.continues is None:
            tfx_pipeline.run(process, beam_args=beam_args)
        else:
            tfx_pipeline.release(process, beam_args=beam_args)
    else:
        from pipelines import pytorch_pipeline

        if process.spec.continues is None:
            pytorch_pipeline.run(process)
        else:
            pytorch_pipeline.release(process)


def _settle(stack: str, process: ReleaseProcess) -> None:
    outcome = str(process.chain.records()[-1].body["outcome"])
    if stack == "tfx":
        from pipelines import tfx_pipeline

        tfx_pipeline.settle(process, outcome)
    else:
        from pipelines import pytorch_pipeline

        pytorch_pipeline.settle(process, outcome)


if __name__ == "__main__":
    sys.excepthook = tell_without_values
    separator = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    sys.exit(main(sys.argv[1], sys.argv[2:separator], sys.argv[separator + 1 :]))
