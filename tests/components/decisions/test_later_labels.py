"""Files of labels: joined by the decision's name, and refused in one line that quotes no cell."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contract.errors import InputError
from components.decisions.later_labels import open_labels

LOGS = {"a-log": 20, "b-log": 5}
CANARY = "SYN-M000000007"


def named(row: int, log: str = "a-log") -> str:
    """A decision's name."""
    return f"{log}.{row:010d}"


def text(*lines: str, header: str = "decision_id,label,overturned") -> str:
    """A CSV file."""
    return "\n".join([header, *lines]) + "\n"


def test_labels_lie_where_their_decisions_do(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text(
        text(
            f"{named(3)},1,true",
            f"{named(0)},0,",
            f"{named(19)},1.0,FALSE",
            f"{named(4, 'b-log')},true,0",
        )
    )
    with open_labels(path, LOGS) as labels:
        first, later, other = (
            labels.of("a-log", 0, 4),
            labels.of("a-log", 18, 2),
            labels.of("b-log", 0, 5),
        )
    assert first.labels.tolist() == [0, -1, -1, 1]
    assert first.overturned.tolist() == [-1, -1, -1, 1]
    assert (later.labels.tolist(), later.overturned.tolist()) == ([-1, 1], [-1, 0])
    assert other.labels.tolist() == [-1, -1, -1, -1, 1]


def test_parquet_and_packed_csv_are_read_alike_and_appeals_may_be_absent(tmp_path: Path) -> None:
    parquet, packed = tmp_path / "l.parquet", tmp_path / "l.csv.gz"
    pq.write_table(pa.table({"label": [True, False], "decision_id": [named(1), named(2)]}), parquet)
    packed.write_bytes(
        gzip.compress(text(f"{named(1)},1", f"{named(2)},0", header="decision_id,label").encode())
    )
    for path in (parquet, packed):
        with open_labels(path, LOGS) as labels:
            known = labels.of("a-log", 0, 3)
        assert known.labels.tolist() == [-1, 1, 0]
        assert set(known.overturned.tolist()) == {-1}


_TWELVE = [f"{named(i)},1," for i in range(12)]


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([f"{named(1)},2,"], "column label: under 11 rows"),
        ([f"{named(1)},,"], "column label: under 11 rows"),
        ([f"{named(i)},{CANARY}," for i in range(12)], "column label: 12 rows"),
        ([f"{named(1)},1,perhaps"], "column overturned: under 11 rows"),
        ([f"{named(20)},1,"], "column decision_id: under 11 rows with a decision that is in none"),
        (
            [f"{named(1, 'c-log')},1,"],
            "column decision_id: under 11 rows with a decision that is in",
        ),
        ([f"{CANARY},1,"], "column decision_id: under 11 rows with a decision that is in none"),
        ([",1,"], "column decision_id: under 11 rows with a decision that is in none"),
        ([*_TWELVE, *_TWELVE], "column decision_id: 12 rows with a decision named before"),
    ],
)
def test_what_cannot_be_joined_is_counted_and_not_quoted(
    tmp_path: Path, lines: list[str], told: str
) -> None:
    path = tmp_path / "l.csv"
    path.write_text(text(*lines))
    with pytest.raises(InputError, match=told) as refused, open_labels(path, LOGS):
        pass
    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value)
    assert CANARY not in str(refused.value)
    assert "0000000" not in str(refused.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    for name, content in (
        ("l.txt", "x"),
        ("l.parquet", "x"),
        ("l.csv", "decision_id\nx\n"),
        ("m.csv", "label\n1\n"),
    ):
        path = tmp_path / name
        path.write_text(content)
        with pytest.raises(InputError), open_labels(path, LOGS):
            pass
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "none.csv", tmp_path, tmp_path / "pipe.csv"):
        with pytest.raises(InputError, match="is no file"), open_labels(path, LOGS):
            pass
