"""Single facts of a contract or a policy that a run is bound to, without loading all of it.

A run begins only with documents that were checked whole, and its signed records hold their
digests. Whoever has the same bytes before him need not check them again, and a document of an
earlier schema still says what it said.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contract.contract import Role
from components.contract.errors import EvidenceError
from components.contract.strict_yaml import load_yaml


def entity_column(contract: Path, digest: str) -> str:
    """Name of the column that names a person.

    Args:
        contract: the run's contract file.
        digest: SHA-256 of its bytes, in hex, as the run's records have it.

    Raises:
        EvidenceError: it is another file, cannot be read, or names no such column.
    """
    document = _bound(contract, digest)
    try:
        (name,) = (
            column["name"]
            for column in document["schema"][0]["properties"]
            for held in column.get("customProperties") or ()
            if (held["property"], held["value"]) == ("assayRole", Role.ENTITY)
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise EvidenceError(f"{contract.name} does not name one column of persons") from error
    return str(name)


@dataclass(frozen=True, slots=True)
class DecisionRules:
    """What a policy says of decisions.

    ``threshold`` is the score, in [0, 1], from which on a case is selected; ``adverse`` the outcome
    that is to somebody's disadvantage, None where neither is; ``sentences`` what may be told for
    it.
    """

    threshold: float
    adverse: str | None
    sentences: frozenset[str]


def decision_rules(policy: Path, digest: str) -> DecisionRules:
    """Threshold, adverse outcome and sentences of a policy.

    Args:
        policy: the run's policy file.
        digest: SHA-256 of its bytes, in hex, as the run's records have it.

    Raises:
        EvidenceError: it is another file, cannot be read, or has no threshold.
    """
    document = _bound(policy, digest)
    try:
        held = document["decision"]
        sentences = held.get("reasons", {}).get("columns", {}).values()
        return DecisionRules(float(held["threshold"]), held.get("adverse"), frozenset(sentences))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise EvidenceError(f"{policy.name} has no decision threshold") from error


def _bound(path: Path, digest: str) -> dict[str, Any]:
    document, raw = load_yaml(path)
    if hashlib.sha256(raw).hexdigest() != digest:
        raise EvidenceError(f"{path} is not the one the run was bound to")
    return document
