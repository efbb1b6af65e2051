"""Answers, computed from a lineage graph alone: nothing here knows what a store should have said.

A question is answered where every fact that it needs was found, partly answered where some were,
and cannot be answered where none was. That there is nothing to tell is an answer too, but only
where the store is known to have looked: a store that names no release at all may just keep none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from time import perf_counter

from components.audit.paths import KEY, Path, Step
from components.audit.questions import About, Condition, Question, Wanted
from components.contract.errors import EvidenceError
from components.lineage.graph import LineageGraph, Node, NodeKind


class Status(StrEnum):
    """How far a store answers a question."""

    ANSWERED = "answered"
    PARTIAL = "partial"
    IMPOSSIBLE = "impossible"


@dataclass(frozen=True, slots=True)
class Fact:
    """A value, the node that the question is about, and the node and attribute it was read from."""

    name: str
    about: str
    value: str
    node: str
    attribute: str


@dataclass(frozen=True, slots=True)
class Missing:
    """A fact that was not found: of which node, and what the store does not say."""

    name: str
    about: str
    what: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What one store says to one question.

    ``about`` counts the nodes that the question turned out to be about, ``seconds`` is how long it
    took to answer, without reading the store.
    """

    question: str
    store: str
    status: Status
    about: int
    facts: tuple[Fact, ...]
    missing: tuple[Missing, ...]
    seconds: float


class Respondent:
    """Answers questions from one store's graph, walking each way once."""

    def __init__(self, graph: LineageGraph, store: str) -> None:
        self.graph, self.store = graph, store
        self._walked: dict[tuple[str, Step], tuple[Node, ...]] = {}

    def answer_all(self, questions: Sequence[Question]) -> list[Answer]:
        """Answers in the order of the questions."""
        return [self.answer(q) for q in questions]

    def answer(self, question: Question) -> Answer:
        """The answer to one question."""
        began = perf_counter()
        nodes, missing = self._selected(question.about)
        facts: list[Fact] = []
        for node in nodes:
            for wanted in question.facts:
                for found in self._facts(node, wanted):
                    if isinstance(found, Fact):
                        facts.append(found)
                    else:
                        missing.append(found)
        status = Status.PARTIAL if facts else Status.IMPOSSIBLE
        return Answer(
            question=question.id,
            store=self.store,
            status=status if missing else Status.ANSWERED,
            about=len(nodes),
            facts=tuple(facts),
            missing=tuple(missing),
            seconds=perf_counter() - began,
        )

    def _selected(self, about: About) -> tuple[list[Node], list[Missing]]:
        """The nodes that a question is about, and those of which that is not known."""
        named = f"{about.stage} {about.kind}" if about.stage else str(about.kind)
        step_end = f"/{about.stage}" if about.stage else ""
        known = [n for n in self.graph.of_kind(about.kind) if n.key.endswith(step_end)]
        if not known:
            if about.none_unless and self._none(*about.none_unless):
                return [], []
            return [], [Missing(named, "", f"the store names no {named}")]
        if about.in_force:
            known = _last_of_each(known)
        chosen, missing = [], []
        for node in known:
            holds = _holds(node, about.where)
            if holds is None:
                names = " or ".join(a for a in about.where if a not in node.attributes)
                missing.append(Missing(named, node.id, f"{node.id} has no {names}"))
            elif holds:
                chosen.append(node)
        return chosen, missing

    def _none(self, kind: NodeKind, where: Condition) -> bool:
        """Whether there are nodes of a kind, and a condition is known to hold of none of them."""
        nodes = self.graph.of_kind(kind)
        return bool(nodes) and all(_holds(n, where) is False for n in nodes)

    def _facts(self, node: Node, wanted: Wanted) -> Iterator[Fact | Missing]:
        holds = _holds(node, wanted.where)
        if holds is False:
            return
        if holds is None:
            names = " or ".join(a for a in wanted.where if a not in node.attributes)
            yield Missing(wanted.name, node.id, f"{node.id} has no {names}")
            return
        ends: tuple[Node, ...] = (node,)
        for step in wanted.path.steps:
            reached = {n.id: n for end in ends for n in self._walk(end, step)}
            if not reached:
                yield Missing(wanted.name, node.id, f"{ends[0].id} has no edge to {step}")
                return
            ends = tuple(reached.values())
        for end in ends:
            yield from _read(node, end, wanted)

    def _walk(self, node: Node, step: Step) -> tuple[Node, ...]:
        way = (node.id, step)
        if way not in self._walked:
            go = self.graph.out if step.along else self.graph.into
            self._walked[way] = tuple(
                n for n in go(node.id, step.edge, step.kind) if step.admits(n)
            )
        return self._walked[way]


def _read(about: Node, end: Node, wanted: Wanted) -> Iterator[Fact | Missing]:
    """What stands at the end of a way."""
    found = list(_values(end, wanted.path))
    for attribute, value in found:
        yield Fact(wanted.name, about.id, value, end.id, attribute)
    if not found:
        yield Missing(wanted.name, about.id, f"{end.id} has no {wanted.path.attribute}")


def _values(node: Node, path: Path) -> Iterator[tuple[str, str]]:
    if path.attribute == KEY:
        yield KEY, node.key
    elif path.many:
        for attribute, value in node.attributes.items():
            if attribute.startswith(path.attribute):
                yield attribute, value
    elif path.attribute in node.attributes:
        yield path.attribute, node.attributes[path.attribute]


def _holds(node: Node, where: Condition) -> bool | None:
    """Whether a condition holds of a node; None where the node does not say."""
    unknown = False
    for attribute, values in where.items():
        value = node.key if attribute == KEY else node.attributes.get(attribute)
        if value is None:
            unknown = True
        elif value not in values:
            return False
    return None if unknown else True


def _last_of_each(releases: Sequence[Node]) -> list[Node]:
    """The release with the highest number of each dataset and stack."""
    last: dict[str, Node] = {}
    for node in sorted(releases, key=_number):
        last[node.key.rpartition("/")[0]] = node
    return list(last.values())


def _number(release: Node) -> int:
    number = release.key.rpartition("/")[2]
    if not (number.isascii() and number.isdecimal()):
        raise EvidenceError(f"{release.id} has no number")
    return int(number)
