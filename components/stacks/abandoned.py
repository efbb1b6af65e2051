"""Runs that nobody executes any more, though nobody closed them: their processes were killed.

Whoever starts a run holds a lock on ``run.lock`` in its directory for as long as the process lives,
and takes the file away once the run is closed. The kernel lets go of a dead process's locks, so a
``run.lock`` that can be locked belongs to a run that was abandoned.

A run that broke off may be closed and its native store not know of it. ``settle.due`` stays in its
directory until the store was brought into line and a receipt signed.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterable
from pathlib import Path

from components.contract.errors import AssayError
from components.lineage.evidence import CLOSING_STAGE
from components.lineage.receipts import RECEIPT
from components.stacks.process import ReleaseProcess
from components.stacks.run_spec import RunSpec

LOCK_FILE, DUE_FILE, SPEC_FILE = "run.lock", "settle.due", "run.json"
REASON = "the processes that executed it were killed; found when the next run was started"

log = logging.getLogger("assay.process")

_held: dict[Path, int] = {}
"""Descriptor of each lock that this process holds, by the run's directory."""


def hold(directory: Path) -> None:
    """Say that this process answers for a run, until it lets go or ends."""
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    _held[directory] = descriptor
    (directory / DUE_FILE).touch()


def let_go(directory: Path) -> None:
    """Say that a run is over: nobody need look after it again."""
    if (directory / RECEIPT).exists():
        (directory / DUE_FILE).unlink(missing_ok=True)
    (directory / LOCK_FILE).unlink(missing_ok=True)
    if (descriptor := _held.pop(directory, None)) is not None:
        os.close(descriptor)


def held(directories: Iterable[Path]) -> list[int]:
    """Descriptors to hand to a process that executes these runs: its life counts as well."""
    return [_held[d] for d in directories if d in _held]


def unsettled(home: Path, stack: str) -> list[Path]:
    """Directories of closed runs of a stack whose native store was not brought into line."""
    found = []
    for path in sorted((home / "runs").glob(f"*-{stack}-*/{DUE_FILE}")):
        over = any((path.parent / "evidence").glob(f"*-{CLOSING_STAGE}.json"))
        if over and not (path.parent / LOCK_FILE).exists():
            found.append(path.parent)
    return found


def close_abandoned(home: Path) -> list[str]:
    """Close every abandoned run of a home as interrupted; returns their ids.

    One that was closed as released, but died before its release record was written, gets it now.
    A run that cannot be closed, say because its chain is broken, is told of in one line and left as
    it is: it must not stop the next one.
    """
    closed = []
    for path in sorted((home / "runs").glob(f"*/{LOCK_FILE}")):
        name = path.parent.name
        try:
            if _settle_if_abandoned(path.parent):
                closed.append(name)
                log.warning("assay: run %s was abandoned and is closed as interrupted", name)
        except (AssayError, OSError) as error:
            what = " ".join(str(error).splitlines())
            log.warning("assay: run %s was abandoned and stays as it is: %s", name, what)
    return closed


def _settle_if_abandoned(directory: Path) -> bool:
    """Whether a run was abandoned while it was open; it is then closed."""
    descriptor = os.open(directory / LOCK_FILE, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return _settle(directory)
    except BlockingIOError:
        return False  # somebody is at work on it, or closes it at this very moment
    finally:
        os.close(descriptor)


def _settle(directory: Path) -> bool:
    was_open = False
    if (directory / SPEC_FILE).exists():  # else it died before there was a run
        process = ReleaseProcess(RunSpec.load(directory))
        if was_open := not process.chain.closed:
            process.close(interrupted=REASON)
        process.ensure_release()
    let_go(directory)
    return was_open
