"""The rows of one split of a dataset version: which of them are whose, and proofs about them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from components.contract.errors import EvidenceError
from components.datasets.dataset import ROW_COLUMN, Dataset
from components.lineage.commitments import entity_tags
from components.lineage.merkle import (
    absence_proof,
    inclusion_proof,
    levels,
    verify_absence,
    verify_inclusion,
)

TRAINING = "train"


@dataclass(frozen=True, slots=True)
class Proof:
    """That a row commitment is, or is not, among the rows of a split; it was verified.

    ``kind`` is ``inclusion`` or ``absence``. ``steps`` has, for each leaf that the proof stands on,
    the leaf, its index and its audit path, in hex.
    """

    kind: str
    commitment: str
    size: int
    root: str
    steps: tuple[dict[str, Any], ...]

    def to_json(self) -> dict[str, Any]:
        """All of it, for another to verify."""
        return {
            "kind": self.kind,
            "commitment": self.commitment,
            "size": self.size,
            "root": self.root,
            "leaves": list(self.steps),
        }


class TrainingRows:
    """The rows of a dataset's split, with their commitments in rising order as its root has them.

    Args:
        dataset: the version; each file is read once, and held against its digest.
        split: the split's name.
        entity: name of the column that names a person, for whoever asks about one.
    """

    def __init__(self, dataset: Dataset, split: str = TRAINING, entity: str | None = None) -> None:
        self.dataset, self.split, self.entity = dataset, split, entity
        self._root = bytes.fromhex(dataset.root(split))

    @cached_property
    def _columns(self) -> dict[str, dict[str, list[Any]]]:
        """Row commitments, and names of persons where they are asked for, by span."""
        names = [ROW_COLUMN, *([self.entity] if self.entity else [])]
        return {
            span: self.dataset.parquet(file).read(columns=names, use_threads=False).to_pydict()
            for span in self.dataset.manifest["splits"][self.split]["spans"]
            for file in self.dataset.files(split=self.split, spans=(span,))
        }

    @cached_property
    def leaves(self) -> list[bytes]:
        """Row commitments of 32 bytes."""
        return sorted(row for held in self._columns.values() for row in held[ROW_COLUMN])

    @cached_property
    def _tree(self) -> list[list[bytes]]:
        return levels(self.leaves)

    def prove(self, commitment: bytes) -> Proof:
        """Whether a row is among them, proved.

        Raises:
            EvidenceError: the rows that are there are not those of the root.
        """
        leaves, size = self.leaves, len(self.leaves)
        try:
            around, kind = absence_proof(leaves, commitment, self._tree), "absence"
            held = verify_absence(commitment, size, around, self._root)
            steps = [(n.leaf, n.index, n.path) for n in around]
        except ValueError:
            kind, index = "inclusion", leaves.index(commitment)
            path = tuple(inclusion_proof(leaves, index, self._tree))
            held = verify_inclusion(commitment, index, size, path, self._root)
            steps = [(commitment, index, path)]
        if not held:
            raise EvidenceError("the rows are not those that the manifest has the root of")
        return Proof(
            kind,
            commitment.hex(),
            size,
            self._root.hex(),
            tuple(
                {"leaf": leaf.hex(), "index": index, "path": [p.hex() for p in path]}
                for leaf, index, path in steps
            ),
        )

    def place(self, commitment: bytes) -> dict[str, Any] | None:
        """Where a row lies: its span, the file in the dataset version, its number there from 0.

        None where it is not among them.
        """
        spans = self.dataset.manifest["splits"][self.split]["spans"]
        for span, held in self._columns.items():
            if commitment in held[ROW_COLUMN]:
                row = held[ROW_COLUMN].index(commitment)
                return {"span": span, "file": spans[span]["file"], "row": row}
        return None

    def of_person(self, tag: bytes, key: bytes) -> list[bytes]:
        """Commitments, in rising order, of the rows of the person with that tag.

        Args:
            tag: as a decision carries it.
            key: the home's row key.

        Raises:
            ValueError: no column was named that says who is who.
        """
        if self.entity is None:
            raise ValueError("no column of persons was named")
        found: list[bytes] = []
        for held in self._columns.values():
            people = list(set(held[self.entity]))
            tags = entity_tags(key, map(str, people))
            mine = {p for p, t in zip(people, tags, strict=True) if t == tag}
            rows = zip(held[ROW_COLUMN], held[self.entity], strict=True)
            found += [row for row, person in rows if person in mine] if mine else []
        return sorted(found)
