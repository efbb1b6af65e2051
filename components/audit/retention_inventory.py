"""The items of a home: read from its signed evidence and logs, and looked for on the disk."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.audit.access_log import Access, read_access
from components.audit.differences import Difference, Kind
from components.audit.evidence_graph import release_key
from components.audit.evidence_runs import RunFacts
from components.audit.mutation_check import read_signed, stack_of
from components.audit.retention_clock import Span, joined, spans
from components.audit.retention_decisions import decision_items
from components.audit.retention_files import RunFiles
from components.audit.retention_items import Item
from components.audit.retention_policy import RecordClass, RetentionPolicy
from components.contract.errors import EvidenceError
from components.lineage.digests import parse_canonical, sha256_json
from components.lineage.receipts import RECEIPT
from components.release.records import Release, histories

_STORES = {"tfx": "mlmd", "pytorch": "mlflow"}


@dataclass(slots=True)
class Inventory:
    """What a home holds.

    Attributes:
        items: everything that the policy is about, and what it does not know.
        broken: what is wrong with signed evidence, as the mutation check names it.
        files: the files of each run.
        runs: ids of all runs with evidence; a hold may name one.
        releases: ids of all releases, as ``<dataset>/<stack>/<number>``.
    """

    items: list[Item] = field(default_factory=list)
    broken: list[Difference] = field(default_factory=list)
    files: dict[str, RunFiles] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    releases: set[str] = field(default_factory=set)


def take_inventory(home: Path, policy: RetentionPolicy) -> Inventory:
    """Read all evidence of a home, and see what of it is there.

    Raises:
        InputError: it is no home.
    """
    found = Inventory()
    accesses = _accesses(home, found)
    imported = {s for a in accesses if a.command == "import" for s in a.subjects}
    folders = [p.name for p in (home / "runs").glob("*") if p.is_dir()]
    stacks = {stack_of(name) for name in folders} | {stack for _, stack in histories(home)}
    data: dict[tuple[str, str], list[Span]] = defaultdict(list)
    away: dict[tuple[str, str], bool] = {}
    every: dict[str, Span] = {}
    for stack in sorted(stacks):
        evidence, differences = read_signed(home, stack, None)
        found.broken += [d for d in differences if d.kind is not Kind.UNFINISHED]
        clock = spans(evidence.runs, evidence.releases)
        every |= clock
        imported |= {
            run.continued[0]
            for run in evidence.runs.values()
            if run.run in imported and run.continued
        }
        for run in evidence.runs.values():
            files = RunFiles(home, run, policy)
            elsewhere = files.empty and run.run in imported
            found.files[run.run] = files
            found.items += _of_run(run, files, clock[run.run], elsewhere)
            version = (run.inputs["dataset"], run.inputs["datasetVersion"])
            data[version].append(clock[run.run])
            away[version] = away.get(version, True) and elsewhere
        found.items += _of_releases(evidence.releases, clock)
        found.items += _of_store(home, stack, clock, imported)
        found.releases |= {release_key(r) for h in evidence.releases.values() for r in h}
    found.runs = set(every)
    for named, users in sorted(data.items()):
        found.items.append(_of_dataset(home, *named, joined(users), away[named]))
    found.items += decision_items(home, every, found.broken)
    found.items += _of_accesses(accesses)
    found.items += _unknown(home, policy, found)
    return found


def _accesses(home: Path, found: Inventory) -> list[Access]:
    try:
        return read_access(home)
    except EvidenceError as error:
        found.broken.append(Difference(Kind.EVIDENCE, "", "access", new=str(error)))
        return []


def _of_run(run: RunFacts, files: RunFiles, span: Span, elsewhere: bool) -> Iterator[Item]:
    """The run's own records, and what its stages left, class by class."""
    for kind in (
        RecordClass.EVIDENCE,
        RecordClass.DECISION_LOGS,
        RecordClass.MODELS,
        RecordClass.PREDICTIONS,
        None,
    ):
        parts = dict(files.parts[kind])
        gone = tuple(place for place in parts if not files.copies(place))
        if not parts and kind is not RecordClass.EVIDENCE:
            continue
        name = f"runs/{run.run}/{kind or 'unknown'}"
        named = sha256_json({"head": run.head, "parts": parts})
        yield Item(
            name=name,
            kind=kind,
            sha256=named,
            subjects=tuple(sorted(span.subjects)),
            since=span.since,
            in_effect=span.standing,
            parts=tuple(parts.items()),
            gone=gone,
            present=len(gone) < len(parts) or kind is RecordClass.EVIDENCE,
            elsewhere=elsewhere,
            why="" if kind else "outputs that no class names: " + ", ".join(sorted(parts)),
        )


