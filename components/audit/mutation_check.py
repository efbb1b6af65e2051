"""The mutation check of a home: evidence, receipts, native stores and files, read and compared.

One look into a store tells about all of its runs. What is broken is a difference like any other: it
is named, and the rest is compared all the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.audit.artifact_check import (
    FileCheck,
    check_bound_files,
    check_datasets,
    check_outputs,
    check_run_json,
    check_serving,
    check_stored,
)
from components.audit.differences import Difference, Kind
from components.audit.evidence_runs import RunFacts, read_run, read_runs
from components.audit.mutations import Evidence, compare
from components.audit.retention_accounts import without_purged
from components.audit.retention_log import Tombstone
from components.contract.errors import EvidenceError, InputError
from components.contract.stages import Stage
from components.lineage.evidence_keys import HomeKeys
from components.lineage.graph import Entries, LineageStore
from components.lineage.receipts import ENTRIES, RECEIPT, parse_receipt, read_entries
from components.lineage.regular_file import read_regular
from components.release.records import Release, histories, read_releases

_SBOM = "sbom.cdx.json"
_NONE = "none"
_OVER = (RECEIPT, ENTRIES)
_UNFINISHED = "unfinished"


@dataclass(frozen=True, slots=True)
class StackCheck:
    """What was compared in one stack: its store's name, and how many of what.

    ``purged`` are tombstones of data of its runs; what they account for is no difference.
    """

    stack: str
    store: str
    runs: tuple[str, ...]
    entries: int
    queries: int
    files: FileCheck
    differences: tuple[Difference, ...]
    purged: tuple[Tombstone, ...]

    def to_json(self) -> dict[str, Any]:
        """Counts, and every difference."""
        return {
            "stack": self.stack,
            "store": self.store,
            "runs": list(self.runs),
            "entries": self.entries,
            "queries": self.queries,
            "files": self.files.checked,
            "filesGone": self.files.gone,
            "differences": [d.to_json() for d in self.differences],
            "purged": [{"tombstone": t.number, "name": t.name} for t in self.purged],
        }


def stack_of(run: str) -> str:
    """The stack that a run id names, as ``tfx`` of ``20261122T120000Z-tfx-plain-1a2b3c``."""
    return run.split("-")[1] if run.count("-") > 1 else ""


def runs_of(home: Path, stack: str) -> list[str]:
    """Ids of the runs of a stack that have a place in the home, in rising order.

    Raises:
        InputError: it is no home.
    """
    folder = home / "runs"
    if not folder.is_dir():
        raise InputError(
            "holds no runs", where=str(home), expected="a home (`assay run`, `--home DIR`)"
        )
    return sorted(p.name for p in folder.iterdir() if p.is_dir() and stack_of(p.name) == stack)


def check_stack(home: Path, stack: str, store: LineageStore, run: str | None = None) -> StackCheck:
    """Compare all runs of a stack, or one of them, with the stack's own store and with the files.

    Raises:
        InputError: it is no home, or the store is not there, locked, or of an unknown version.
    """
    evidence, found = read_signed(home, stack, run)
    receipts, more = read_receipts(home, evidence, store.name)
    found += more
    entries = queries = 0
    try:
        native = store.read(None if run is None else {run})
    except EvidenceError as error:
        found.append(Difference(Kind.STORE, "", store.name, new=str(error)))
    else:
        # A store may put a run's entries together anew each time that it is asked for them.
        native = replace(native, entries={name: dict(e) for name, e in native.entries.items()})
        entries, queries = sum(map(len, native.entries.values())), native.queries
        found += compare(evidence, native, receipts)
    files = _check_files(home, evidence, receipts)
    found += files.differences
    if run is None:  # one run's evidence cannot tell what the others pushed
        found += check_serving(home, stack, evidence.runs.values())
    left, purged = without_purged(home, evidence.runs, found)
    return StackCheck(
        stack, store.name, tuple(evidence.runs), entries, queries, files, tuple(left), purged
    )


def _check_files(home: Path, evidence: Evidence, receipts: Mapping[str, Entries]) -> FileCheck:
    total = check_datasets(home, evidence.runs.values())
    standing = {history[-1].run for history in evidence.releases.values() if history}
    for release in (r for history in evidence.releases.values() for r in history):
        if release.run in evidence.runs:
            cards = {f"card/{name}": digest for name, digest in release.cards}
            total += check_bound_files(home, release.run, cards)
    for name, run in evidence.runs.items():
        bound = {_SBOM: run.inputs["sbom"]} if run.inputs["sbom"] != _NONE else {}
        total += check_bound_files(home, name, bound)
        total += check_run_json(home, run)
        total += check_outputs(home, run, standing=name in standing)
        total += check_stored(home, run, receipts.get(name, {}), standing=name in standing)
    return total


def read_signed(home: Path, stack: str, run: str | None) -> tuple[Evidence, list[Difference]]:
    """What the evidence of a stack, or of one run, says, and what of it is broken."""
    known = runs_of(home, stack)
    names = [n for n in known if run in (None, n)]
    runs, found = _read_runs(home, names)
    releases: dict[str, tuple[Release, ...]] = {}
    broken = set()
    for dataset, where in histories(home):
        if where == stack:
            try:
                releases[dataset] = tuple(read_releases(home, dataset, stack))
            except EvidenceError as error:
                broken.add(dataset)
                place = f"releases/{dataset}/{stack}"
                found.append(Difference(Kind.EVIDENCE, "", place, new=str(error)))
    evidence = Evidence(runs, frozenset(known) - runs.keys(), releases)
    found += _emptied(home, names, evidence, found)
    found += _release_faults(evidence, stack, broken)
    found += [
        Difference(Kind.UNFINISHED, n, f"runs/{n}")
        for n, r in runs.items()
        if r.outcome == _UNFINISHED
    ]
    return evidence, found


def _read_runs(home: Path, names: list[str]) -> tuple[dict[str, RunFacts], list[Difference]]:
    trusted = HomeKeys(home).trusted()
    directories = [home / "runs" / name for name in names]
    try:
        return {r.run: r for r in read_runs(directories, trusted)}, []
    except EvidenceError:
        runs, found = {}, []  # one at a time, then: each broken one is named
        for directory in directories:
            try:
                run = read_run(directory, trusted)
            except EvidenceError as error:
                where = f"runs/{directory.name}"
                found.append(Difference(Kind.EVIDENCE, directory.name, where, new=str(error)))
            else:
                runs.update({run.run: run} if run else {})
        return runs, found


def _emptied(
    home: Path, names: list[str], evidence: Evidence, broken: list[Difference]
) -> list[Difference]:
    """Runs without any record that were over all the same, by their release or their receipt."""
    recorded = {r.run for history in evidence.releases.values() for r in history}
    named = {d.run for d in broken}
    return [
        Difference(Kind.EVIDENCE, name, f"runs/{name}/evidence", "its records")
        for name in names
        if name not in evidence.runs
        and name not in named
        and (name in recorded or any((home / "runs" / name / f).exists() for f in _OVER))
    ]


def _release_faults(evidence: Evidence, stack: str, broken: Set[str]) -> Iterator[Difference]:
    """Releases whose run is gone or came to something else, and releases that are not recorded."""
    recorded = {r.run for history in evidence.releases.values() for r in history}
    for name, run in evidence.runs.items():
        dataset = run.inputs["dataset"]
        # A history that is broken is named as such, and not once more for each of its runs.
        if run.outcome == "released" and name not in recorded and dataset not in broken:
            yield Difference(Kind.EVIDENCE, name, f"releases/{dataset}/{stack}", _pushed(run))
    for history in evidence.releases.values():
        for release in history:
            where = f"releases/{release.dataset}/{stack}/{release.number:06d}.json"
            held = evidence.runs.get(release.run)
            if held is None and release.run not in evidence.others:
                yield Difference(Kind.EVIDENCE, release.run, f"runs/{release.run}", where)
            elif held and (held.head, _pushed(held)) != (release.head, release.model):
                yield Difference(Kind.EVIDENCE, release.run, where, _pushed(held), release.model)


def _pushed(run: RunFacts) -> str | None:
    push = run.stage(Stage.PUSH)
    digests = [o[3] for o in push.outputs if o[0] == "serving_model"] if push else []
    return digests[0] if digests else None


def read_receipts(
    home: Path, evidence: Evidence, store: str
) -> tuple[dict[str, Entries], list[Difference]]:
    """What the store held of each closed run, as signed, and which receipts are none."""
    trusted = HomeKeys(home).trusted()
    receipts: dict[str, Entries] = {}
    found = []
    for name, run in evidence.runs.items():
        if run.outcome == _UNFINISHED:
            continue
        where = f"runs/{name}/{RECEIPT}"
        try:
            raw = read_regular(home / "runs" / name / RECEIPT)
            receipt = parse_receipt(raw, name, run.head, trusted)
            if receipt.store != store:
                raise EvidenceError(f"{RECEIPT} is of {receipt.store}")
            receipts[name] = read_entries(home / "runs" / name, receipt)
        except OSError as error:
            found.append(Difference(Kind.NO_RECEIPT, name, where, new=error.strerror))
        except EvidenceError as error:
            found.append(Difference(Kind.RECEIPT, name, where, new=str(error)))
    return receipts, found
