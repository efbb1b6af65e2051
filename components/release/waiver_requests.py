"""Asking for a waiver: read the run that was blocked, apply the rules, and write down the answer.

Whatever is asked about a run that can be read leaves a file behind: the signed waiver, or a record
of what was refused and why.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from components.contract.errors import InputError
from components.contract.policy import WaiverRules
from components.contract.stages import GATES
from components.lineage.digests import canonical_json
from components.lineage.dsse import sign
from components.lineage.durable import write_numbered
from components.lineage.keys import key_id, load_private, public_bytes, public_text
from components.release.judged_run import JudgedRun, read_run
from components.release.waiver_rules import (
    GATE,
    NOBODY,
    Refusal,
    guarded,
    refusal_of,
    unauthorised,
    untimely,
)
from components.release.waiver_terms import Waiver
from components.release.waivers import check, trusted_keys, waiver_directory

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

REFUSED_SCHEMA = "assay-waiver-refused/v1"
MAX_REASON = 2000
_TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it was made: texts that may be wrong, two key files, who asks, and when.

    ``reason`` is a person's own words; it goes into the waiver or the record of the refusal.
    """

    gate: str
    reason: str
    expires: str
    signer_key: Path
    cosigner_key: Path
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """The waiver, or why there is none; ``path`` is the file that says so."""

    result: Waiver | Refusal
    path: Path


def request_waiver(directory: Path, asked: Asked) -> Answer:
    """Grant or refuse a waiver of a run's closed gate.

    Raises:
        InputError: there is no such run; or what was asked cannot be right, which is recorded like
            a refusal: the gate, the reason, the day, a key file, a key that the policy does not
            name, one person twice.
        EvidenceError: the run's evidence is broken; nothing is recorded.
    """
    run = read_run(directory)
    waivers = waiver_directory(run.home, run.dataset, run.stack)
    try:
        made = _make(run, asked)
    except InputError as error:
        _record(waivers / "refused", run, asked, f"{error.what}; expected {error.expected}")
        raise
    if isinstance(made, Refusal):
        return Answer(made, _record(waivers / "refused", run, asked, made.reason))
    waiver, envelope = made
    return Answer(waiver, write_numbered(waivers, lambda _: envelope))


def _make(run: JudgedRun, asked: Asked) -> tuple[Waiver, bytes] | Refusal:
    """What was asked cannot be right: InputError. A rule is against it: Refusal. Else a waiver."""
    if asked.gate not in GATES:
        raise InputError(f"no gate {asked.gate!r}", where="--gate", expected=GATE)
    check_reason(asked.reason)
    expires = _day(asked.expires)
    keys = [load_private(p) for p in (asked.signer_key, asked.cosigner_key)]
    if run.policy.waivers is None:
        return NOBODY
    signer, cosigner = _people(run.policy.path, run.policy.waivers, asked, keys)
    _check_day(expires, run.policy.waivers.max_days, asked.at)
    if refusal := guarded(asked.gate) or run.refusal:
        return refusal
    waiver = Waiver(
        run=run.run,
        head=run.head,
        dataset=run.dataset,
        stack=run.stack,
        gate=asked.gate,
        model=run.closed.model,
        policy=run.policy.digest,
        findings=run.closed.findings,
        reason=asked.reason,
        expires=expires,
        signer=signer,
        cosigner=cosigner,
        at=asked.at,
    )
    if refusal := refusal_of(waiver, run.closed, asked.at):
        return refusal
    envelope = sign(waiver.to_statement(), keys)
    # Read back as the release process will read it: what is acknowledged is what will hold.
    result = check(envelope, run.closed, asked.at)
    return result if isinstance(result, Refusal) else (result, envelope)


def check_reason(reason: str) -> None:
    """Refuse a reason that is empty, too long, or not plain text on one line.

    Raises:
        InputError: it is.
    """
    if not reason.strip() or len(reason) > MAX_REASON or reason != _printable(reason):
        raise InputError(
            "cannot stand in a record",
            where="--reason",
            expected=f"1 to {MAX_REASON:,} characters on one line",
        )


def _printable(text: str) -> str:
    """Text without control characters, line ends, halves of characters, and turns of direction.

    The last make a text look like another one (CVE-2021-42574).
    """
    return "".join(
        c
        for c in text
        if unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp")
        and unicodedata.bidirectional(c) not in _TURNS
    )


def _day(text: str) -> date:
    try:
        if _DAY.fullmatch(text):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise InputError(f"{text!r} is no day", where="--expires", expected="a day as in 2026-12-31")


def _check_day(expires: date, max_days: int, at: datetime) -> None:
    if refusal := untimely(at, expires, max_days, at):
        today = at.astimezone(UTC).date()
        raise InputError(
            refusal.reason,
            where="--expires",
            expected=f"a day from {today} to {today + timedelta(days=max_days)}",
        )


def _people(
    policy: Path, rules: WaiverRules, asked: Asked, keys: list[Ed25519PrivateKey]
) -> tuple[str, str]:
    """The policy's names for the two keys: two people, each in the role in which it signs."""
    trusted_keys(rules, policy)  # a policy whose keys are unsound lets nobody in
    signer_key, cosigner_key = (public_text(public_bytes(k)) for k in keys)
    if signer_key == cosigner_key:
        raise _same_person("the same key as --signer")
    signer = _person(rules.signers, signer_key, "--signer", "signers")
    cosigner = _person(rules.cosigners, cosigner_key, "--cosigner", "cosigners")
    if unauthorised(signer, cosigner, rules):
        raise _same_person(f"{cosigner} again, who signs already")
    return signer, cosigner


def _same_person(what: str) -> InputError:
    return InputError(what, where="--cosigner", expected="the key of another person")


def _person(people: Mapping[str, str], key: str, option: str, role: str) -> str:
    for person, text in people.items():
        if text == key:
            return person
    expected = f"a key of waivers.{role} in the policy ({', '.join(sorted(people))})"
    raise InputError("a key that the policy does not name", where=option, expected=expected)


def _record(directory: Path, run: JudgedRun, asked: Asked, why: str) -> Path:
    """Write down a request that was refused: what was asked, by whom as far as known, and why."""
    rules = run.policy.waivers
    body = {
        "schemaVersion": REFUSED_SCHEMA,
        "run": run.run,
        "head": run.head,
        "dataset": run.dataset,
        "stack": run.stack,
        "model": run.closed.model or None,
        "policy": run.policy.digest,
        "findings": [list(f) for f in run.closed.findings],
        "gate": _recordable(asked.gate),
        "reason": _recordable(asked.reason),
        "expires": _recordable(asked.expires),
        "signer": _identity(asked.signer_key, rules.signers if rules else {}),
        "cosigner": _identity(asked.cosigner_key, rules.cosigners if rules else {}),
        "refused": _recordable(why),
        "actor": _recordable(asked.actor),
        "at": asked.at.astimezone(UTC).isoformat(timespec="microseconds"),
    }
    return write_numbered(directory, lambda number: canonical_json({**body, "number": number}))


def _recordable(text: str) -> str:
    return _printable(text)[:MAX_REASON]


def _identity(path: Path, people: Mapping[str, str]) -> dict[str, str | None]:
    """The policy's name and the key id behind a key file, where it is one; never the path."""
    try:
        raw = public_bytes(load_private(path))
    except InputError:
        return {"name": None, "keyId": None}
    text = public_text(raw)
    name = next((person for person, known in people.items() if known == text), None)
    return {"name": name, "keyId": key_id(raw)}