def _of_releases(
    releases: Mapping[str, tuple[Release, ...]], clock: Mapping[str, Span]
) -> Iterator[Item]:
    for history in releases.values():
        for release, following in zip(history, (*history[1:], None), strict=True):
            key = release_key(release)
            yield Item(
                name=f"releases/{release.dataset}/{release.stack}/{release.number:06d}.json",
                kind=RecordClass.RELEASE_RECORDS,
                sha256=release.digest,
                subjects=tuple(sorted({key, *clock.get(release.run, Span()).subjects})),
                since=following.at if following else release.at,
                in_effect=following is None,
            )


def _of_store(
    home: Path, stack: str, clock: Mapping[str, Span], imported: set[str]
) -> Iterator[Item]:
    """The stack's own store, where a receipt says that there was one."""
    receipts = [n for n in clock if (home / "runs" / n / RECEIPT).is_file() and n not in imported]
    if stack not in _STORES or not receipts:
        return
    name = f"stores/{_STORES[stack]}.sqlite"
    span = joined(clock[n] for n in receipts)
    there = (home / name).is_file()
    yield Item(
        name=name,
        kind=RecordClass.NATIVE_STORES,
        subjects=tuple(sorted(span.subjects)),
        since=span.since,
        in_effect=span.standing,
        present=there,
        elsewhere=not there,
        why="" if there else "not in the home: on a server, or deleted (`assay audit mutations`)",
    )


def _of_dataset(home: Path, dataset: str, version: str, span: Span, elsewhere: bool) -> Item:
    """One canonical version, needed as long as the last run that read it."""
    name = f"datasets/{dataset}/{version[:16]}"
    manifest = home / name / "manifest.json"
    raw = manifest.read_bytes() if manifest.is_file() else b""
    parts = {f"{name}/manifest.json": version}
    gone = [] if hashlib.sha256(raw).hexdigest() == version else [f"{name}/manifest.json"]
    if not gone:
        held = parse_canonical(raw, name)["splits"].values()
        files = {p["file"]: p["sha256"] for split in held for p in split["spans"].values()}
        parts = {f"{name}/{file}": digest for file, digest in sorted(files.items())}
        gone = [place for place in parts if not (home / place).is_file()]
    return Item(
        name=name,
        kind=RecordClass.DATASETS,
        sha256=version,
        subjects=tuple(sorted(span.subjects)),
        since=span.since,
        in_effect=span.standing,
        parts=tuple(parts.items()),
        gone=tuple(gone),
        present=any((home / name).rglob("*.parquet")),
        elsewhere=elsewhere and not (home / name).exists(),
    )


def _of_accesses(accesses: list[Access]) -> Iterator[Item]:
    """The access log, which is in use until its last entry, and the bundles it says were made."""
    if accesses:
        yield Item("access", RecordClass.ACCESS_LOG, accesses[-1].sha256, since=accesses[-1].moment)
    for access in accesses:
        if access.command == "bundle":
            yield Item(
                name=f"bundle {access.number} of {', '.join(access.subjects)}",
                kind=RecordClass.BUNDLES,
                sha256=access.result.rpartition(" ")[2],
                subjects=access.subjects,
                since=access.moment,
                why="where it lies is known to whoever took it",
            )


def _unknown(home: Path, policy: RetentionPolicy, found: Inventory) -> Iterator[Item]:
    """What lies in the home and is in no class, or is named by no signed record."""
    for path in sorted(home.iterdir()):
        if path.name not in policy.folders and not path.name.startswith("."):
            yield Item(path.name, None, why="no class of the policy has it")
    read = {d.run for d in found.broken} | found.runs
    for path in sorted((home / "runs").glob("*")):
        if path.is_dir() and path.name not in read and not path.name.startswith("."):
            yield Item(f"runs/{path.name}", None, why="no signed record says when it was")
    named = {i.name for i in found.items}
    for path in sorted((home / "datasets").glob("*/*")):
        name = path.relative_to(home).as_posix()
        if name not in named and not path.name.startswith("."):
            yield Item(name, None, why="no signed record says when it was used")
