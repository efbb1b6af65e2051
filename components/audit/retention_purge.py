"""Purging: what is due and not held goes, and a signed tombstone says so before it does.

A purge that was cut off leaves a tombstone and some of the files. The next one takes the rest, by
the same rule: what was put under a hold meanwhile stays.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from components.audit.retention import RetentionCheck, Standing, check_retention
from components.audit.retention_decisions import segment_files
from components.audit.retention_files import RunFiles, digest_of
from components.audit.retention_log import append
from components.audit.retention_policy import RecordClass, RetentionPolicy
from components.contract.errors import EvidenceError, InputError
from components.lineage.durable import locked_directory, sync_directory


@dataclass(frozen=True, slots=True)
class Purged:
    """What was purged: its standing before, the tombstone's number, how many files and folders."""

    standing: Standing
    tombstone: int
    removed: int


@dataclass(frozen=True, slots=True)
class Purge:
    """What a purge did. ``changed`` are items that stay: they are not what was signed."""

    check: RetentionCheck
    purged: tuple[Purged, ...]
    changed: tuple[Standing, ...]


def purge(home: Path, policy: RetentionPolicy, now: datetime) -> Purge:
    """Take away all data that is due and not held.

    Args:
        home: the home.
        policy: what is to be kept for how long.
        now: the time at which it is done; what is due by then goes.

    Raises:
        EvidenceError: signed evidence or a log is broken: then nobody knows what may go.
        InputError: something cannot be removed or written; the next purge takes the rest.
    """
    with locked_directory(home):  # no hold comes in between, and no second purge
        check = check_retention(home, policy, now.astimezone(UTC).date())
        if check.inventory.broken:
            first = check.inventory.broken[0]
            raise EvidenceError(f"{first.where}: {first.new or first.kind}; nothing is purged")
        done, changed = [], []
        for standing in check.standings:
            if not standing.purgeable:
                continue
            if not standing.tombstone and _changed(home, check, standing):
                changed.append(standing)
                continue
            paths = _paths(home, check, standing)
            number = standing.tombstone or _bury(home, policy, standing, now)
            done.append(Purged(standing, number, _remove(home, paths)))
    return Purge(check, tuple(done), tuple(changed))


def _files(check: RetentionCheck, standing: Standing) -> RunFiles | None:
    """The files of the run that an item is of; None where it is of none."""
    folder, _, rest = standing.item.name.partition("/")
    return check.inventory.files[rest.partition("/")[0]] if folder == "runs" else None


def _paths(home: Path, check: RetentionCheck, standing: Standing) -> list[Path]:
    item = standing.item
    files = _files(check, standing)
    if files is not None and item.kind is not None:
        return files.of_class(item.kind)
    if item.kind is RecordClass.DECISION_LOGS:
        return segment_files(home / item.name)
    # The manifest stays: it is what the evidence is bound to, and holds no row.
    return sorted((home / item.name).rglob("*.parquet"))


def _changed(home: Path, check: RetentionCheck, standing: Standing) -> bool:
    """Whether a part is another one than was signed: a purge must not take the proof of that."""
    files = _files(check, standing)
    for place, digest in standing.item.parts:
        copies = files.copies(place) if files else [home / place]
        if digest not in {digest_of(path) for path in copies}:
            return True
    return False


def _bury(home: Path, policy: RetentionPolicy, standing: Standing, now: datetime) -> int:
    """Write the tombstone; returns its number."""
    item = standing.item
    if item.kind is None or item.since is None or standing.keep_until is None:
        raise EvidenceError(f"{item.name} is not due")
    rule = policy.rules[item.kind]
    return append(
        home,
        "tombstone",
        now,
        {
            "class": str(item.kind),
            "name": item.name,
            "sha256": item.sha256,
            "parts": dict(item.parts),
            "policy": policy.digest,
            "serves": list(rule.serves),
            "years": rule.years,
            "since": item.since.astimezone(UTC).isoformat(timespec="microseconds"),
            "due": str(standing.keep_until),
        },
    )


def _remove(home: Path, paths: Sequence[Path]) -> int:
    """Remove files and folders, durably; a link goes and not what it leads to."""
    removed = 0
    for path in paths:
        try:
            # Its folder, and not the path itself, which may be a link to anywhere.
            if not path.parent.resolve().is_relative_to(home.resolve()):
                continue
            if not os.path.lexists(path):
                continue  # it lay in a folder that went before
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
            sync_directory(path.parent)
        except OSError as error:
            raise InputError(
                f"cannot be removed ({error.strerror})",
                where=str(path),
                expected="a home that this user may write; the next purge takes the rest",
            ) from error
        removed += 1
    return removed
