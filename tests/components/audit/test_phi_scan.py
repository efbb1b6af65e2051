"""The scanner finds a planted value in every form and in every kind of file, and never tells it."""

from __future__ import annotations

import base64
import gzip
import io
import json
import lzma
import sqlite3
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.audit import phi_layers
from components.audit.phi_forms import forms
from components.audit.phi_scan import PhiScan, scan_phi
from components.audit.phi_search import BLOCK, Patterns
from components.audit.phi_values import MOST_CHARACTERS, MOST_VALUES, Wanted, wanted_values
from components.contract.contract import Contract
from components.contract.errors import EvidenceError, InputError
from tests import clinic

PERSON = "Zoë O'Brien-4711"
NUMBER = "131072999"
COST = "1234.567890123"
SHORT = "p7q3x"


def _wanted() -> Wanted:
    wanted = Wanted()
    wanted.add("person", [PERSON, SHORT], 2)
    wanted.add("member", [NUMBER, "4711", "7"], 3)
    wanted.add("cost", [COST], 1)
    return wanted


def _scan(folder: Path, wanted: Wanted | None = None) -> PhiScan:
    return scan_phi(folder, wanted=wanted or _wanted())


def _columns(folder: Path, content: bytes, name: str = "file.bin") -> set[str]:
    (folder / name).write_bytes(content)
    scan = _scan(folder)
    assert scan.unsearched == []
    return {f.column for f in scan.findings}


@pytest.mark.parametrize(
    ("value", "column"), [(PERSON, "person"), (NUMBER, "member"), (COST, "cost")]
)
def test_every_form_is_found_at_its_place(tmp_path: Path, value: str, column: str) -> None:
    named = {encoding for encoding, _ in forms(value)}
    assert {"utf-8", "utf-16le", "utf-16be", "hex", "base64"} <= named
    if value == PERSON:
        assert {"json", "url", "html", "latin-1", "utf-8, other case"} <= named
    if value == COST:
        assert "binary64" in named
    for encoding, form in forms(value):
        (tmp_path / "file.bin").write_bytes(b"before " + form + b" after")
        found = _scan(tmp_path).findings
        assert (7, column, encoding) in {(f.offset, f.column, f.encoding) for f in found}


@pytest.mark.parametrize("lead", range(3))
def test_base64_is_found_at_each_offset_and_in_a_payload(tmp_path: Path, lead: int) -> None:
    for tail in range(3):
        code = base64.b64encode(b"x" * lead + NUMBER.encode() + b"y" * tail)
        assert _columns(tmp_path, code) == {"member"}
    document = json.dumps({"padding": "x" * (100 + lead), "name": PERSON}).encode()
    assert _columns(tmp_path, b'{"payload":"' + base64.b64encode(document) + b'"}') == {"person"}


def _zipped(content: bytes, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        archive.writestr("entry", content)
    return out.getvalue()


def _png(content: bytes) -> bytes:
    """A picture whose data is cut into chunks of 7 bytes."""
    data = zlib.compress(content)
    parts = [data[i : i + 7] for i in range(0, len(data), 7)]
    chunks = [struct.pack(">I", len(p)) + b"IDAT" + p + b"\0" * 4 for p in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _parquet(content: bytes) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"c": [content.decode()] * 3}), out, compression="zstd")
    return out.getvalue()


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "zlib": zlib.compress,
    "pdf": lambda c: b"%PDF-1.7\nstream\r\n" + zlib.compress(c) + b"\nendstream",
    "after-x": lambda c: b"xxx" + zlib.compress(c),
    "gzip": gzip.compress,
    "xz": lzma.compress,
    "zip": _zipped,
    "zip-stored": lambda c: _zipped(c, zipfile.ZIP_STORED),
    "png": _png,
    "parquet": _parquet,
    "zip-in-zip": lambda c: _zipped(_zipped(c)),
    "base64-of-gzip": lambda c: base64.b64encode(gzip.compress(c)),
}


@pytest.mark.parametrize("pack", PACKED)
def test_what_is_packed_is_unpacked(tmp_path: Path, pack: str) -> None:
    content = b"some words before " + PERSON.encode() + b" and some after, " * 5
    assert _columns(tmp_path, PACKED[pack](content)) == {"person"}
    assert _columns(tmp_path, PACKED[pack](b"nothing but words " * 9)) == set()


