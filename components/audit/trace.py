"""From one decision back to the rows that its model was trained on, every link made again.

A log says by which release it decided; the history of releases says which model that is; the run's
evidence says what that model was trained on; the dataset's manifest has the Merkle root of the
training rows. Each of them is read and checked for itself, and what one says of the next is held
against what the next says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from components.contract.errors import EvidenceError, InputError
from components.contract.stages import Stage
from components.datasets.canonical import ROW_COLUMN, Dataset
from components.decisions.decision_log import REVIEW, DecisionLog, parse_decision_id
from components.decisions.log import SELECTED
from components.lineage.commitments import entity_tag, load_or_create_row_key
from components.lineage.merkle import (
    absence_proof,
    inclusion_proof,
    verify_absence,
    verify_inclusion,
)
from components.release.history import Period, periods
from components.release.records import Release, read_releases
from components.release.run_evidence import RunEvidence, read_evidence

TRAINING = "train"
MOST_PROOFS = 20
"""So many rows of one person are proved; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Proof:
    """That a row commitment is, or is not, among the training rows; it was verified.

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
    """The row commitments of a dataset's training split, in rising order, as its root has them."""

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self._root = bytes.fromhex(dataset.root(TRAINING))

    @cached_property
    def leaves(self) -> list[bytes]:
        """Row commitments of 32 bytes."""
        files = self.dataset.files(split=TRAINING)
        tables = (pq.read_table(f, columns=[ROW_COLUMN]) for f in files)
        return sorted(row for t in tables for row in t[ROW_COLUMN].to_pylist())

    def prove(self, commitment: bytes) -> Proof:
        """Whether a row is among them, proved.

        Raises:
            EvidenceError: the rows that are there are not those of the root.
        """
        try:
            around, kind = absence_proof(self.leaves, commitment), "absence"
            held = verify_absence(commitment, len(self.leaves), around, self._root)
            steps = [(n.leaf, n.index, n.path) for n in around]
        except ValueError:
            kind, index = "inclusion", self.leaves.index(commitment)
            path = tuple(inclusion_proof(self.leaves, index))
            held = verify_inclusion(commitment, index, len(self.leaves), path, self._root)
            steps = [(commitment, index, path)]
        if not held:
            raise EvidenceError("the training rows are not those that the manifest has the root of")
        return Proof(
            kind,
            commitment.hex(),
            len(self.leaves),
            self._root.hex(),
            tuple(
                {"leaf": leaf.hex(), "index": index, "path": [p.hex() for p in path]}
                for leaf, index, path in steps
            ),
        )

    def of_person(self, tag: bytes, key: bytes, entity: str) -> list[bytes]:
        """Commitments of the rows of the person with that tag.

        Args:
            tag: as a decision carries it.
            key: the home's row key.
            entity: name of the column that names a person.
        """
        found: list[bytes] = []
        for file in self.dataset.files(split=TRAINING):
            table = pq.read_table(file, columns=[entity, ROW_COLUMN])
            people = table[entity].to_pylist()
            mine = {p for p in set(people) if entity_tag(key, str(p)) == tag}
            if mine:
                rows = table[ROW_COLUMN].to_pylist()
                found += [r for r, p in zip(rows, people, strict=True) if p in mine]
        return sorted(found)


