from __future__ import annotations

import hashlib
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract.errors import EvidenceError
from components.lineage.digests import (
    canonical_json,
    decimal,
    sha256_file,
    sha256_json,
    sha256_tree,
)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    (root / "b").mkdir(parents=True)
    (root / "a.txt").write_text("one")
    (root / "b" / "c.txt").write_text("two")
    return root


def test_a_file_is_named_by_all_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "f"
    content = b"x" * ((1 << 20) + 1)
    path.write_bytes(content)
    assert sha256_file(path) == hashlib.sha256(content).hexdigest()
    path.write_bytes(content[:-1] + b"y")
    assert sha256_file(path) != hashlib.sha256(content).hexdigest()


def test_a_tree_is_named_by_paths_and_content(tree: Path, tmp_path: Path) -> None:
    before = sha256_tree(tree)
    assert before == sha256_json(
        [
            ["a.txt", hashlib.sha256(b"one").hexdigest()],
            ["b/c.txt", hashlib.sha256(b"two").hexdigest()],
        ]
    )
    assert sha256_tree(tree.rename(tmp_path / "elsewhere")) == before


def test_what_does_not_count_does_not_count(tree: Path) -> None:
    before = sha256_tree(tree)
    (tree / "a.txt").touch()
    (tree / "a.txt").chmod(0o600)
    (tree / "empty").mkdir()
    assert sha256_tree(tree) == before


@pytest.mark.parametrize(
    "change",
    [
        lambda t: (t / "a.txt").write_text("One"),
        lambda t: (t / "a.txt").rename(t / "A.txt"),
        lambda t: (t / "a.txt").rename(t / "b" / "a.txt"),
        lambda t: (t / "b" / "c.txt").unlink(),
        lambda t: (t / ".hidden").write_text(""),
        lambda t: (
            (t / "a.txt").rename(t / "swap")
            and (t / "b" / "c.txt").rename(t / "a.txt")
            and (t / "swap").rename(t / "b" / "c.txt")
        ),
    ],
)
def test_every_change_shows(tree: Path, change: Any) -> None:
    before = sha256_tree(tree)
    change(tree)
    assert sha256_tree(tree) != before


@pytest.mark.parametrize("target", ["a.txt", "b", "nowhere"])
def test_a_symbolic_link_is_refused(tree: Path, target: str) -> None:
    (tree / "link").symlink_to(tree / target)
    with pytest.raises(EvidenceError, match="symbolic link"):
        sha256_tree(tree)


def test_a_missing_or_empty_tree_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    for path in (tmp_path / "empty", tmp_path / "none"):
        with pytest.raises(EvidenceError, match="missing or empty"):
            sha256_tree(path)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, 2**53, -(2**53), "\ud800", {"\ud800": 1}, {1: 2}, {1, 2}, b"x", object()],
)
def test_what_is_not_canonical_json_is_refused(value: object) -> None:
    with pytest.raises(EvidenceError, match="not canonical JSON"):
        canonical_json({"x": value})


def test_nesting_without_end_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(EvidenceError, match="not canonical JSON"):
        canonical_json(deep)


def test_canonical_json_as_rfc_8785_prints_it() -> None:
    """The example of RFC 8785, section 3.2.2 and 3.2.3."""
    document = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"\u002f",
        "literals": [None, True, False],
    }
    assert canonical_json(document).decode() == (
        '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


@given(st.integers(0, 2**64 - 1))
def test_a_decimal_reads_back_as_the_same_float(bits: int) -> None:
    (value,) = struct.unpack(">d", bits.to_bytes(8, "big"))
    text = decimal(value)
    assert text is not None
    back = float(text)
    assert (
        math.isnan(back)
        if math.isnan(value)
        else struct.pack(">d", back) == struct.pack(">d", value)
    )


def test_decimals_of_what_is_no_number() -> None:
    assert [decimal(v) for v in (None, math.nan, math.inf, -math.inf)] == [
        None,
        "NaN",
        "Infinity",
        "-Infinity",
    ]
    assert [decimal(v) for v in (1, 0.1, -0.0, np.float64(0.1), np.int64(3))] == [
        "1.0",
        "0.1",
        "-0.0",
        "0.1",
        "3.0",
    ]
