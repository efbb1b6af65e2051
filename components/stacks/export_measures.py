"""What a stack room leaves of each export: the file, its scores of the evaluation rows, its speed.

Both halves of the exports write by this, in a folder of their own: ``exports.json`` lists what was
built, and ``<format>.npy`` beside it holds the scores.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

EXPORTS = "exports.json"
BATCH = 1024
"""Rows of a batch where speed is measured; rows are repeated where there are fewer."""

_CALLS_OF_ONE, _CALLS_OF_MANY = 50, 10

Scores = npt.NDArray[np.floating[Any]]
Call = Callable[[Any], Scores]
"""From a batch as a format takes it to its scores, shape (n,)."""


@dataclass(frozen=True, slots=True)
class Built:
    """One export as its room built it.

    ``file`` is a file or directory of the folder. ``load_seconds`` go from its bytes to a model
    that can be called; ``latency_seconds`` is the median of a call with one row,
    ``rows_per_second`` that of calls with ``BATCH`` rows, both on one thread. Making the batch is
    not counted, nor is the first call. ``note`` says what the format takes, and what it cannot
    hold.
    """

    format: str
    file: str
    note: str
    load_seconds: float
    latency_seconds: float
    rows_per_second: float


def measure(
    folder: Path,
    format_name: str,
    file: Path,
    note: str,
    load: Callable[[], Call],
    batch: Callable[[npt.NDArray[np.int64]], Any],
    rows: int,
) -> Built:
    """Load an export, score every evaluation row by it, and take its times.

    Args:
        folder: gets ``<format>.npy``, float64 of shape (rows,).
        format_name: name of the format.
        file: the export, in the folder.
        note: as in ``Built``.
        load: makes the model from the export.
        batch: the evaluation rows at some positions, as the format takes them.
        rows: number of evaluation rows, at least 1.
    """
    began = time.perf_counter()
    call = load()
    loaded = time.perf_counter() - began
    scores = np.asarray(call(batch(np.arange(rows))), np.float64)
    np.save(folder / f"{format_name}.npy", scores, allow_pickle=False)
    one = _median_seconds(call, batch(np.arange(1)), _CALLS_OF_ONE)
    many = _median_seconds(call, batch(np.arange(BATCH) % rows), _CALLS_OF_MANY)
    return Built(format_name, file.name, note, loaded, one, BATCH / many)


def write_built(folder: Path, built: list[Built]) -> None:
    """List what was built."""
    (folder / EXPORTS).write_text(json.dumps([asdict(b) for b in built]))


def read_built(folder: Path) -> list[Built]:
    """What ``write_built`` listed."""
    return [Built(**held) for held in json.loads((folder / EXPORTS).read_bytes())]


def _median_seconds(call: Call, batch: Any, calls: int) -> float:
    call(batch)
    taken = []
    for _ in range(calls):
        began = time.perf_counter()
        call(batch)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)
