"""Canonical Parquet as pandas frames whose types say what the contract says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.contract.contract import Contract
from components.profile.compute import is_numeric
from components.stacks.weights import MISSING

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
    """The frame as Evidently needs it: numbers as float64, categories as text, null as its own.

    Evidently drops nulls before it compares; as a category of their own they count, as they do
    with the referee. Nulls of numeric columns stay NaN.
    """
    prepared: dict[str, object] = {}
    for name in rows.columns:
        if is_numeric(contract.column(name)):
            prepared[name] = rows[name].astype("Float64").to_numpy("float64", na_value=float("nan"))
        else:
            prepared[name] = rows[name].astype("string").fillna(MISSING).astype(object)
    return pd.DataFrame(prepared)
