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
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.contract.errors import EvidenceError
from components.lineage.digests import canonical_json, parse_canonical
from components.lineage.dsse import STATEMENT_TYPE, sign, verify
from components.lineage.durable import locked_directory, write_atomically, write_once
from components.lineage.evidence_keys import EvidenceKeys
from components.lineage.graph import Entries
from components.lineage.regular_file import read_regular

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

    Raises:
        EvidenceError: the run has a receipt: what the store holds now is not what it held then.
    """
    content = canonical_json({"nonce": nonce, "entries": dict(entries)})
    digest = hashlib.sha256(content).hexdigest()
    receipt = Receipt(directory.name, head, store, len(entries), digest)
    with locked_directory(directory):
        if (directory / RECEIPT).exists():
            raise EvidenceError(f"run {directory.name} has a {RECEIPT} already")
        # The list first: without its receipt it is nothing, and is written anew.
        write_atomically(directory / ENTRIES, content)
        write_once(directory / RECEIPT, sign(_statement(receipt), [keys.signer()]))


def _statement(receipt: Receipt) -> dict[str, Any]:
    predicate = asdict(receipt)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": ENTRIES, "digest": {"sha256": predicate.pop("sha256")}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }


def parse_receipt(raw: bytes, run: str, head: str, trusted: Mapping[str, bytes]) -> Receipt:
    """A receipt out of its envelope.

    Raises:
        EvidenceError: it is not signed by a trusted key, or about another run.
    """
    statement = verify(raw, trusted).statement
    try:
        digest = statement["subject"][0]["digest"]["sha256"]
        receipt = Receipt(sha256=digest, **statement["predicate"])
    except (KeyError, IndexError, TypeError) as error:
        raise EvidenceError(f"{RECEIPT} is signed, but no receipt") from error
    texts = (receipt.run, receipt.head, receipt.store, receipt.sha256)
    # True is equal to 1 and not the number 1.
    typed = all(isinstance(t, str) for t in texts) and type(receipt.entries) is int
    if not typed or statement != _statement(receipt):
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
        raw = read_regular(directory / ENTRIES)
    except OSError as error:
        raise EvidenceError(f"{ENTRIES} cannot be read ({error.strerror})") from error
    if hashlib.sha256(raw).hexdigest() != receipt.sha256:
        raise EvidenceError(f"{ENTRIES} is not the list that was signed")
    document = parse_canonical(raw, ENTRIES)
    found = document.get("entries")
    if not isinstance(found, dict) or len(found) != receipt.entries:
        raise EvidenceError(f"{ENTRIES} is signed, but not the list that its receipt tells of")
    return found
