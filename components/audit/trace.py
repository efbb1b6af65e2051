"""From one decision back to the rows that its model was trained on, every link made again.

A log says by which release it decided; the history of releases says which model that is; the run's
evidence says what that model was trained on; the dataset's manifest has the Merkle root of the
training rows. Each of them is read and checked for itself, and what one says of the next is held
against what the next says.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from components.audit.retention_log import purged
from components.audit.training_rows import TRAINING, TrainingRows
from components.contract.bound_documents import decision_rules, entity_column
from components.contract.errors import EvidenceError, InputError
from components.contract.stages import Stage
from components.datasets.dataset import Dataset
from components.decisions.batch_logs import was_named_with
from components.decisions.decision_log import REVIEW, DecisionLog, parse_decision_id
from components.decisions.log import SELECTED
from components.decisions.log_form import moment
from components.lineage.commitments import destroyed_at
from components.lineage.row_key import read_row_key, row_key_path
from components.release.history import Period, periods
from components.release.records import Release, read_releases
from components.release.run_evidence import RunRecords, read_records

MOST_PROOFS = 20
"""So many rows of one person are proved; the rest are counted."""


@dataclass(frozen=True)
class Trace:
    """Everything behind one decision. ``differences`` names each link that does not hold."""

    decision_id: str
    decision: dict[str, Any]
    log: DecisionLog
    period: Period
    ended_by: Release | None
    run: RunRecords
    training: dict[str, Any]
    differences: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The chain, from the decision to the rows; no value of a case but its score."""
        release, run = self.period.release, self.run
        gate = run.stage(Stage.RELEASE_GATE)
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
                "logGivenUp": self.log.aborted,
                "batchCheck": header["check"],
            },
            "model": release.model,
            "release": {**self.period.to_json(), "endedBy": _ending(self.ended_by)},
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
                "champion": gate.body.get("champion") if gate else None,
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
    period, ended_by = _period(home, log.header)
    run = read_records(home / "runs" / period.release.run)
    differences = (
        *_of_the_log(log, period.release),
        *_of_the_decision(taken, log.header, run),
        *_of_the_run(period.release, run),
    )
    training = _training(home, run, taken, log)
    return Trace(decision, taken, log, period, ended_by, run, training, differences)


def _period(home: Path, header: dict[str, Any]) -> tuple[Period, Release | None]:
    """The release that decided, with the time that it stood, and the release that ended it."""
    found = periods(read_releases(home, str(header["dataset"]), str(header["stack"])))
    for period, after in zip_longest(found, found[1:]):
        if period.release.number == header["release"]:
            return period, after.release if after else None
    raise EvidenceError(
        f"release {header['release']} of {header['dataset']} in {header['stack']} is not there"
    )


def _ending(release: Release | None) -> dict[str, Any] | None:
    """The release after the one that decided: a rollback says that somebody took that one back."""
    if release is None:
        return None
    return {
        "release": release.number,
        "kind": release.kind,
        "at": release.at.isoformat(),
        "actor": release.actor,
        "reason": release.reason or None,
        "continues": release.continues or None,
    }


def _of_the_log(log: DecisionLog, release: Release) -> Iterator[str]:
    header = log.header
    if why := log.aborted:
        yield f"the log was given up, its decisions do not stand: {why[:80]}"
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
    begun = moment(header["startedAt"])
    if begun is None or begun < release.at:
        yield f"the log was begun before release {release.number} was made"


def _of_the_decision(
    taken: dict[str, Any], header: dict[str, Any], run: RunRecords
) -> Iterator[str]:
    rules = decision_rules(run.directory / "policy.yaml", run.inputs["policy"])
    if float(header["threshold"]) != rules.threshold:
        yield f"the log's threshold is {header['threshold']}, the policy's {rules.threshold}"
    if taken["outcome"] != REVIEW and (taken["outcome"] == SELECTED) != (
        taken["score"] >= rules.threshold
    ):
        yield f"outcome {taken['outcome']} is not what score and threshold give"
    # Logs of before name no sentences; what they tell must be the policy's all the same.
    if "sentences" in header and (header.get("adverse"), frozenset(header["sentences"])) != (
        rules.adverse,
        rules.sentences,
    ):
        yield "what the log takes for adverse, or may tell for it, is not the policy's"
    if rules.sentences and not set(taken["reasons"]) <= rules.sentences:
        yield "a reason of the decision is none of the policy's sentences"


def _of_the_run(release: Release, run: RunRecords) -> Iterator[str]:
    if (run.outcome, run.last.digest) != ("released", release.head):
        yield f"run {run.run_id} is not as the release has it"
    pushed = run.stage(Stage.PUSH)
    held = pushed.body["outputs"]["serving_model"]["sha256"] if pushed else "none"
    if held != release.model:
        yield f"run {run.run_id} pushed model {held[:12]}, the release has {release.model[:12]}"
    waiver = str((run.waiver or {}).get("sha256", ""))
    if waiver != release.waiver:
        yield f"the run has waiver {waiver or 'none'}, the release {release.waiver or 'none'}"


def _training(
    home: Path, run: RunRecords, taken: dict[str, Any], log: DecisionLog
) -> dict[str, Any]:
    """What the model was trained on, and whether this case or this person was in it."""
    inputs = next(iter(run.origin.values())).body["inputs"]
    version, name = inputs["datasetVersion"], inputs["dataset"]
    found: dict[str, Any] = {"dataset": name, "version": version, "split": TRAINING}
    directory = home / "datasets" / name / version[:16]
    if why := purged(home, f"datasets/{name}/{directory.name}"):
        return {**found, "missing": f"the dataset version was {why}: nothing is proved"}
    if not directory.is_dir():
        return {**found, "missing": "the dataset version is not in this home: nothing is proved"}
    dataset = Dataset.described(directory)
    if dataset.version != version:
        raise EvidenceError(f"{directory.name} is not the dataset version of run {run.origin_id}")
    entity = entity_column(run.directory / "contract.yaml", run.inputs["contract"])
    rows = TrainingRows(dataset, entity=entity)
    return {
        **found,
        "rows": dataset.rows(TRAINING),
        "root": dataset.root(TRAINING),
        # Without their digests: who has all rows of a file but one could try that one by them.
        "sources": [source["name"] for source in dataset.manifest["sources"]],
        "spans": list(dataset.manifest["splits"][TRAINING]["spans"]),
        "case": _proved(rows, taken["assay_row"]),
        "person": _person(home, rows, taken["assay_entity"], log),
    }


def _proved(rows: TrainingRows, commitment: bytes) -> dict[str, Any]:
    return {**rows.prove(commitment).to_json(), "place": rows.place(commitment)}


def _person(home: Path, rows: TrainingRows, tag: bytes, log: DecisionLog) -> dict[str, Any]:
    """The training rows of whom the decision is about, which only the row key can tell."""
    if lost := _key_is_lost(home):
        return {"missing": lost}
    key = read_row_key(home)
    if not was_named_with(log, key):
        return {"missing": "the row key is another one than the log was written with"}
    mine = rows.of_person(tag, key)
    return {"rows": len(mine), "proofs": [_proved(rows, row) for row in mine[:MOST_PROOFS]]}


def _key_is_lost(home: Path) -> str | None:
    """Why nobody can say whose rows these are, where nobody can."""
    path = row_key_path(home)
    if at := destroyed_at(path):
        return f"the row key was destroyed on {at}: nobody can say whose row it is"
    return None if path.exists() else "without the row key nobody can say whose row it is"
