"""The data of a home: told by its signed evidence and logs, and looked for on the disk."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from components.audit.access_log import Access, read_access
from components.audit.differences import Kind
from components.audit.evidence_runs import RunFacts
from components.audit.mutation_check import read_signed, stack_of
from components.audit.mutations import Evidence
from components.audit.retention_files import RunFiles, files_of
from components.audit.retention_items import Item, Part, Use, ended
from components.audit.retention_log import entries_told
from components.audit.retention_policy import DataClass, RetentionPolicy
from components.audit.retention_uses import LogFacts, joined, read_log, uses
from components.contract.errors import EvidenceError
from components.decisions.decision_log import decision_logs
from components.lineage.digests import parse_canonical
from components.lineage.regular_file import read_regular
from components.release.records import histories

_OF_DATA = ("runs", "datasets", "decisions", "serving")


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a home holds.

    Attributes:
        items: all data that signed evidence tells of.
        unknown: what lies in the home and is in no class, or is told of by no signed record; why,
            by its path.
        broken: what is wrong with signed evidence: what it is, by its path.
        entries: number of entries that the log of holds and tombstones should at least have.
    """

    items: tuple[Item, ...]
    unknown: Mapping[str, str]
    broken: Mapping[str, str]
    entries: int


def take_inventory(home: Path, policy: RetentionPolicy) -> Inventory:
    """Read all evidence of a home, and see what of the data is there."""
    broken: dict[str, str] = {}
    accesses = _accesses(home, broken)
    logs = list(_logs(home, broken))
    stacks = list(_evidence(home, broken))
    runs = {name: run for evidence in stacks for name, run in evidence.runs.items()}
    in_use = uses(stacks, logs)
    files = {name: files_of(home, run, policy) for name, run in runs.items()}
    away = {name for name in _imported(runs, accesses) if files[name].empty}
    items = [
        *_of_datasets(home, runs, in_use, away),
        *(_of_log(home, log) for log in logs),
        *(i for n, run in runs.items() for i in _of_run(run, files[n], in_use[n], n in away)),
    ]
    unknown = dict(_unknown(home, policy, files, items, broken))
    return Inventory(tuple(items), unknown, broken, entries_told(accesses))


def _accesses(home: Path, broken: dict[str, str]) -> list[Access]:
    try:
        return read_access(home)
    except EvidenceError as error:
        broken["access"] = str(error)
        return []


def _logs(home: Path, broken: dict[str, str]) -> Iterator[LogFacts]:
    for log in decision_logs(home):
        try:
            yield read_log(log)
        except EvidenceError as error:
            broken[f"decisions/{log.log_id}"] = str(error)


def _evidence(home: Path, broken: dict[str, str]) -> Iterator[Evidence]:
    folders = [p.name for p in (home / "runs").glob("*") if p.is_dir()]
    stacks = {stack_of(name) for name in folders} | {stack for _, stack in histories(home)}
    for stack in sorted(stacks if folders else ()):
        evidence, differences = read_signed(home, stack, None)
        for d in differences:
            if d.kind is not Kind.UNFINISHED:
                broken[d.where] = d.new or f"{d.kind}, named by {d.old}"
        yield evidence


def _imported(runs: Mapping[str, RunFacts], accesses: Iterable[Access]) -> set[str]:
    """Runs that came out of a bundle, with those that they go on from."""
    named = {s for a in accesses if a.command == "import" for s in a.subjects} & runs.keys()
    before = {runs[n].continued for n in named}
    return named | ({b[0] for b in before if b} & runs.keys())


def _of_datasets(
    home: Path, runs: Mapping[str, RunFacts], in_use: Mapping[str, Use], away: set[str]
) -> Iterator[Item]:
    """Canonical versions, each needed as long as the last run that read it."""
    readers: dict[tuple[str, str], list[RunFacts]] = defaultdict(list)
    for run in runs.values():
        readers[run.inputs["dataset"], run.inputs["datasetVersion"]].append(run)
    for (dataset, version), mine in sorted(readers.items()):
        name = f"datasets/{dataset}/{version[:16]}"
        yield Item(
            name=name,
            kind=DataClass.DATASETS,
            use=joined(in_use[r.run] for r in mine),
            made=max((e for r in mine if (e := ended(r))), default=None),
            parts=tuple(_files(home, name, version)),
            elsewhere=all(r.run in away for r in mine) and not (home / name).exists(),
        )


def _files(home: Path, name: str, version: str) -> Iterator[Part]:
    """The files that a manifest names, or the manifest where it is not what was signed."""
    place = f"{name}/manifest.json"
    path = home / place
    raw = read_regular(path) if path.is_file() else b""
    if hashlib.sha256(raw).hexdigest() != version:
        yield Part(place, version, ())
        return
    for split in parse_canonical(raw, place)["splits"].values():
        for part in split["spans"].values():
            yield _part(home, f"{name}/{part['file']}", part["sha256"])


def _part(home: Path, place: str, sha256: str) -> Part:
    return Part(place, sha256, (home / place,) if os.path.lexists(home / place) else ())


def _of_log(home: Path, log: LogFacts) -> Item:
    name = f"decisions/{log.log}"
    parts = tuple(_part(home, f"{name}/{file}", sha) for file, sha in log.segments.items())
    named = {path for part in parts for path in part.copies}
    found = sorted((home / name).glob("*.parquet"))
    return Item(
        name=name,
        kind=DataClass.DECISION_LOGS,
        use=log.use,
        made=log.use.until,
        parts=parts,
        others=tuple(p for p in found if p not in named),
    )


def _of_run(run: RunFacts, files: RunFiles, use: Use, away: bool) -> Iterator[Item]:
    """What a run's stages left, class by class."""
    for kind in DataClass:
        parts = tuple(files.parts.get(kind, ()))
        others = files.others if kind is DataClass.PREDICTIONS else ()
        if parts or others:
            yield Item(f"runs/{run.run}/{kind}", kind, use, ended(run), parts, others, away)


def _unknown(
    home: Path,
    policy: RetentionPolicy,
    files: Mapping[str, RunFiles],
    items: Iterable[Item],
    broken: Mapping[str, str],
) -> Iterator[tuple[str, str]]:
    """What is in no class, or is told of by no signed record: nobody knows its age."""
    for path in sorted(home.iterdir()):
        if path.name not in policy.not_data and path.name not in _OF_DATA:
            yield path.name, "no class of the policy has it"
    for name, held in files.items():
        if held.unknown:
            yield f"runs/{name}", f"no class of the policy has {', '.join(held.unknown)}"
    told = {place for item in items for place in (item.name, *(p.place for p in item.parts))}
    known = {*told, *broken, *(f"runs/{name}" for name in files)}
    for pattern in ("runs/*", "datasets/*/*", "decisions/*"):
        for path in sorted(home.glob(pattern)):
            where = path.relative_to(home).as_posix()
            if where not in known and not _is_empty(path):
                yield where, "no signed record tells of it"
    for path in sorted(home.glob("datasets/*/*/**/*.parquet")):
        where = path.relative_to(home).as_posix()
        if where not in told and "/".join(where.split("/")[:3]) in told:
            yield where, "the manifest does not name it"


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(p.is_file() or p.is_symlink() for p in path.rglob("*"))
