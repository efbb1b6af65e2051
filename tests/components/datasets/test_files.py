"""Files as users have them: one or many, another delimiter, damaged, hostile."""

from __future__ import annotations

import csv
import gzip
import io
import resource
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract.contract import Contract
from components.contract.errors import InputError
from components.datasets import csv_files
from components.datasets.sources import open_source
from components.datasets.typed_rows import open_rows
from components.profile.compute import profile_rows
from components.profile.profile import Profile
from tests import clinic as documents


def _profile(contract: Contract, data: Path) -> Profile:
    with open_rows(contract, open_source(contract, data)) as rows:
        return profile_rows(rows, contract, {"cost": (50.0, 100.0)}, max_categories=1000)


def _write(path: Path, lines: list[dict[str, str]], columns: list[str] | None = None) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(documents.csv_text(lines, columns), "utf-8")
    return path


def _parquet(path: Path, lines: list[dict[str, str]]) -> Path:
    path.parent.mkdir(exist_ok=True)
    names = documents.COLUMNS
    pq.write_table(pa.table({n: [r[n] or None for r in lines] for n in names}), path)
    return path


def test_many_files_are_one_table(clinic: Contract, tmp_path: Path) -> None:
    lines = documents.rows()
    whole = _profile(clinic, _write(tmp_path / "one.csv", lines))
    _write(tmp_path / "many" / "a.csv", lines[:50])
    _write(tmp_path / "many" / "b.csv", lines[50:], [*reversed(documents.COLUMNS)])
    (tmp_path / "many" / "c.csv.gz").write_bytes(gzip.compress(documents.csv_text([]).encode()))
    (tmp_path / "many" / "_SUCCESS").touch()
    (tmp_path / "many" / ".hidden.csv").write_text("not a table")
    assert _profile(clinic, tmp_path / "many") == whole
    _parquet(tmp_path / "parquet" / "a.parquet", lines[:50])
    _parquet(tmp_path / "parquet" / "b.parquet", lines[50:])
    assert _profile(clinic, tmp_path / "parquet") == whole


def test_files_that_do_not_fit_together_are_refused(clinic: Contract, tmp_path: Path) -> None:
    lines = documents.rows(5)
    _write(tmp_path / "both" / "a.csv", lines)
    _write(tmp_path / "both" / "b.csv", lines, documents.COLUMNS[:-1])
    with pytest.raises(InputError, match=r"b\.csv: column readmitted is in this file or in a\.csv"):
        open_source(clinic, tmp_path / "both")
    _parquet(tmp_path / "both" / "c.parquet", lines)
    with pytest.raises(InputError, match="CSV and Parquet side by side"):
        open_source(clinic, tmp_path / "both")
    (tmp_path / "none").mkdir()
    with pytest.raises(InputError, match="no such file"):
        open_source(clinic, tmp_path / "none")


def test_a_declared_delimiter_is_used(tmp_path: Path) -> None:
    def semicolons(document: documents.Document) -> None:
        document["servers"][0]["customProperties"] = [
            {"property": "assayDelimiter", "value": ";", "vendor": "assay"}
        ]

    contract = documents.contract(tmp_path, semicolons)
    out = io.StringIO()
    writer = csv.DictWriter(out, documents.COLUMNS, delimiter=";", lineterminator="\n")
    writer.writeheader()
    writer.writerows(documents.rows())
    (tmp_path / "data.csv").write_text(out.getvalue(), "utf-8")
    expected = _profile(
        documents.contract(tmp_path), _write(tmp_path / "commas.csv", documents.rows())
    )
    assert _profile(contract, tmp_path / "data.csv") == expected


