"""A decision log is whole, or says where it is not; whoever was killed goes on where it ended."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pytest

from components.contract.errors import EvidenceError, InputError
from components.decisions.decision_log import (
    SCHEMA,
    DecisionLog,
    decision_id,
    decision_logs,
    parse_decision_id,
)
from tests.components.decisions.scored_batch import HEADER as PLAIN

HEADER = {**PLAIN, "adverse": "not_selected"}


def _decisions(first: int, rows: int) -> pa.Table:
    numbers = range(first, first + rows)
    return pa.table(
        {
            "row": list(numbers),
            "assay_row": [n.to_bytes(32, "big") for n in numbers],
            "assay_entity": [n.to_bytes(16, "big") for n in numbers],
            "score": [n / 1e6 for n in numbers],
            "outcome": ["not_selected"] * rows,
            "reasons": [["high_cost"]] * rows,
            "decided_at": [datetime(2026, 1, 1, tzinfo=UTC)] * rows,
        },
        schema=SCHEMA,
    )


@pytest.fixture
def log(tmp_path: Path) -> DecisionLog:
    made = DecisionLog.create(tmp_path, "a-log", HEADER)
    made.append(_decisions(0, 70_000))
    made.append(_decisions(70_000, 10))
    made.close()
    return DecisionLog.open(tmp_path, "a-log")


@pytest.mark.parametrize("row", [0, 32_767, 32_768, 69_999, 70_000, 70_009])
def test_a_decision_lies_where_its_name_says(log: DecisionLog, row: int) -> None:
    found = log.decision(parse_decision_id(decision_id("a-log", row))[1])
    assert found is not None
    assert (found["row"], found["score"], found["reasons"]) == (row, row / 1e6, ["high_cost"])


def test_it_says_what_stands_for_all_its_decisions(log: DecisionLog) -> None:
    assert (log.header["model"], log.rows, log.closed) == ("0" * 64, 70_010, True)
    assert [d.log_id for d in decision_logs(log.directory.parent.parent)] == ["a-log"]


def test_there_is_no_decision_behind_the_last(log: DecisionLog) -> None:
    assert log.decision(70_010) is None


def test_who_was_killed_before_a_segment_was_named_writes_it_again(tmp_path: Path) -> None:
    begun = DecisionLog.create(tmp_path, "a-log", HEADER)
    begun.append(_decisions(0, 5))
    (begun.directory / "segment-000002.parquet").write_bytes(b"half")
    again = DecisionLog.open(tmp_path, "a-log")
    assert (again.rows, again.closed) == (5, False)
    again.append(_decisions(5, 5))
    again.close()
    whole = DecisionLog.open(tmp_path, "a-log")
    assert [(d or {})["row"] for d in map(whole.decision, range(10))] == list(range(10))


def test_rows_that_do_not_follow_are_not_written(tmp_path: Path) -> None:
    begun = DecisionLog.create(tmp_path, "a-log", HEADER)
    begun.append(_decisions(0, 5))
    with pytest.raises(ValueError, match="do not follow"):
        begun.append(_decisions(4, 5))
    assert DecisionLog.open(tmp_path, "a-log").rows == 5


def test_nobody_is_decided_about_by_a_score_that_is_none(tmp_path: Path) -> None:
    begun = DecisionLog.create(tmp_path, "a-log", HEADER)
    bad = _decisions(0, 2).set_column(3, "score", pa.array([0.5, float("nan")]))
    with pytest.raises(ValueError, match="not a number"):
        begun.append(bad)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda d: (d / "segment-000001.parquet").unlink(), "is missing"),
        (lambda d: (d / "segment-000001.parquet").write_bytes(b"PAR1"), "was changed"),
        (lambda d: (d / "log" / "00000002.json").unlink(), "is missing from the log"),
        (
            lambda d: (d / "segment-000002.parquet").replace(d / "segment-000001.parquet"),
            "was changed",
        ),
        (lambda d: (d / "log" / "00000001.json").write_bytes(b"{}"), "00000001.json"),
    ],
)
def test_a_changed_log_says_so(log: DecisionLog, change, told: str) -> None:
    change(log.directory)
    with pytest.raises(EvidenceError, match=told):
        DecisionLog.open(log.directory.parent.parent, "a-log").decision(3)


def test_a_log_under_the_name_of_another_is_refused(log: DecisionLog) -> None:
    moved = log.directory.rename(log.directory.with_name("other"))
    with pytest.raises(EvidenceError, match="another one"):
        DecisionLog.open(moved.parent.parent, "other").decision(3)


def test_a_log_that_lost_its_tail_does_not_hold_its_head(log: DecisionLog) -> None:
    home, head = log.directory.parent.parent, log.head
    log.require_head(head)
    (log.directory / "log" / "00000004.json").unlink()
    cut = DecisionLog.open(home, "a-log")
    assert not cut.closed  # it reads well, and would be gone on with
    with pytest.raises(EvidenceError, match="cut off"):
        cut.require_head(head)


def test_a_log_that_was_given_up_is_over_and_says_why(tmp_path: Path) -> None:
    begun = DecisionLog.create(tmp_path, "a-log", HEADER)
    begun.append(_decisions(0, 5))
    head = begun.head
    begun.abort("a reason")
    over = DecisionLog.open(tmp_path, "a-log")
    assert (over.closed, over.aborted, over.rows) == (False, "a reason", 5)
    over.require_head(head)
    over.append(_decisions(5, 5))
    with pytest.raises(EvidenceError, match="does not begin as one"):
        _ = DecisionLog.open(tmp_path, "a-log").rows


@pytest.mark.parametrize("name", ["../../etc", "a-log", "a-log.1", "a/b.0000000001", ""])
def test_what_is_no_name_of_a_decision_is_bad_input(name: str) -> None:
    with pytest.raises(InputError):
        parse_decision_id(name)


@pytest.mark.parametrize("name", ["none", "../runs", ""])
def test_a_log_that_is_not_there_is_bad_input(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError):
        DecisionLog.open(tmp_path, name)


def test_who_was_killed_before_the_first_entry_began_no_log(tmp_path: Path) -> None:
    (tmp_path / "decisions" / "a-log" / "log").mkdir(parents=True)
    assert decision_logs(tmp_path) == []
    with pytest.raises(InputError):
        DecisionLog.open(tmp_path, "a-log")


@pytest.mark.parametrize("name", ["segment-000001.parquet", "log/00000002.json"])
def test_a_pipe_in_the_place_of_a_file_is_not_waited_for(log: DecisionLog, name: str) -> None:
    (log.directory / name).unlink()
    os.mkfifo(log.directory / name)
    with pytest.raises(EvidenceError):
        DecisionLog.open(log.directory.parent.parent, "a-log").decision(3)
