"""One store asked all questions: its answers, and what it cost to read it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from time import perf_counter
from typing import Any

from components.audit.answers import Answer, Respondent, Status
from components.audit.questions import Catalogue
from components.lineage.graph import LineageGraph, LineageStore

EVIDENCE = "evidence"


@dataclass(frozen=True, slots=True)
class Reading:
    """What one store answers for one stack.

    ``store`` is ``mlmd``, ``mlflow`` or ``evidence``; ``queries`` counts the queries that it took,
    of evidence the files. ``read_seconds`` is without the loading of any framework. ``note`` says
    why there was no store to read.
    """

    stack: str
    store: str
    answers: tuple[Answer, ...]
    queries: int
    read_seconds: float
    note: str = ""

    @property
    def answer_seconds(self) -> float:
        """How long all answers took once the store was read."""
        return sum(a.seconds for a in self.answers)

    @property
    def label(self) -> str:
        """As a table's head says it."""
        if self.store == EVIDENCE:
            return f"{self.stack} with evidence"
        return f"{self.stack}, {self.store} alone"

    def count(self, status: Status) -> int:
        """How many questions have come out so."""
        return Counter(a.status for a in self.answers)[status]


def take_reading(stack: str, store: LineageStore, catalogue: Catalogue) -> Reading:
    """Read a store whole, and put every question to what it gave.

    Raises:
        InputError: the store is not there, locked, or of a version that is not known.
        EvidenceError: it is there, and broken.
    """
    began = perf_counter()
    held = store.read()
    seconds = perf_counter() - began
    answers = Respondent(held.graph, store.name).answer_all(catalogue.questions)
    return Reading(stack, store.name, tuple(answers), held.queries, seconds)


def no_reading(stack: str, store: str, catalogue: Catalogue, note: str) -> Reading:
    """What a store that is not there answers: nothing; ``note`` says so."""
    answers = Respondent(LineageGraph({}, ()), store).answer_all(catalogue.questions)
    return Reading(stack, store, tuple(answers), 0, 0.0, note)


def milliseconds(seconds: float) -> str:
    """A time as it is shown: whole milliseconds from ten on, hundredths below."""
    value = seconds * 1000
    return f"{value:,.0f}" if value >= 10 else f"{value:.2f}"


def readings_json(catalogue: Catalogue, readings: Sequence[Reading]) -> dict[str, Any]:
    """Everything, for machines: questions, rules, and each reading with every fact."""
    return {
        "note": catalogue.note,
        "regulations": [asdict(r) for r in catalogue.regulations.values()],
        "questions": [
            {"id": q.id, "exhibit": catalogue.exhibits[q.exhibit], "text": q.text}
            | {"serves": list(q.serves)}
            for q in catalogue.questions
        ],
        "readings": [_reading_json(r) for r in readings],
    }


def _reading_json(reading: Reading) -> dict[str, Any]:
    return {
        "stack": reading.stack,
        "store": reading.store,
        "note": reading.note,
        "queries": reading.queries,
        "readMilliseconds": round(reading.read_seconds * 1000, 3),
        "answerMilliseconds": round(reading.answer_seconds * 1000, 3),
        **{str(status): reading.count(status) for status in Status},
        "answers": [answer_json(a) for a in reading.answers],
    }


def answer_json(answer: Answer) -> dict[str, Any]:
    """One answer, for machines: each fact with the store that it comes from."""
    return {
        "question": answer.question,
        "status": str(answer.status),
        "about": answer.about,
        "milliseconds": round(answer.seconds * 1000, 3),
        "facts": [{**asdict(f), "store": answer.store} for f in answer.facts],
        "missing": [asdict(m) for m in answer.missing],
    }
