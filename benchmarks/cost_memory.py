"""Memory of a worker process and of all its children, sampled while it runs, by stage."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

INTERVAL = 0.05
"""Seconds between two samples."""
_PAGE_MB = os.sysconf("SC_PAGE_SIZE") / 2**20
_AFTER = "after the run"


@dataclass(frozen=True, slots=True)
class Sample:
    """``mb``: MiB resident, of the whole tree; pages that processes share count for each of them.

    ``at`` is in seconds since the epoch, as the times of files are.
    """

    at: float
    mb: float


def watched(
    command: Sequence[str], worker: str, folder: Path, codes: Collection[int] = (0,)
) -> list[Sample]:
    """Run a command to its end, and sample its children that were started as ``worker``.

    Raises:
        RuntimeError: it ended with another code than these.
    """
    samples = []
    child = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    while child.poll() is None:
        began = time.monotonic()
        megabytes = tree_mb(child.pid, worker)
        if megabytes:
            samples.append(Sample(time.time(), megabytes))
        time.sleep(max(0.0, INTERVAL - (time.monotonic() - began)))
    told = child.communicate()[1]
    if child.returncode not in codes:
        raise RuntimeError(f"{command[0]} ended with {child.returncode}: {told[-1000:]}")
    return samples


def tree_mb(pid: int, worker: str) -> float:
    """MiB resident of the processes below ``pid`` that name ``worker``, and of all below those."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            # A process may end while it is read.
            with suppress(OSError):
                status = Path(entry.path, "stat").read_text()
                # The name in brackets may hold anything, blanks too.
                parent = int(status.rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    roots = [p for p in _below(pid, children) if _names(p, worker)]
    return sum(map(_resident, {q for p in roots for q in (p, *_below(p, children))}))


def _below(pid: int, children: dict[int, list[int]]) -> list[int]:
    found = list(children.get(pid, ()))
    for each in found:
        found += children.get(each, ())
    return found


def _names(pid: int, worker: str) -> bool:
    with suppress(OSError):
        return worker.encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return False


def _resident(pid: int) -> float:
    with suppress(OSError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_MB
    return 0.0


def peaks_by_stage(
    samples: Sequence[Sample], ends: Sequence[tuple[str, float]]
) -> dict[str, float]:
    """The largest sample of each stage, in MiB.

    Args:
        samples: in any order.
        ends: each stage with the time at which its record was written, in the run's order. A
            sample belongs to the stage whose record comes next, so the start of the process belongs
            to the first one.
    """
    peaks: dict[str, float] = {}
    for sample in samples:
        stage = next((name for name, end in ends if sample.at <= end), _AFTER)
        peaks[stage] = max(peaks.get(stage, 0.0), round(sample.mb, 1))
    order = [*(name for name, _ in ends), _AFTER]
    return {stage: peaks[stage] for stage in order if stage in peaks}
