"""Receipts of a native store: what it held of a run when the run was over, signed.

A record says what happened; it cannot say what MLMD or MLflow made of it, for they go on writing
after the chain is closed. So once both are done, every property that the store holds of the run is
written down, and a receipt signs the digest of that list. Whatever differs later was changed later.

The list stays in the run's directory, beside the store that it copies; the receipt, which travels,
holds its digest alone. The list carries a nonce, so that the digest cannot be guessed at.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contract.errors import EvidenceError
from components.lineage.digests import canonical_json, parse_canonical
from components.lineage.dsse import STATEMENT_TYPE, sign, verify
from components.lineage.durable import write_atomically
from components.lineage.evidence_keys import EvidenceKeys
from components.lineage.graph import Entries

PREDICATE_TYPE = "urn:assay:native-receipt:v1"
RECEIPT, ENTRIES = "native-receipt.json", "native-entries.json"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a store held of a run. ``head`` is the digest of the record that closed the run."""

    run: str
    head: str
    store: str
    entries: int
    sha256: str


def write_receipt(
    directory: Path, head: str, store: str, entries: Entries, nonce: str, keys: EvidenceKeys
) -> None:
    """Write down and sign what a store holds of a run that is over.

    Args:
        directory: the run's.
        head: digest of the record that closed it.
        store: ``mlmd`` or ``mlflow``.
        entries: every property that the store holds of the run.
        nonce: a keyed value that makes the list's digest impossible to guess.
        keys: who signs.
    """
    content = canonical_json({"nonce": nonce, "entries": dict(entries)})
    digest = hashlib.sha256(content).hexdigest()
    statement = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": ENTRIES, "digest": {"sha256": digest}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "run": directory.name,
            "head": head,
            "store": store,
            "entries": len(entries),
        },
    }
    write_atomically(directory / ENTRIES, content)
    write_atomically(directory / RECEIPT, sign(statement, [keys.signer()]))


def parse_receipt(raw: bytes, run: str, head: str, trusted: Mapping[str, bytes]) -> Receipt:
    """A receipt out of its envelope.

    Raises:
        EvidenceError: it is not signed by a trusted key, or about another run.
    """
    statement = verify(raw, trusted).statement
    predicate: Any = statement["predicate"]
    try:
        receipt = Receipt(sha256=statement["subject"][0]["digest"]["sha256"], **predicate)
        known = statement["predicateType"] == PREDICATE_TYPE
        known = known and {"name": ENTRIES, "digest": {"sha256": receipt.sha256}} in [
            *statement["subject"]
        ]
    except (KeyError, IndexError, TypeError) as error:
        raise EvidenceError(f"{RECEIPT} is signed, but no receipt") from error
    if not known or len(statement["subject"]) != 1:
        raise EvidenceError(f"{RECEIPT} is signed, but no receipt")
    if (receipt.run, receipt.head) != (run, head):
        raise EvidenceError(f"{RECEIPT} is about another run, or another end of this one")
    return receipt


def read_entries(directory: Path, receipt: Receipt) -> dict[str, str]:
    """The list that a receipt signs.

    Raises:
        EvidenceError: it is not there, or not the one that was signed.
    """
    try:
        raw = (directory / ENTRIES).read_bytes()
    except OSError as error:
        raise EvidenceError(f"{ENTRIES} cannot be read ({error.strerror})") from error
    if hashlib.sha256(raw).hexdigest() != receipt.sha256:
        raise EvidenceError(f"{ENTRIES} is not the list that was signed")
    found: dict[str, str] = parse_canonical(raw, ENTRIES)["entries"]
    return found
