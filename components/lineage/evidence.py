"""The evidence chain: one canonical record a stage, each holding the digest of the one before.

A run's records are ``evidence/0001-ingest.json``, ``0002-statistics.json`` and so on. A record is
written once, whole and durably, and never rewritten. The last record closes the run: it names the
outcome, how many records there are and which stages did not run, so a chain cut short shows.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contract.errors import EvidenceError
from components.lineage.digests import canonical_json, sha256_json
from components.lineage.durable import write_once

SCHEMA_VERSION = "assay-evidence/v1"
CLOSING_STAGE = "close"
_GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """One record as read back. ``digest`` is the SHA-256 of its canonical JSON, in hex."""

    stage: str
    sequence: int
    previous: str
    digest: str
    body: dict[str, Any]


class EvidenceChain:
    """The records of one run, in one directory.

    Reading checks every link; there is no way to read a broken chain without an error.
    """

    def __init__(self, directory: Path, run_id: str) -> None:
        self.directory, self.run_id = directory, run_id

    def append(self, stage: str, body: dict[str, Any]) -> EvidenceRecord:
        """Write the next record, durably, and return it.

        Raises:
            EvidenceError: the chain is broken or closed, the stage has a record already, or the
                body is not canonical JSON.
        """
        with _locked(self.directory):
            return self._append(stage, body)

    def _append(self, stage: str, body: dict[str, Any]) -> EvidenceRecord:
        records = self.records()
        if records and records[-1].stage == CLOSING_STAGE:
            raise EvidenceError(f"run {self.run_id} is closed")
        if stage in {r.stage for r in records}:
            raise EvidenceError(f"run {self.run_id} has a record of stage {stage} already")
        sequence = len(records) + 1
        document = {
            "schemaVersion": SCHEMA_VERSION,
            "run": self.run_id,
            "stage": stage,
            "sequence": sequence,
            "previous": records[-1].digest if records else _GENESIS,
            "body": body,
        }
        path = self.directory / f"{sequence:04d}-{stage}.json"
        try:
            write_once(path, canonical_json(document))
        except FileExistsError as error:
            raise EvidenceError(f"another process wrote {path.name} first") from error
        return self.records()[-1]

    def records(self) -> list[EvidenceRecord]:
        """All records in order, every link checked.

        Raises:
            EvidenceError: names the file and what is wrong with it.
        """
        records: list[EvidenceRecord] = []
        for path in sorted(self.directory.glob("[0-9]*-*.json")):
            previous = records[-1].digest if records else _GENESIS
            record = _read(path, self.run_id, len(records) + 1, previous)
            if records and records[-1].stage == CLOSING_STAGE:
                raise EvidenceError(f"{path.name} follows the record that closed the run")
            if record.stage in {r.stage for r in records}:
                raise EvidenceError(f"{path.name} is a second record of stage {record.stage}")
            records.append(record)
        return records

    @property
    def closed(self) -> bool:
        """Whether the last record closes the run."""
        records = self.records()
        return bool(records) and records[-1].stage == CLOSING_STAGE


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    """One writer at a time: two records written at once would carry the same number."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def parse_canonical(raw: bytes, name: str) -> dict[str, Any]:
    """Parse JSON that must be its own canonical form, byte for byte.

    Raises:
        EvidenceError: duplicate keys, NaN, unpaired surrogates, another key order or white space.
    """
    try:
        document = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
        canonical = canonical_json(document)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"{name} is not JSON") from error
    if canonical != raw or not isinstance(document, dict):
        raise EvidenceError(f"{name} is not a canonical JSON object")
    return document


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


def _read(path: Path, run_id: str, sequence: int, previous: str) -> EvidenceRecord:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise EvidenceError(f"{path.name} cannot be read ({error.strerror})") from error
    document = parse_canonical(raw, path.name)
    if set(document) != {"schemaVersion", "run", "stage", "sequence", "previous", "body"}:
        raise EvidenceError(f"{path.name} does not have the fields of an evidence record")
    expected = {
        "schemaVersion": SCHEMA_VERSION,
        "run": run_id,
        "sequence": sequence,
        "previous": previous,
    }
    for field, value in expected.items():
        if document[field] != value or type(document[field]) is not type(value):
            raise EvidenceError(f"{path.name}: {field} is not what the chain calls for")
    if path.name != f"{sequence:04d}-{document['stage']}.json":
        raise EvidenceError(f"{path.name} holds a record of stage {document['stage']}")
    if not isinstance(document["stage"], str) or not isinstance(document["body"], dict):
        raise EvidenceError(f"{path.name} does not have the fields of an evidence record")
    return EvidenceRecord(
        stage=document["stage"],
        sequence=sequence,
        previous=previous,
        digest=sha256_json(document),
        body=document["body"],
    )
