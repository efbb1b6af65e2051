"""Training weights of a candidate, the same for both stacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from components.checks.reweighing import Cell, reweighing
from components.contract.contract import Contract
from components.contract.policy import Candidate
from components.datasets.canonical import Dataset

MISSING = "(missing)"


def training_weights(
    dataset: Dataset, contract: Contract, candidate: Candidate
) -> dict[Cell, float] | None:
    """Weight of each (group key, whether positive) cell of the training split; None without any.

    The group key joins the row's group labels of ``candidate.reweigh_by``, see ``group_keys``.
    """
    if candidate.mitigation == "none":
        return None
    columns = [*group_columns(contract, candidate), contract.label.name]
    rows = pa.concat_tables(pq.read_table(f, columns=columns) for f in dataset.files(split="train"))
    labels = [v == contract.label.positive for v in rows[contract.label.name].to_pylist()]
    keys = group_keys({c: rows[c].to_pylist() for c in columns[:-1]})
    return reweighing(zip(keys, labels, strict=True))


def group_columns(contract: Contract, candidate: Candidate) -> list[str]:
    """Canonical group columns that the candidate is reweighed by, in the policy's order."""
    return [contract.column(name).group_column for name in candidate.reweigh_by]


def group_keys(groups: Mapping[str, Sequence[str | None]]) -> list[str]:
    """One key a row: its group labels joined with ``|``, in the mapping's order."""
    return [
        "|".join(MISSING if g is None else g for g in row)
        for row in zip(*groups.values(), strict=True)
    ]
