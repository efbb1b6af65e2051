"""Legal holds and tombstones: signed entries of one log, ``<home>/retention``.

A hold keeps what is due; a lift ends a hold; a tombstone says what was purged, under which rule, by
whom. Each is appended and never changed. A tombstone is written before anything is removed, so
what is gone without one was not purged but deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from components.audit.retention_policy import RecordClass
from components.contract.errors import EvidenceError, InputError
from components.lineage.actor import account, actor
from components.lineage.evidence_keys import HomeKeys
from components.lineage.signed_log import LogEntry, SignedLog

PREDICATE_TYPE = "urn:assay:retention:v1"
FOLDER = "retention"
OPEN = "open"
MOST_CHARACTERS = 200
_WHO = {"kind", "at", "actor", "account"}
_FIELDS = {
    "hold": _WHO | {"subject", "reason", "until"},
    "lift": _WHO | {"hold", "reason"},
    "tombstone": _WHO
    | {"class", "name", "sha256", "parts", "policy", "serves", "years", "since", "due"},
}


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold. ``until`` is the last day on which it holds, None where it is open."""

    number: int
    subject: str
    reason: str
    until: date | None
    at: datetime
    actor: str
    lifted: int = 0

    def holds(self, day: date) -> bool:
        """Whether it keeps things on a day."""
        return not self.lifted and (self.until is None or day <= self.until)


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What was purged. ``parts`` has each part's SHA-256 by its place, ``due`` is its last day."""

    number: int
    kind: RecordClass
    name: str
    sha256: str
    parts: Mapping[str, str]
    due: date
    at: datetime
    actor: str

    def covers(self, name: str, sha256: str, since: datetime) -> bool:
        """Whether it accounts for something whose last use was over at ``since``."""
        timely = since <= self.at and self.due < self.at.astimezone(UTC).date()
        return timely and (name, sha256) == (self.name, self.sha256)


@dataclass(frozen=True, slots=True)
class RetentionRecords:
    """Everything that the log holds, oldest first."""

    holds: tuple[Hold, ...]
    tombstones: tuple[Tombstone, ...]

    def held(self, subjects: Iterable[str], day: date) -> tuple[int, ...]:
        """Numbers of the holds that keep something with these subjects on a day."""
        named = set(subjects)
        return tuple(h.number for h in self.holds if h.subject in named and h.holds(day))

    def tombstone(self, name: str, sha256: str, since: datetime) -> int:
        """Number of the tombstone that accounts for something; 0 where there is none."""
        found = [t.number for t in self.tombstones if t.covers(name, sha256, since)]
        return max(found, default=0)


def append(home: Path, kind: str, now: datetime, fields: Mapping[str, Any]) -> int:
    """Sign and write one entry, durably; returns its number. Who does it is found out here.

    Raises:
        EvidenceError: the last entry is broken.
        InputError: the log cannot be written or signed.
    """
    at = now.astimezone(UTC).isoformat(timespec="microseconds")
    entry = {"kind": kind, "at": at, "actor": actor(), "account": account(), **fields}
    return _log(home).append(entry)


def require_reason(reason: str) -> str:
    """A reason as it is kept: one line of text.

    Raises:
        InputError: it is empty, too long, or more than one line.
    """
    text = reason.strip()
    if not text or len(text) > MOST_CHARACTERS or not text.isprintable():
        raise InputError(
            "is no reason",
            where="--reason",
            expected=f"one line of 1 to {MOST_CHARACTERS} characters, without a patient's data",
        )
    return text


def read_records(home: Path) -> RetentionRecords:
    """Holds and tombstones of a home, every signature and link checked; none without a log.

    Raises:
        EvidenceError: names the entry that is missing, changed, or none of these.
    """
    holds: dict[int, Hold] = {}
    tombstones: list[Tombstone] = []
    for found in _log(home).read():
        entry = found.entry
        try:
            if set(entry) != _FIELDS[entry["kind"]]:
                raise ValueError("other fields")
            if entry["kind"] == "hold":
                holds[found.number] = _hold(found)
            elif entry["kind"] == "lift":
                hold = holds[entry["hold"]]
                if hold.lifted:
                    raise ValueError("lifted twice")
                holds[hold.number] = _lifted(hold, found.number)
            else:
                tombstones.append(_tombstone(found))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EvidenceError(
                f"{FOLDER}: entry {found.number} is no hold, lift or tombstone"
            ) from error
    return RetentionRecords(tuple(holds.values()), tuple(tombstones))


def _log(home: Path) -> SignedLog:
    return SignedLog(home / FOLDER, PREDICATE_TYPE, HomeKeys(home))


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() != timedelta():
        raise ValueError("not in UTC")
    return moment


def _hold(found: LogEntry) -> Hold:
    entry = found.entry
    return Hold(
        number=found.number,
        subject=entry["subject"],
        reason=entry["reason"],
        until=None if entry["until"] == OPEN else date.fromisoformat(entry["until"]),
        at=_moment(entry["at"]),
        actor=entry["actor"],
    )


def _lifted(hold: Hold, number: int) -> Hold:
    return Hold(hold.number, hold.subject, hold.reason, hold.until, hold.at, hold.actor, number)


def _tombstone(found: LogEntry) -> Tombstone:
    entry = found.entry
    return Tombstone(
        number=found.number,
        kind=RecordClass(entry["class"]),
        name=entry["name"],
        sha256=entry["sha256"],
        parts=dict(entry["parts"]),
        due=date.fromisoformat(entry["due"]),
        at=_moment(entry["at"]),
        actor=entry["actor"],
    )
