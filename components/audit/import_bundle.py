"""Bringing a bundle's run into another home, for runs made where no server can be reached.

What comes in is verified first. A run's directory appears whole, under its own name, or not at
all; one that is there must hold the same. The release history comes along: as far as the home has
one of its own, it must be the same, for a history has one line and no forks. A crash in between is
made up for by importing again.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.audit.bundle_run import BundledRun
from components.audit.trust import Trust
from components.audit.verify import Verification, verify_file
from components.contract.errors import EvidenceError, InputError
from components.contract.stages import Stage
from components.lineage.digests import canonical_json
from components.lineage.durable import (
    locked_directory,
    sync_directory,
    writable_directory,
    write_numbered,
    write_once,
)
from components.lineage.evidence_keys import KEY_VARIABLE, HomeKeys
from components.lineage.keys import key_id
from components.release.run_evidence import Records
from components.release.waivers import waiver_directory

_IMPORTING = ".import-"


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: the run, the paths that it wrote, none where all was there already."""

    verification: Verification
    run: str = ""
    written: list[Path] = field(default_factory=list)


def import_bundle(path: Path, trust: Trust, home: Path) -> Imported:
    """Verify a bundle and bring its run into a home.

    Args:
        path: the bundle.
        trust: whose signatures count; the home will trust those that signed this bundle.
        home: the home; it is made if it is not there.

    Returns:
        What was written; nothing where the bundle was tampered with.

    Raises:
        InputError: it is no bundle, is signed by a key that does not count, or the home holds
            something else under the same name.
    """
    verification = verify_file(path, trust)
    run, contents = verification.run, verification.contents
    if not verification.sound or run is None or contents is None:
        return Imported(verification)
    runs = writable_directory(home / "runs")
    files = {i: _run_files(run, i, r, contents.parsed, home) for i, r in run.runs.items()}
    history = _history_files(run, contents.parsed, home)
    with locked_directory(runs):
        for run_id, wanted in files.items():
            _require_same(runs / run_id, wanted)
        for target, raw in history.items():
            _require_same_file(target, raw)
        written = _trust(run, trust, home)
        for run_id, wanted in files.items():
            written += _write_run(runs / run_id, wanted)
        written += _write_waiver(run, contents.parsed, home)
        for target, raw in history.items():
            written += _write_file(target, raw)
    return Imported(verification, run.run, written)


def _run_files(
    found: BundledRun, run: str, records: Records, parsed: Mapping[str, bytes], home: Path
) -> dict[str, bytes]:
    """All files of a run's directory, by their path in it."""
    folder = f"runs/{run}/"
    files = {n.removeprefix(folder): raw for n, raw in parsed.items() if n.startswith(folder)}
    for name in ("contract.yaml", "policy.yaml"):
        files[name] = parsed[f"runs/{found.run}/{name}"]
    files["run.json"] = canonical_json(_run_json(found, run, records, home))
    return files


def _run_json(found: BundledRun, run: str, records: Records, home: Path) -> dict[str, Any]:
    """What a run's ``run.json`` says, told from its records; paths are those of this home."""
    first = next(iter(records.values())).body
    inputs, directory = first["inputs"], (home / "runs" / run).resolve()
    gate = records.get(Stage.RELEASE_GATE)
    continues = run == found.run and found.origin_id != run and gate is not None
    version = inputs["datasetVersion"]
    return {
        "run_id": run,
        "stack": first["stack"],
        "candidate": first["candidate"],
        "home": str(home.resolve()),
        "contract_path": str(directory / "contract.yaml"),
        "contract": inputs["contract"],
        "policy_path": str(directory / "policy.yaml"),
        "policy": inputs["policy"],
        "dataset": inputs["dataset"],
        "dataset_path": str(home.resolve() / "datasets" / inputs["dataset"] / version[:16]),
        "dataset_version": version,
        "code": inputs["code"],
        "environment": inputs["environment"],
        "actor": first["actor"],
        "started": first.get("started", first["finished"]),
        "continues": found.origin_id if continues else None,
        "reason": gate.body["facts"].get("reason") if continues and gate else None,
        "lock": inputs["lock"],
        "sbom": inputs["sbom"],
        "image": inputs["image"],
    }


def _history_files(found: BundledRun, parsed: Mapping[str, bytes], home: Path) -> dict[Path, bytes]:
    names = sorted(n for n in parsed if n.startswith("releases/")) if found.history else []
    return {home / n: parsed[n] for n in names}


def _require_same(directory: Path, wanted: Mapping[str, bytes]) -> None:
    """A run that is there already holds the same evidence and documents.

    ``run.json`` says where a machine finds things and may differ; records that only one of the
    two has make them different.
    """
    if not directory.exists():
        return
    records = {f"evidence/{p.name}" for p in (directory / "evidence").glob("[0-9]*-*.json")}
    for name in sorted(records | wanted.keys()):
        if name != "run.json" and (name not in wanted or _bytes(directory / name) != wanted[name]):
            raise _other(directory / name)


def _require_same_file(path: Path, raw: bytes) -> None:
    if path.exists() and _bytes(path) != raw:
        raise _other(path)


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _other(path: Path) -> InputError:
    return InputError(
        "is in the home already, with other content",
        where=str(path),
        expected="the same bytes as in the bundle, or another home (`--home DIR`)",
    )


def _trust(found: BundledRun, trust: Trust, home: Path) -> list[Path]:
    """Let the home trust the keys that signed this bundle, out of those that the caller named."""
    keys = HomeKeys(home)
    if not keys.trusted() and KEY_VARIABLE not in os.environ:
        keys.signer()  # its own key comes first: a home with others' keys alone could sign nothing
    signers = {s for records in found.runs.values() for r in records.values() for s in r.signers}
    written = []
    for key in trust.keys:
        if key.name in signers and key.raw not in keys.trusted().values():
            path = writable_directory(home / "keys") / f"evidence-{key_id(key.raw)[:16]}.pub"
            written += _write_file(path, public_pem(key.raw))
    return written


def public_pem(raw: bytes) -> bytes:
    """A public key's 32 bytes as the PEM file that `--key` takes."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(raw).public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _write_run(directory: Path, files: Mapping[str, bytes]) -> list[Path]:
    """A run's directory, all of it in one step."""
    if directory.exists():
        return []
    with _staging(directory.parent) as staging:
        for name, raw in files.items():
            target = staging / name
            target.parent.mkdir(parents=True, exist_ok=True)
            write_once(target, raw)
        (staging / "artifacts").mkdir()
        sync_directory(staging)
        staging.rename(directory)
    sync_directory(directory.parent)
    return [directory]


@contextmanager
def _staging(parent: Path) -> Iterator[Path]:
    path = parent / f"{_IMPORTING}{secrets.token_hex(8)}"
    path.mkdir()
    try:
        yield path
    except OSError as error:
        raise EvidenceError(f"the run cannot be written ({error.strerror})") from error
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _write_waiver(found: BundledRun, parsed: Mapping[str, bytes], home: Path) -> list[Path]:
    held = found.waiver
    if held is None:
        return []
    raw = parsed[f"waivers/{held['sha256']}.json"]
    body = found.closing.body
    folder = waiver_directory(home, body["inputs"]["dataset"], body["stack"])
    if any(p.read_bytes() == raw for p in folder.glob("[0-9]*.json")):
        return []
    return [write_numbered(folder, lambda _: raw)]


def _write_file(path: Path, raw: bytes) -> list[Path]:
    if path.exists():
        return []
    writable_directory(path.parent)
    write_once(path, raw)
    return [path]
