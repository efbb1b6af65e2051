"""The nonce of one audited row, for somebody who holds that row and is to check its commitment.

With row, nonce and the Merkle path anybody can see that this row is the one that the run's root
covers. A nonce is drawn from its own row alone, so it says nothing about any other row.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.audit.training_rows import Proof, TrainingRows
from components.contract.contract import Contract
from components.contract.errors import EvidenceError, InputError
from components.datasets.dataset import ROW_COLUMN, SPLITS, Dataset
from components.lineage.commitments import commitment, encode_rows, nonce_of_copy
from components.lineage.row_key import read_row_key
from components.release.run_evidence import read_evidence


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What is handed out about one row: its nonce, its place, and the proof; no value of it."""

    split: str
    nonce: str
    proof: Proof

    def to_json(self) -> dict[str, Any]:
        """All of it, for another to verify."""
        return {"split": self.split, "nonce": self.nonce, **self.proof.to_json()}


def disclose_row(home: Path, directory: Path, named: bytes) -> Disclosure:
    """The nonce of one row of the data that a run read; see ``disclose``.

    Args:
        home: the home, which holds the row key.
        directory: the run's.
        named: the row's commitment, 32 bytes.

    Raises:
        InputError: the row key is gone, or no row of the run's data has that commitment.
        EvidenceError: the run's evidence or its data do not hold.
    """
    key, run = read_row_key(home), read_evidence(directory)
    version = run.inputs["datasetVersion"]
    dataset = Dataset.open(home / "datasets" / run.inputs["dataset"] / version[:16])
    if dataset.version != version:
        raise EvidenceError(f"{dataset.directory.name} is not the data of run {run.run_id}")
    return disclose(dataset, run.contract, key, named)


def disclose(dataset: Dataset, contract: Contract, key: bytes, named: bytes) -> Disclosure:
    """The nonce of the row of that commitment, and the proof that its split's root covers it.

    Args:
        dataset: the dataset version that holds the row.
        contract: the contract that it was ingested under.
        key: the home's row key.
        named: the row's commitment, 32 bytes.

    Raises:
        InputError: no row of the dataset has that commitment.
        EvidenceError: the row that carries it is another, or was named under another key.
    """
    for split in SPLITS:
        for file in dataset.files(split=split):
            table = pq.read_table(file, filters=pc.field(ROW_COLUMN) == pa.scalar(named))
            if table.num_rows:
                (row,) = encode_rows(table.select([c.name for c in contract.columns]))
                drawn = _drawn(key, row, named, sum(map(dataset.rows, SPLITS)))
                proof = TrainingRows(dataset, split).prove(named)
                return Disclosure(split, drawn.hex(), proof)
    raise InputError(
        "is no row of this run's dataset",
        where=named.hex(),
        expected="the commitment of one of its rows, 64 hex digits",
    )


def _drawn(key: bytes, row: bytes, named: bytes, rows: int) -> bytes:
    """The nonce that makes the commitment, of whichever copy of the row it is."""
    for place in range(rows):
        drawn = nonce_of_copy(key, row, place)
        if commitment(drawn, row) == named:
            return drawn
    raise EvidenceError("the row that carries this commitment is not the one it names")
