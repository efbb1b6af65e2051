"""Release records: one file for each model that passed the gates and was pushed, chained.

A dataset's model in one stack has a history ``000001.json``, ``000002.json`` and so on. Each record
holds the digest of the one before, so one that is changed or taken out of the middle shows.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from components.contract.errors import EvidenceError
from components.lineage.digests import canonical_json, parse_canonical, sha256_json
from components.lineage.durable import locked_directory, writable_directory, write_numbered

SCHEMA_VERSION = "assay-release/v2"
_FIRST_VERSION = "assay-release/v1"
_GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Release:
    """One release as read back. Records of the first format lack what is empty here.

    ``kind`` is ``release``, ``waived`` (a gate was closed and two people excused it) or
    ``rollback``. ``supersedes`` is the number of the release before, 0 for the first one.
    ``verdicts`` has each stage's verdict. ``digest`` is the SHA-256 of the record, in hex.
    """

    number: int
    dataset: str
    stack: str
    run: str
    candidate: str
    model: str
    head: str
    policy: str
    contract: str
    actor: str
    at: datetime
    digest: str
    kind: str = "release"
    supersedes: int = 0
    reason: str = ""
    waiver: str = ""
    continues: str = ""
    verdicts: tuple[tuple[str, str], ...] = ()
    cards: tuple[tuple[str, str], ...] = ()


def write_release(home: Path, dataset: str, stack: str, release: dict[str, Any]) -> Path:
    """Add the next release of a dataset's model in one stack; earlier ones are never changed."""

    def record(number: int) -> bytes:
        known = _documents(home, dataset, stack)
        return canonical_json(
            {
                **release,
                "schemaVersion": SCHEMA_VERSION,
                "number": number,
                "dataset": dataset,
                "stack": stack,
                "supersedes": number - 1,
                "previous": sha256_json(known[-1]) if known else _GENESIS,
            }
        )

    return write_numbered(_directory(home, dataset, stack), record)


def read_releases(home: Path, dataset: str, stack: str) -> list[Release]:
    """All releases of a dataset's model in one stack, oldest first, every link checked.

    Raises:
        EvidenceError: a record is not the canonical JSON that was written, one is missing, or one
            does not follow the one before.
    """
    return [_release(d, dataset, stack) for d in _documents(home, dataset, stack)]


@contextmanager
def history_locked(home: Path, dataset: str, stack: str) -> Iterator[None]:
    """One release of a dataset's model in one stack at a time: what is looked at still stands."""
    with locked_directory(writable_directory(_directory(home, dataset, stack))):
        yield


def histories(home: Path) -> list[tuple[str, str]]:
    """Dataset and stack of every history in a home, in rising order."""
    found = {p.parent for p in (home / "releases").glob("*/*/[0-9]*.json")}
    return sorted((p.parent.name, p.name) for p in found)


def _directory(home: Path, dataset: str, stack: str) -> Path:
    return home / "releases" / dataset / stack


def _documents(home: Path, dataset: str, stack: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for path in sorted(_directory(home, dataset, stack).glob("[0-9]*.json")):
        document = parse_canonical(path.read_bytes(), path.name)
        number = len(found) + 1
        # True is equal to 1 and not the number 1.
        held = document.get("number")
        if path.name != f"{number:06d}.json" or type(held) is not int or held != number:
            raise EvidenceError(f"{path.name} is not release {number} of {dataset} in {stack}")
        if document.get("schemaVersion") == SCHEMA_VERSION:
            before = sha256_json(found[-1]) if found else _GENESIS
            if document.get("previous") != before:
                raise EvidenceError(f"{path.name} does not follow the release before it")
            if (document.get("dataset"), document.get("stack")) != (dataset, stack):
                raise EvidenceError(f"{path.name} is no release of {dataset} in {stack}")
        elif document.get("schemaVersion") != _FIRST_VERSION or (
            found and found[-1]["schemaVersion"] != _FIRST_VERSION
        ):
            raise EvidenceError(f"{path.name} is no release record of a known format")
        found.append(document)
    return found


def _release(document: dict[str, Any], dataset: str, stack: str) -> Release:
    try:
        texts = {
            k: document[k]
            for k in ("run", "candidate", "model", "head", "policy", "contract", "actor")
        }
        at = datetime.fromisoformat(document["at"])
        if at.tzinfo is None or not all(isinstance(v, str) for v in texts.values()):
            raise ValueError("a time without its zone, or a text that is none")
        return Release(
            number=document["number"],
            dataset=dataset,
            stack=stack,
            **texts,
            at=at,
            digest=sha256_json(document),
            kind=document.get("kind", "release"),
            supersedes=document.get("supersedes", document["number"] - 1),
            reason=document.get("reason", ""),
            waiver=document.get("waiver", ""),
            continues=document.get("continues", ""),
            verdicts=tuple(document.get("verdicts", {}).items()),
            cards=tuple(document.get("cards", {}).items()),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        name = f"{document['number']:06d}.json"
        raise EvidenceError(f"{name} does not have the fields of a release record") from error
