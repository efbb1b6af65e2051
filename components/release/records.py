"""Release records: one file for each model that passed every gate and was pushed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.contract.errors import EvidenceError
from components.lineage.digests import canonical_json
from components.lineage.durable import writable_directory, write_once
from components.lineage.evidence import parse_canonical

SCHEMA_VERSION = "assay-release/v1"


def write_release(home: Path, dataset: str, stack: str, release: dict[str, Any]) -> Path:
    """Add the next release of a dataset's model in one stack; earlier ones are never changed."""
    directory = writable_directory(home / "releases" / dataset / stack)
    while True:
        numbers = [int(p.stem) for p in directory.glob("[0-9]*.json")]
        number = max(numbers, default=0) + 1
        path = directory / f"{number:06d}.json"
        record = {**release, "schemaVersion": SCHEMA_VERSION, "number": number}
        try:
            write_once(path, canonical_json(record))
        except FileExistsError:
            continue  # another process took the number; the next one is free
        return path


def read_releases(home: Path, dataset: str, stack: str) -> list[dict[str, Any]]:
    """All releases of a dataset's model in one stack, oldest first.

    Raises:
        EvidenceError: a record is not the canonical JSON that was written, or one is missing.
    """
    directory = home / "releases" / dataset / stack
    releases = []
    for i, path in enumerate(sorted(directory.glob("[0-9]*.json")), start=1):
        release = parse_canonical(path.read_bytes(), path.name)
        if path.name != f"{i:06d}.json" or release.get("number") != i:
            raise EvidenceError(f"{path.name} is not release {i} of {dataset} in {stack}")
        releases.append(release)
    return releases
