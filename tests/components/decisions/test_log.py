from __future__ import annotations

import hashlib
import math
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.decisions.log import NOT_SELECTED, SELECTED, write_decisions

ROWS = [bytes([i]) * 32 for i in range(4)]
SCORES = np.array([0.0, 0.5, math.nextafter(0.5, 0), 1.0])
AT = datetime(2026, 11, 22, 12, 0, 0, 123456, tzinfo=UTC)


def _write(path: Path, rows: list[bytes] = ROWS, scores: Any = SCORES, **changes: Any) -> None:
    given = {
        "threshold": 0.5,
        "run": "run-1",
        "model": "m" * 64,
        "policy": "p" * 64,
        "at": AT,
        **changes,
    }
    write_decisions(path, rows, scores, **given)


def test_each_row_has_its_decision(tmp_path: Path) -> None:
    path = tmp_path / "decisions.parquet"
    _write(path)
    table = pq.read_table(path)
    assert table.column_names == ["decision_id", "assay_row", "score", "outcome", "decided_at"]
    assert table["assay_row"].to_pylist() == ROWS
    assert table["score"].to_pylist() == SCORES.tolist()
    assert table["outcome"].to_pylist() == [NOT_SELECTED, SELECTED, NOT_SELECTED, SELECTED]
    assert table["decided_at"].to_pylist() == [AT] * 4
    assert table.schema.field("assay_row").type == pa.binary(32)
    metadata = {k: v for k, v in (table.schema.metadata or {}).items() if k != b"ARROW:schema"}
    assert metadata == {b"run": b"run-1", b"model": b"m" * 64, b"policy": b"p" * 64}
    assert list(tmp_path.iterdir()) == [path]


def test_a_decision_is_named_by_run_and_row(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    ids = []
    for run in ("run-1", "run-2"):
        _write(path, run=run)
        ids += pq.read_table(path)["decision_id"].to_pylist()
    assert len(set(ids)) == 8
    assert ids[0] == hashlib.sha256(b"run-1\x00" + ROWS[0]).hexdigest()[:32]


def test_another_time_zone_is_turned_into_utc(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    _write(path, at=AT.astimezone(timezone(timedelta(hours=5))))
    assert pq.read_table(path)["decided_at"].to_pylist() == [AT] * 4


def test_a_log_may_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "d.parquet"
    _write(path, [], np.array([], dtype=np.float64))
    assert pq.read_table(path).num_rows == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1.0000001, -0.1])
def test_a_broken_model_decides_about_nobody(tmp_path: Path, bad: float) -> None:
    path = tmp_path / "d.parquet"
    with pytest.raises(ValueError, match=r"a score is not a number in \[0, 1\]"):
        _write(path, scores=np.array([0.1, bad, 0.2, 0.3]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("rows", "scores"), [(ROWS[:3], SCORES), ([b"short"] * 4, SCORES), (ROWS, SCORES[:3])]
)
def test_a_log_that_cannot_be_whole_is_not_there_at_all(
    tmp_path: Path, rows: list[bytes], scores: Any
) -> None:
    path = tmp_path / "d.parquet"
    _write(path)
    before = path.read_bytes()
    with pytest.raises((ValueError, pa.ArrowException)):
        _write(path, rows, scores)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_fills_up_leaves_the_old_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "d.parquet"
    _write(path)
    before = path.read_bytes()

    def full(table: pa.Table, where: Path, **_: Any) -> None:
        Path(where).write_bytes(b"PAR1 half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pq, "write_table", full)
    with pytest.raises(OSError, match="No space left"):
        _write(path, run="run-2")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
