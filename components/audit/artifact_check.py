"""Files of a home against the digests in its evidence: what runs left, and the data they read.

To delete an artifact whose time is over is nobody's crime, and is counted. What has to stay is
missing where it is gone: the data, a gate's predictions, decisions, and what a standing release
serves. A record names an output by its base name, so a file is looked for under the
run's own directory, and where the record says that the model was pushed to.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from components.audit.differences import Difference, Kind
from components.audit.evidence_runs import RunFacts, StageFacts
from components.contract.errors import EvidenceError
from components.contract.stages import Stage
from components.lineage.digests import parse_canonical, sha256_file, sha256_tree
from components.lineage.graph import Entries
from components.lineage.regular_file import read_regular, require_plain

_MODELS = ("model", "serving_model")
_SERVED = "serving_model"
_LASTING = ("predictions", "decisions")
_ROOTS = ("artifacts", "native")
_BOOKKEEPING = ".system"
"""Where TFX notes executions; nothing of it is an output."""


@dataclass(frozen=True, slots=True)
class FileCheck:
    """Outputs and data files that were looked at, that are gone, and what differs."""

    checked: int
    gone: int
    differences: tuple[Difference, ...]

    def __add__(self, other: FileCheck) -> FileCheck:
        return FileCheck(
            self.checked + other.checked,
            self.gone + other.gone,
            self.differences + other.differences,
        )


NOTHING = FileCheck(0, 0, ())


def check_outputs(home: Path, run: RunFacts, *, standing: bool = False) -> FileCheck:
    """Recompute the SHA-256 of everything that a run recorded as left behind.

    Every copy of a model must be what was recorded. Of another output those must be which lie in
    the run's ``artifacts`` or where the record says; else one of that name, for stacks keep drafts.
    The model that a ``standing`` release serves has to be there.
    """
    directory = home / "runs" / run.run
    places = left_in(directory)
    checked = gone = 0
    found: list[Difference] = []
    for stage in run.stages:
        for output, name, _, recorded in stage.outputs:
            one, any_of = _copies(home, directory, places, stage, output, name)
            digests = {path: _digest(path) for path in (*one, *any_of)}
            changed = [path for path in one if digests[path] != recorded]
            if recorded not in map(digests.get, any_of):
                changed += any_of
            checked, gone = checked + bool(digests), gone + (not digests)
            if not digests and (output in _LASTING or (standing and output == _SERVED)):
                where = f"runs/{run.run}/{stage.stage}/{name}"
                found.append(Difference(Kind.MISSING_FILE, run.run, where, recorded))
            for path in changed:
                where = path.relative_to(home).as_posix()
                found.append(Difference(Kind.FILE, run.run, where, recorded, digests[path]))
    unique = dict.fromkeys(found)  # a model is an output of two stages
    return FileCheck(checked, gone, tuple(unique))


def left_in(directory: Path) -> Mapping[str, Sequence[Path]]:
    """Every file and folder that the run's stages left, by its base name."""
    found: dict[str, list[Path]] = defaultdict(list)
    for root in _ROOTS:
        for folder, folders, files in os.walk(directory / root):
            folders[:] = sorted(f for f in folders if f != _BOOKKEEPING)
            for name in (*folders, *sorted(files)):
                found[name].append(Path(folder) / name)
    return found


def _copies(
    home: Path,
    directory: Path,
    places: Mapping[str, Sequence[Path]],
    stage: StageFacts,
    output: str,
    name: str,
) -> tuple[list[Path], list[Path]]:
    """Copies of which each must be what was recorded, and copies of which one must be."""
    artifacts, copies = directory / "artifacts", list(places.get(name, ()))
    exact = [artifacts / name]
    if told := _inside(home, stage.facts.get("location", "")):
        exact.append(told.parent / name)  # what was pushed, and what lies beside it
    exact = [path for path in exact if path.exists()]
    kept = artifacts / f"{stage.stage}-{output}.parquet"
    if output in _MODELS:
        return list(dict.fromkeys([*copies, *exact])), []
    return [*exact, *([kept] if kept.exists() else [])], [] if exact else copies


def _inside(home: Path, location: str) -> Path | None:
    """A location as a path of the home; None where there is none, or it leads out of it."""
    inside = location and (home / location).resolve().is_relative_to(home.resolve())
    return home / location if inside else None


def _digest(path: Path) -> str:
    """SHA-256 of a file or folder, in hex, or why there is none."""
    try:
        if path.is_dir():
            require_plain(path)  # a digest has no word for a pipe that somebody put there
            return sha256_tree(path)
        return sha256_file(path) if path.is_file() else "unreadable (no file)"
    except OSError as error:
        return f"unreadable ({error.strerror})"
    except EvidenceError:
        return "unreadable (empty, or it holds a link, a pipe, a socket or a device)"


