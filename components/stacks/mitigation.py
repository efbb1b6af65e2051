"""What a candidate's mitigation needs of the training rows, the same for both stacks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from components.checks.reweighing import Cell, reweighing
from components.contract.contract import Contract
from components.contract.policy import MISSING, Candidate, Mitigation
from components.datasets.canonical import Dataset


@dataclass(frozen=True, slots=True)
class TrainingGroups:
    """Groups of the training split that the mitigation is about.

    ``weights`` has the weight of each (group key, whether positive) cell, see ``group_keys``; empty
    without reweighing. ``groups`` has, for each attribute in the policy's order, its groups in
    rising order; empty without the opportunity penalty.
    """

    weights: Mapping[Cell, float]
    groups: Mapping[str, tuple[str, ...]]

    def row_weights(
        self, groups: Mapping[str, Sequence[str | None]], labels: Sequence[bool]
    ) -> npt.NDArray[np.float32]:
        """Weight of each row, shape (n,); a cell that no training row falls in counts once."""
        if not self.weights:
            return np.ones(len(labels), np.float32)
        found = [
            self.weights.get((key, bool(label)), 1.0)
            for key, label in zip(group_keys(groups), labels, strict=True)
        ]
        return np.array(found, np.float32)

    def members(
        self, groups: Mapping[str, Sequence[str | None]], rows: int
    ) -> npt.NDArray[np.float32]:
        """Whether each row is in each group, shape (n, groups of all attributes); 0 or 1.

        The columns go by attribute in the policy's order, then by group in rising order. Shape
        (n, 0) without the opportunity penalty.
        """
        columns = [
            np.array([(MISSING if v is None else v) == group for v in groups[name]], np.float32)
            for name, held in self.groups.items()
            for group in held
        ]
        return np.column_stack(columns) if columns else np.empty((rows, 0), np.float32)


def training_groups(dataset: Dataset, contract: Contract, candidate: Candidate) -> TrainingGroups:
    """Read the training split's groups, as far as the candidate's mitigation needs them."""
    names = group_columns(contract, candidate)
    if not names:
        return TrainingGroups({}, {})
    columns = [*names, contract.label.name]
    rows = pa.concat_tables(pq.read_table(f, columns=columns) for f in dataset.files(split="train"))
    groups = {c: rows[c].to_pylist() for c in names}
    if candidate.mitigation is Mitigation.OPPORTUNITY_PENALTY:
        found = {
            c: tuple(sorted({MISSING if v is None else v for v in held}))
            for c, held in groups.items()
        }
        return TrainingGroups({}, found)
    labels = [v == contract.label.positive for v in rows[contract.label.name].to_pylist()]
    return TrainingGroups(reweighing(zip(group_keys(groups), labels, strict=True)), {})


def group_columns(contract: Contract, candidate: Candidate) -> list[str]:
    """Canonical group columns that the mitigation is about, in the policy's order."""
    return [contract.column(name).group_column for name in candidate.mitigate_by]


def group_keys(groups: Mapping[str, Sequence[str | None]]) -> list[str]:
    """One key a row: its group labels joined with ``|``, in the mapping's order.

    A ``|`` or ``\\`` within a label follows a ``\\``, so that no two groups share a key.
    """
    return [
        "|".join(MISSING if g is None else _escaped(g) for g in row)
        for row in zip(*groups.values(), strict=True)
    ]


def _escaped(label: str) -> str:
    return label.replace("\\", "\\\\").replace("|", "\\|")
