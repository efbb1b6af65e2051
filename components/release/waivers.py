"""Waivers in a home: signed by two people whom the policy names, numbered, never changed.

Who may sign is for the policy to say, whose digest every run is bound to; nothing in a waiver is
believed because the waiver says it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from components.checks.measurement import Status
from components.contract.errors import EvidenceError, InputError
from components.contract.policy import Policy, WaiverRules
from components.lineage.dsse import UnknownSignerError, verify
from components.lineage.keys import parse_public
from components.release.waiver_rules import NOBODY, ClosedGate, Ground, Refusal, refusal_of
from components.release.waiver_terms import ClosedFinding, Waiver, from_statement

_NUMBERED = "[0-9]*.json"


def closed_findings(body: Mapping[str, Any]) -> tuple[ClosedFinding, ...]:
    """Everything that keeps a gate closed, of both sides, in rising order.

    A side that is closed without saying by what, or says nothing at all, stands for itself under
    its own name, which nobody can waive.

    Args:
        body: a gate's record, or what is to become one: ``native`` and ``referee`` count.

    Raises:
        EvidenceError: these are no verdicts.
    """
    found: set[ClosedFinding] = set()
    try:
        for side in ("native", "referee"):
            verdict = body[side] or {"status": str(Status.INCONCLUSIVE), "findings": []}
            closed = {(f["rule"], f["status"]) for f in verdict["findings"]}
            closed = {(rule, status) for rule, status in closed if status != Status.PASS}
            if verdict["status"] != Status.PASS and not closed:
                closed = {(side, verdict["status"])}
            found |= closed
        return tuple(sorted(found))
    except (KeyError, TypeError) as error:
        raise EvidenceError("the gate's record does not hold two verdicts") from error


def trusted_keys(rules: WaiverRules, policy: Path) -> dict[str, bytes]:
    """Raw public key of everybody whom a policy lets sign, by its text there.

    Args:
        rules: what the policy says of waivers.
        policy: its file, for the message.

    Raises:
        InputError: a key is none, is unsound, or stands under the names of two people.
    """
    found: dict[str, bytes] = {}
    owners: dict[str, str] = {}
    for role, people in (("signers", rules.signers), ("cosigners", rules.cosigners)):
        for person, text in people.items():
            where = f"{policy}, field waivers.{role}.{person}"
            found[text] = parse_public(text, where)
            if (owner := owners.setdefault(text, person)) != person:
                what = f"is the key of {owner} as well"
                raise InputError(what, where=where, expected="a key of each person's own")
    return found


def check(raw: bytes, closed: ClosedGate, at: datetime) -> Waiver | Refusal:
    """Whether a waiver excuses a closed gate at a time.

    Args:
        raw: the envelope.
        closed: the gate that is to be excused; its policy is all that is trusted.
        at: the time that counts, with its zone.

    Returns:
        The waiver if it holds, else why it does not.

    Raises:
        InputError: a key of the policy is unsound.
    """
    rules = closed.policy.waivers
    if rules is None:
        return NOBODY
    try:
        verified = verify(raw, trusted_keys(rules, closed.policy.path))
    except UnknownSignerError as error:
        return Refusal(Ground.NOT_AUTHORISED, str(error))
    except EvidenceError as error:
        return Refusal(Ground.EDITED, str(error))
    try:
        waiver = from_statement(verified.statement, hashlib.sha256(raw).hexdigest())
    except EvidenceError as error:
        return Refusal(Ground.MALFORMED, str(error))
    return (
        refusal_of(waiver, closed, at)
        or _signed_by_others(waiver, verified.signers, rules)
        or waiver
    )


def _signed_by_others(waiver: Waiver, keys: tuple[str, ...], rules: WaiverRules) -> Refusal | None:
    """Whether the keys that signed are not exactly those of the two people it names."""
    if set(keys) == {rules.signers[waiver.signer], rules.cosigners[waiver.cosigner]}:
        return None
    reason = f"not signed by {waiver.signer} and {waiver.cosigner} and nobody else"
    return Refusal(Ground.NOT_AUTHORISED, reason)


@dataclass(frozen=True, slots=True)
class Examined:
    """A waiver of the home by its file's name, and what came of checking it."""

    name: str
    result: Waiver | Refusal


def examine(home: Path, closed: ClosedGate, at: datetime) -> list[Examined]:
    """Check every waiver that was ever given in this dataset and stack, the newest first.

    Raises:
        EvidenceError: one is missing from the middle, or cannot be read.
        InputError: a key of the policy is unsound.
    """
    directory = waiver_directory(home, closed.dataset, closed.stack)
    found = []
    for number, path in enumerate(sorted(directory.glob(_NUMBERED)), start=1):
        if path.name != f"{number:06d}.json":
            where = f"{closed.dataset} in {closed.stack}"
            raise EvidenceError(f"{path.name} is not waiver {number} of {where}")
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise EvidenceError(f"{path.name} cannot be read ({error.strerror})") from error
        found.append(Examined(path.name, check(raw, closed, at)))
    return found[::-1]


def find_waiver(
    home: Path,
    *,
    dataset: str,
    stack: str,
    gate: str,
    model: str,
    policy: Policy,
    findings: tuple[ClosedFinding, ...],
    run: str,
    head: str,
    at: datetime,
) -> Waiver | None:
    """The newest waiver that excuses a closed gate at a time; None if there is none.

    Args:
        home: where waivers are kept.
        dataset: name of the dataset.
        stack: name of the stack.
        gate: the gate that is closed.
        model: SHA-256 of the model, in hex.
        policy: the policy that rules; the keys of those who may sign are in it.
        findings: everything that keeps the gate closed, as by ``closed_findings``.
        run: the run that trained and judged the model.
        head: digest of that run's last record.
        at: the time that counts, with its zone.

    Raises:
        EvidenceError: the home's waivers are not complete.
        InputError: a key of the policy is unsound.
    """
    closed = ClosedGate(dataset, stack, gate, model, policy, findings, run, head)
    results = (e.result for e in examine(home, closed, at))
    return next((r for r in results if isinstance(r, Waiver)), None)


def waiver_directory(home: Path, dataset: str, stack: str) -> Path:
    """Where a home keeps the waivers of a dataset's models in one stack."""
    return home / "waivers" / dataset / stack
