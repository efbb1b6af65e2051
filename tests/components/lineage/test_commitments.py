from __future__ import annotations

import hmac
import math
import multiprocessing
import os
import stat
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract.errors import InputError
from components.lineage.commitments import (
    artifact_nonce,
    commit_rows,
    commitment,
    encode_rows,
    entity_tags,
    load_or_create_row_key,
    nonce,
)

KEY = b"k" * 32


def _rows(**columns: Any) -> list[bytes]:
    return list(encode_rows(pa.table(columns)))


def _one(value: Any, kind: pa.DataType | None = None) -> bytes:
    return _rows(x=pa.array([value], kind))[0]


def test_values_of_other_types_never_look_alike() -> None:
    encoded = [
        _one(1, pa.int64()),
        _one(1.0, pa.float64()),
        _one(True, pa.bool_()),
        _one("1", pa.string()),
        _one(None, pa.string()),
        _one("", pa.string()),
        _one(0, pa.int64()),
        _one(0.0, pa.float64()),
        _one(False, pa.bool_()),
        _one("true", pa.string()),
        _one("None", pa.string()),
        _one("\x00", pa.string()),
    ]
    assert len(set(encoded)) == len(encoded)


def test_zero_has_no_sign_and_nan_is_no_value() -> None:
    assert _one(-0.0) == _one(0.0)
    assert _one(math.nan) == _one(None, pa.float64())
    assert _one(math.inf) != _one(-math.inf)
    assert _one(5e-324) != _one(0.0)


def test_a_border_between_cells_is_part_of_the_row() -> None:
    rows = [
        _rows(a=["x\x03y"], b=["z"]),
        _rows(a=["x"], b=["y\x03z"]),
        _rows(a=["ab"], b=["c"]),
        _rows(a=["a"], b=["bc"]),
        _rows(a=["abc"], b=[""]),
        _rows(a=[""], b=["abc"]),
        _rows(a=["abc"], b=pa.array([None], pa.string())),
        _rows(a=pa.array([None], pa.string()), b=["abc"]),
    ]
    assert len({row for (row,) in rows}) == len(rows)


cell = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=4),
)


@given(st.lists(st.tuples(cell, cell), min_size=2, max_size=2))
def test_rows_encode_alike_only_if_they_are(pair: list[tuple[Any, Any]]) -> None:
    def same(x: Any, y: Any) -> bool:
        return type(x) is type(y) and x == y

    encoded = []
    for row in pair:
        encoded.append(_rows(**{f"c{i}": pa.array([v]) for i, v in enumerate(row)})[0])
    alike = all(same(x, y) for x, y in zip(*pair, strict=True))
    assert (encoded[0] == encoded[1]) == alike


def test_the_order_of_columns_counts_and_dates_are_refused() -> None:
    assert _rows(a=[1], b=[2]) != _rows(b=[2], a=[1])
    with pytest.raises(TypeError, match="no row encoding for date"):
        list(encode_rows(pa.table({"d": pa.array([1], pa.date32())})))


def test_a_commitment_says_nothing_without_the_key() -> None:
    row = _one("secret")
    assert commitment(nonce(KEY, row), row) != commitment(nonce(b"j" * 32, row), row)
    assert len(nonce(KEY, row)) == len(commitment(nonce(KEY, row), row)) == 32
    assert nonce(KEY, row) != bytes.fromhex(artifact_nonce(KEY, row.decode("latin-1")))
    assert artifact_nonce(KEY, "a") != artifact_nonce(KEY, "b")


def test_copies_of_a_row_are_cases_of_their_own() -> None:
    rows = [b"a", b"b", b"a", b"a", b"c"]
    found = list(commit_rows(KEY, rows))
    assert len(set(found)) == len(rows)
    assert found[0] == commitment(nonce(KEY, b"a"), b"a")
    assert found[1] == commitment(nonce(KEY, b"b"), b"b")
    assert sorted(commit_rows(KEY, reversed(rows))) == sorted(found)
    assert list(commit_rows(KEY, rows[:1])) == found[:1]


# The row key


def test_a_key_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "deeper" / "row.key"
    before = os.umask(0)
    try:
        key = load_or_create_row_key(path)
    finally:
        os.umask(before)
    assert len(key) == 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert load_or_create_row_key(path) == key
    assert [p.name for p in path.parent.iterdir()] == ["row.key"]
    assert load_or_create_row_key(tmp_path / "other.key") != key


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o660, 0o610])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "row.key"
    load_or_create_row_key(path)
    path.chmod(mode)
    with pytest.raises(InputError, match="not a private row key"):
        load_or_create_row_key(path)


@pytest.mark.parametrize("content", [b"", b"k" * 31, b"k" * 33])
def test_a_key_of_another_length_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "row.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(InputError, match="not a private row key"):
        load_or_create_row_key(path)
    assert path.read_bytes() == content


def test_a_key_that_cannot_be_made_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.key").mkdir()
    for path in (tmp_path / "file" / "row.key", tmp_path / "folder.key"):
        with pytest.raises(InputError):
            load_or_create_row_key(path)


def _load(path: Path, keys: Any) -> None:
    keys.put(load_or_create_row_key(path))


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    keys = context.Queue()
    processes = [context.Process(target=_load, args=(tmp_path / "row.key", keys)) for _ in range(8)]
    for process in processes:
        process.start()
    found = {keys.get(timeout=30) for _ in processes}
    for process in processes:
        process.join(30)
    assert len(found) == 1


@pytest.mark.parametrize("length", [0, 1, 32, 64, 65, 200])
def test_many_names_under_one_key_are_those_of_one_at_a_time(length: int) -> None:
    key, rows = b"q" * length, [b"", b"a", b"b" * 44, b"c" * 300]
    assert list(commit_rows(key, rows)) == [commitment(nonce(key, r), r) for r in rows]
    expected = [hmac.digest(key, b"assay-entity-v1\x00" + r, "sha256")[:16] for r in rows]
    assert list(entity_tags(key, [r.decode() for r in rows])) == expected


def test_rows_of_a_table_that_was_cut_are_encoded_alike() -> None:
    table = pa.table({"a": ["x", "", None, "long"] * 9, "b": list(range(36))})
    assert list(encode_rows(table.slice(7, 20))) == list(encode_rows(table))[7:27]
    assert list(encode_rows(table.slice(0, 0))) == []