def test_pages_cells_and_journals_of_a_database_are_searched(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("CREATE TABLE t (small TEXT, big TEXT, number INTEGER)")
        for lead in range(4060, 4100):  # the value lies across the end of a page in one of them
            database.execute("INSERT INTO t VALUES ('x', ?, 1)", ("x" * lead + PERSON,))
        database.execute("INSERT INTO t VALUES ('x', 'y', ?)", (int(NUMBER),))
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    scan = _scan(tmp_path)
    assert {f.column for f in scan.findings} == {"person", "member"}
    assert {f.within for f in scan.findings} >= {"sqlite"}
    database.execute("DELETE FROM t")
    database.execute("INSERT INTO t VALUES ('x', ?, 1)", (COST,))
    database.commit()  # as yet in the write-ahead log alone
    found = {f.file for f in _scan(tmp_path).findings if f.column == "cost"}
    assert found == {"store.sqlite-wal"}
    database.close()


def test_a_value_across_two_blocks_is_found(tmp_path: Path) -> None:
    for start in range(BLOCK - len(PERSON) - 2, BLOCK + 2):
        content = b"." * start + b" " + PERSON.encode() + b" "
        found = [h.offset for h in Patterns(_wanted()).find(content) if h.encoding == "utf-8"]
        assert found == [start + 1]


def test_a_short_value_counts_after_its_columns_name_alone(tmp_path: Path) -> None:
    assert _columns(tmp_path, b'{"rows": 4711, "n": 7, "members": 4711}') == set()
    for text in (b'{"member": 4711}', b"member=4711", b"member: '7'", b'\\"member\\": 4711'):
        assert _columns(tmp_path, text) == {"member"}
    assert _columns(tmp_path, b"member: 4712, submember=4711, member=47110") == set()


def test_a_number_within_a_longer_one_is_not_it(tmp_path: Path) -> None:
    for text in (f"1{NUMBER}", f"{NUMBER}1", f"0.{NUMBER}", f"a{NUMBER}", f"x{SHORT}"):
        assert _columns(tmp_path, text.encode()) == set()
    assert _columns(tmp_path, f"({NUMBER})[{SHORT}]".encode()) == {"member", "person"}


def test_a_files_name_is_searched_and_not_told(tmp_path: Path) -> None:
    (tmp_path / f"of {PERSON}.txt").write_bytes(b"")
    scan = _scan(tmp_path)
    assert {(f.file, f.within) for f in scan.findings} == {("of [person].txt", "the name")}
    assert PERSON not in json.dumps(scan.to_json(), ensure_ascii=False)


def test_data_folders_are_left_out_and_their_neighbours_are_not(tmp_path: Path) -> None:
    held = [
        "datasets/a/b.json",
        "decisions/x.log",
        "runs/r/artifacts/p/f.parquet",
        "runs/r/native/E/1/data_tfrecord-00000-of-00001.gz",
        "runs/r/artifacts/profile-a.json",
    ]
    others = ["runs/r/artifacts/report.json", "runs/r/f.parquet", "x/datasets/a", "runs/r/run.json"]
    for name in held + others:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(PERSON)
    scan = _scan(tmp_path)
    assert {f.file for f in scan.findings} == set(others)


def test_what_cannot_be_unpacked_is_not_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.zip").write_bytes(_zipped(b"x" * 100)[:-30])
    scan = _scan(tmp_path)
    assert [f for f, _ in scan.unsearched] == ["broken.zip"]
    assert not scan.is_clean
    (tmp_path / "broken.zip").write_bytes(_zipped(b"x" * 5000))
    assert _scan(tmp_path).is_clean
    monkeypatch.setattr(phi_layers, "MOST_BYTES", 4000)
    assert not _scan(tmp_path).is_clean
    deep = b"x" * 100
    for _ in range(phi_layers.MOST_DEPTH + 2):
        deep = _zipped(deep)
    (tmp_path / "broken.zip").write_bytes(deep)
    assert not _scan(tmp_path).is_clean


def test_random_bytes_hold_nothing(tmp_path: Path) -> None:
    noise = np.random.default_rng(5).bytes(1 << 20)
    assert _columns(tmp_path, noise) == set()
    assert _columns(tmp_path, base64.b64encode(noise), "b") == set()


def _dataset(folder: Path, rows: int = 60) -> tuple[Contract, Path]:
    path = folder / "rows.parquet"
    columns: dict[str, Any] = {
        "person": [f"p{i:03d}" for i in range(rows)],
        "year": [2001] * rows,
        "age": [30.0 + i for i in range(rows)],
        "sex": ["f", "m"] * (rows // 2),
        "ward": ["ward A", "ward B"] * (rows // 2),
        "cost": [100 + i / 7 for i in range(rows)],
        "note": [f"note of {i} " + "x" * 90 for i in range(rows - 20)] + ["nothing to tell"] * 20,
        "readmitted": [0, 1] * (rows // 2),
    }
    pq.write_table(pa.table(columns), path)
    return clinic.contract(folder).narrowed(columns), path


def test_columns_that_name_people_are_chosen_by_role_and_by_how_odd_they_are(
    tmp_path: Path,
) -> None:
    contract, path = _dataset(tmp_path)
    wanted = wanted_values(contract, [path])
    assert wanted.counts["person"] == (60, 60)
    assert set(wanted.counts) == {"person", "note", "cost"}
    assert "ward A" not in wanted.anywhere
    assert "nothing to tell" not in wanted.anywhere
    assert wanted.named == {"person": {f"p{i:03d}" for i in range(60)}}
    assert {len(v) for v, c in wanted.anywhere.items() if c == "note"} == {MOST_CHARACTERS}


def test_of_very_many_values_the_same_are_looked_for_every_time(tmp_path: Path) -> None:
    contract, path = _dataset(tmp_path, MOST_VALUES + 500)
    wanted = wanted_values(contract, [path])
    assert wanted.counts["person"] == (MOST_VALUES, MOST_VALUES + 500)
    assert wanted_values(contract, [path]).anywhere == wanted.anywhere


def test_a_home_without_rows_or_without_their_contract_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no rows"):
        scan_phi(tmp_path)
    version = tmp_path / "datasets" / "clinic" / "0123"
    version.mkdir(parents=True)
    (version / "manifest.json").write_text('{"contract":"00"}')
    with pytest.raises(EvidenceError, match="no run of this home has its contract"):
        scan_phi(tmp_path)
