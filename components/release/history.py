"""What was in production when, since when, and by whose decision."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from components.contract.errors import InputError
from components.release.records import Release

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True, slots=True)
class Period:
    """A release and the time that it stood: from ``release.at`` to ``until``, which is excluded.

    ``until`` is None where it still stands.
    """

    release: Release
    until: datetime | None

    def to_json(self) -> dict[str, Any]:
        """The release's fields and until when it stood."""
        held = self.release
        return {
            "release": held.number,
            "dataset": held.dataset,
            "stack": held.stack,
            "kind": held.kind,
            "run": held.run,
            "continues": held.continues or None,
            "candidate": held.candidate,
            "model": held.model,
            "policy": held.policy,
            "contract": held.contract,
            "actor": held.actor,
            "reason": held.reason or None,
            "waiver": held.waiver or None,
            "since": held.at.isoformat(),
            "until": self.until.isoformat() if self.until else None,
            "supersedes": held.supersedes or None,
            "verdicts": dict(held.verdicts),
            "cards": dict(held.cards),
        }


def periods(releases: Sequence[Release]) -> list[Period]:
    """When each release of one history stood: until the next one."""
    ends = [*(r.at for r in releases[1:]), None]
    return [Period(r, end) for r, end in zip(releases, ends, strict=bool(releases))]


def as_of(releases: Sequence[Release], when: str) -> list[Period]:
    """What stood at a moment, or at any time of a day; empty where nothing did.

    Args:
        releases: one history, oldest first.
        when: ISO 8601: a day (``2026-11-24``, in UTC: everything that stood at any time of it), or
            a moment (``2026-11-24T12:00:00+01:00``; UTC where it names no zone).

    Raises:
        InputError: it is neither, or it is yet to come.
    """
    start, end = _span(when)
    return [
        p for p in periods(releases) if p.release.at < end and (p.until is None or p.until > start)
    ]


def _span(when: str) -> tuple[datetime, datetime]:
    """First moment, and the moment behind the last one."""
    expected = "a day as 2026-11-24 or a moment as 2026-11-24T12:00:00Z, not yet to come"
    try:
        if _DAY.fullmatch(when):
            start = datetime.combine(date.fromisoformat(when), time(), UTC)
            end = start + timedelta(days=1)
        elif "T" in when:
            start = datetime.fromisoformat(when)
            start = start if start.tzinfo else start.replace(tzinfo=UTC)
            end = start + timedelta(microseconds=1)
        else:
            raise ValueError(when)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{when!r} is no date", where="--as-of", expected=expected) from error
    if start > datetime.now(UTC):
        raise InputError(f"{when} is yet to come", where="--as-of", expected=expected)
    return start, end
