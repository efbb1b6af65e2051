"""A text is found wherever it was written, packed or not."""

from __future__ import annotations

import gzip
import sqlite3
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.compare.canary import files_with

TEXT = "SSN 078-05-1120"


def test_plain_and_packed_files_are_searched(tmp_path: Path) -> None:
    (tmp_path / "clean.txt").write_text("nobody")
    (tmp_path / "plain.txt").write_text(f"seen: {TEXT}")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "packed.gz").write_bytes(gzip.compress(TEXT.encode()))
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", TEXT * 20)
    pq.write_table(pa.table({"a": [TEXT] * 9}), tmp_path / "rows.parquet", compression="zstd")
    with sqlite3.connect(tmp_path / "store.sqlite") as database:
        database.execute("CREATE TABLE t (a TEXT)")
        database.execute("INSERT INTO t VALUES (?)", [TEXT])
    (tmp_path / "link").symlink_to(tmp_path / "plain.txt")
    found, searched = files_with(tmp_path, TEXT.encode())
    assert found == ("plain.txt", "rows.parquet", "store.sqlite", "z.zip", "deep/packed.gz")
    assert searched == 6


def test_a_clean_folder_has_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("nobody")
    assert files_with(tmp_path, TEXT.encode()) == ((), 1)