HEADER = ",".join(documents.COLUMNS)
GOOD = "p1,2001,30,f,A,1.5,true,true,n,0"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (f"{HEADER}\n{GOOD}\n{GOOD},9\n".encode(), "line 3 has 11 cells, the header has 10"),
        (f"{HEADER}\n{GOOD}\np9,2001\n".encode(), "line 3 has 2 cells, the header has 10"),
        (f"{HEADER}\n{GOOD}\n".encode().replace(b"p1", b"\xff\xfe"), "bytes that are not UTF-8"),
        (f'{HEADER}\n{GOOD}\n"p2{GOOD}\n'.encode(), "cannot be read as CSV"),
        (HEADER.replace(",", ";").encode(), "the header has one column where ',' separates"),
        (f"{HEADER}\n{GOOD}\n{HEADER}\n".encode(), "the header line appears twice"),
        (f"{HEADER},age\n{GOOD},1\n".encode(), "header line with each column once"),
        (b"", "header line with each column once"),
        (b"\x00" * 100, "the header has one column"),
        (HEADER.encode("utf-16"), "cannot be read as CSV"),
    ],
)
def test_a_damaged_csv_is_told_in_one_line(
    clinic: Contract, tmp_path: Path, content: bytes, says: str
) -> None:
    path = tmp_path / "data.csv"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        _profile(clinic, path)
    message = str(caught.value)
    assert says in message
    assert "p1" not in message
    assert "\n" not in message
    assert caught.value.__cause__ is None or "p1" not in str(caught.value.__cause__)


def test_a_parquet_file_that_is_cut_short_or_damaged_is_refused(
    clinic: Contract, tmp_path: Path
) -> None:
    whole = _parquet(tmp_path / "whole.parquet", documents.rows(500)).read_bytes()
    path = tmp_path / "data.parquet"
    middle = len(whole) // 3
    for content in (whole[:-1000], whole[:middle], whole[100:], b"", b"PAR1"):
        path.write_bytes(content)
        with pytest.raises(InputError, match="cannot be read as Parquet"):
            _profile(clinic, path)
    # A page in the middle is damaged: the footer is whole, so only reading it tells.
    path.write_bytes(whole[: middle - 500] + b"\xff" * 1000 + whole[middle + 500 :])
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        _profile(clinic, path)


def test_a_gzip_bomb_is_refused_in_bounded_time_and_memory(
    clinic: Contract, tmp_path: Path
) -> None:
    path = tmp_path / "data.csv.gz"
    with gzip.open(path, "wb", compresslevel=9) as stream:
        stream.write(f"{HEADER}\n".encode())
        for _ in range(400):
            stream.write(b"0" * (1 << 20))
    assert path.stat().st_size < 1 << 20
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    with pytest.raises(InputError, match="unpacks to more than 200 times its size"):
        open_source(clinic, path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000
    assert time.monotonic() - began < 60


def test_a_packed_file_within_reason_is_read(
    clinic: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_files, "_LET_BE_BYTES", 0)
    path = tmp_path / "data.csv.gz"
    path.write_bytes(gzip.compress(documents.csv_text(documents.rows()).encode()))
    assert _profile(clinic, path).rows == 120


# Parquet's own types are taken as they are, and mean the same as their text would.

_CELLS = {
    "year": st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.just(-9)),
    "age": st.one_of(st.none(), st.floats(width=64), st.sampled_from([-9.0, -0.0, 1e300])),
    "cost": st.one_of(st.none(), st.integers(-(2**31), 2**31 - 1)),
    "smoker": st.one_of(st.none(), st.booleans()),
    "ward": st.one_of(st.none(), st.sampled_from(["", "?", "-9", "é", "A"])),
}
_TYPES = {
    "year": pa.int64(), "age": pa.float64(), "cost": pa.int32(), "smoker": pa.bool_(),
    "ward": pa.string(),
}  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries(_CELLS), min_size=1, max_size=8))
def test_typed_columns_read_as_their_text_does(
    clinic: Contract, tmp_path_factory: pytest.TempPathFactory, lines: list[dict]
) -> None:
    folder = tmp_path_factory.mktemp("typed")
    names = list(_CELLS)
    contract = clinic.narrowed(names)
    table = pa.table({n: pa.array([r[n] for r in lines], _TYPES[n]) for n in names})
    pq.write_table(table, folder / "typed.parquet")
    # repr is Python's shortest text that reads back as the same float.
    texts = {n: [None if r[n] is None else _text(r[n]) for r in lines] for n in names}
    pq.write_table(pa.table({n: pa.array(v, pa.string()) for n, v in texts.items()}),
                   folder / "text.parquet")  # fmt: skip
    assert _profile(contract, folder / "typed.parquet") == _profile(
        contract, folder / "text.parquet"
    )


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def test_floats_that_hold_integers_are_integers(clinic: Contract, tmp_path: Path) -> None:
    pq.write_table(pa.table({"year": [2001.0, 2002.0, None]}), tmp_path / "whole.parquet")
    pq.write_table(pa.table({"year": [2001.0, 2002.5, float("inf")]}), tmp_path / "part.parquet")
    years = clinic.narrowed(["year"])
    whole = _profile(years, tmp_path / "whole.parquet").columns["year"]
    assert (whole.nulls, whole.unparseable, whole.maximum) == (1, 0, 2002.0)
    part = _profile(years, tmp_path / "part.parquet").columns["year"]
    assert (part.nulls, part.unparseable, part.maximum) == (2, 2, 2001.0)


