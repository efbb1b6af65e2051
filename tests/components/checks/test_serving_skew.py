from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.checks.measurement import Finding, Status
from components.checks.serving_skew import compare

ROWS = [bytes([i]) * 32 for i in range(4)]


def _table(path: Path, column: str, figures: list, rows: list[bytes] = ROWS) -> Path:
    pq.write_table(pa.table({"assay_row": pa.array(rows, pa.binary(32)), column: figures}), path)
    return path


def _compare(tmp_path: Path, column: str, before: list, after: list, **other: list) -> Finding:
    trained = _table(tmp_path / "trained.parquet", column, before)
    served = _table(tmp_path / "served.parquet", column, after, **other)
    return compare(column, trained, served, at_most=0.001, unit="std")


def test_the_largest_difference_decides(tmp_path: Path) -> None:
    before = [[0.0, 1.0], [2.0, 3.0], [4.0, 5.0], [6.0, 7.0]]
    same = _compare(tmp_path, "features", before, before)
    assert (same.rule, same.status) == ("skew:features", Status.PASS)
    near = [*before[:3], [6.0, 7.0009]]
    assert _compare(tmp_path, "features", before, near).status is Status.PASS
    far = _compare(tmp_path, "features", before, [*before[:3], [6.0, 7.0011]])
    assert far.status is Status.FAIL
    assert far.measurement
    assert far.measurement.value == pytest.approx(0.0011)
    assert far.measurement.n == 4


def test_rows_may_come_in_any_order(tmp_path: Path) -> None:
    order = [2, 0, 3, 1]
    scores = [0.1, 0.2, 0.3, 0.4]
    shuffled = [scores[i] for i in order]
    rows = [ROWS[i] for i in order]
    assert _compare(tmp_path, "score", scores, shuffled, rows=rows).status is Status.PASS
    assert _compare(tmp_path, "score", scores, shuffled).status is Status.FAIL


@pytest.mark.parametrize(
    ("after", "rows"),
    [
        ([0.1, 0.2, 0.3], ROWS[:3]),
        ([0.1, 0.2, 0.3, 0.4], [*ROWS[:3], b"x" * 32]),
        ([0.1, 0.2, 0.3, 0.4], [*ROWS[:3], ROWS[2]]),
    ],
)
def test_other_rows_fail(tmp_path: Path, after: list, rows: list) -> None:
    found = _compare(tmp_path, "score", [0.1, 0.2, 0.3, 0.4], after, rows=rows)
    assert found.status is Status.FAIL
    assert "other rows" in found.reason


def test_another_number_of_features_fails(tmp_path: Path) -> None:
    wide = [[1.0, 2.0]] * 4
    for other in ([[1.0]] * 4, [[1.0, 2.0]] * 3 + [[1.0]], [[1.0, 2.0]] * 3 + [None]):
        assert _compare(tmp_path, "features", wide, other).status is Status.FAIL


def test_rows_of_several_widths_prove_nothing(tmp_path: Path) -> None:
    ragged = [[1.0], [1.0, 2.0], [1.0], [1.0]]
    found = _compare(tmp_path, "features", ragged, [[9.0], [9.0, 9.0], [9.0], [9.0]])
    assert found.status is Status.INCONCLUSIVE


def test_what_is_no_number_is_inconclusive(tmp_path: Path) -> None:
    scores = [0.1, 0.2, 0.3, 0.4]
    for bad in (math.nan, math.inf, None):
        found = _compare(tmp_path, "score", scores, [*scores[:3], bad])
        assert found.status is Status.INCONCLUSIVE
    assert _compare(tmp_path, "score", [None] * 4, scores).status is Status.INCONCLUSIVE


def test_no_rows_prove_nothing(tmp_path: Path) -> None:
    empty = [
        _table(tmp_path / f"{i}.parquet", "score", pa.array([], pa.float64()), []) for i in "ab"
    ]
    assert compare("score", *empty, at_most=1.0, unit="1").status is Status.INCONCLUSIVE
