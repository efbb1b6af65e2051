"""The retention check: what is kept, held, due, purged, and what was deleted before anyone might.

It is a pure function of a home's inventory, of the policy, and of the signed holds and tombstones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from components.audit.differences import plain, shown
from components.audit.retention_inventory import Inventory, take_inventory
from components.audit.retention_items import Item
from components.audit.retention_log import RetentionRecords, read_records
from components.audit.retention_policy import PURGEABLE, RetentionPolicy


class State(StrEnum):
    """How it stands with an item."""

    KEPT = "kept"
    IN_EFFECT = "in effect"
    HELD = "held"
    DUE = "due"
    PURGED = "purged"
    DELETED = "deleted early"
    UNKNOWN = "unknown"
    ELSEWHERE = "elsewhere"
    BROKEN = "broken"


OPEN_STATES = frozenset({State.DUE, State.DELETED, State.UNKNOWN, State.BROKEN})
"""States for which somebody has something to do: the check exits 1."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Standing:
    """An item and how it stands with it on a day.

    Attributes:
        item: the item.
        state: how it stands.
        keep_until: the last day on which it must be kept; None where that has no end yet.
        holds: numbers of the holds that keep it.
        tombstone: number of the tombstone that accounts for it, 0 where there is none.
        why: what else there is to say, empty where the state says all.
    """

    item: Item
    state: State
    keep_until: date | None
    holds: tuple[int, ...] = ()
    tombstone: int = 0
    why: str = ""

    @property
    def purgeable(self) -> bool:
        """Whether a purge takes it away."""
        return self.state is State.DUE and self.item.kind in PURGEABLE

    def to_json(self) -> dict[str, Any]:
        """The fields; places of parts only where they are gone."""
        return {
            "name": shown(self.item.name),
            "class": str(self.item.kind) if self.item.kind else None,
            "state": str(self.state),
            "since": self.item.since.isoformat() if self.item.since else None,
            "keepUntil": str(self.keep_until) if self.keep_until else None,
            "holds": list(self.holds),
            "tombstone": self.tombstone or None,
            "gone": [shown(place) for place in self.item.gone],
            "why": self.why,
        }


@dataclass(frozen=True, slots=True)
class RetentionCheck:
    """What a check came to, on a day, under a policy."""

    policy: RetentionPolicy
    as_of: date
    standings: tuple[Standing, ...]
    inventory: Inventory
    records: RetentionRecords

    def count(self, state: State) -> int:
        """How many items stand so."""
        return sum(s.state is state for s in self.standings)

    @property
    def clear(self) -> bool:
        """Whether nothing is due, missing, broken or unknown."""
        return not any(s.state in OPEN_STATES for s in self.standings)


def check_retention(home: Path, policy: RetentionPolicy, as_of: date) -> RetentionCheck:
    """Hold everything in a home against a retention policy.

    Args:
        home: the home.
        policy: what is to be kept for how long.
        as_of: the day, in UTC, on which it is asked.

    Raises:
        EvidenceError: the log of holds and tombstones is broken.
    """
    records = read_records(home)
    inventory = take_inventory(home, policy)
    standings = [_judge(item, policy, records, as_of) for item in inventory.items]
    standings += _broken(home, inventory)
    return RetentionCheck(policy, as_of, tuple(standings), inventory, records)


def _broken(home: Path, inventory: Inventory) -> Sequence[Standing]:
    found = []
    for d in inventory.broken:
        lost = d.old is not None and not (home / d.where).exists()
        state = State.DELETED if lost else State.BROKEN
        why = plain(d.new or (f"named by {d.old}" if d.old else str(d.kind)))
        found.append(Standing(Item(d.where, None, present=not lost), state, None, why=why))
    return found


def _judge(item: Item, policy: RetentionPolicy, records: RetentionRecords, day: date) -> Standing:
    if item.kind is None:
        return Standing(item, State.UNKNOWN, None, why=item.why)
    holds = records.held(item.subjects, day)
    since = item.since
    ended = since is not None and not item.in_effect
    until = policy.rules[item.kind].keep_until(since) if since and ended else None
    tombstone = records.tombstone(item.name, item.sha256, since or _LONG_AGO)
    state, why = _state(item, until, holds, tombstone, day)
    return Standing(item, state, until, holds, tombstone, why)


def _state(
    item: Item, until: date | None, holds: Sequence[int], tombstone: int, day: date
) -> tuple[State, str]:
    if tombstone and not item.present:
        return State.PURGED, f"under tombstone {tombstone}"
    if item.elsewhere:
        return State.ELSEWHERE, item.why or "imported: its data stayed where they were made"
    if item.gone and not tombstone:
        return State.DELETED, f"{len(item.gone)} of {max(len(item.parts), 1)} parts are gone"
    if holds:
        named = ", ".join(map(str, holds))
        return State.HELD, f"hold {named}" + (", due otherwise" if _due(until, day) else "")
    if item.in_effect:
        return State.IN_EFFECT, "a standing release rests on it"
    if item.since is None:
        return State.UNKNOWN, "no signed record says when it was"
    if not _due(until, day):
        return State.KEPT, ""
    if tombstone:
        return State.DUE, f"tombstone {tombstone} is written, and some of it is still there"
    return State.DUE, "" if item.kind in PURGEABLE else "no purge takes it: for you to decide"


def _due(until: date | None, day: date) -> bool:
    return until is not None and day > until
