"""Differences: what is not as it was, in which way, and how that is shown."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from components.checks.measurement import Status

_SHOWN = 120


class Kind(StrEnum):
    """In which way something differs."""

    EDITED = "edited property"
    DELETED = "deleted row"
    ADDED = "added row"
    DELETED_RUN = "deleted run"
    ADDED_RUN = "run without evidence"
    CONTRADICTS = "contradicts evidence"
    ALIAS = "moved alias"
    FILE = "changed file"
    MISSING_FILE = "missing file"
    ADDED_FILE = "added file"
    DATA = "changed data"
    RECEIPT = "changed receipt"
    EVIDENCE = "broken evidence"
    NO_RECEIPT = "no receipt"
    STORE = "broken store"
    UNFINISHED = "unfinished run"


_UNDECIDED = frozenset({Kind.NO_RECEIPT, Kind.UNFINISHED})


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing that is not as it was.

    Attributes:
        kind: in which way.
        run: id of the run that it belongs to, empty where it belongs to none.
        where: path of the property in the store, or of the file in the home.
        old: what it was, None where there was nothing or nobody knows.
        new: what it is, None where it is gone.
    """

    kind: Kind
    run: str
    where: str
    old: str | None = None
    new: str | None = None

    @property
    def status(self) -> Status:
        """FAIL where something was changed, INCONCLUSIVE where that cannot be known."""
        return Status.INCONCLUSIVE if self.kind in _UNDECIDED else Status.FAIL

    def to_json(self) -> dict[str, Any]:
        """The fields; long values are cut short, see ``shown``."""
        return {
            "status": str(self.status),
            "kind": str(self.kind),
            "run": self.run or None,
            "where": shown(self.where),
            "old": None if self.old is None else shown(self.old),
            "new": None if self.new is None else shown(self.new),
        }


def plain(text: str) -> str:
    """A text without characters that would move a terminal's cursor: they are told by number."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def shown(value: str) -> str:
    """A value as it is shown: plain, and under 200 characters.

    Of a longer one the beginning, its length and the start of its SHA-256: two that begin alike
    are still told apart.
    """
    whole = plain(value)
    if len(whole) <= _SHOWN:
        return whole
    digest = hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:12]
    return f"{whole[:_SHOWN]}... ({len(value)} characters, SHA-256 {digest})"