def test_columns_of_no_concern_are_let_be(clinic: Contract, tmp_path: Path) -> None:
    lines = [{**r, "extra": "x"} for r in documents.rows(5)]
    path = _write(tmp_path / "data.csv", lines, [*documents.COLUMNS, "extra"])
    assert "extra" in open_source(clinic, path).types
    assert _profile(clinic, path).rows == 10


def test_nothing_is_left_behind_and_nothing_spilt_where_one_works(
    clinic: Contract, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, temporary = tmp_path / "work", tmp_path / "temporary"
    work.mkdir()
    temporary.mkdir()
    monkeypatch.chdir(work)
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    _profile(clinic, _write(tmp_path / "data.csv", documents.rows()))
    assert list(work.iterdir()) == []
    assert list(temporary.iterdir()) == []


def test_a_folder_is_read_whole_or_not_at_all(clinic: Contract, tmp_path: Path) -> None:
    _write(tmp_path / "data" / "a.csv", documents.rows(5))
    for odd in ("b.tsv", "c.csv.zst", "README"):
        (tmp_path / "data" / odd).write_text("x")
        with pytest.raises(InputError, match=f"{odd} would not be read"):
            open_source(clinic, tmp_path / "data")
        (tmp_path / "data" / odd).unlink()
    (tmp_path / "data" / "sub").mkdir()
    with pytest.raises(InputError, match="sub would not be read"):
        open_source(clinic, tmp_path / "data")


def test_cells_that_stand_for_a_header_are_not_quoted(clinic: Contract, tmp_path: Path) -> None:
    lines = documents.rows(5)
    _write(tmp_path / "data" / "a.csv", lines)
    headless = documents.csv_text([{**lines[0], "note": "Aaron Smith"}]).splitlines()[1:]
    (tmp_path / "data" / "b.csv").write_text("\n".join(headless), "utf-8")
    with pytest.raises(InputError) as caught:
        open_source(clinic, tmp_path / "data")
    assert "Aaron" not in str(caught.value)


@pytest.mark.parametrize(
    ("column", "cells", "failed"),
    [
        ("ward", pa.array([[1], [2]]), 2),
        ("ward", pa.array([b"x", None], pa.binary()), 1),
        ("ward", pa.array([1.5, 2.5]), 2),
        ("ward", pa.array([{"a": 1}, None]), 1),
        ("ward", pa.array([1, 2]), 0),
        ("ward", pa.array(["A", "B"]).dictionary_encode(), 0),
        ("year", pa.array([True, False]), 0),
        ("cost", pa.array([True, None]), 1),
        ("cost", pa.array([b"1", b"2"], pa.binary()), 2),
    ],
)
def test_a_parquet_column_of_another_type_is_counted(
    clinic: Contract, tmp_path: Path, column: str, cells: pa.Array, failed: int
) -> None:
    pq.write_table(pa.table({column: cells}), tmp_path / "d.parquet")
    found = _profile(clinic.narrowed([column]), tmp_path / "d.parquet").columns[column]
    assert found.unparseable == failed


def test_a_parquet_column_that_stands_twice_is_refused(clinic: Contract, tmp_path: Path) -> None:
    cells, path = pa.array([1.5]), tmp_path / "d.parquet"
    for names in (["cost", "cost"], ["cost", "COST"]):
        pq.write_table(pa.table([cells, cells], names=names), path)
        with pytest.raises(InputError, match="a column appears twice"):
            open_source(clinic, path)
    nested = pa.array([{"cost": 1, "more": {"cost": [2]}}])
    pq.write_table(pa.table({"a": nested, "b": nested, "cost": cells}), path)
    assert list(open_source(clinic, path).types) == ["a", "b", "cost"]
