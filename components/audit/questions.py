"""An auditor's questions as nouns: what each is about, and which facts answer it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from components.audit.paths import Path
from components.contract.stages import Stage
from components.lineage.graph import NodeKind

Condition = Mapping[str, tuple[str, ...]]
"""Attributes, and the values that each may have."""


@dataclass(frozen=True, slots=True)
class About:
    """Which nodes a question is about.

    Attributes:
        kind: of the nodes.
        stage: of stages, those of this name.
        where: of which this holds.
        in_force: of releases, only the last of each dataset and stack.
        none_unless: there are none at all where every node of this kind is known to be otherwise.
    """

    kind: NodeKind
    stage: Stage | None
    where: Condition
    in_force: bool
    none_unless: tuple[NodeKind, Condition] | None


@dataclass(frozen=True, slots=True)
class Wanted:
    """One fact that an answer needs of every node, or of those of which ``where`` holds."""

    name: str
    path: Path
    where: Condition


@dataclass(frozen=True, slots=True)
class Question:
    """One question. ``exhibit`` is A to D, ``serves`` names regulations by their ids."""

    id: str
    exhibit: str
    text: str
    serves: tuple[str, ...]
    about: About
    facts: tuple[Wanted, ...]


@dataclass(frozen=True, slots=True)
class Regulation:
    """A rule that questions serve; ``asks`` is in our own words, ``status`` as of ``as_of``."""

    id: str
    title: str
    asks: str
    status: str
    as_of: str


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All questions, the exhibits' titles, the regulations by id, and the note about them."""

    questions: tuple[Question, ...]
    exhibits: Mapping[str, str]
    regulations: Mapping[str, Regulation]
    note: str
