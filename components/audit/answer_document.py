"""The answers as a document that a page or a PDF sets: sections, tables and texts, no markup.

A document is read by people, so it shows the first facts of an answer and says how many there are;
the workbook and the JSON hold them all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from components.audit.answers import Answer, Status
from components.audit.questions import Catalogue, Question
from components.audit.readings import EVIDENCE, Reading, milliseconds

TITLE = "Audit questions"


def answer_document(
    catalogue: Catalogue, readings: Sequence[Reading], at: datetime, most: int
) -> dict[str, Any]:
    """The document.

    Args:
        catalogue: the questions.
        readings: what each store answered, in the order of the columns.
        at: when they were asked.
        most: how many facts of an answer, and how many missing ones, are shown.
    """
    return {
        "title": TITLE,
        "at": at.isoformat(timespec="seconds"),
        "note": catalogue.note,
        "method": method(readings),
        "missing_stores": missing_stores(readings),
        "readings": [
            {
                "label": r.label,
                "queries": f"{r.queries:,}",
                "read": milliseconds(r.read_seconds),
                "answer": milliseconds(r.answer_seconds),
                **{str(status): str(r.count(status)) for status in Status},
            }
            for r in readings
        ],
        "exhibits": [
            {
                "letter": letter,
                "title": title,
                "questions": [
                    _question(q, catalogue, readings, most)
                    for q in catalogue.questions
                    if q.exhibit == letter
                ],
            }
            for letter, title in catalogue.exhibits.items()
        ],
        "regulations": [asdict(r) for r in catalogue.regulations.values()],
    }


def method(readings: Sequence[Reading]) -> str:
    """How the answers came about, in words."""
    stores = sorted({r.store for r in readings} - {EVIDENCE})
    return (
        "Every answer is computed from what a store says, and from nothing else: first from each "
        f"stack's own store alone ({', '.join(stores)}), then from the signed evidence alone. Each "
        "signature and link of the evidence was checked when it was read. Answered: every fact "
        "was found. Partial: some were. Impossible: none was."
    )


def missing_stores(readings: Sequence[Reading]) -> list[str]:
    """Why a store answers nothing, for each that there was none of."""
    return [f"Not read: {r.note}." for r in readings if r.note]


def _question(
    question: Question, catalogue: Catalogue, readings: Sequence[Reading], most: int
) -> dict[str, Any]:
    return {
        "id": question.id,
        "text": question.text,
        "serves": [catalogue.regulations[name].title for name in question.serves],
        "answers": [
            _answer(reading.label, answer, most)
            for reading in readings
            for answer in reading.answers
            if answer.question == question.id
        ],
    }


def _answer(label: str, answer: Answer, most: int) -> dict[str, Any]:
    return {
        "label": label,
        "status": str(answer.status),
        "summary": summary_of(answer),
        "milliseconds": milliseconds(answer.seconds),
        "facts": [
            {"name": f.name, "about": f.about, "value": f.value, "read": f"{f.node} {f.attribute}"}
            for f in answer.facts[:most]
        ],
        "more_facts": max(0, len(answer.facts) - most),
        "missing": [_missing(m.name, m.what) for m in answer.missing[:most]],
        "more_missing": max(0, len(answer.missing) - most),
    }


def _missing(name: str, what: str) -> Mapping[str, str]:
    return {"name": name, "what": what}


def summary_of(answer: Answer) -> str:
    """An answer in a few words: how many things it is about, facts, and what is missing."""
    if answer.status is Status.ANSWERED and not answer.facts:
        return "none"
    words = [f"{len(answer.facts):,} facts about {answer.about:,}"]
    if answer.missing:
        words.append(f"{len(answer.missing):,} missing")
    return ", ".join(words)
