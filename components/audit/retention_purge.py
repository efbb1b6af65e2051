"""Purging: what is due and not held goes, and a signed tombstone says so before it does.

A purge that was cut off leaves a tombstone and some of the files. The next one takes the rest, by
the same rule: what was put under a hold meanwhile stays.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

from components.audit.retention import RetentionCheck, Standing, State, check_retention
from components.audit.retention_log import append
from components.audit.retention_policy import RetentionPolicy
from components.contract.errors import EvidenceError, InputError
from components.lineage.durable import locked_directory, sync_directory

_LOCK = "run.lock"


@dataclass(frozen=True, slots=True)
class Purged:
    """What was purged: how it stood, its tombstone's number, how many files and folders went.

    In a preview ``removed`` is 0, and ``tombstone`` as well unless a purge was cut off.
    """

    standing: Standing
    tombstone: int
    removed: int


@dataclass(frozen=True, slots=True)
class Purge:
    """What a purge did. ``stays`` has what is due and was not taken, by its name, and why."""

    check: RetentionCheck
    purged: tuple[Purged, ...]
    stays: tuple[tuple[str, str], ...]


def purge(home: Path, policy: RetentionPolicy, now: datetime) -> Purge:
    """Take away all data that is due and not held.

    Args:
        home: the home.
        policy: what is to be kept for how long.
        now: the time at which it is done; what is due on its day, in UTC, goes.

    Raises:
        EvidenceError: signed evidence or a log is broken: then nobody knows what may go.
        InputError: a run is at work, or something cannot be removed or written; the next purge
            takes the rest.
    """
    with undisturbed(home):
        planned = preview(home, policy, now.astimezone(UTC).date())
        done = []
        for standing in (p.standing for p in planned.purged):
            number = standing.tombstone or _bury(home, policy, standing, now)
            done.append(Purged(standing, number, _remove(_paths(standing))))
    return replace(planned, purged=tuple(done))


def preview(home: Path, policy: RetentionPolicy, day: date) -> Purge:
    """What a purge on a day would do; nothing is written.

    Raises:
        EvidenceError: signed evidence or a log is broken.
    """
    check = _sound_check(home, policy, day)
    due = [(standing, _not_taken(home, standing)) for standing in check.of(State.DUE)]
    return Purge(
        check,
        tuple(Purged(standing, standing.tombstone, 0) for standing, why in due if not why),
        tuple((standing.name, why) for standing, why in due if why),
    )


def _sound_check(home: Path, policy: RetentionPolicy, day: date) -> RetentionCheck:
    check = check_retention(home, policy, day)
    for broken in check.of(State.BROKEN):
        raise EvidenceError(f"{broken.name}: {broken.why}; nothing is purged")
    return check


@contextmanager
def undisturbed(home: Path) -> Iterator[None]:
    """While no hold, purge or scoring begins, and no run is at work.

    Raises:
        InputError: a run is at work.
    """
    with ExitStack() as held:
        held.enter_context(locked_directory(home))
        if (decisions := home / "decisions").is_dir():
            held.enter_context(locked_directory(decisions))
        for lock in sorted((home / "runs").glob(f"*/{_LOCK}")):
            if _is_locked(lock):
                raise InputError(
                    "is at work and may need what would go",
                    where=str(lock.parent),
                    expected="a home in which no run is at work",
                )
        yield


def _is_locked(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _paths(standing: Standing) -> list[Path]:
    """What is removed: first what no record names, so that a named part tells of a purge cut off.

    Of these a folder comes before what lies in it.
    """
    others = standing.item.others if standing.item else ()
    named = {path for part in standing.parts for path in part.copies}
    return [*others, *sorted(named)]


def _not_taken(home: Path, standing: Standing) -> str:
    """Why something that is due has to stay; empty where it may go.

    A part that is another one than was signed proves that somebody changed it. What a purge that
    was cut off left of a folder is none.
    """
    if any(_is_elsewhere(home, path) for path in _paths(standing)):
        return "a link leads elsewhere"
    if not standing.tombstone and not all(part.sound for part in standing.parts):
        return "it is not what was signed"
    return ""


def _is_elsewhere(home: Path, path: Path) -> bool:
    """Whether a path lies behind a link: what is there may be another's, and in use."""
    folder = os.path.normpath(home.resolve() / path.parent.relative_to(home))
    return path.parent.resolve() != Path(folder)


def _bury(home: Path, policy: RetentionPolicy, standing: Standing, now: datetime) -> int:
    """Write the tombstone; returns its number."""
    item = standing.item
    if item is None or item.use.until is None or standing.keep_until is None:
        raise EvidenceError(f"{standing.name} is not due")
    rule = policy.rules[item.kind]
    return append(
        home,
        "tombstone",
        now,
        {
            "class": str(item.kind),
            "name": item.name,
            "parts": {part.place: part.sha256 for part in standing.parts},
            "others": len(item.others),
            "policy": policy.digest,
            "serves": list(rule.serves),
            "years": rule.years,
            "since": item.use.until.astimezone(UTC).isoformat(timespec="microseconds"),
            "due": str(standing.keep_until),
        },
    )


def _remove(paths: Sequence[Path]) -> int:
    """Remove files and folders, durably; a link goes and not what it leads to."""
    removed = 0
    for path in paths:
        try:
            if not os.path.lexists(path):
                continue  # it lay in a folder that went before
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
            removed += 1
        except OSError as error:
            raise InputError(
                f"cannot be removed ({error.strerror})",
                where=str(path),
                expected="a home that this user may write; the next purge takes the rest",
            ) from error
    for folder in {path.parent for path in paths}:
        if folder.is_dir():
            sync_directory(folder)
    return removed
