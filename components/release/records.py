"""Release records: one file for each model that passed every gate and was pushed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.lineage.digests import canonical_json
from components.lineage.durable import writable_directory, write_once
from components.lineage.evidence import parse_canonical

SCHEMA_VERSION = "assay-release/v1"


def write_release(home: Path, dataset: str, stack: str, release: dict[str, Any]) -> Path:
    """Add the next release of a dataset's model in one stack; earlier ones are never changed.

    Raises:
        FileExistsError: another process released at the same moment; nothing was written.
    """
    directory = writable_directory(home / "releases" / dataset / stack)
    number = len(list(directory.glob("[0-9]*.json"))) + 1
    path = directory / f"{number:06d}.json"
    write_once(path, canonical_json({**release, "schemaVersion": SCHEMA_VERSION, "number": number}))
    return path


def read_releases(home: Path, dataset: str, stack: str) -> list[dict[str, Any]]:
    """All releases of a dataset's model in one stack, oldest first.

    Raises:
        EvidenceError: a record is not the canonical JSON that was written.
    """
    directory = home / "releases" / dataset / stack
    return [parse_canonical(p.read_bytes(), p.name) for p in sorted(directory.glob("[0-9]*.json"))]
