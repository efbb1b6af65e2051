"""When a waiver holds: for this model, gate and policy, today, by two people, for every finding.

Everything here is about what a waiver says. Whether two people said it is for its signatures to
show; see ``components.release.waivers``.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum

from components.checks.measurement import Status
from components.contract.policy import Policy, WaiverRules
from components.contract.stages import Stage
from components.release.waiver_terms import ClosedFinding, Waiver

_SHA256_DIGITS = 64

GATE = str(Stage.RELEASE_GATE)
"""The one gate that can be waived: the data gate guards the integrity of the data."""


class Ground(StrEnum):
    """Why a waiver does not hold."""

    EDITED = "edited"
    MALFORMED = "malformed"
    NOT_ALLOWED = "not allowed"
    NOT_AUTHORISED = "signer not authorised"
    SELF_COSIGNED = "self-co-signed"
    OTHER_DATASET = "other dataset"
    OTHER_STACK = "other stack"
    OTHER_GATE = "other gate"
    OTHER_MODEL = "other model"
    OTHER_RUN = "other run"
    OTHER_POLICY = "other policy"
    NOT_YET = "not yet signed"
    EXPIRED = "expired"
    TOO_LONG = "too long"
    NOT_CLOSED = "not closed"
    NOT_COVERED = "not covered"
    NOT_WAIVABLE = "not waivable"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a waiver was refused; ``reason`` is a sentence for people."""

    ground: Ground
    reason: str


@dataclass(frozen=True, slots=True)
class ClosedGate:
    """What a waiver must be about: one model at one gate under one policy.

    ``run`` is the run that trained and judged the model, ``head`` the digest of its last record;
    ``model`` is a SHA-256 in hex; ``findings`` is everything that keeps the gate closed.
    """

    dataset: str
    stack: str
    gate: str
    model: str
    policy: Policy
    findings: tuple[ClosedFinding, ...]
    run: str
    head: str


NOBODY = Refusal(Ground.NOT_ALLOWED, "the policy lets nobody waive anything")


def refusal_of(waiver: Waiver, closed: ClosedGate, at: datetime) -> Refusal | None:
    """The first rule that a waiver breaks; None if it excuses this gate.

    Args:
        waiver: what it says, believed or not.
        closed: the gate that is to be excused, and the policy that rules.
        at: the time that counts, with its zone.
    """
    rules = closed.policy.waivers
    if rules is None:
        return NOBODY
    return (
        guarded(closed.gate)
        or _about_something_else(waiver, closed)
        or unauthorised(waiver.signer, waiver.cosigner, rules)
        or untimely(waiver.at, waiver.expires, rules.max_days, at)
        or unwaivable(closed.findings, closed.policy)
        or _uncovered(waiver, closed.findings)
    )


def _about_something_else(waiver: Waiver, closed: ClosedGate) -> Refusal | None:
    for ground, noun, said, wanted in (
        (Ground.OTHER_DATASET, "dataset", waiver.dataset, closed.dataset),
        (Ground.OTHER_STACK, "stack", waiver.stack, closed.stack),
        (Ground.OTHER_GATE, "gate", waiver.gate, closed.gate),
        (Ground.OTHER_POLICY, "policy", waiver.policy, closed.policy.digest),
        (Ground.OTHER_MODEL, "model", waiver.model, closed.model),
        (Ground.OTHER_RUN, "run", waiver.run, closed.run),
        (Ground.OTHER_RUN, "evidence", waiver.head, closed.head),
    ):
        if said != wanted:
            reason = f"it is for {noun} {_short(said)} and not for {_short(wanted)}"
            return Refusal(ground, reason)
    return None


def _short(name: str) -> str:
    return name[:12] if len(name) == _SHA256_DIGITS else name


def guarded(gate: str) -> Refusal | None:
    """Whether nobody can waive a gate, whatever closed it."""
    if gate == GATE:
        return None
    return Refusal(Ground.NOT_WAIVABLE, f"{gate} guards integrity and is never waived")


def unauthorised(signer: str, cosigner: str, rules: WaiverRules) -> Refusal | None:
    """Whether two people may not excuse anything together: the policy's roles, and they are two."""
    signers, cosigners = rules.signers, rules.cosigners
    for person, role, people in ((signer, "signer", signers), (cosigner, "co-signer", cosigners)):
        if person not in people:
            return Refusal(Ground.NOT_AUTHORISED, f"{person} is no {role} of the policy")
    if _folded(signer) == _folded(cosigner) or signers[signer] == cosigners[cosigner]:
        return Refusal(Ground.SELF_COSIGNED, f"{signer} cannot co-sign what {signer} signs")
    return None


def _folded(person: str) -> str:
    """A name as it is compared: ``Ana`` and ``ana`` are one person."""
    return unicodedata.normalize("NFKC", person).casefold().strip()


def untimely(signed: datetime, expires: date, max_days: int, at: datetime) -> Refusal | None:
    """Whether a waiver does not hold at a time, or was given for longer than the policy allows.

    Raises:
        ValueError: a time has no zone.
    """
    if signed.tzinfo is None or at.tzinfo is None:
        raise ValueError("a time without a zone is no time")
    if at < signed:
        return Refusal(Ground.NOT_YET, f"it was signed only on {signed.isoformat()}")
    if at.astimezone(UTC).date() > expires:
        return Refusal(Ground.EXPIRED, f"it expired on {expires}")
    if (days := (expires - signed.astimezone(UTC).date()).days) > max_days:
        return Refusal(Ground.TOO_LONG, f"it holds for {days} days, the policy allows {max_days}")
    return None


def unwaivable(findings: Iterable[ClosedFinding], policy: Policy) -> Refusal | None:
    """The first finding that nobody can excuse; or that there is none to excuse.

    Only a limit of the policy can be waived, as it is a person's choice. All else that closes a
    gate (scores, skew, agreement, an engine's malfunction) says that the figures are not sound.
    """
    limits = {limit.id: limit for limit in policy.release_gate.limits}
    findings = tuple(findings)
    if not findings:
        return Refusal(Ground.NOT_CLOSED, "no finding keeps the gate closed")
    for rule, status in findings:
        kind, _, rest = rule.partition(":")
        limit = limits.get(rest.partition(":")[0]) if kind == "limit" else None
        if limit is None:
            return Refusal(Ground.NOT_WAIVABLE, f"{rule} is no limit and is never waived")
        if status == Status.FAIL or (status == Status.INCONCLUSIVE and limit.waive_inconclusive):
            continue
        reason = f"{rule} is {status}, which the policy lets nobody waive"
        return Refusal(Ground.NOT_WAIVABLE, reason)
    return None


def _uncovered(waiver: Waiver, findings: Iterable[ClosedFinding]) -> Refusal | None:
    for rule, status in findings:
        if (rule, status) not in waiver.findings:
            return Refusal(Ground.NOT_COVERED, f"it does not cover {rule} ({status})")
    return None
