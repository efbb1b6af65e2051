"""Legal holds and tombstones: signed entries of one log, ``<home>/retention``.

A hold keeps what is due; a lift ends a hold; a tombstone says what was purged, under which rule, by
whom. Each is appended and never changed. A tombstone is written before anything is removed, so
what is gone without one was not purged but deleted.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from components.audit.access_log import Access
from components.audit.retention_policy import DataClass
from components.contract.errors import EvidenceError
from components.lineage.actor import account, actor
from components.lineage.evidence_keys import HomeKeys
from components.lineage.regular_file import require_plain
from components.lineage.signed_log import LogEntry, SignedLog

PREDICATE_TYPE = "urn:assay:retention:v1"
FOLDER = "retention"
_ENTRY = re.compile(r"entry ([0-9]+)")
_WHO = {"kind", "at", "actor", "account"}
_FIELDS = {
    "hold": _WHO | {"subject", "reason"},
    "lift": _WHO | {"hold", "reason"},
    "tombstone": _WHO
    | {"class", "name", "parts", "others", "policy", "serves", "years", "since", "due"},
}


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold. ``lifted`` is the number of the entry that ended it, 0 where none did."""

    number: int
    subject: str
    reason: str
    at: datetime
    actor: str
    lifted: int = 0


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What was purged. ``parts`` has each part's SHA-256, in hex, by its place in the home."""

    number: int
    kind: DataClass
    name: str
    parts: Mapping[str, str]
    due: date
    at: datetime
    actor: str

    @property
    def told(self) -> str:
        """That it was purged, in a few words."""
        return f"purged under tombstone {self.number} of {self.at:%Y-%m-%d}"


@dataclass(frozen=True, slots=True)
class RetentionRecords:
    """Everything that the log holds, oldest first; ``entries`` is how many entries there are."""

    holds: tuple[Hold, ...]
    tombstones: tuple[Tombstone, ...]
    entries: int

    def held(self, subjects: Iterable[str]) -> tuple[int, ...]:
        """Numbers of the holds that keep something with these subjects."""
        named = set(subjects)
        return tuple(h.number for h in self.holds if h.subject in named and not h.lifted)

    def tombstone(self, place: str, sha256: str, made: datetime) -> int:
        """Number of the tombstone that accounts for a part that is gone; 0 where there is none.

        Args:
            place: where the part was.
            sha256: its digest, in hex.
            made: when it was last known to be there, or when it might be purged at the earliest; a
                tombstone from before then is none of it.
        """
        found = [t.number for t in self.tombstones if t.parts.get(place) == sha256 and made <= t.at]
        return max(found, default=0)


def append(home: Path, kind: str, now: datetime, fields: Mapping[str, Any]) -> int:
    """Sign and write one entry, durably; returns its number. Who does it is found out here.

    Raises:
        EvidenceError: the last entry is broken.
        InputError: the log cannot be written or signed.
    """
    at = now.astimezone(UTC).isoformat(timespec="microseconds")
    return _log(home).append(
        {"kind": kind, "at": at, "actor": actor(), "account": account(), **fields}
    )


def read_records(home: Path) -> RetentionRecords:
    """Holds and tombstones of a home, every signature and link checked; none without a log.

    Raises:
        EvidenceError: names the entry that is missing, changed, or none of these.
    """
    holds: dict[int, Hold] = {}
    tombstones: list[Tombstone] = []
    entries = _log(home).read()
    for found in entries:
        entry = found.entry
        try:
            if set(entry) != _FIELDS[entry["kind"]]:
                raise ValueError("other fields")
            if entry["kind"] == "hold":
                holds[found.number] = _hold(found)
            elif entry["kind"] == "lift":
                _lift(holds, found)
            else:
                tombstones.append(_tombstone(found))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise EvidenceError(
                f"{FOLDER}: entry {found.number} is no hold, lift or tombstone"
            ) from error
    return RetentionRecords(tuple(holds.values()), tuple(tombstones), len(entries))


def entries_told(accesses: Iterable[Access]) -> int:
    """How many entries the log has at least, as the access log tells."""
    told = (_ENTRY.match(a.result) for a in accesses if a.command.startswith(f"{FOLDER} "))
    return max((int(found[1]) for found in told if found), default=0)


def purged_names(home: Path) -> dict[str, str]:
    """Dataset versions and decision logs that were purged, by their paths in the home.

    Returns:
        That it was purged, in a few words, of each whose files are not there.

    Raises:
        EvidenceError: the log of holds and tombstones is broken.
    """
    return {
        stone.name: stone.told
        for stone in read_records(home).tombstones
        if not stone.name.startswith("runs/")
        and any(not (home / place).exists() for place in stone.parts)
    }


def purged(home: Path, name: str) -> str:
    """That a dataset version or a decision log was purged; empty where it was not.

    Raises:
        EvidenceError: the log of holds and tombstones is broken.
    """
    return purged_names(home).get(name, "")


def purge_behind(home: Path, message: str, asked: str) -> str:
    """The purge that took the file that a message is about; empty where none did.

    Args:
        home: the home.
        message: what is wrong, as an error says it; it names the file.
        asked: what a command was asked about; the file's run or log is named here or there.

    Raises:
        EvidenceError: the log of holds and tombstones is broken.
    """
    for stone in reversed(read_records(home).tombstones):
        of_run = stone.name.startswith("runs/")
        owner = stone.name.split("/")[1] if of_run else stone.name.rpartition("/")[2]
        if owner not in f"{message} {asked}":
            continue
        for place in stone.parts:
            file = place.rpartition("/")[2] if of_run else place.removeprefix(f"{stone.name}/")
            folder = home / "runs" / owner if of_run else home / stone.name
            if file in message and next(folder.rglob(place.rpartition("/")[2]), None) is None:
                return f"{stone.name} was {stone.told}"
    return ""


def _log(home: Path) -> SignedLog:
    directory = home / FOLDER
    if os.path.lexists(directory):  # a pipe in the place of an entry would be waited for
        try:
            require_plain(directory)
        except OSError as error:
            raise EvidenceError(f"{FOLDER} cannot be read ({error.strerror})") from error
    return SignedLog(directory, PREDICATE_TYPE, HomeKeys(home))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    return value


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.utcoffset() != timedelta():
        raise ValueError("not in UTC")
    return moment


def _hold(found: LogEntry) -> Hold:
    entry = found.entry
    return Hold(
        number=found.number,
        subject=_text(entry["subject"]),
        reason=_text(entry["reason"]),
        at=_moment(entry["at"]),
        actor=_text(entry["actor"]),
    )


def _lift(holds: dict[int, Hold], found: LogEntry) -> None:
    hold = holds[found.entry["hold"]]
    if hold.lifted:
        raise ValueError("lifted twice")
    holds[hold.number] = replace(hold, lifted=found.number)


def _tombstone(found: LogEntry) -> Tombstone:
    entry = found.entry
    at, due = _moment(entry["at"]), date.fromisoformat(entry["due"])
    if at.date() <= due:
        raise ValueError("of something that was not due")
    return Tombstone(
        number=found.number,
        kind=DataClass(entry["class"]),
        name=_text(entry["name"]),
        parts={_text(place): _text(digest) for place, digest in entry["parts"].items()},
        due=due,
        at=at,
        actor=_text(entry["actor"]),
    )
