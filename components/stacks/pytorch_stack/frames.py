"""Canonical Parquet as pandas frames whose types say what the contract says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.contract.clauses import drifting_columns
from components.contract.contract import Contract
from components.contract.policy import MISSING
from components.profile.compute import is_identifier, is_numeric

# Doubles stay numpy's, where null is NaN, which all three tools read as missing. Whole numbers,
# flags and text get pandas' nullable types: numpy would turn them to floats or objects at a null.
_NULLABLE = {
    pa.int64(): pd.Int64Dtype(),
    pa.bool_(): pd.BooleanDtype(),
    pa.string(): pd.StringDtype(),
}


def read_frame(files: Sequence[Path], columns: Sequence[str]) -> pd.DataFrame:
    """The columns of all rows of the files, in the files' order."""
    table = pa.concat_tables(pq.read_table(f, columns=list(columns)) for f in files)
    return table.to_pandas(types_mapper=_NULLABLE.get)


def analysis_frame(rows: pd.DataFrame, contract: Contract) -> pd.DataFrame:
    """The frame as Evidently's summaries need it: numbers as float64, everything else as text.

    Nulls are NaN in either, which Evidently counts as missing.
    """
    prepared: dict[str, object] = {}
    for name in rows.columns:
        if is_numeric(contract.column(name)):
            prepared[name] = _doubles(rows[name])
        else:
            # Plain objects: Evidently does not take pandas' own text type for categories.
            prepared[name] = rows[name].astype("string").to_numpy(object, na_value=float("nan"))
    return pd.DataFrame(prepared)


def drift_labels(
    rows: pd.DataFrame,
    contract: Contract,
    edges: Mapping[str, tuple[float, ...]],
    max_categories: int,
) -> pd.DataFrame:
    """Each watched column as labels of what the referee counts: bins, categories, missing.

    Left to itself Evidently drops nulls and bins numbers by equal widths over both sides
    together, which is another question. What the referee does not count has no labels: a column
    that names people, and one with more categories than ``max_categories``, null not among them.

    Args:
        rows: with the watched columns of the contract, as ``read_frame`` gives them.
        contract: says which columns are watched, and which are numeric.
        edges: inner bin edges of each numeric column, as from ``quantile_edges``.
        max_categories: most categories of a column.
    """
    labels = {}
    for column in map(contract.column, drifting_columns(contract)):
        values = rows[column.name]
        if is_numeric(column):
            labels[column.name] = _bins(values, edges[column.name])
        elif not is_identifier(column) and values.nunique() <= max_categories:
            labels[column.name] = _texts(values)
    return pd.DataFrame(labels, index=rows.index)


def _bins(values: pd.Series, edges: tuple[float, ...]) -> npt.NDArray[np.object_]:
    """``bin i`` where ``edges[i - 1] <= value < edges[i]``, else missing."""
    numbers = _doubles(values)
    labels = np.array([*(f"bin {i}" for i in range(len(edges) + 1)), MISSING], dtype=object)
    places = np.searchsorted(np.array(edges, np.float64), numbers, side="right")
    return labels[np.where(np.isnan(numbers), len(edges) + 1, places)]


def _texts(values: pd.Series) -> npt.NDArray[np.object_]:
    """The value as text. A prefix keeps it apart from missing, whatever the value says."""
    texts = values.astype("string")
    return ("is " + texts).fillna(MISSING).to_numpy(dtype=object)


def _doubles(values: pd.Series) -> npt.NDArray[np.float64]:
    numbers = values.astype("Float64").to_numpy("float64", na_value=float("nan"))
    return np.asarray(numbers, dtype=np.float64)
