"""From canonical Parquet to tensors, with proof that every row of the manifest was read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from components.contract.contract import Contract, LogicalType
from components.contract.errors import EvidenceError, ProcessError
from components.contract.features import ModelInput, model_inputs
from components.contract.policy import Candidate
from components.datasets.canonical import ROW_COLUMN, Dataset, rows_root
from components.stacks.process import ReleaseProcess


@dataclass(frozen=True, slots=True)
class RawSplit:
    """One split, row for row in the files' order.

    Attributes:
        name: ``train``, ``validation`` or ``evaluation``.
        numbers: float64 tensors of shape (n,), NaN for null, by column; booleans are 0 and 1.
        texts: string arrays of n cells, by column; torch has no strings.
        labels: float32, shape (n,), 1 for the positive value.
        rows: n row commitments of 32 bytes; the side table that says whose tensors these are.
    """

    name: str
    numbers: dict[str, torch.Tensor]
    texts: dict[str, pa.Array]
    labels: torch.Tensor
    rows: pa.Array

    def __len__(self) -> int:
        return len(self.rows)


def read_rows(process: ReleaseProcess, split: str, candidate: Candidate | None = None) -> RawSplit:
    """A split of a run's dataset as a candidate's model sees it, by default the run's own.

    Raises:
        EvidenceError: the rows read are not those of the manifest.
        ProcessError: an integer is too large for float64 to hold exactly.
    """
    inputs = model_inputs(process.contract, candidate or process.candidate)
    return read_split(process.dataset, split, process.contract, inputs)


def read_split(
    dataset: Dataset, split: str, contract: Contract, inputs: Sequence[ModelInput]
) -> RawSplit:
    """Read the columns that a model sees, the label and the row commitments.

    Raises:
        EvidenceError: the rows read are not those of the manifest.
        ProcessError: an integer is too large for float64 to hold exactly.
    """
    names = [i.name for i in inputs]
    wanted = [*names, contract.label.name, ROW_COLUMN]
    table = pa.concat_tables(pq.read_table(f, columns=wanted) for f in dataset.files(split=split))
    rows = table[ROW_COLUMN].combine_chunks()
    if rows_root(rows.to_pylist()) != dataset.root(split):
        raise EvidenceError(f"the rows of split {split} are not those of the manifest")
    texts = {n for n in names if contract.column(n).logical_type is LogicalType.STRING}
    positive = pa.scalar(contract.label.positive, table[contract.label.name].type)
    return RawSplit(
        name=split,
        numbers={n: _number_tensor(n, table[n]) for n in names if n not in texts},
        texts={n: table[n].combine_chunks() for n in names if n in texts},
        labels=_tensor(pc.equal(table[contract.label.name], positive)).float(),
        rows=rows,
    )


def _number_tensor(name: str, column: pa.ChunkedArray) -> torch.Tensor:
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    try:
        return _tensor(column.cast(pa.float64()))
    except pa.ArrowInvalid:
        # Arrow's message holds the value; ours must not.
        raise ProcessError(f"column {name} holds integers beyond 2**53") from None


def _tensor(column: pa.ChunkedArray) -> torch.Tensor:
    # A copy: Arrow's own buffers are read-only, which torch does not support.
    return torch.from_numpy(column.to_numpy().astype("float64", copy=True))
