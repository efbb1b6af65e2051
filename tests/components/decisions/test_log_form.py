"""A log that was signed again with the home's own key is refused where it makes no sense."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contract.errors import EvidenceError
from components.decisions.decision_log import DecisionLog
from components.decisions.log_form import SCHEMA
from components.decisions.scoring import outcomes
from tests.components.decisions.scored_batch import HEADER

SENTENCE, CANARY = "Few visits.", "canary"
ADVERSE = {"adverse": "not_selected", "sentences": [SENTENCE]}
ROWS = 4


def _rows() -> pa.Table:
    """Selected, adverse with its reason, adverse without one, selected."""
    return pa.table(
        {
            "row": list(range(ROWS)),
            "assay_row": [n.to_bytes(32, "big") for n in range(ROWS)],
            "assay_entity": [n.to_bytes(16, "big") for n in range(ROWS)],
            "score": [0.3, 0.1, 0.2, 0.9],
            "outcome": ["selected", "not_selected", "review", "selected"],
            "reasons": [[], [SENTENCE], [], []],
            "decided_at": [datetime(2026, 1, 2, tzinfo=UTC)] * ROWS,
        },
        schema=SCHEMA,
    ).append_column("assay_group_sex", pa.array(["f", "m", None, "f"]))


def _signed(home: Path, rows: pa.Table | bytes, header: Any = None, entry: Any = None) -> Path:
    """A log whose signatures are all in order, whatever it says."""
    log = DecisionLog.create(home, "a-log", {**HEADER, **ADVERSE} if header is None else header)
    content = rows
    if isinstance(rows, pa.Table):
        sink = io.BytesIO()
        pq.write_table(rows, sink)
        content = sink.getvalue()
    (log.directory / "segment-000001.parquet").write_bytes(content)
    named = {
        "kind": "segment", "file": "segment-000001.parquet", "first": 0, "rows": ROWS,
        "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip
    log._signed.append({**named, **(entry or {})})
    log._signed.append({"kind": "end", "rows": ROWS, "endedAt": HEADER["startedAt"]})
    return home


def _set(column: str, values: list, kind: pa.DataType | None = None) -> Callable:
    def change(rows: pa.Table) -> pa.Table:
        place = rows.column_names.index(column)
        return rows.set_column(place, column, pa.array(values, kind or rows.schema.types[place]))

    return change


def test_what_scoring_writes_is_sound(tmp_path: Path) -> None:
    log = DecisionLog.open(_signed(tmp_path, _rows()), "a-log")
    assert log.rows_of(log.segments[0]).equals(_rows())
    assert outcomes(log) == {"selected": 2, "not_selected": 1, "review": 1}
    assert (log.decision(2) or {})["outcome"] == "review"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_set("score", [0.2, 0.1, 0.2, 0.9]), "outcome is not what score"),
        (_set("score", [0.3, 0.1, 0.2, float("nan")]), "score is not in"),
        (_set("score", [0.3, 0.1, 0.2, 1.5]), "score is not in"),
        (_set("score", [0.3, 0.1, None, 0.9]), "has no score"),
        (_set("outcome", ["selected", "not_selected", "review", CANARY]), "outcome is none"),
        (_set("outcome", ["review", "not_selected", "review", "selected"]), "without a cause"),
        (_set("reasons", [[SENTENCE], [SENTENCE], [], []]), "reasons are not those"),
        (_set("reasons", [[], [], [], []]), "reasons are not those"),
        (_set("reasons", [[], [CANARY], [], []]), "does not know"),
        (_set("reasons", [[], [SENTENCE, None], [], []]), "does not know"),
        (_set("assay_entity", [None, b"b" * 16, b"c" * 16, b"d" * 16]), "has no assay_entity"),
        (_set("row", [0, 1, 1, 3]), "row is out of place"),
        (_set("decided_at", [datetime(2025, 12, 31, tzinfo=UTC)] * ROWS), "before the log"),
        (_set("row", [0, 1, 2, 3], pa.int32()), "other columns"),
        (_set("score", ["0.3", "0.1", "0.2", "0.9"], pa.string()), "other columns"),
        (_set("assay_group_sex", [1, 2, 3, 4], pa.int64()), "other columns"),
        (lambda rows: rows.append_column(CANARY, rows["score"]), "other columns"),
        (lambda rows: rows.append_column("score", rows["score"]), "other columns"),
        (lambda rows: rows.drop_columns(["score"]), "other columns"),
        (lambda rows: rows.slice(0, 3), "another number of rows"),
        (lambda rows: b"no Parquet, " + CANARY.encode(), "is no segment"),
    ],
)
@pytest.mark.filterwarnings("error")
def test_a_segment_that_contradicts_its_log_is_refused(
    tmp_path: Path, change: Callable, told: str
) -> None:
    log = DecisionLog.open(_signed(tmp_path, change(_rows())), "a-log")
    for read in (log.decision, lambda row: log.rows_of(log.segments[0])):
        with pytest.raises(EvidenceError, match=told) as refused:
            read(2)
        assert CANARY not in str(refused.value)


def test_pages_that_cannot_be_read_are_no_segment(tmp_path: Path) -> None:
    sink = io.BytesIO()
    pq.write_table(_rows(), sink, compression="zstd")
    content = bytearray(sink.getvalue())
    content[4:400] = b"\xff" * 396  # behind the footer's back
    log = DecisionLog.open(_signed(tmp_path, bytes(content)), "a-log")
    with pytest.raises(EvidenceError, match="is no segment"):
        log.decision(2)


def test_a_batch_left_to_a_person_has_no_word_of_the_model(tmp_path: Path) -> None:
    log = DecisionLog.open(_signed(tmp_path, _rows(), {**HEADER, "route": "review"}), "a-log")
    with pytest.raises(EvidenceError, match="outcome is not review"):
        log.decision(0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("check", None),
        ("check", {"status": "PASS"}),
        ("dataset", None),
        ("model", 7),
        ("release", "1"),
        ("release", 0),
        ("threshold", "low"),
        ("threshold", "NaN"),
        ("threshold", 1),
        ("threshold", None),
        ("route", "elsewhere"),
        ("adverse", "all"),
        ("sentences", "Few visits."),
        ("startedAt", "yesterday"),
        ("startedAt", "2026-01-01T00:00:00"),
    ],
)
def test_a_header_without_a_sound_field_is_refused(
    tmp_path: Path, field: str, value: object
) -> None:
    header = {k: v for k, v in {**HEADER, field: value}.items() if v is not None}
    log = DecisionLog.open(_signed(tmp_path, _rows(), header), "a-log")
    for read in (lambda: log.header, lambda: log.segments, lambda: log.closed):
        with pytest.raises(EvidenceError, match=f"no sound {field}"):
            read()


@pytest.mark.parametrize(
    "entry",
    [{"first": "0"}, {"rows": None}, {"rows": 0}, {"first": False}, {"file": 1}, {"sha256": None}],
)
def test_an_entry_that_names_no_segment_is_refused(tmp_path: Path, entry: dict) -> None:
    log = DecisionLog.open(_signed(tmp_path, _rows(), entry=entry), "a-log")
    with pytest.raises(EvidenceError, match="segment"):
        log.decision(0)
