"""Serving skew: whether the model that would be served computes what training computed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.checks.measurement import Finding, Measurement, Status, within

_ROW = "assay_row"


def compare(column: str, trained: Path, served: Path, *, at_most: float, unit: str) -> Finding:
    """The finding ``skew:<column>``: the largest absolute difference over all rows and figures.

    Other rows, or another number of figures a row, are a FAIL of their own; no rows at all and
    figures that are no numbers are INCONCLUSIVE.

    Args:
        column: name of the column that holds the figures: one number, or a list of them, a row.
        trained: Parquet with ``assay_row`` and that column, from training's own path.
        served: the same from the exported model; rows in any order.
        at_most: largest difference that passes, inclusive.
        unit: the difference's unit.
    """
    rule = f"skew:{column}"
    (rows, before), (other_rows, after) = (_figures(p, column) for p in (trained, served))
    if len(rows) == 0:
        return Finding(rule, Status.INCONCLUSIVE, f"training left no {column}")
    if not rows.equals(other_rows) or before.shape != after.shape:
        reason = f"the exported model gives {column} of other rows, or another number of them"
        return Finding(rule, Status.FAIL, reason)
    if before.shape[1] == 0:
        return Finding(rule, Status.INCONCLUSIVE, f"{column} differ in number from row to row")
    worst = float(np.max(np.abs(before - after), initial=0.0))
    name = f"largest difference of {column} between training and serving"
    return within(rule, Measurement(name, worst, len(rows), unit=unit), at_most=at_most)


def _figures(path: Path, column: str) -> tuple[pa.Array, npt.NDArray[np.float64]]:
    """Rows in rising order, and their figures, shape (n, k); k is 0 where rows differ in width."""
    table = pq.read_table(path, columns=[_ROW, column])
    table = table.take(pc.sort_indices(table[_ROW].cast(pa.binary())))
    rows, cells = table[_ROW].cast(pa.binary()).combine_chunks(), table[column].combine_chunks()
    if not pa.types.is_list(cells.type) and not pa.types.is_fixed_size_list(cells.type):
        return rows, np.asarray(cells.cast(pa.float64()).to_numpy(zero_copy_only=False))[:, None]
    return rows, list_matrix(table[column])


def list_matrix(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Lists of numbers as a matrix, shape (n, k); k is 0 where rows differ in width."""
    cells = column.combine_chunks()
    widths = pc.unique(pc.list_value_length(cells)).to_pylist()
    width = widths[0] if len(widths) == 1 and widths[0] is not None else 0
    flat = cells.flatten().cast(pa.float64()).to_numpy(zero_copy_only=False)
    return np.asarray(flat[: len(cells) * width], np.float64).reshape(len(cells), width)
