"""An export is scored on every row, and its speed taken in batches of one size."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from components.stacks.export_measures import BATCH, measure, read_built, write_built

FIGURES = np.array([0.25, 0.5, 0.75], np.float32)


def test_every_row_is_scored_and_batches_have_one_size(tmp_path: Path) -> None:
    sizes: list[int] = []

    def call(batch: np.ndarray) -> np.ndarray:
        sizes.append(len(batch))
        return batch

    file = tmp_path / "model.bin"
    built = measure(tmp_path, "plain", file, "a note", lambda: call, lambda r: FIGURES[r], 3)
    assert np.load(tmp_path / "plain.npy").tolist() == [0.25, 0.5, 0.75]
    assert np.load(tmp_path / "plain.npy").dtype == np.float64
    assert set(sizes) == {3, 1, BATCH}
    assert min(built.load_seconds, built.latency_seconds, built.rows_per_second) > 0
    assert (built.format, built.file, built.note) == ("plain", "model.bin", "a note")


def test_what_was_built_is_read_back(tmp_path: Path) -> None:
    built = measure(
        tmp_path, "plain", tmp_path / "m", "", lambda: lambda b: b, lambda r: FIGURES[r], 3
    )
    write_built(tmp_path, [built])
    assert read_built(tmp_path) == [built]
