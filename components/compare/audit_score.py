"""How far each stack answers an auditor: by its native store, and by the evidence beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum

from components.audit.answers import Status
from components.audit.readings import EVIDENCE, Reading
from components.compare.comparison import Line, Table

_COMMAND = "`assay audit questions --json`"


class Reached(StrEnum):
    """What it takes to answer a question, the best first; each question counts once."""

    NATIVELY = "answered natively"
    WITH_EVIDENCE = "answered with evidence"
    PARTIALLY = "answered partially"
    NOT_AT_ALL = "not answered at all"


def audit_score_table(readings: Sequence[Reading]) -> Table:
    """The audit score of each stack whose stores were read.

    A question counts as answered natively where the native store alone answers it whole, as
    answered with evidence where only the evidence does, as answered partially where either says a
    part of it, and else as not answered at all. So the four counts add up to all questions.

    Args:
        readings: of each stack its native store and its evidence, all asked the same questions. A
            stack of which one of the two was not there to read has no counts, and the lines say so.

    Raises:
        ValueError: two readings of one store, or other questions in one than in another.
    """
    stacks = list(dict.fromkeys(r.stack for r in readings))
    natives = _by_stack(readings, native=True)
    evidence = _by_stack(readings, native=False)
    questions = _questions(readings)
    reached = {
        s: _reached(natives[s], evidence[s]) if _both_read(s, natives, evidence) else None
        for s in stacks
    }
    notes = [f"{s}: not both stores were read" for s, found in reached.items() if found is None]
    note = "; ".join([*notes, *(r.note for r in readings if r.note)])

    def counted(kind: Reached, prefix: str = "") -> Mapping[str, float | None]:
        return {
            s: None if r is None else sum(r[q] is kind for q in questions if q.startswith(prefix))
            for s, r in reached.items()
        }

    exhibits = sorted({q[0] for q in questions})
    lines = [Line(str(kind), "questions", counted(kind), _COMMAND, note=note) for kind in Reached]
    lines += _costs(stacks, natives, evidence)
    lines += [
        Line(f"exhibit {e}: {kind}", "questions", counted(kind, e), _COMMAND)
        for e in exhibits
        for kind in Reached
    ]
    lines += [
        Line(
            f"question {q}",
            "",
            {s: None if r is None else str(r[q]) for s, r in reached.items()},
            f"{_COMMAND}, question {q} of policies/questions.yaml",
        )
        for q in questions
    ]
    return Table(
        "audit_score",
        "Audit score",
        f"{len(questions)} questions of an auditor, put to each stack's own store alone and to the"
        " evidence. What a native store answers is what our wiring writes into it, not what a"
        " quickstart leaves there; what only the evidence answers no tool of the stack keeps.",
        tuple(lines),
    )


def _by_stack(readings: Sequence[Reading], *, native: bool) -> dict[str, Reading]:
    found = [r for r in readings if (r.store != EVIDENCE) is native]
    by_stack = {r.stack: r for r in found}
    if len(by_stack) != len(found):
        raise ValueError("two readings of one store")
    return by_stack


def _questions(readings: Sequence[Reading]) -> list[str]:
    asked = {tuple(a.question for a in r.answers) for r in readings}
    if len(asked) > 1:
        raise ValueError("readings of different questions")
    return [question for questions in asked for question in questions]


def _reached(native: Reading, evidence: Reading) -> dict[str, Reached]:
    return {
        mine.question: _best(mine.status, theirs.status)
        for mine, theirs in zip(native.answers, evidence.answers, strict=True)
    }


def _best(native: Status, evidence: Status) -> Reached:
    if native is Status.ANSWERED:
        return Reached.NATIVELY
    if evidence is Status.ANSWERED:
        return Reached.WITH_EVIDENCE
    return Reached.PARTIALLY if Status.PARTIAL in (native, evidence) else Reached.NOT_AT_ALL


def _costs(
    stacks: Sequence[str], natives: Mapping[str, Reading], evidence: Mapping[str, Reading]
) -> list[Line]:
    def line(
        name: str, unit: str, held: Mapping[str, Reading], tell: Callable[[Reading], float]
    ) -> Line:
        values = {s: tell(held[s]) if s in held and _was_read(held[s]) else None for s in stacks}
        return Line(name, unit, values, _COMMAND)

    lines = []
    for label, held in (("native store", natives), ("evidence", evidence)):
        queries = "queries" if held is natives else "files"
        lines += [
            line(f"{label}: read in", "ms", held, lambda r: round(r.read_seconds * 1000, 2)),
            line(f"{label}: answered in", "ms", held, lambda r: round(r.answer_seconds * 1000, 2)),
            line(f"{label}: {queries} read", "", held, lambda r: r.queries),
        ]
    return lines


def _both_read(stack: str, natives: Mapping[str, Reading], evidence: Mapping[str, Reading]) -> bool:
    return all(stack in held and _was_read(held[stack]) for held in (natives, evidence))


def _was_read(reading: Reading) -> bool:
    # A store that is not there is asked nothing, which is no time of zero.
    return not reading.note
