"""The evidence chain: one signed record a stage, each holding the digest of the one before.

A run's records are ``evidence/0001-ingest.json``, ``0002-statistics.json`` and so on: DSSE
envelopes around in-toto statements, see ``schemas/evidence-v1.json``. A record is written once,
whole and durably, and never rewritten. The last record closes the run: it names the outcome, how
many records there are and which stages did not run, so a chain cut short shows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from components.contract.errors import EvidenceError, InputError
from components.contract.json_schema import validate
from components.lineage.dsse import STATEMENT_TYPE, sign, verify
from components.lineage.durable import locked_directory, write_once
from components.lineage.evidence_keys import EvidenceKeys, HomeKeys

SCHEMA_VERSION = "assay-evidence/v1"
PREDICATE_TYPE = "urn:assay:evidence:v1"
SCHEMA = "evidence-v1.json"
CLOSING_STAGE = "close"
GENESIS = "0" * 64
_FIELDS = {"schemaVersion", "run", "stage", "sequence", "previous", "body"}


@dataclass(frozen=True, slots=True)
class EvidenceRecord:
    """One record as read back. ``digest`` is the SHA-256 of its statement's canonical JSON, in hex.

    ``signers`` are the names, as the trust has them, of those whose signature it carries.
    """

    stage: str
    sequence: int
    previous: str
    digest: str
    body: dict[str, Any]
    signers: tuple[str, ...] = ()


class KnownRecords:
    """Records that were checked before, each found again by everything that its check went by.

    A signature over the same bytes, by the same keys and in the same place, need not be verified
    twice; a byte that differs is another record, and is checked.
    """

    def __init__(self) -> None:
        self._found: dict[tuple[object, ...], tuple[EvidenceRecord, str]] = {}

    def get(self, *place: object) -> EvidenceRecord | None:
        """The record of these bytes in this place, with a body of its own; None if not known."""
        if place not in self._found:
            return None
        record, body = self._found[place]
        return replace(record, body=json.loads(body))  # what a caller does to it stays with him

    def add(self, record: EvidenceRecord, *place: object) -> None:
        """Remember a record that was checked."""
        self._found[place] = (record, json.dumps(record.body))


class EvidenceChain:
    """The records of one run, in one directory.

    Reading checks every signature and every link; there is no way to read a broken chain without
    an error.
    """

    def __init__(self, directory: Path, run_id: str, keys: EvidenceKeys) -> None:
        self.directory, self.run_id, self.keys = directory, run_id, keys
        self._known = KnownRecords()

    def append(self, stage: str, body: dict[str, Any]) -> EvidenceRecord:
        """Sign and write the next record, durably, and return it.

        Raises:
            EvidenceError: the chain is broken or closed, the stage has a record already, or the
                body is not canonical JSON.
            InputError: there is no key to sign with.
            OSError: the disk refused; the record may stand or not, but no half of one.
        """
        with locked_directory(self.directory):  # two records written at once would share a number
            return self._append(stage, body)

    def _append(self, stage: str, body: dict[str, Any]) -> EvidenceRecord:
        records = self.records()
        if records and records[-1].stage == CLOSING_STAGE:
            raise EvidenceError(f"run {self.run_id} is closed")
        if stage in {r.stage for r in records}:
            raise EvidenceError(f"run {self.run_id} has a record of stage {stage} already")
        sequence = len(records) + 1
        previous = records[-1].digest if records else GENESIS
        statement = statement_of(self.run_id, stage, sequence, previous, body)
        path = self.directory / f"{sequence:04d}-{stage}.json"
        try:
            write_once(path, sign(statement, [self.keys.signer()]))
        except FileExistsError as error:
            raise EvidenceError(f"another process wrote {path.name} first") from error
        return self.records()[-1]

    def records(self) -> list[EvidenceRecord]:
        """All records in order, every signature and link checked.

        Raises:
            EvidenceError: names the file and what is wrong with it.
        """
        paths = sorted(self.directory.glob("[0-9]*-*.json"))
        if not paths:
            return []
        named = ((p.name, _bytes(p)) for p in paths)
        return read_chain(named, self.run_id, self.keys.trusted(), self._known)

    @property
    def closed(self) -> bool:
        """Whether the last record closes the run."""
        records = self.records()
        return bool(records) and records[-1].stage == CLOSING_STAGE


def chain_of(directory: Path) -> EvidenceChain:
    """The chain of a run, from its directory ``<home>/runs/<run id>``; the home's keys count."""
    return EvidenceChain(directory / "evidence", directory.name, HomeKeys(directory.parent.parent))


