"""The row that stands for a typical case: medians and modes of the rows a model was trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from components.contract.contract import Column, LogicalType
from components.profile.profile import ColumnProfile, Profile


def baseline_row(profile: Profile, columns: list[Column], schema: pa.Schema) -> pa.Table:
    """One row of the given columns.

    A number is the lower end of the bin that holds the column's median: edges are values of the
    data, and of a flag or a count anything in between is no value. A category is its most frequent
    value, the first in order of those that are alike. A column of which the profile
    holds neither, and one that is mostly null, is null.

    Args:
        profile: of the training rows.
        columns: the model's inputs.
        schema: their Arrow types in the batch.
    """
    cells = {
        c.name: pa.array([_typical(profile.columns[c.name], c)], schema.field(c.name).type)
        for c in columns
    }
    return pa.table(cells)


def _typical(found: ColumnProfile, column: Column) -> Any:
    if found.nulls * 2 > found.rows:
        return None
    if found.counts:
        return _parsed(min(found.counts, key=lambda v: (-found.counts[v], v)), column)  # type: ignore[index]
    if not found.bins or found.minimum is None:
        return None
    starts = [found.minimum, *(max(edge, found.minimum) for edge in found.edges)]
    below = np.cumsum(found.bins)
    median = float(starts[int(np.searchsorted(below, below[-1] / 2))])
    return round(median) if column.logical_type is LogicalType.INTEGER else median


def _parsed(text: str, column: Column) -> Any:
    """A category's value; profiles hold values as text."""
    match column.logical_type:
        case LogicalType.INTEGER:
            return int(text)
        case LogicalType.NUMBER:
            return float(text)
        case LogicalType.BOOLEAN:
            return text.lower() == "true"
        case _:
            return text