@dataclass(frozen=True)
class Trace:
    """Everything behind one decision. ``differences`` names each link that does not hold."""

    decision_id: str
    decision: dict[str, Any]
    log: DecisionLog
    period: Period
    run: RunEvidence
    training: dict[str, Any]
    differences: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The chain, from the decision to the rows; no value of a case but its score."""
        release, run = self.period.release, self.run
        header, taken = self.log.header, self.decision
        return {
            "decision": {
                "id": self.decision_id,
                "score": taken["score"],
                "threshold": header["threshold"],
                "outcome": taken["outcome"],
                "reasons": taken["reasons"],
                "decidedAt": taken["decided_at"].isoformat(),
                "row": taken["assay_row"].hex(),
                "log": self.log.log_id,
                "logIsWhole": self.log.closed,
                "batchCheck": header["check"],
            },
            "model": release.model,
            "release": self.period.to_json(),
            "run": {
                "id": run.run_id,
                "trainedBy": run.origin_id,
                "outcome": run.outcome,
                "head": run.last.digest,
                "inputs": run.inputs,
                "stages": {
                    stage: record.body["verdict"]["status"]
                    for stage, record in {**run.origin, **run.own}.items()
                    if "verdict" in record.body
                },
                "waiver": run.waiver,
            },
            "training": self.training,
            "differences": list(self.differences),
        }


def trace(home: Path, decision: str) -> Trace:
    """Follow a decision back to the training rows.

    Args:
        home: the home that it was made in.
        decision: its name, as ``assay score`` gives it.

    Raises:
        InputError: there is no such decision.
        EvidenceError: a record on the way is missing, or was changed.
    """
    log_id, row = parse_decision_id(decision)
    log = DecisionLog.open(home, log_id)
    taken = log.decision(row)
    if taken is None:
        raise InputError(
            f"is not in the log, which has {log.rows} decisions",
            where=decision,
            expected=f"a number below {log.rows}" if log.rows else "a log that has any",
        )
    period = _period(home, log.header)
    run = read_evidence(home / "runs" / period.release.run)
    differences = [
        *_of_the_log(log.header, period.release),
        *_of_the_decision(taken, log.header, run),
        *_of_the_run(period.release, run),
    ]
    return Trace(decision, taken, log, period, run, _training(home, run, taken), tuple(differences))


def _period(home: Path, header: dict[str, Any]) -> Period:
    history = read_releases(home, str(header["dataset"]), str(header["stack"]))
    for period in periods(history):
        if period.release.number == header["release"]:
            return period
    raise EvidenceError(
        f"release {header['release']} of {header['dataset']} in {header['stack']} is not there"
    )


def _of_the_log(header: dict[str, Any], release: Release) -> Iterator[str]:
    pairs = {
        "releaseDigest": release.digest,
        "model": release.model,
        "run": release.run,
        "policy": release.policy,
        "contract": release.contract,
    }
    for name, held in pairs.items():
        if header.get(name) != held:
            yield f"the log names {name} {str(header.get(name))[:40]}, release {held[:40]}"


def _of_the_decision(
    taken: dict[str, Any], header: dict[str, Any], run: RunEvidence
) -> Iterator[str]:
    threshold = run.policy.decision_threshold
    if float(header["threshold"]) != threshold:
        yield f"the log's threshold is {header['threshold']}, the policy's {threshold}"
    if taken["outcome"] != REVIEW and (taken["outcome"] == SELECTED) != (
        taken["score"] >= threshold
    ):
        yield f"outcome {taken['outcome']} is not what score and threshold give"


def _of_the_run(release: Release, run: RunEvidence) -> Iterator[str]:
    if (run.outcome, run.last.digest) != ("released", release.head):
        yield f"run {run.run_id} is not as the release has it"
    pushed = run.stage(Stage.PUSH)
    held = pushed.body["outputs"]["serving_model"]["sha256"] if pushed else "none"
    if held != release.model:
        yield f"run {run.run_id} pushed model {held[:12]}, the release has {release.model[:12]}"


def _training(home: Path, run: RunEvidence, taken: dict[str, Any]) -> dict[str, Any]:
    """What the model was trained on, and whether this case or this person was in it."""
    inputs = run.inputs
    version, name = inputs["datasetVersion"], inputs["dataset"]
    found: dict[str, Any] = {"dataset": name, "version": version, "split": TRAINING}
    directory = home / "datasets" / name / version[:16]
    if not directory.is_dir():
        return {**found, "missing": "the dataset version is not in this home: nothing is proved"}
    dataset = Dataset.open(directory)
    if dataset.version != version:
        raise EvidenceError(f"{directory.name} is not the dataset version of run {run.run_id}")
    rows = TrainingRows(dataset)
    found |= {
        "rows": dataset.rows(TRAINING),
        "root": dataset.root(TRAINING),
        "sources": [s["name"] for s in dataset.manifest["sources"]],
        "spans": list(dataset.manifest["splits"][TRAINING]["spans"]),
        "case": rows.prove(taken["assay_row"]).to_json(),
    }
    key_file = home / "keys" / "row.key"
    if not key_file.exists():
        return {
            **found,
            "person": {"missing": "without the row key nobody can say whose row it is"},
        }
    mine = rows.of_person(
        taken["assay_entity"], load_or_create_row_key(key_file), run.contract.entity.name
    )
    proofs = [rows.prove(row).to_json() for row in mine[:MOST_PROOFS]]
    return {**found, "person": {"rows": len(mine), "proofs": proofs}}
