"""Making a bundle: everything that a third party needs to check one run, in one file.

No data and no prediction goes in; their digests stand in the records. What is written is verified
first, with the home's own keys: a bundle that would not verify is never made.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from components.audit.bundle_documents import SBOM
from components.audit.bundle_format import (
    MANIFEST,
    Manifest,
    is_name,
    manifest_statement,
)
from components.audit.bundle_zip import Source, measure, write_zip
from components.audit.trust import Trust, TrustedKey
from components.audit.verify import Verification, verify_file
from components.contract.errors import EvidenceError, InputError
from components.lineage.dsse import sign
from components.lineage.durable import sync_directory
from components.lineage.evidence import chain_of
from components.lineage.evidence_keys import EvidenceKeys, HomeKeys
from components.lineage.receipts import RECEIPT
from components.release.model_card import DIRECTORY as CARD
from components.release.records import Release, read_releases
from components.release.run_evidence import RunEvidence, read_evidence
from components.release.waivers import waiver_directory

_NONE = "none"


@dataclass(frozen=True, slots=True)
class Bundle:
    """What was written: the file, its size in bytes, its SHA-256 in hex, and what was checked."""

    path: Path
    size: int
    sha256: str
    verification: Verification


def build_bundle(directory: Path, target: Path, reports: Sequence[Path] = ()) -> Bundle:
    """Write the bundle of a run and verify it.

    Args:
        directory: the run, ``HOME/runs/<run id>``.
        target: the file; one that is there is replaced.
        reports: files to take along as they are.

    Raises:
        InputError: the run is not closed, a report cannot go in, or the file cannot be written.
        EvidenceError: the run's evidence is broken, or something that it names is gone.
    """
    keys = HomeKeys(directory.parent.parent)
    sources, manifest = _collect(directory, reports)
    sources[MANIFEST] = sign(manifest_statement(manifest), [keys.signer()])
    draft = target.with_name(f".{target.name}.{secrets.token_hex(8)}.draft")
    try:
        write_zip(draft, sources)
        verification = verify_file(draft, _own_trust(keys))
        if not verification.sound:
            raise EvidenceError(f"the evidence does not verify: {verification.problems[0]}")
        draft.replace(target)
        sync_directory(target.parent)
    finally:
        draft.unlink(missing_ok=True)
    size, sha256, _ = measure(target)
    return Bundle(target, size, sha256, verification)


def _own_trust(keys: EvidenceKeys) -> Trust:
    found = (TrustedKey(name, raw) for name, raw in keys.trusted().items())
    return Trust("the home", tuple(found))


def _collect(directory: Path, reports: Sequence[Path]) -> tuple[dict[str, Source], Manifest]:
    """Every entry but the manifest, and what the manifest says."""
    evidence = read_evidence(directory)
    if evidence.closing is None:
        raise InputError(
            "the run is not closed",
            where=str(directory),
            expected="a run that came to its end: released, blocked or interrupted",
        )
    home, dataset = directory.parent.parent, str(evidence.inputs["dataset"])
    stack = str(evidence.first.body["stack"])
    release = _release_of(read_releases(home, dataset, stack), evidence)
    sources: dict[str, Source] = {}
    for run in {evidence.run_id, evidence.origin_id}:
        sources |= _run_entries(home / "runs" / run)
    for name in ("contract", "policy"):
        sources[f"runs/{evidence.run_id}/{name}.yaml"] = _read(directory / f"{name}.yaml")
    sources |= _release_entries(home, directory, release)
    if evidence.waiver is not None:
        digest = str(evidence.waiver["sha256"])
        sources[f"waivers/{digest}.json"] = _waiver(home, dataset, stack, digest)
    for path in sorted((home / "keys").glob("evidence*.pub")):
        sources[f"keys/{path.name}"] = _read(path)
    sources |= _report_entries(reports)
    measured = {name: measure(source) for name, source in sources.items()}
    manifest = Manifest(
        run=evidence.run_id,
        continues=evidence.continues,
        dataset=dataset,
        stack=stack,
        records=len(evidence.own),
        head=evidence.closing.digest,
        release=release.number if release else 0,
        entries={name: (size, sha256) for name, (size, sha256, _) in measured.items()},
    )
    return sources, manifest


def _run_entries(directory: Path) -> dict[str, Source]:
    """A run's records, its SBOM where they name one, and its receipt where there is one."""
    folder = f"runs/{directory.name}"
    found: dict[str, Source] = {
        f"{folder}/evidence/{p.name}": _read(p)
        for p in sorted((directory / "evidence").glob("[0-9]*-*.json"))
    }
    first = chain_of(directory).records()[0].body
    if first["inputs"]["sbom"] != _NONE:
        found[f"{folder}/{SBOM}"] = _read(directory / SBOM)
    if (directory / RECEIPT).exists():
        found[f"{folder}/{RECEIPT}"] = _read(directory / RECEIPT)
    return found


def _release_of(history: Sequence[Release], evidence: RunEvidence) -> Release | None:
    if evidence.outcome != "released":
        return None
    found = next((r for r in history if r.run == evidence.run_id), None)
    if found is None:
        raise EvidenceError(f"run {evidence.run_id} was released and stands in no history")
    return found


def _release_entries(home: Path, directory: Path, release: Release | None) -> dict[str, Source]:
    """The history up to a release, and the cards that it names."""
    if release is None:
        return {}
    folder = f"releases/{release.dataset}/{release.stack}"
    names = [f"{n:06d}.json" for n in range(1, release.number + 1)]
    found: dict[str, Source] = {f"{folder}/{n}": _read(home / folder / n) for n in names}
    for name, _ in release.cards:
        found[f"runs/{directory.name}/{CARD}/{name}"] = _read(directory / CARD / name)
    return found


def _waiver(home: Path, dataset: str, stack: str, digest: str) -> bytes:
    for path in sorted(waiver_directory(home, dataset, stack).glob("[0-9]*.json")):
        raw = _read(path)
        if hashlib.sha256(raw).hexdigest() == digest:
            return raw
    raise EvidenceError("the waiver that the release gate's record names is not in the home")


def _report_entries(reports: Sequence[Path]) -> Mapping[str, Source]:
    found: dict[str, Source] = {}
    for path in reports:
        name = f"reports/{path.name}"
        if not path.is_file() or not is_name(name) or name in found:
            raise InputError(
                "cannot go into a bundle",
                where=str(path),
                expected="a file whose name has letters, digits, '.', '_' and '-', each name once",
            )
        found[name] = path
    return found


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EvidenceError(f"{path.name} cannot be read ({error.strerror})") from error