def statement_of(
    run_id: str, stage: str, sequence: int, previous: str, body: dict[str, Any]
) -> dict[str, Any]:
    """The in-toto statement of one record: it is about what the stage left behind.

    A record that left nothing is about the chain so far.
    """
    outputs = body.get("outputs") or {}
    subjects = [
        {"name": f"{stage}/{name}", "digest": {"sha256": output["sha256"]}}
        for name, output in sorted(outputs.items())
    ]
    return {
        "_type": STATEMENT_TYPE,
        "subject": subjects or [{"name": "evidence", "digest": {"sha256": previous}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "schemaVersion": SCHEMA_VERSION,
            "run": run_id,
            "stage": stage,
            "sequence": sequence,
            "previous": previous,
            "body": body,
        },
    }


def read_chain(
    named: Iterable[tuple[str, bytes]],
    run_id: str,
    trusted: Mapping[str, bytes],
    known: KnownRecords | None = None,
) -> list[EvidenceRecord]:
    """The records that some files hold, every signature and link checked.

    Args:
        named: name and bytes of each file, in name order.
        run_id: the run that they must be about.
        trusted: raw public key of each name that may sign evidence.
        known: what an earlier call checked; this one adds to it. None where there is no later one.

    Raises:
        EvidenceError: names the file and what is wrong with it.
    """
    keys = tuple(sorted(trusted.items()))
    records: list[EvidenceRecord] = []
    for name, raw in named:
        previous = records[-1].digest if records else GENESIS
        place = (name, raw, run_id, len(records) + 1, previous, keys)
        record = known.get(*place) if known else None
        if record is None:
            record = _read(name, raw, run_id, len(records) + 1, previous, trusted)
            if known:
                known.add(record, *place)
        if records and records[-1].stage == CLOSING_STAGE:
            raise EvidenceError(f"{name} follows the record that closed the run")
        if record.stage in {r.stage for r in records}:
            raise EvidenceError(f"{name} is a second record of stage {record.stage}")
        records.append(record)
    return records


def check_schema(statement: dict[str, Any]) -> None:
    """See that a statement has the fields, of the types, that ``schemas/evidence-v1.json`` gives.

    Raises:
        EvidenceError: names the field that is not so.
    """
    try:
        validate(statement, SCHEMA, Path(SCHEMA))
    except InputError as error:
        raise EvidenceError(f"no evidence record: {error}") from error


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EvidenceError(f"{path.name} cannot be read ({error.strerror})") from error


def _read(
    name: str,
    raw: bytes,
    run_id: str,
    sequence: int,
    previous: str,
    trusted: Mapping[str, bytes],
) -> EvidenceRecord:
    if raw.startswith(b'{"body":'):
        raise EvidenceError(f"{name} is not signed: an earlier version wrote it")
    try:
        verified = verify(raw, trusted)
    except EvidenceError as error:
        # The class says whether it is the signer that is unknown or the content that is not his.
        raise type(error)(f"{name}: {error}") from error
    statement = verified.statement
    if statement["predicateType"] != PREDICATE_TYPE:
        raise EvidenceError(f"{name} is signed, but no evidence record")
    document = statement["predicate"]
    if not isinstance(document, dict) or set(document) != _FIELDS:
        raise EvidenceError(f"{name} does not have the fields of an evidence record")
    expected = {
        "schemaVersion": SCHEMA_VERSION,
        "run": run_id,
        "sequence": sequence,
        "previous": previous,
    }
    for field, value in expected.items():
        if document[field] != value or type(document[field]) is not type(value):
            raise EvidenceError(f"{name}: {field} is not what the chain calls for")
    stage, body = document["stage"], document["body"]
    if name != f"{sequence:04d}-{stage}.json":
        raise EvidenceError(f"{name} holds a record of stage {stage}")
    if not isinstance(stage, str) or not isinstance(body, dict):
        raise EvidenceError(f"{name} does not have the fields of an evidence record")
    try:
        same = statement == statement_of(run_id, stage, sequence, previous, body)
    except (KeyError, TypeError, AttributeError) as error:
        raise EvidenceError(f"{name} does not say what the stage left behind") from error
    if not same:
        raise EvidenceError(f"{name} is about something else than what its stage left behind")
    return EvidenceRecord(stage, sequence, previous, verified.sha256, body, verified.signers)
