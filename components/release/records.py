"""Release records: one file for each model that passed the gates and was pushed, chained.

A dataset's model in one stack has a history ``000001.json``, ``000002.json`` and so on. Each record
is signed with the home's evidence key, as the records of runs are, and holds the digest of the one
before, so one that is changed or taken out of the middle shows. The first two formats had no
signature; they are read as long as no signed record stands before them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from components.contract.errors import EvidenceError
from components.lineage.digests import parse_canonical, sha256_json
from components.lineage.dsse import STATEMENT_TYPE, sign, verify
from components.lineage.durable import locked_directory, writable_directory, write_numbered
from components.lineage.evidence_keys import HomeKeys
from components.lineage.regular_file import read_regular

SCHEMA_VERSION = "assay-release/v3"
PREDICATE_TYPE = "urn:assay:release:v3"
_FORMATS = ("assay-release/v1", "assay-release/v2", SCHEMA_VERSION)
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

    keys = HomeKeys(home)

    def record(number: int) -> bytes:
        known = _documents(home, dataset, stack)
        document = {
            **release,
            "schemaVersion": SCHEMA_VERSION,
            "number": number,
            "dataset": dataset,
            "stack": stack,
            "supersedes": number - 1,
            "previous": known[-1][1] if known else _GENESIS,
        }
        return sign(_statement(document), [keys.signer()])

    return write_numbered(_directory(home, dataset, stack), record)


def read_releases(home: Path, dataset: str, stack: str) -> list[Release]:
    """All releases of a dataset's model in one stack, oldest first, every link checked.

    Raises:
        EvidenceError: a record is not the canonical JSON that was written, one is missing, or one
            does not follow the one before.
    """
    return [_release(d, digest, dataset, stack) for d, digest in _documents(home, dataset, stack)]


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


def read_history(
    named: Iterable[tuple[str, bytes]], dataset: str, stack: str, trusted: Mapping[str, bytes]
) -> list[Release]:
    """As ``read_releases``, from names and bytes of files, and with keys from elsewhere."""
    return [
        _release(d, digest, dataset, stack) for d, digest in _read(named, dataset, stack, trusted)
    ]


def _documents(home: Path, dataset: str, stack: str) -> list[tuple[dict[str, Any], str]]:
    paths = sorted(_directory(home, dataset, stack).glob("[0-9]*.json"))
    if not paths:
        return []
    named = [(p.name, _bytes(p)) for p in paths]
    found = _read(named, dataset, stack, HomeKeys(home).trusted())
    for (name, _), (document, _) in zip(named, found, strict=True):
        _require_signed(home, name, document)
    return found


def _bytes(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise EvidenceError(f"{path.name} cannot be read ({error.strerror})") from error


def _require_signed(home: Path, name: str, document: dict[str, Any]) -> None:
    """A record without a signature is of a time when runs had none either.

    Else an unsigned one could be put in the place of a signed one.
    """
    run = document.get("run")
    if document["schemaVersion"] == SCHEMA_VERSION or not isinstance(run, str):
        return
    if Path(run).name == run and any((home / "runs" / run / "evidence").glob("[0-9]*-*.json")):
        raise EvidenceError(f"{name} is not signed, though run {run} has evidence")


def _read(
    named: Iterable[tuple[str, bytes]], dataset: str, stack: str, trusted: Mapping[str, bytes]
) -> list[tuple[dict[str, Any], str]]:
    """Each record and its digest, every signature and link checked."""
    found: list[tuple[dict[str, Any], str]] = []
    formats = [0]
    for name, raw in named:
        document, digest = _open(name, raw, trusted)
        number = len(found) + 1
        # True is equal to 1 and not the number 1.
        held = document.get("number")
        if name != f"{number:06d}.json" or type(held) is not int or held != number:
            raise EvidenceError(f"{name} is not release {number} of {dataset} in {stack}")
        formats.append(_FORMATS.index(document["schemaVersion"]))
        if formats[-1] < formats[-2]:
            raise EvidenceError(f"{name} is no release record of a known format")
        if formats[-1] > 0:
            if document.get("previous") != (found[-1][1] if found else _GENESIS):
                raise EvidenceError(f"{name} does not follow the release before it")
            if (document.get("dataset"), document.get("stack")) != (dataset, stack):
                raise EvidenceError(f"{name} is no release of {dataset} in {stack}")
        found.append((document, digest))
    return found


def _open(name: str, raw: bytes, trusted: Mapping[str, bytes]) -> tuple[dict[str, Any], str]:
    """A record and its digest; one that is not signed must have a format that never was."""
    document = parse_canonical(raw, name)
    if document.get("schemaVersion") in _FORMATS[:-1]:
        return document, sha256_json(document)
    if "payload" not in document:
        raise EvidenceError(f"{name} is no release record of a known format")
    try:
        verified = verify(raw, trusted)
    except EvidenceError as error:
        raise type(error)(f"{name}: {error}") from error
    held = verified.statement["predicate"]
    if (
        not isinstance(held, dict)
        or held.get("schemaVersion") != SCHEMA_VERSION
        or verified.statement != _statement(held)
    ):
        raise EvidenceError(f"{name} is signed, but no release record")
    return held, verified.sha256


def _statement(document: dict[str, Any]) -> dict[str, Any]:
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": "model", "digest": {"sha256": document.get("model")}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": document,
    }


def _release(document: dict[str, Any], digest: str, dataset: str, stack: str) -> Release:
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
            digest=digest,
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
