"""What depends on a person, a span or a file: dataset versions, runs, models, releases, decisions.

The answer to "this span was corrupt", and to "what was learned from me". A person is looked for by
the keyed tag that decisions carry and by the rows of the canonical datasets; nobody else's rows are
told about, and the person's name is not told again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.audit.evidence_runs import RunFacts, read_runs
from components.contract.contract_loader import load_contract
from components.contract.errors import EvidenceError
from components.contract.stages import Stage
from components.datasets.canonical import SPLITS, Dataset
from components.decisions.decision_log import DecisionLog, decision_id, decision_logs
from components.lineage.commitments import entity_tag
from components.lineage.evidence_keys import HomeKeys
from components.lineage.row_key import read_row_key
from components.release.records import Release, histories, read_releases

MOST_LISTED = 1_000


@dataclass(frozen=True, slots=True)
class Target:
    """Who or what is asked about: exactly one of them."""

    member: str | None = None
    span: str | None = None
    file: str | None = None

    @property
    def kind(self) -> str:
        """``member``, ``span`` or ``file``; a member is told by nothing else."""
        return next(k for k in ("member", "span", "file") if getattr(self, k) is not None)


def impact(home: Path, target: Target) -> dict[str, Any]:
    """Everything in a home that depends on a target.

    Args:
        home: the home.
        target: a person by the value of the contract's entity column, a span by its label, or a
            source file by its name.

    Returns:
        ``missing``: dataset versions that runs read and the home no longer has, about which nobody
        can say anything; ``datasets`` with rows by split; ``runs`` that read one of them, with
        ``trained`` where the target is among the training rows; ``releases`` of those runs;
        ``decisions`` by log and outcome, of a person: those about them; else those of a model that
        depends on the target.

    Raises:
        InputError: there is no row key, and a person is asked about.
        EvidenceError: a record, a dataset or a log was changed, or cannot be read.
    """
    if target.member is not None:
        read_row_key(home)  # without it half an answer would pass for a whole one
    directories = _directories(home)
    runs = read_runs(directories, HomeKeys(home).trusted()) if directories else []
    datasets = _datasets(home, target, runs)
    held = {d["version"]: d for d in datasets}
    touched = [r for r in runs if r.inputs["datasetVersion"] in held]
    trained = {
        r.run for r in touched if held[r.inputs["datasetVersion"]]["rows"].get("train", 0) > 0
    }
    releases = [r for r in _releases(home) if r.run in {t.run for t in touched}]
    learned = {(r.dataset, r.stack, r.number) for r in releases if r.run in trained}
    present = {d.name for d in (home / "datasets").glob("*/*") if d.is_dir()}
    named = {r.inputs["datasetVersion"] for r in runs}
    return {
        "target": target.kind,
        "missing": sorted(v for v in named if v[:16] not in present),
        "datasets": datasets,
        "runs": [_run(r, trained=r.run in trained) for r in touched],
        "releases": [_release(r, learned=r.run in trained) for r in releases],
        "decisions": _decisions(home, target, learned),
    }


def _directories(home: Path) -> list[Path]:
    return sorted(p for p in (home / "runs").glob("*") if any((p / "evidence").glob("*.json")))


def _releases(home: Path) -> list[Release]:
    return [r for dataset, stack in histories(home) for r in read_releases(home, dataset, stack)]


def _datasets(home: Path, target: Target, runs: list[RunFacts]) -> list[dict[str, Any]]:
    """Dataset versions that hold the target, with its rows by split; each is read once."""
    entities = _entities(home, runs) if target.member is not None else {}
    found = []
    for path in sorted((home / "datasets").glob("*/*/manifest.json")):
        dataset = Dataset.open(path.parent)
        rows = _rows(dataset, target, entities.get(dataset.version))
        if any(rows.values()):
            name = dataset.manifest["dataset"]
            found.append({"dataset": name, "version": dataset.version, "rows": rows})
    return found


def _entities(home: Path, runs: list[RunFacts]) -> dict[str, str]:
    """The column that names a person in each dataset version, by the contract of who read it."""
    columns: dict[str, str] = {}
    for run in runs:
        if (digest := run.inputs["contract"]) in columns:
            continue
        contract = load_contract(home / "runs" / run.run / "contract.yaml")
        if contract.digest != digest:
            raise EvidenceError(f"the contract of run {run.run} is not the one it was bound to")
        columns[digest] = contract.entity.name
    return {r.inputs["datasetVersion"]: columns[r.inputs["contract"]] for r in runs}


def _rows(dataset: Dataset, target: Target, entity: str | None) -> dict[str, int]:
    splits = dataset.manifest["splits"]
    if target.file is not None:
        named = target.file in {s["name"] for s in dataset.manifest["sources"]}
        return {split: dataset.rows(split) for split in SPLITS if named}
    if target.span is not None:
        spans = {split: splits[split]["spans"].get(target.span) for split in SPLITS}
        return {split: part["rows"] for split, part in spans.items() if part}
    if entity is None:
        return {}  # no run ever read it, so nothing depends on it
    return {
        split: n
        for split in SPLITS
        if (n := sum(_of_person(f, entity, str(target.member)) for f in dataset.files(split=split)))
    }


def _of_person(file: Path, entity: str, member: str) -> int:
    people = pq.read_table(file, columns=[entity])[entity].cast(pa.string())
    return int(pc.sum(pc.equal(people, member)).as_py() or 0)


def _run(run: RunFacts, *, trained: bool) -> dict[str, Any]:
    train = run.stage(Stage.TRAIN)
    digests = {o[0]: o[3] for o in train.outputs} if train else {}
    return {
        "run": run.run,
        "dataset": run.inputs["datasetVersion"],
        "outcome": run.outcome,
        "model": digests.get("model"),
        "trained": trained,
    }


def _release(release: Release, *, learned: bool) -> dict[str, Any]:
    return {
        "dataset": release.dataset,
        "stack": release.stack,
        "release": release.number,
        "run": release.run,
        "model": release.model,
        "at": release.at.isoformat(),
        "learned": learned,
    }


def _decisions(
    home: Path, target: Target, learned: set[tuple[str, str, int]]
) -> list[dict[str, Any]]:
    logs = decision_logs(home)
    if target.member is not None and logs:
        tag = entity_tag(read_row_key(home), target.member)
        found = [_about(log, tag) for log in logs]
    else:
        found = [_all(log) for log in logs if _named(log) in learned]
    return [f for f in found if f["decisions"]]


def _named(log: DecisionLog) -> tuple[str, str, int]:
    return log.header["dataset"], log.header["stack"], log.header["release"]


def _all(log: DecisionLog) -> dict[str, Any]:
    return {"log": log.log_id, "release": log.header["release"], "decisions": log.rows}


def _about(log: DecisionLog, tag: bytes) -> dict[str, Any]:
    """Decisions about one person; the segments that hold one are known to be what was signed."""
    outcomes: Counter[str] = Counter()
    names: list[str] = []
    for hits in _hits(log, tag):
        outcomes.update(hits["outcome"].to_pylist())
        names += [decision_id(log.log_id, row) for row in hits["row"].to_pylist()]
    return {
        "log": log.log_id,
        "release": log.header["release"],
        "decisions": sum(outcomes.values()),
        "outcomes": dict(sorted(outcomes.items())),
        "ids": names[:MOST_LISTED],
    }


def _hits(log: DecisionLog, tag: bytes) -> Iterator[pa.Table]:
    for segment in log.segments:
        try:
            file = log.open_segment(segment)
            people = file.read(columns=["assay_entity"])["assay_entity"]
        except (OSError, pa.ArrowException) as error:
            raise EvidenceError(f"{segment.file} of log {log.log_id} is no segment") from error
        mine = pc.equal(people, pa.scalar(tag, pa.binary(16)))
        if pc.any(mine).as_py():
            yield file.read(columns=["row", "outcome"]).filter(mine)
