"""A process of a stack room's own, for work that is no run: a framework loads there and goes."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

from components.contract.errors import AssayError, InputError

Room = subprocess.Popen[str]

_TOLD = "assay: "
_PR_SET_PDEATHSIG = 1


def require_installed(*modules: str) -> None:
    """See that the frameworks of every room that is needed are there, before any room is started.

    Raises:
        InputError: names those that are not.
    """
    if missing := [m for m in modules if find_spec(m) is None]:
        raise InputError(
            f"{' and '.join(missing)} not installed",
            where="this Python environment",
            expected="the stacks that this is about, as from `make setup EXTRAS=all`",
        )


@contextmanager
def started(module: str, arguments: Sequence[str], log: Path, backend: str = "") -> Iterator[Room]:
    """A module of a stack room as a process; however the block is left, the process has ended.

    Args:
        module: name of the module; it calls ``settle_in`` first of all.
        arguments: its arguments.
        log: file that takes what the frameworks say.
        backend: Keras' backend, where Keras is used.
    """
    environment = {**os.environ, "KERAS_BACKEND": backend} if backend else None
    with log.open("wb") as output:
        room = subprocess.Popen(
            [sys.executable, "-P", "-m", module, *arguments],
            stdin=subprocess.PIPE, stdout=output, stderr=output, text=True,
            start_new_session=True, env=environment,
        )  # fmt: skip
        try:
            yield room
        finally:
            # It holds nothing that must be put away, and may have started others.
            with suppress(ProcessLookupError):
                os.killpg(room.pid, signal.SIGKILL)
            room.wait()
            if room.stdin is not None:
                with suppress(BrokenPipeError):
                    room.stdin.close()


def await_end(room: Room, module: str, log: Path) -> None:
    """Wait until a room's process is done.

    Raises:
        AssayError: it broke down, or was ended.
    """
    if room.wait() == 0:
        return
    lines = log.read_text("utf-8", errors="replace").splitlines()
    told = [line.removeprefix(_TOLD) for line in lines if line.startswith(_TOLD)]
    why = told[-1] if told else f"ended with code {room.returncode}"
    raise AssayError(f"{module.rpartition('.')[2]} {why}")


def settle_in() -> None:
    """First act of a room's module: end with who started it, and quote no row when breaking down.

    Frameworks quote rows in their messages, so of an error only its kind and place are told.
    """
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    sys.excepthook = _tell_without_values


def _tell_without_values(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    for frame in traceback.extract_tb(trace):
        print(f"  {frame.filename}:{frame.lineno} in {frame.name}", file=sys.stderr)
    said = f": {error}" if isinstance(error, AssayError) else ""
    print(f"{_TOLD}broke down with {kind.__name__}{said}", file=sys.stderr)
