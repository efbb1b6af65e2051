"""What a model card is made of: sections of fields and tables, the same for every form of it.

Every text in a card is one line of visible characters: the parts see to that themselves, so no
form has to, and none can show what another does not.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

_INVISIBLE = ("Cc", "Cf", "Cs", "Co", "Cn")
"""Unicode categories without a picture of their own: a mark that turns the reading direction
around, or a space of no width, would make a card read as it is not written."""

NOT_STATED = "unknown: not stated in the policy"


class Origin(StrEnum):
    """Where a fact comes from."""

    EVIDENCE = "evidence"
    POLICY = "policy"
    BOTH = "evidence and policy"
    UNKNOWN = "unknown"


class Kind(StrEnum):
    """How a value is set: as running text, as an identifier, as a number, or as a verdict."""

    TEXT = "text"
    CODE = "code"
    NUMBER = "number"
    STATUS = "status"


def clean(text: str) -> str:
    """A text as one line of visible characters; an invisible one is written as ``[U+202E]``."""
    line = " ".join(unicodedata.normalize("NFC", text).split())
    return "".join(
        f"[U+{ord(c):04X}]" if unicodedata.category(c) in _INVISIBLE else c for c in line
    )


@dataclass(frozen=True, slots=True)
class Field:
    """One named fact, and where it comes from."""

    name: str
    value: str
    origin: Origin = Origin.EVIDENCE
    kind: Kind = Kind.TEXT

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", clean(self.name))
        object.__setattr__(self, "value", clean(self.value))


@dataclass(frozen=True, slots=True)
class Fields:
    """Named facts under a title; the title may be empty."""

    items: tuple[Field, ...]
    title: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", clean(self.title))
        object.__setattr__(self, "note", clean(self.note))


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table; ``width`` is its share of the page beside the other columns'."""

    title: str
    kind: Kind = Kind.TEXT
    width: int = 2

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", clean(self.title))


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of one cell a column. ``empty`` is said where there are none."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    note: str = ""
    empty: str = "None."

    def __post_init__(self) -> None:
        for name in ("title", "note", "empty"):
            object.__setattr__(self, name, clean(getattr(self, name)))
        rows = tuple(tuple(clean(cell) for cell in row) for row in self.rows)
        if any(len(row) != len(self.columns) for row in rows):
            raise ValueError(f"table {self.title} has a row of another width")
        object.__setattr__(self, "rows", rows)


Block = Fields | Table


@dataclass(frozen=True, slots=True)
class Section:
    """A titled part of a card. ``anchor`` is a word of ours, never one out of the evidence."""

    anchor: str
    title: str
    blocks: tuple[Block, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """A model card, before it takes a form.

    ``status`` is a word or two, ``headline`` one sentence on what was decided. ``at`` is the time
    of the run's last record and ``head`` its digest. ``metadata`` is what Hugging Face's model
    cards carry in their head, as plain values.
    """

    title: str
    status: str
    headline: str
    sections: tuple[Section, ...]
    head: str
    at: datetime
    metadata: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("title", "status", "headline"):
            object.__setattr__(self, name, clean(getattr(self, name)))
