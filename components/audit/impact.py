"""What depends on a person, a span or a file: dataset versions, runs, models, releases, decisions.

The answer to "this span was corrupt", and to "what was learned from me". A person is looked for by
the keyed tag that decisions carry and by the rows of the canonical datasets; nobody else's rows are
told about, and the person's name is not told again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from components.audit.evidence_runs import RunFacts, read_runs
from components.audit.impact_decisions import Named, about, maker, of_releases
from components.audit.retention_log import purged_names
from components.checks.suppression import is_small
from components.contract.bound_documents import entity_column
from components.contract.errors import EvidenceError
from components.contract.stages import Stage
from components.datasets.dataset import SPLITS, Dataset
from components.decisions.batch_logs import require_key
from components.decisions.decision_log import DecisionLog, decision_logs
from components.decisions.log_form import text_scalar
from components.lineage.commitments import entity_tag
from components.lineage.evidence_keys import HomeKeys
from components.lineage.row_key import read_row_key
from components.release.records import Release, histories, read_releases


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
        ``missing``: about which nobody can say anything: ``datasets`` that runs read and the home
        no longer has, ``runs`` that were released and have no evidence, ``logs`` of a release that
        is in no history, and of a person those that were purged; ``known``: the spans or source
        files that the home has, where one of them is asked about; ``datasets`` that hold the
        target, with its rows by split, None where they are 1 to 10 of a span or file; ``runs`` that
        read one of them, with ``trained`` where the target is among the rows that their model was
        trained on; ``releases`` of those runs, with all ``decisions`` that each has made;
        ``decisions`` by log and outcome, of a person: those about them; else those of a model that
        depends on the target. Where a log was ``givenUp``, they do not stand.

    Raises:
        InputError: there is no row key, or another one than a log was written with, and a person
            is asked about.
        EvidenceError: a record, a dataset or a log was changed, or cannot be read.
    """
    if target.member is not None:
        read_row_key(home)  # without it half an answer would pass for a whole one
    directories = _directories(home)
    runs = {r.run: r for r in read_runs(directories, HomeKeys(home).trusted())}
    gone = purged_names(home)
    opened = _opened(home, gone)
    held = _datasets(home, target, runs.values(), opened)
    touched = {r.run: r for r in runs.values() if _data(r, runs) in held}
    trained = {n for n, r in touched.items() if held[_data(r, runs)]["rows"].get("train", 0) > 0}
    released, logs = _releases(home), decision_logs(home)
    unread = gone if target.member is not None else ()
    lost = [x for x in logs if f"decisions/{x.log_id}" in unread]
    releases = [r for r in released if r.run in touched]
    learned = {_named(r) for r in releases if r.run in trained}
    return {
        "target": target.kind,
        "missing": {
            "datasets": sorted(
                {_data(r, runs) for r in runs.values()} - {d.version for d in opened}
            ),
            "runs": sorted({r.run for r in released} - runs.keys()),
            "logs": [x.log_id for x in logs if maker(x) not in map(_named, released) or x in lost],
        },
        "known": sorted({name for d in opened for name in _names(d, target)}),
        "datasets": [_told(h, target) for h in held.values()],
        "runs": [_run(r, runs, trained=n in trained) for n, r in touched.items()],
        "releases": [_release(r, logs, learned=r.run in trained) for r in releases],
        "decisions": _decisions(home, target, [x for x in logs if x not in lost], learned),
    }


def _data(run: RunFacts, runs: Mapping[str, RunFacts]) -> str:
    """The dataset version that a run's model was trained on."""
    return _origin(run, runs).inputs["datasetVersion"]


def _origin(run: RunFacts, runs: Mapping[str, RunFacts]) -> RunFacts:
    """The run that trained a run's model: itself, or the one that it continues.

    Raises:
        EvidenceError: that one is not there, or is not as it was when the run continued it.
    """
    if run.continued is None:
        return run
    name, head = run.continued
    if name not in runs or runs[name].head != head:
        raise EvidenceError(f"run {name} is not as it was when {run.run} continued it")
    return runs[name]


def _opened(home: Path, gone: Collection[str]) -> list[Dataset]:
    found = []
    for path in sorted((home / "datasets").glob("*/*/manifest.json")):
        if path.parent.relative_to(home).as_posix() in gone:
            continue
        dataset = Dataset.described(path.parent)
        if dataset.version[:16] != path.parent.name:
            raise EvidenceError(f"{path.parent} is not the dataset version of that name")
        found.append(dataset)
    return found


