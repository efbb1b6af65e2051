"""How a canonical row becomes a tf.Example: which feature each column is, and of which kind.

A tf.Example knows three kinds of feature. Integers become int64, other numbers float (32 bits),
text and booleans bytes; so do categorical numbers with a fraction, which as floats would not be
the same categories in every engine. A null becomes an absent feature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.checks.preprocessing import as_text
from components.contract.clauses import drifting_columns
from components.contract.contract import Column, Contract, LogicalType, Scalar
from components.contract.policy import MISSING
from components.datasets.canonical import ROW_COLUMN
from components.profile.compute import is_identifier, is_numeric

LABEL_FEATURE = "assay_label"
"""1 where the row's label has the contract's positive value, 0 where it has another."""


class Kind(StrEnum):
    """What a feature holds: a column as it is, or something derived from one on the way.

    ``CATEGORY`` and ``BIN`` are what drift is defined on: a category as text or the number of a
    bin, with null as a category of its own.
    """

    INTEGER = "integer"
    FLOAT = "float"
    TEXT = "text"
    GROUP = "group"
    LABEL = "label"
    ROW = "row"
    CATEGORY = "category"
    BIN = "bin"

    @property
    def is_integer(self) -> bool:
        """Whether the feature is an int64 feature."""
        return self in (Kind.INTEGER, Kind.LABEL)

    @property
    def is_bytes(self) -> bool:
        """Whether the feature is a bytes feature."""
        return not self.is_integer and self is not Kind.FLOAT


@dataclass(frozen=True, slots=True)
class ExampleColumn:
    """One feature: its name, the canonical column it is made of, and its kind.

    ``positive`` is the label's positive value, for the label feature only; ``edges`` are the
    inner edges of a bin feature, strictly rising.
    """

    name: str
    source: str
    kind: Kind
    positive: Scalar | None = None
    edges: tuple[float, ...] = ()


def kind_of(column: Column) -> Kind:
    """The kind of feature that a contract's column becomes."""
    if column.logical_type is LogicalType.INTEGER:
        return Kind.INTEGER
    if column.logical_type is LogicalType.NUMBER and not column.categorical:
        return Kind.FLOAT
    return Kind.TEXT


def contract_columns(contract: Contract) -> tuple[ExampleColumn, ...]:
    """The contract's own columns, in its order: what statistics and schema are about."""
    return tuple(ExampleColumn(c.name, c.name, kind_of(c)) for c in contract.columns)


def statistics_columns(
    contract: Contract, edges: Mapping[str, tuple[float, ...]]
) -> tuple[ExampleColumn, ...]:
    """What TFDV summarises: the columns that name nobody, and the watched ones as categories.

    TFDV's statistics keep a column's least, greatest and most frequent values.

    Args:
        contract: the columns.
        edges: inner bin edges of each numeric column, as from ``quantile_edges``.
    """
    return tuple(
        c
        for c in (*contract_columns(contract), *drift_columns(contract, edges))
        if not is_identifier(contract.column(c.source))
    )


def example_columns(contract: Contract) -> tuple[ExampleColumn, ...]:
    """All features of an example: the contract's columns, group labels, label and commitment."""
    return (
        *contract_columns(contract),
        *(ExampleColumn(c.group_column, c.group_column, Kind.GROUP) for c in contract.protected),
        ExampleColumn(LABEL_FEATURE, contract.label.name, Kind.LABEL, contract.label.positive),
        ExampleColumn(ROW_COLUMN, ROW_COLUMN, Kind.ROW),
    )


def drift_feature(column: str) -> str:
    """Name of the feature that a column's drift is measured on."""
    return f"assay_drift_{column}"


def drift_columns(
    contract: Contract, edges: Mapping[str, tuple[float, ...]]
) -> tuple[ExampleColumn, ...]:
    """One feature for each watched column: its category or its bin, null included.

    TFDV's own histograms have bins of equal width over each side's own range. Of a column that is
    mostly zero with a long tail they make a drift out of nothing: the zeros are spread over
    bins whose widths differ. The bins here are those of the referee.

    Args:
        contract: says which columns are watched.
        edges: inner bin edges of each numeric column, as from ``quantile_edges``.
    """
    return tuple(
        ExampleColumn(drift_feature(name), name, Kind.BIN, edges=edges[name])
        if is_numeric(contract.column(name))
        else ExampleColumn(drift_feature(name), name, Kind.CATEGORY)
        for name in drifting_columns(contract)
    )


def to_lists(batch: pa.RecordBatch, columns: Sequence[ExampleColumn]) -> pa.RecordBatch:
    """The batch as the encoder wants it: each cell a list of one value, or null where absent.

    Args:
        batch: canonical rows.
        columns: features to make; each one's source is a column of the batch.
    """
    arrays = [_as_lists(_values(batch.column(c.source), c)) for c in columns]
    return pa.RecordBatch.from_arrays(arrays, names=[c.name for c in columns])


def _values(array: pa.Array, column: ExampleColumn) -> pa.Array:
    """Flat values of the feature's own Arrow type, null where the feature is absent."""
    if column.kind is Kind.INTEGER:
        return array.cast(pa.int64())
    if column.kind is Kind.FLOAT:
        return _numbers(array).cast(pa.float32(), safe=False)
    if column.kind is Kind.LABEL:
        return pc.equal(array, pa.scalar(column.positive, array.type)).cast(pa.int64())
    if column.kind is Kind.BIN:
        return pa.array(_bin_labels(_numbers(array), column.edges), pa.binary())
    if column.kind is Kind.ROW:
        return array.cast(pa.binary())
    texts = _texts(array)
    if column.kind in (Kind.GROUP, Kind.CATEGORY):
        texts = pc.fill_null(texts, MISSING)
    return texts.cast(pa.binary())


def _numbers(array: pa.Array) -> pa.Array:
    """Doubles; not a number is no value, as in every other engine of the process."""
    number = array.cast(pa.float64(), safe=False)
    return pc.if_else(pc.is_nan(number), None, number)


def _texts(array: pa.Array) -> pa.Array:
    if pa.types.is_string(array.type):
        return array
    return pa.array([as_text(value) for value in array.to_pylist()], pa.string())


def _bin_labels(numbers: pa.Array, edges: tuple[float, ...]) -> list[bytes]:
    """``bin i`` where ``edges[i - 1] <= value < edges[i]``."""
    values = numbers.to_numpy(zero_copy_only=False)
    labels = [f"bin {i:03d}".encode() for i in range(len(edges) + 1)] + [MISSING.encode()]
    places = np.searchsorted(np.array(edges, np.float64), values, side="right")
    places[np.isnan(values)] = len(edges) + 1
    return [labels[i] for i in places]


def _as_lists(values: pa.Array) -> pa.Array:
    present = np.asarray(values.is_valid())
    ends = np.concatenate([[0], np.cumsum(present)]).astype(np.int32)
    # A null offset marks a null list; the last offset only closes the array.
    offsets = pa.array(ends, pa.int32(), mask=np.append(~present, False))
    return pa.ListArray.from_arrays(offsets, values.drop_null())
