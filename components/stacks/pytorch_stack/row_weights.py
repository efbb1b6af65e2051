"""The candidate's mitigation as one weight for each training row."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from components.contract.contract import Contract
from components.contract.policy import Candidate
from components.datasets.canonical import Dataset
from components.stacks.weights import group_columns, group_keys, training_weights


def row_weights(dataset: Dataset, contract: Contract, candidate: Candidate) -> torch.Tensor | None:
    """Weights of the training rows in the files' order, float32 of shape (n,); None without any."""
    weights = training_weights(dataset, contract, candidate)
    if weights is None:
        return None
    groups = group_columns(contract, candidate)
    columns = [*groups, contract.label.name]
    rows = pa.concat_tables(pq.read_table(f, columns=columns) for f in dataset.files(split="train"))
    labels = [v == contract.label.positive for v in rows[contract.label.name].to_pylist()]
    keys = group_keys({c: rows[c].to_pylist() for c in groups})
    return torch.tensor([weights[cell] for cell in zip(keys, labels, strict=True)])
