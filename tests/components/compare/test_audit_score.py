"""Each question counts once: for the native store if that answers it, else for what does."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components.audit.answers import Answer, Status
from components.audit.readings import Reading
from components.compare.audit_score import audit_score_table
from components.compare.comparison import Table

YES, PART, NO = Status.ANSWERED, Status.PARTIAL, Status.IMPOSSIBLE
NAMES = ("A1", "A2", "B1", "B2", "B10")


def _reading(stack: str, store: str, *statuses: Status, seconds: float = 0.25) -> Reading:
    answers = tuple(
        Answer(name, store, status, 1, (), (), 0.001)
        for name, status in zip(NAMES, statuses, strict=True)
    )
    return Reading(stack, store, answers, 7, seconds)


TFX = _reading("tfx", "mlmd", YES, PART, NO, NO, YES)
TFX_EVIDENCE = _reading("tfx", "evidence", NO, YES, PART, NO, YES, seconds=0.5)
PYTORCH = _reading("pytorch", "mlflow", PART, NO, YES, YES, NO)
PYTORCH_EVIDENCE = _reading("pytorch", "evidence", PART, YES, YES, YES, YES)
ALL = [TFX, TFX_EVIDENCE, PYTORCH, PYTORCH_EVIDENCE]


def _values(table: Table, name: str) -> dict[str, float | str | None]:
    (line,) = [line for line in table.lines if line.name == name]
    return dict(line.values)


def test_each_question_counts_once_by_the_best_that_answers_it() -> None:
    table = audit_score_table(ALL)
    assert _values(table, "answered natively") == {"tfx": 2, "pytorch": 2}
    assert _values(table, "answered with evidence") == {"tfx": 1, "pytorch": 2}
    assert _values(table, "answered partially") == {"tfx": 1, "pytorch": 1}
    assert _values(table, "not answered at all") == {"tfx": 1, "pytorch": 0}
    assert _values(table, "question B1") == {
        "tfx": "answered partially",
        "pytorch": "answered natively",
    }


def test_exhibits_add_up_to_all_questions() -> None:
    table = audit_score_table(ALL)
    exhibits = [line for line in table.lines if line.name.startswith("exhibit ")]
    for stack in ("tfx", "pytorch"):
        counts = [line.values[stack] for line in exhibits]
        assert sum(c for c in counts if isinstance(c, int)) == len(NAMES)
    assert _values(table, "exhibit B: not answered at all") == {"tfx": 1, "pytorch": 0}


def test_time_and_queries_are_told_of_each_store() -> None:
    table = audit_score_table(ALL)
    assert _values(table, "native store: read in") == {"tfx": 250, "pytorch": 250}
    assert _values(table, "evidence: read in") == {"tfx": 500, "pytorch": 250}
    assert _values(table, "evidence: answered in") == {"tfx": 5, "pytorch": 5}
    assert _values(table, "native store: queries read") == {"tfx": 7, "pytorch": 7}


def test_a_store_that_was_not_there_is_no_score() -> None:
    """An empty answer is not one that the store gave: nothing is counted, and the line says why."""
    gone = replace(TFX, note="tfx: the store is not there")
    table = audit_score_table([gone, TFX_EVIDENCE, PYTORCH, PYTORCH_EVIDENCE])
    assert _values(table, "answered with evidence") == {"tfx": None, "pytorch": 2}
    assert _values(table, "question A1")["tfx"] is None
    assert _values(table, "native store: read in")["tfx"] is None
    assert _values(table, "evidence: read in")["tfx"] == 500
    assert "tfx: the store is not there" in table.lines[0].note


def test_one_store_alone_is_no_score() -> None:
    table = audit_score_table([TFX, PYTORCH, PYTORCH_EVIDENCE])
    assert _values(table, "answered natively") == {"tfx": None, "pytorch": 2}
    assert "tfx: not both stores were read" in table.lines[0].note


def test_other_questions_are_refused() -> None:
    fewer = replace(PYTORCH, answers=PYTORCH.answers[1:])
    with pytest.raises(ValueError, match="different questions"):
        audit_score_table([TFX, TFX_EVIDENCE, fewer, PYTORCH_EVIDENCE])


def test_a_store_that_was_read_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="two readings"):
        audit_score_table([TFX, TFX, TFX_EVIDENCE])


def test_every_line_leads_to_its_question() -> None:
    lines = [x for x in audit_score_table(ALL).lines if x.name.startswith("question ")]
    assert [x.name for x in lines] == [f"question {name}" for name in NAMES]
    assert all(x.name in x.evidence and "policies/questions.yaml" in x.evidence for x in lines)
