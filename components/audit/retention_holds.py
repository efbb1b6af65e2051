"""Placing and lifting legal holds."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

from components.audit.access_log import read_access
from components.audit.retention_log import (
    FOLDER,
    RetentionRecords,
    append,
    entries_told,
    read_records,
)
from components.contract.errors import EvidenceError, InputError
from components.lineage.durable import locked_directory
from components.release.records import read_releases

_RELEASE = re.compile(r"([a-z][a-z0-9_]{0,62})/([a-z]{1,20})@([1-9][0-9]{0,5})")
_ID = re.compile(r"[A-Za-z0-9_-]{1,120}")


def place_hold(home: Path, subject: str, reason: str, now: datetime) -> int:
    """Keep something and all that it rests on; returns the hold's number.

    Args:
        home: the home.
        subject: a run's id, a release as ``DATASET/STACK@NUMBER``, or a decision log's id.
        reason: why, in one line.
        now: when.

    Raises:
        InputError: the home has no such thing.
        EvidenceError: the log of holds and tombstones is broken or lost its end, or the history of
            the release or the access log is broken.
    """
    _require_subject(home, subject)
    with locked_directory(home):  # not while a purge is at work
        _require_whole(home)
        return append(home, "hold", now, {"subject": subject, "reason": reason})


def lift_hold(home: Path, number: int, reason: str, now: datetime) -> tuple[str, int]:
    """End a hold; returns what it kept, and the number of the entry that ends it.

    Raises:
        InputError: there is no such hold, or it was lifted before.
        EvidenceError: the log of holds and tombstones, or the access log, is broken or lost its
            end.
    """
    with locked_directory(home):
        standing = {h.number: h for h in _require_whole(home).holds if not h.lifted}
        if number not in standing:
            known = ", ".join(map(str, standing)) or "none is in force"
            raise InputError(f"no hold {number} is in force", where="NUMBER", expected=known)
        entry = append(home, "lift", now, {"hold": number, "reason": reason})
    return standing[number].subject, entry


def _require_whole(home: Path) -> RetentionRecords:
    """The log, whose end was not cut off: another entry would take the place of a lost one."""
    records = read_records(home)
    if records.entries < (told := entries_told(read_access(home))):
        raise EvidenceError(f"{FOLDER}: it ends with entry {records.entries}, once it had {told}")
    return records


def _require_subject(home: Path, subject: str) -> None:
    if found := _RELEASE.fullmatch(subject):
        if int(found[3]) <= len(read_releases(home, found[1], found[2])):
            return
    elif _ID.fullmatch(subject):
        places = (home / "runs" / subject / "evidence", home / "decisions" / subject / "log")
        if any(any(place.glob("*.json")) for place in places):
            return
    raise InputError(
        "is no run, release or decision log of this home",
        where="SUBJECT",  # what was typed may be the name of a person
        expected="a run's id, DATASET/STACK@NUMBER, or a decision log's id",
    )