def check_stored(home: Path, run: RunFacts, held: Entries, *, standing: bool = False) -> FileCheck:
    """Copies of a run's outputs in folders of the home's ``stores``, as the registry's model.

    Args:
        home: where they lie.
        run: what the run recorded as left behind.
        held: what the native store held of it, as signed: folders that it names are the run's.
        standing: whether the run's release stands: then each of these folders has to be there.
    """
    recorded: dict[str, set[str]] = defaultdict(set)
    for stage in run.stages:
        for _, name, _, digest in stage.outputs:
            recorded[name].add(digest)
    checked, found = 0, []
    for folder in _stored_folders(held):
        if standing and not (home / folder).is_dir():
            found.append(Difference(Kind.MISSING_FILE, run.run, folder, "a folder"))
        for path in sorted((home / folder).rglob("*")):
            if path.name in recorded and path.is_file():
                checked, now = checked + 1, _digest(path)
                if now not in (known := recorded[path.name]):
                    where, old = path.relative_to(home).as_posix(), ", ".join(sorted(known))
                    found.append(Difference(Kind.FILE, run.run, where, old, now))
    return FileCheck(checked, 0, tuple(found))


def _stored_folders(held: Entries) -> list[str]:
    """Folders of ``stores`` that a run's entries name; not one that another of them lies in."""
    named = {v.rpartition("/stores/")[2] for v in held.values() if "/stores/" in v}
    folders = {PurePosixPath("stores", n) for n in named if ".." not in PurePosixPath(n).parts}
    around = {parent for folder in folders for parent in folder.parents}
    return sorted(str(folder) for folder in folders - around)


def check_run_json(home: Path, run: RunFacts) -> FileCheck:
    """What a run's ``run.json`` says of it, against its records. Paths and times it alone holds."""
    where = f"runs/{run.run}/run.json"
    told = {
        "run_id": run.run,
        "stack": run.stack,
        "candidate": run.candidate,
        "actor": run.actor,
        **{_snake(k): v for k, v in run.inputs.items()},
    }
    path = home / where
    if not path.is_file():
        return FileCheck(1, 0, (Difference(Kind.MISSING_FILE, run.run, where),))
    try:
        held = parse_canonical(read_regular(path), where)
    except (OSError, EvidenceError) as error:
        return FileCheck(1, 0, (Difference(Kind.FILE, run.run, where, new=str(error)),))
    found = (
        Difference(Kind.FILE, run.run, f"{where}/{k}", v, str(held[k]))
        for k, v in told.items()
        if k in held and str(held[k]) != v
    )
    return FileCheck(1, 0, tuple(found))


def _snake(name: str) -> str:
    """``dataset_version`` of ``datasetVersion``: records and ``run.json`` name alike otherwise."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name)


def check_serving(home: Path, stack: str, runs: Iterable[RunFacts]) -> list[Difference]:
    """What lies in the folders that a stack serves from, and that none of all its runs pushed."""
    pushed = {s.facts.get("location", "") for r in runs if (s := r.stage(Stage.PUSH))}
    known = pushed | {f"{location}.sig" for location in pushed}
    present = (p.relative_to(home).as_posix() for p in home.glob(f"serving/*/{stack}/*"))
    return [Difference(Kind.ADDED_FILE, "", p) for p in sorted(present) if p not in known]


def check_bound_files(home: Path, run: str, bound: Mapping[str, str]) -> FileCheck:
    """Files of a run whose digests its first record holds, as its contract and policy.

    Args:
        home: where it lies.
        run: its id.
        bound: SHA-256, in hex, by file name.
    """
    found = []
    for name, recorded in bound.items():
        path = home / "runs" / run / name
        now = _digest(path) if path.is_file() else None
        if now != recorded:
            found.append(Difference(Kind.FILE, run, f"runs/{run}/{name}", recorded, now))
    return FileCheck(len(bound), 0, tuple(found))


def check_datasets(home: Path, runs: Iterable[RunFacts]) -> FileCheck:
    """The canonical data that runs read: manifest and every file of it, once a version."""
    versions = {(r.inputs["dataset"], r.inputs["datasetVersion"]) for r in runs}
    total = NOTHING
    for dataset, version in sorted(versions):
        total += _check_dataset(home, home / "datasets" / dataset / version[:16], version)
    return total


def _check_dataset(home: Path, directory: Path, version: str) -> FileCheck:
    """One version. Its manifest is named by its digest and names the digest of each file."""
    where = f"{directory.relative_to(home).as_posix()}/manifest.json"
    manifest = directory / "manifest.json"
    raw = manifest.read_bytes() if manifest.is_file() else None
    now = None if raw is None else hashlib.sha256(raw).hexdigest()
    if raw is None or now != version:
        return FileCheck(1, 0, (Difference(Kind.DATA, "", where, version, now),))
    known = dict(_files(parse_canonical(raw, where)))
    present = {p.relative_to(directory).as_posix() for p in directory.rglob("*.parquet")}
    found = []
    for name in sorted(known.keys() | present):
        digest = _digest(directory / name) if name in present else None
        if digest != known.get(name):
            place = f"{directory.relative_to(home).as_posix()}/{name}"
            found.append(Difference(Kind.DATA, "", place, known.get(name), digest))
    return FileCheck(len(known) + 1, 0, tuple(found))


def _files(manifest: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for split in manifest["splits"].values():
        for part in split["spans"].values():
            yield part["file"], part["sha256"]
