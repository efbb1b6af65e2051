"""A waiver as a noun: what two people sign, and the one way to write it down.

Its form is an in-toto statement, https://in-toto.io/Statement/v1, with a predicate of our own; see
``schemas/waiver-v1.schema.json``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from components.contract.errors import EvidenceError, InputError
from components.contract.json_schema import validate
from components.lineage.dsse import STATEMENT_TYPE

PREDICATE_TYPE = "urn:assay:waiver:v1"
SCHEMA = "waiver-v1.schema.json"

ClosedFinding = tuple[str, str]
"""Rule and status of a finding that is not PASS."""

_TEXTS = ("run", "head", "dataset", "stack", "gate", "policy", "reason", "signer", "cosigner")


@dataclass(frozen=True, slots=True)
class Waiver:
    """What two people sign. ``expires`` is the last day, in UTC, on which it holds.

    ``head`` is the digest of the record that closed the run; ``model`` and ``policy`` are SHA-256
    digests in hex, and so is ``sha256``, that of the envelope: empty until it is signed.
    """

    run: str
    head: str
    dataset: str
    stack: str
    gate: str
    model: str
    policy: str
    findings: tuple[ClosedFinding, ...]
    reason: str
    expires: date
    signer: str
    cosigner: str
    at: datetime
    sha256: str = ""

    def to_json(self) -> dict[str, Any]:
        """All fields, as records and reports hold them."""
        return {"sha256": self.sha256, "model": self.model, **self._predicate()}

    def to_statement(self) -> dict[str, Any]:
        """The in-toto statement that is signed; see ``schemas/waiver-v1.schema.json``."""
        return {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": "model", "digest": {"sha256": self.model}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": self._predicate(),
        }

    def _predicate(self) -> dict[str, Any]:
        return {
            **{k: getattr(self, k) for k in _TEXTS},
            "findings": [list(f) for f in self.findings],
            "expires": self.expires.isoformat(),
            "at": self.at.astimezone(UTC).isoformat(timespec="microseconds"),
        }


def from_statement(statement: dict[str, Any], sha256: str) -> Waiver:
    """A waiver out of a statement whose signatures were verified.

    Raises:
        EvidenceError: it is not what ``to_statement`` gives.
    """
    try:
        validate(statement, SCHEMA, Path("the waiver"))
        said = statement["predicate"]
        waiver = Waiver(
            **{k: said[k] for k in _TEXTS},
            model=statement["subject"][0]["digest"]["sha256"],
            findings=tuple((rule, status) for rule, status in said["findings"]),
            expires=date.fromisoformat(said["expires"]),
            at=datetime.fromisoformat(said["at"]),
            sha256=sha256,
        )
    except (InputError, ValueError) as error:
        raise EvidenceError(f"what is signed is no waiver: {error}") from error
    if list(waiver.findings) != sorted(waiver.findings):
        raise EvidenceError("what is signed is no waiver: it can be written another way")
    return waiver