def _names(dataset: Dataset, target: Target) -> Iterator[str]:
    """What could have been asked about in a dataset; of persons nothing is told."""
    if target.span is not None:
        yield from dataset.spans
    if target.file is not None:
        yield from (s["name"] for s in dataset.manifest["sources"])


def _directories(home: Path) -> list[Path]:
    return sorted(p for p in (home / "runs").glob("*") if any((p / "evidence").glob("*.json")))


def _releases(home: Path) -> list[Release]:
    return [r for dataset, stack in histories(home) for r in read_releases(home, dataset, stack)]


def _datasets(
    home: Path, target: Target, runs: Collection[RunFacts], opened: list[Dataset]
) -> dict[str, dict[str, Any]]:
    """Dataset versions that hold the target, with its rows by split; each is read once."""
    entities = _entities(home, runs) if target.member is not None else {}
    found = {}
    for dataset in opened:
        rows = _rows(dataset, target, entities.get(dataset.version))
        if any(rows.values()):
            name, version = dataset.manifest["dataset"], dataset.version
            found[version] = {"dataset": name, "version": version, "rows": rows}
    return found


def _told(held: dict[str, Any], target: Target) -> dict[str, Any]:
    """Rows of a span that are 1 to 10 out of sight; a person's own rows are nobody else's."""
    if target.member is not None:
        return held
    return {**held, "rows": {s: None if is_small(n) else n for s, n in held["rows"].items()}}


def _entities(home: Path, runs: Collection[RunFacts]) -> dict[str, str]:
    """The column that names a person in each dataset version, by the contract of who read it."""
    columns: dict[str, str] = {}
    for run in runs:
        if (digest := run.inputs["contract"]) in columns:
            continue
        columns[digest] = entity_column(home / "runs" / run.run / "contract.yaml", digest)
    return {r.inputs["datasetVersion"]: columns[r.inputs["contract"]] for r in runs}


def _rows(dataset: Dataset, target: Target, entity: str | None) -> dict[str, int]:
    splits = dataset.manifest["splits"]
    if target.file is not None:
        named = target.file in _names(dataset, target)
        return {split: dataset.rows(split) for split in SPLITS if named}
    if target.span is not None:
        spans = {split: splits[split]["spans"].get(target.span) for split in SPLITS}
        return {split: part["rows"] for split, part in spans.items() if part}
    if entity is None:
        return {}  # no run ever read it, so nothing depends on it
    return {
        split: n
        for split in SPLITS
        if (n := _of_person(dataset, split, entity, str(target.member)))
    }


def _of_person(dataset: Dataset, split: str, entity: str, member: str) -> int:
    files = map(dataset.parquet, dataset.files(split=split))
    # One column needs no threads, and threads that are left behind can abort a process at its end.
    read = (file.read(columns=[entity], use_threads=False) for file in files)
    people = (table[entity].cast(pa.string()) for table in read)
    return sum(int(pc.sum(pc.equal(held, text_scalar(member))).as_py() or 0) for held in people)


def _run(run: RunFacts, runs: Mapping[str, RunFacts], *, trained: bool) -> dict[str, Any]:
    train = _origin(run, runs).stage(Stage.TRAIN)
    digests = {o[0]: o[3] for o in train.outputs} if train else {}
    return {
        "run": run.run,
        "dataset": _data(run, runs),
        "outcome": run.outcome,
        "model": digests.get("model"),
        "trained": trained,
    }


def _release(release: Release, logs: list[DecisionLog], *, learned: bool) -> dict[str, Any]:
    return {
        "dataset": release.dataset,
        "stack": release.stack,
        "release": release.number,
        "run": release.run,
        "model": release.model,
        "at": release.at.isoformat(),
        "learned": learned,
        "decisions": sum(log.rows for log in logs if maker(log) == _named(release)),
    }


def _named(release: Release) -> Named:
    return release.dataset, release.stack, release.number


def _decisions(
    home: Path, target: Target, logs: list[DecisionLog], learned: set[Named]
) -> list[dict[str, Any]]:
    if target.member is None or not logs:
        return of_releases(logs, learned)
    key = read_row_key(home)
    for log in logs:
        require_key(log, key)
    tag = entity_tag(key, target.member)
    return [found for log in logs if (found := about(log, tag))["decisions"]]
