"""The retention check: what is kept, held, due, purged, and what was deleted before anyone might.

It is a pure function of a home's inventory, of the policy, and of the signed holds and tombstones.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any

from components.audit.differences import shown
from components.audit.retention_inventory import take_inventory
from components.audit.retention_items import Item, Part
from components.audit.retention_log import FOLDER, RetentionRecords, read_records
from components.audit.retention_policy import RetentionPolicy


class State(StrEnum):
    """How it stands with data."""

    KEPT = "kept"
    IN_EFFECT = "in effect"
    HELD = "held"
    DUE = "due"
    PURGED = "purged"
    DELETED = "deleted early"
    ELSEWHERE = "elsewhere"
    UNKNOWN = "unknown"
    BROKEN = "broken"


OPEN_STATES = frozenset({State.DUE, State.DELETED, State.UNKNOWN, State.BROKEN})
"""States for which somebody has something to do: the check exits 1."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Some data and how it stands with them on a day.

    Attributes:
        name: of the item, or the path of what is unknown or broken.
        state: how it stands.
        why: what else there is to say, empty where the state says all.
        item: the item; None where it is unknown or broken.
        parts: those parts of the item that stand so.
        keep_until: the last day on which they must be kept; None where that has no end yet.
        tombstone: number of the tombstone that accounts for them, 0 where there is none.
    """

    name: str
    state: State
    why: str = ""
    item: Item | None = None
    parts: tuple[Part, ...] = ()
    keep_until: date | None = None
    tombstone: int = 0

    def to_json(self) -> dict[str, Any]:
        """The fields; places of parts only where they are gone without a tombstone."""
        gone = self.parts if self.state is State.DELETED else ()
        return {
            "name": shown(self.name),
            "class": str(self.item.kind) if self.item else None,
            "state": str(self.state),
            "why": shown(self.why),
            "parts": len(self.parts),
            "gone": [shown(p.place) for p in gone],
            "keepUntil": str(self.keep_until) if self.keep_until else None,
            "tombstone": self.tombstone or None,
        }


@dataclass(frozen=True, slots=True)
class RetentionCheck:
    """What a check came to, on a day, under a policy."""

    policy: RetentionPolicy
    as_of: date
    standings: tuple[Standing, ...]

    def of(self, state: State) -> list[Standing]:
        """Everything that stands so."""
        return [s for s in self.standings if s.state is state]

    @property
    def clear(self) -> bool:
        """Whether nothing is due, missing, broken or unknown."""
        return not any(s.state in OPEN_STATES for s in self.standings)


def check_retention(home: Path, policy: RetentionPolicy, as_of: date) -> RetentionCheck:
    """Hold all data of a home against a retention policy.

    Args:
        home: the home.
        policy: what is to be kept for how long.
        as_of: the day, in UTC, on which it is asked what is due of what is there now.

    Raises:
        EvidenceError: the log of holds and tombstones is broken.
    """
    records = read_records(home)
    inventory = take_inventory(home, policy)
    standings = [
        standing for item in inventory.items for standing in _judge(item, policy, records, as_of)
    ]
    broken = dict(inventory.broken)
    if records.entries < inventory.entries:
        told = f"the access log tells of entry {inventory.entries}, it ends with {records.entries}"
        broken[FOLDER] = f"its end was cut off: {told}"
    standings += _named(State.UNKNOWN, inventory.unknown) + _named(State.BROKEN, broken)
    return RetentionCheck(policy, as_of, tuple(standings))


def _named(state: State, reasons: Mapping[str, str]) -> list[Standing]:
    return [Standing(name, state, why) for name, why in reasons.items()]


def _judge(
    item: Item, policy: RetentionPolicy, records: RetentionRecords, day: date
) -> Iterator[Standing]:
    """What is gone of an item, by what accounts for it, and what is there."""
    gone: dict[int, list[Part]] = defaultdict(list)
    # A tombstone from before its time accounts for nothing, whatever it says of itself.
    first = policy.rules[item.kind].first_purge(item.made) if item.made else None
    for part in item.parts:
        if not part.copies:
            gone[records.tombstone(part.place, part.sha256, first) if first else 0].append(part)
    for number, parts in sorted(gone.items()):
        told = f"{len(parts)} of {len(item.parts)} parts are gone"
        if number:
            why = f"under tombstone {number}"
            yield Standing(item.name, State.PURGED, why, item, tuple(parts), tombstone=number)
        elif item.elsewhere:
            why = "imported: its data stayed where they were made"
            yield Standing(item.name, State.ELSEWHERE, why, item, tuple(parts))
        else:
            yield Standing(item.name, State.DELETED, told, item, tuple(parts))
    there = tuple(p for p in item.parts if p.copies)
    if there or item.others:
        yield _present(item, there, policy, records, day)


def _present(
    item: Item,
    parts: tuple[Part, ...],
    policy: RetentionPolicy,
    records: RetentionRecords,
    day: date,
) -> Standing:
    since, made = item.use.until, item.made
    if since is None or made is None:
        return Standing(
            item.name, State.UNKNOWN, "no signed record says when it was used", item, parts
        )
    until = policy.rules[item.kind].keep_until(since)
    due = day > until
    if holds := records.held(item.use.subjects):
        why = f"hold {', '.join(map(str, holds))}{', due otherwise' if due else ''}"
        return Standing(item.name, State.HELD, why, item, parts)
    if item.use.standing:
        why = "a standing release rests on it"
        return Standing(item.name, State.IN_EFFECT, why, item, parts)
    if not due:
        return Standing(item.name, State.KEPT, f"until {until}", item, parts, until)
    first = policy.rules[item.kind].first_purge(made)
    numbers = {records.tombstone(p.place, p.sha256, first) for p in parts} or {0}
    number = min(numbers)
    why = f"since {until}"
    if number:
        why += f"; tombstone {number} is written, and some of it is still there"
    return Standing(item.name, State.DUE, why, item, parts, until, number)
