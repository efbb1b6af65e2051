"""What restored answers are held against: what a home says, and what bundles cannot say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from components.audit.answers import Answer
from components.audit.differences import shown
from components.audit.questions import Question
from components.lineage.graph import NodeKind

_AUDIT_CONTROLS = "hipaa-164.312-b"
"""The rule that asks for a record of who looked at what: the access log is kept for it."""

_KNOWN_BY_DIGEST = frozenset({NodeKind.ARTIFACT, NodeKind.MODEL, NodeKind.DATASET})
_UNFINISHED = "unfinished"


class Absent(StrEnum):
    """What a home may hold to a question, and given bundles do not."""

    STORE = "native store"
    OTHERS = "other runs"
    LATER = "later releases"
    UNFINISHED = "unfinished runs"
    FILES = "files"
    ACCESS_LOG = "access log"


MEANING = {
    Absent.STORE: "what MLMD or MLflow itself answers; no bundle has more of it than a digest",
    Absent.OTHERS: "runs and releases that none of these bundles is about, but others may be",
    Absent.LATER: "what was released since; in force means the last release in these bundles",
    Absent.UNFINISHED: "runs that nothing brought to an end; they are never bundled",
    Absent.FILES: "data, models and whatever else stages left; no bundle has more than digests",
    Absent.ACCESS_LOG: "who looked at the evidence; no bundle has it, and no question reads it:"
    " `assay audit access`",
}


def not_bundled(question: Question) -> tuple[Absent, ...]:
    """What given bundles cannot hold of all that a home may say to a question."""
    about = question.about
    ends = {f.path.steps[-1].kind if f.path.steps else about.kind for f in question.facts}
    found = [Absent.STORE, Absent.LATER if about.in_force else Absent.OTHERS]
    of_any_run = _UNFINISHED in about.where.get("outcome", (_UNFINISHED,))
    if about.kind is not NodeKind.RELEASE and of_any_run:
        found.append(Absent.UNFINISHED)
    if ends & _KNOWN_BY_DIGEST:
        found.append(Absent.FILES)
    if _AUDIT_CONTROLS in question.serves:
        found.append(Absent.ACCESS_LOG)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class FactDifference:
    """A fact, the node it is about, and what each side has of it; None where it has nothing.

    ``fact`` is ``status`` or ``about``, of no node, where the answers differ as a whole.
    """

    fact: str
    about: str
    bundle: str | None
    home: str | None

    def to_json(self) -> dict[str, Any]:
        """The fields; long values are cut short, see ``components.audit.differences.shown``."""
        return {
            "fact": self.fact,
            "about": shown(self.about) or None,
            "bundle": None if self.bundle is None else shown(self.bundle),
            "home": None if self.home is None else shown(self.home),
        }


def differing(bundle: Answer, home: Answer) -> tuple[FactDifference, ...]:
    """Every fact that only one of two answers to the same question has, in a fixed order."""
    ours, theirs = _said(bundle), _said(home)
    only = [sorted((ours - theirs).elements()), sorted((theirs - ours).elements())]
    found = []
    for fact, about in sorted({said[:2] for side in only for said in side}):
        left, right = ([s[2] for s in side if s[:2] == (fact, about)] for side in only)
        for i in range(max(len(left), len(right))):
            found.append(FactDifference(fact, about, _at(left, i), _at(right, i)))
    return tuple(found)


def _at(values: list[str], index: int) -> str | None:
    return values[index] if index < len(values) else None


def _said(answer: Answer) -> Counter[tuple[str, str, str]]:
    """All that an answer says, and all that it says it does not know."""
    facts = [(f.name, f.about, f"{f.value} ({f.attribute} of {f.node})") for f in answer.facts]
    missing = [(m.name, m.about, f"not known: {m.what}") for m in answer.missing]
    whole = [("status", "", str(answer.status)), ("about", "", str(answer.about))]
    return Counter([*facts, *missing, *whole])
