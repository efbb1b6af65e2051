from __future__ import annotations

import gzip
import json
import math
import multiprocessing
import os
import random
import shutil
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contract.contract import Contract
from components.contract.errors import EvidenceError, InputError
from components.contract.policy import Policy
from components.datasets.canonical import ROW_COLUMN, SPLITS, Dataset, ingest, rows_root
from components.lineage.digests import canonical_json
from components.lineage.merkle import root
from tests.clinic import (
    COLUMNS,
    Document,
    column_of,
    contract,
    csv_text,
    first_release,
    policy,
    rows,
    table_of,
)

KEY = b"k" * 32


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def _file(tmp_path: Path, content: str | bytes, name: str = "data.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def _table(dataset: Dataset) -> pa.Table:
    return pa.concat_tables(pq.read_table(f) for f in dataset.files()).sort_by(
        [("person", "ascending"), ("year", "ascending")]
    )


def _ingest(clinic: Contract, rules: Policy, home: Path, tmp_path: Path, lines: Any) -> Dataset:
    return ingest(clinic, rules, home, KEY, _file(tmp_path, csv_text(lines)))


# What comes out


def test_cells_come_out_as_they_went_in(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path
) -> None:
    lines = rows()
    table = _table(_ingest(clinic, rules, home, tmp_path, lines))
    assert table["ward"].to_pylist() == [r["ward"] or None for r in lines]
    assert table["cost"].to_pylist() == [float(r["cost"]) for r in lines]
    assert table["age"].to_pylist() == [float(r["age"]) if r["age"] else None for r in lines]
    assert table["smoker"].to_pylist() == [r["smoker"] == "true" for r in lines]
    assert table["year"].to_pylist() == [int(r["year"]) for r in lines]
    assert table["assay_group_sex"].to_pylist() == [r["sex"] for r in lines]
    assert set(table["ward"].to_pylist()) == {"A", "B", 'C "west", upper', "Ä\nÖ", None}
    ages = {
        (None if a is None else "young" if a < 40 else "middle" if a < 65 else "old", g)
        for a, g in zip(table["age"].to_pylist(), table["assay_group_age"].to_pylist(), strict=True)
    }
    assert ages == {(g, g) for g in ("young", "middle", "old", None)}


def test_the_contracts_own_path_is_found_beside_it(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path
) -> None:
    beside = replace(clinic, path=_file(tmp_path, csv_text(rows()), "clinic.csv"))
    assert ingest(beside, rules, home, KEY).manifest["rows"] == 120


def test_the_order_of_rows_and_columns_changes_no_row(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path
) -> None:
    lines = rows()
    first = _ingest(clinic, rules, home, tmp_path, lines)
    random.Random(1).shuffle(lines)
    text = csv_text(lines, [*reversed(COLUMNS)])
    second = ingest(clinic, rules, home, KEY, _file(tmp_path, text, "other.csv"))
    assert second.version != first.version
    assert second.manifest["root"] == first.manifest["root"]
    assert _table(second) == _table(first)
    assert [p.read_bytes() for p in second.files()] == [p.read_bytes() for p in first.files()]


def test_packed_marked_and_carriage_return_files_are_the_same_rows(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path
) -> None:
    lines = [{**r, "ward": r["ward"].replace("\n", " ")} for r in rows()]
    text = csv_text(lines)
    files = [
        _file(tmp_path, text),
        _file(tmp_path, gzip.compress(text.encode()), "data.csv.gz"),
        _file(tmp_path, "\ufeff" + text, "mark.csv"),
        _file(tmp_path, text.replace("\n", "\r\n"), "returns.CSV"),
        _file(tmp_path, text.rstrip("\n"), "no last line end.csv"),
    ]
    roots = {ingest(clinic, rules, home, KEY, f).manifest["root"] for f in files}
    assert len(roots) == 1


@pytest.mark.parametrize("name", ["a[1].csv", "b*.csv", "c?.csv", "it's;.csv"])
def test_a_file_is_itself_and_not_a_pattern(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path, name: str
) -> None:
    for other in ("a1.csv", "bb.csv", "cc.csv"):
        _file(tmp_path, csv_text(rows(80)), other)
    found = ingest(clinic, rules, home, KEY, _file(tmp_path, csv_text(rows(40)), name))
    assert found.manifest["rows"] == 80
    assert [s["name"] for s in found.manifest["sources"]] == [name]


def test_a_folder_with_an_equals_sign_is_not_a_column(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "sex=x"
    folder.mkdir()
    for file in (_file(folder, csv_text(rows())), _parquet(folder, rows())):
        found = ingest(clinic, rules, home, KEY, file)
        assert set(_table(found)["sex"].to_pylist()) == {"f", "m"}
    # pyarrow and others would read the folder's name as a cell, so no home may lie there.
    with pytest.raises(InputError, match="sex=x would be read as a column"):
        ingest(clinic, rules, folder / "home", KEY, file)
    assert not (folder / "home").exists()


def test_without_a_span_there_is_one_span(home: Path, tmp_path: Path) -> None:
    def change(document: Document) -> None:
        column_of(document, "year")["customProperties"][0]["value"] = "excluded"

    clinic = contract(tmp_path, change)
    with pytest.raises(InputError, match="has no span column"):
        policy(tmp_path, clinic)
    first = policy(tmp_path, clinic, first_release)
    found = _ingest(clinic, first, home, tmp_path, rows())
    assert found.spans == ("all",)
    assert found.sides(first.data_gate) == ([], found.files())
    assert len(found.files(spans=("all",))) == 3


def test_copies_of_a_row_are_kept_as_rows_of_their_own(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path
) -> None:
    lines = rows()
    found = _ingest(clinic, rules, home, tmp_path, [*lines, lines[5], lines[5]])
    commitments = _table(found)[ROW_COLUMN].to_pylist()
    assert len(set(commitments)) == len(commitments) == 122


# Cells that are not of their type


CELLS = [
    ("year", "2001", 2001, 0),
    ("year", " 2001 ", 2001, 0),
    ("year", "2001.0", 2001, 0),
    ("year", "2001.5", None, 1),
    ("year", "two", None, 1),
    ("year", "0x7D1", None, 1),
    ("year", "2_001", None, 1),
    ("year", "9223372036854775807", 2**63 - 1, 0),
    ("year", "9223372036854775808", None, 1),
    ("year", "inf", None, 1),
    ("year", "true", None, 1),
    ("year", "nan", None, 0),
    ("cost", "1e3", 1000.0, 0),
    ("cost", "-0.5", -0.5, 0),
    ("cost", "1_000", None, 1),
    ("cost", "1,000", None, 1),
    ("cost", "inf", None, 1),
    ("cost", "-Infinity", None, 1),
    ("cost", "1e400", None, 1),
    ("cost", "nan", None, 0),
    ("cost", "NaN", None, 0),
    ("cost", "free", None, 1),
    ("cost", "?", None, 0),
    ("cost", "-9", None, 0),
    ("cost", "-9.0", None, 0),
    ("cost", "-9.5", -9.5, 0),
    ("cost", "", None, 0),
    ("smoker", "TRUE", True, 0),
    ("smoker", "no", False, 0),
    ("smoker", "1", True, 0),
    ("smoker", "2", None, 1),
    ("smoker", "maybe", None, 1),
    ("ward", "?", None, 0),
    ("ward", "-9", None, 0),
    ("ward", "-9.0", "-9.0", 0),
    ("ward", " ", " ", 0),
    ("ward", "nan", "nan", 0),
    ("ward", "NULL", "NULL", 0),
    ("ward", "=1+1", "=1+1", 0),
]
"""Column, cell, what it is read as, and whether it counts as a cell of another type."""


@pytest.fixture(scope="module")
def cells(
    clinic: Contract, rules: Policy, tmp_path_factory: pytest.TempPathFactory
) -> tuple[dict[str, dict[str, Any]], dict[str, int]]:
    """All those cells, each in a row of its own: the rows by note, and what was counted."""
    lines = rows(60)[: len(CELLS)]
    for i, (line, (column, cell, *_)) in enumerate(zip(lines, CELLS, strict=True)):
        line.update({column: cell, "note": f"case {i}"})
    folder = tmp_path_factory.mktemp("cells")
    found = _ingest(clinic, rules, folder / "home", folder, lines)
    return {r["note"]: r for r in _table(found).to_pylist()}, found.manifest["unparseable"]


@pytest.mark.parametrize("case", range(len(CELLS)), ids=lambda i: f"{CELLS[i][0]} {CELLS[i][1]!r}")
def test_a_cell_is_read_without_loss(
    cells: tuple[dict[str, dict[str, Any]], dict[str, int]], case: int
) -> None:
    column, _, value, _ = CELLS[case]
    found = cells[0][f"case {case}"][column]
    assert found == value
    assert type(found) is type(value)


def test_every_cell_of_another_type_is_counted(
    cells: tuple[dict[str, dict[str, Any]], dict[str, int]],
) -> None:
    expected = Counter(column for column, _, _, unparseable in CELLS if unparseable)
    assert cells[1] == expected


def test_a_protected_cell_without_a_value_is_in_no_group(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path
) -> None:
    lines = rows(20)
    for line, cell in zip(lines, ("nan", "NaN", "?", "", "inf", "old"), strict=False):
        line["age"] = cell
    table = _table(_ingest(clinic, rules, home, tmp_path, lines))
    assert table["age"].to_pylist()[:6] == [None] * 6
    assert table["assay_group_age"].to_pylist()[:6] == [None] * 6


def test_a_value_on_an_edge_is_in_the_upper_band(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path
) -> None:
    lines = rows(20)
    ages = ["39.999", "40", "64.999", "65"]
    for line, age in zip(lines, ages, strict=False):
        line["age"] = age
    table = _table(_ingest(clinic, rules, home, tmp_path, lines))
    assert table["assay_group_age"].to_pylist()[:4] == ["young", "middle", "middle", "old"]


def test_a_root_names_rows_in_any_order() -> None:
    commitments = [bytes([i]) * 32 for i in range(7)]
    expected = root(commitments).hex()
    for seed in range(5):
        random.Random(seed).shuffle(commitments)
        assert rows_root(commitments) == expected
    assert rows_root(commitments[1:]) != expected


# Parquet with types of its own


def _parquet(tmp_path: Path, lines: list[dict[str, Any]], **columns: Any) -> Path:
    table = pa.table({c: columns.get(c, [r[c] for r in lines]) for c in COLUMNS})
    path = tmp_path / "data.parquet"
    pq.write_table(table, path)
    return path


def test_parquet_with_types_of_its_own_is_the_same_rows(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path
) -> None:
    lines = rows()
    typed = _parquet(
        tmp_path,
        lines,
        year=pa.array([float(r["year"]) for r in lines]),
        age=pa.array([float(r["age"]) if r["age"] else math.nan for r in lines]),
        ward=pa.array([r["ward"] or None for r in lines]).dictionary_encode(),
        cost=pa.array([float(r["cost"]) for r in lines]),
        smoker=pa.array([r["smoker"] == "true" for r in lines]),
        readmitted=pa.array([r["readmitted"] == "1" for r in lines]),
    )
    from_parquet = ingest(clinic, rules, home, KEY, typed)
    from_csv = _ingest(clinic, rules, home, tmp_path, lines)
    assert from_parquet.manifest["root"] == from_csv.manifest["root"]
    assert from_parquet.manifest["unparseable"] == {}


def test_parquet_values_that_would_lose_something_are_counted(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path
) -> None:
    lines = rows(20)
    n = len(lines)
    typed = _parquet(
        tmp_path,
        lines,
        year=pa.array([2001.5, math.nan, math.inf, 1e300, *([2001.0] * (n - 4))]),
        cost=pa.array([math.inf, math.nan, -9.0, *([1.0] * (n - 3))]),
        smoker=pa.array([2, 0, 1, *([1] * (n - 3))]),
    )
    found = ingest(clinic, rules, home, KEY, typed)
    assert found.manifest["unparseable"] == {"year": 3, "cost": 1, "smoker": 1}
    table = _table(found)
    assert table["year"].null_count == 4
    assert table["cost"].null_count == 3


def test_nan_is_missing_even_where_statistics_hide_it(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path
) -> None:
    lines = rows(20)
    cost = pa.array([math.nan, *([1.0] * (len(lines) - 1))])
    found = ingest(clinic, rules, home, KEY, _parquet(tmp_path, lines, cost=cost))
    assert found.manifest["unparseable"] == {}
    assert _table(found)["cost"].null_count == 1


# Bad input

SECRET = "secret-cell"


def _refused(
    clinic: Contract, rules: Policy, home: Path, data: Path | None, shown: str
) -> InputError:
    with pytest.raises(InputError) as caught:
        ingest(clinic, rules, home, KEY, data)
    chain: BaseException | None = caught.value
    while chain is not None:
        assert SECRET not in str(chain)
        chain = chain.__cause__
    message = str(caught.value)
    assert shown in message
    assert "; expected " in message
    assert len(message.splitlines()) == 1
    assert [p for p in home.rglob("*") if p.is_file()] == []
    assert list(home.rglob(".*")) == []
    return caught.value


def _secret_lines(people: int = 60) -> list[dict[str, str]]:
    return [{**r, "note": f"{SECRET} {r['note']}"} for r in rows(people)]


def _cut(raw: bytes) -> bytes:
    """Cut within the last row, within its quotes or before its last comma."""
    return raw[: raw.rindex(b",", 0, raw.rindex(b","))]


Damage = Callable[[str], bytes]
CSV_DAMAGE: list[Any] = [
    pytest.param(lambda t: _cut(t.encode()), "cannot be read", id="truncated"),
    pytest.param(lambda t: t.encode() + b'p,2001,"', "cannot be read", id="cut in quotes"),
    pytest.param(lambda t: t.encode() + b"p1,2001\n", "cannot be read", id="short row"),
    pytest.param(
        lambda t: t.encode() + t.splitlines()[1].encode() + f",{SECRET}\n".encode(),
        "cannot be read",
        id="long row",
    ),
    pytest.param(lambda t: t.encode("utf-16"), "cannot be read", id="UTF-16"),
    pytest.param(
        lambda t: t.replace("note-0.1", "note-\xe9", 1).encode("latin-1", "replace"),
        "cannot be read",
        id="Latin-1",
    ),
    pytest.param(lambda t: b"", "no header line", id="empty"),
    pytest.param(lambda t: t.splitlines()[0].encode(), "has 0 class", id="header only"),
    pytest.param(lambda t: "\n".join(t.splitlines()[1:]).encode(), "", id="no header"),
    pytest.param(
        lambda t: t.replace("cost", "ward", 1).encode(), "each column once", id="column twice"
    ),
    pytest.param(
        lambda t: t.replace("cost", "WARD", 1).encode(), "each column once", id="column in capitals"
    ),
    pytest.param(lambda t: t.replace(",cost", ",", 1).encode(), "each column", id="no name"),
    pytest.param(lambda t: t.replace("cost", "price", 1).encode(), "column cost", id="renamed"),
    pytest.param(lambda t: t.replace(",", ";").encode(), "one column where", id="other delimiter"),
    pytest.param(
        lambda t: t.encode() + t.encode(), "the header line appears twice", id="two files in one"
    ),
    pytest.param(lambda t: b"\x00" * 500, "", id="zeros"),
    pytest.param(lambda t: pickle_like(), "", id="not a table"),
]


def pickle_like() -> bytes:
    """Bytes that are no text at all."""
    return bytes(range(256)) * 20


@pytest.mark.parametrize(("damage", "shown"), CSV_DAMAGE)
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_a_damaged_csv_is_refused_in_one_line_and_leaves_nothing(
    clinic: Contract,
    rules: Policy,
    home: Path,
    tmp_path: Path,
    damage: Damage,
    shown: str,
    packed: bool,
) -> None:
    lines = [{**r, "ward": r["ward"].replace("\n", " ")} for r in _secret_lines()]
    raw = damage(csv_text(lines))
    name = "data.csv.gz" if packed else "data.csv"
    file = _file(tmp_path, gzip.compress(raw) if packed else raw, name)
    _refused(clinic, rules, home, file, shown)


@pytest.mark.parametrize("where", ["half", "checksum", "trailer", "payload", "not gzip"])
def test_a_damaged_packed_file_is_refused(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path, where: str
) -> None:
    raw = csv_text(_secret_lines(200)).encode()
    packed = bytearray(gzip.compress(raw, mtime=0))
    if where == "half":
        packed = packed[: len(packed) // 2]
    elif where == "checksum":
        packed[-8] ^= 1
    elif where == "trailer":
        packed = packed[:-4]
    elif where == "payload":
        packed[len(packed) // 2] ^= 1
    else:
        packed = bytearray(raw)
    file = _file(tmp_path, bytes(packed), "data.csv.gz")
    _refused(clinic, rules, home, file, "cannot be read as CSV")


@pytest.mark.parametrize("where", ["end", "start", "half", "empty", "text"])
def test_a_damaged_parquet_is_refused(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path, where: str
) -> None:
    sound = _parquet(tmp_path, _secret_lines()).read_bytes()
    damaged = {
        "end": sound[:-1],
        "start": sound[1:],
        "half": sound[: len(sound) // 2],
        "empty": b"",
        "text": csv_text(_secret_lines()).encode(),
    }[where]
    file = _file(tmp_path, damaged, "cut.parquet")
    _refused(clinic, rules, home, file, "cannot be read")


def test_parquet_columns_of_a_type_that_fits_nothing_are_counted(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path
) -> None:
    lines = _secret_lines()
    n = len(lines)
    for cost in (pa.array([1] * n, pa.date32()), pa.array([[SECRET]] * n)):
        found = ingest(clinic, rules, home, KEY, _parquet(tmp_path, lines, cost=cost))
        assert found.manifest["unparseable"] == {"cost": n}


def test_a_parquet_without_a_column_is_refused(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path
) -> None:
    path = _parquet(tmp_path, _secret_lines())
    pq.write_table(pq.read_table(path).drop_columns(["cost"]), path)
    _refused(clinic, rules, home, path, "column cost of the contract is not in the data")


@pytest.mark.parametrize("name", ["none.csv", "none.csv.gz", "none.parquet", "."])
def test_a_missing_file_is_refused(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path, name: str
) -> None:
    _refused(clinic, rules, home, tmp_path / name, "no such file")


def test_an_unknown_format_is_refused(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path
) -> None:
    for name in ("data.xlsx", "data.json", "data"):
        _refused(clinic, rules, home, _file(tmp_path, "x", name), "unknown format")


def test_an_unknown_source_is_refused(clinic: Contract, rules: Policy, home: Path) -> None:
    source = replace(clinic.source, builtin="nobody")
    _refused(replace(clinic, source=source), rules, home, None, "unknown source nobody")


def test_a_contract_whose_format_is_not_that_of_its_file_is_refused(
    rules: Policy, home: Path, tmp_path: Path
) -> None:
    clinic = contract(tmp_path, lambda d: d["servers"][0].update(format="parquet"))
    _refused(clinic, rules, home, None, "the format is parquet")


@pytest.mark.parametrize("labels", [["0"], ["1"], ["0", "2"], [""], ["0", ""]])
def test_a_label_with_one_class_is_refused(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path, labels: list[str]
) -> None:
    lines = [{**r, "readmitted": labels[i % len(labels)]} for i, r in enumerate(_secret_lines())]
    file = _file(tmp_path, csv_text(lines))
    _refused(clinic, rules, home, file, "label readmitted has")


def test_a_split_without_people_is_refused(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path
) -> None:
    file = _file(tmp_path, csv_text(_secret_lines(2)))
    _refused(clinic, rules, home, file, "has no rows")


def test_a_home_under_a_file_is_refused(clinic: Contract, rules: Policy, tmp_path: Path) -> None:
    blocker = _file(tmp_path, "x", "file")
    file = _file(tmp_path, csv_text(_secret_lines()))
    for home in (blocker, blocker / "home"):
        with pytest.raises(InputError, match="cannot be written") as caught:
            ingest(clinic, rules, home, KEY, file)
        assert len(str(caught.value).splitlines()) == 1
    assert blocker.read_text() == "x"


def test_a_disk_that_fills_up_leaves_nothing(
    clinic: Contract, rules: Policy, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = _file(tmp_path, csv_text(_secret_lines()))
    write, calls = pq.write_table, []

    def full(*args: Any, **kwargs: Any) -> None:
        calls.append(args)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        write(*args, **kwargs)

    monkeypatch.setattr(pq, "write_table", full)
    _refused(clinic, rules, home, file, "cannot be written (No space left on device)")


# Opening what was written


@pytest.fixture
def dataset(clinic: Contract, rules: Policy, home: Path, tmp_path: Path) -> Dataset:
    return _ingest(clinic, rules, home, tmp_path, rows())


def test_a_dataset_that_was_changed_is_not_opened(dataset: Dataset) -> None:
    some = dataset.files()[0]
    added = some.with_name("span-9999.parquet")
    shutil.copy(some, added)
    with pytest.raises(EvidenceError, match="is missing or was added"):
        Dataset.open(dataset.directory)
    added.unlink()
    some.rename(added)
    with pytest.raises(EvidenceError, match="is missing or was added"):
        Dataset.open(dataset.directory)
    added.rename(some)
    other = dataset.files()[1]
    some.write_bytes(other.read_bytes())
    with pytest.raises(EvidenceError, match="is not the file that was ingested"):
        Dataset.open(dataset.directory)


@pytest.mark.parametrize("kind", ["pipe", "socket", "a link to a device"])
@pytest.mark.parametrize("victim", ["manifest.json", "a data file"])
def test_what_is_no_file_is_refused_and_not_waited_for(
    dataset: Dataset, monkeypatch: pytest.MonkeyPatch, victim: str, kind: str
) -> None:
    path = dataset.directory / victim if "." in victim else dataset.files()[0]
    path.unlink()
    monkeypatch.chdir(path.parent)  # a socket's name may only have some hundred bytes
    with socket.socket(socket.AF_UNIX) as server:
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            server.bind(path.name)
        else:
            path.symlink_to("/dev/zero")
        with pytest.raises(EvidenceError, match=f"{path.name} cannot be read"):
            Dataset.open(dataset.directory)
        if path.suffix == ".parquet":
            with pytest.raises(EvidenceError, match=f"{path.name} cannot be read"):
                dataset.parquet(path)


def test_columns_are_read_from_the_bytes_that_were_checked(dataset: Dataset) -> None:
    some, other = dataset.files()[:2]
    opened = Dataset.described(dataset.directory)
    assert opened == dataset
    assert opened.parquet(some).read().equals(pq.read_table(some))
    some.write_bytes(other.read_bytes())
    with pytest.raises(EvidenceError, match="is not the file that was ingested"):
        opened.parquet(some)


@pytest.mark.parametrize(
    "raw",
    [
        None,
        b"",
        b"{}",
        b"[]",
        b"{'a': 1}",
        b'{"schemaVersion":"assay-manifest/v2","splits":{}}',
        b'{"schemaVersion":"assay-manifest/v1"}',
        b'{"schemaVersion":"assay-manifest/v1","splits":[]}',
        b'{"schemaVersion":"assay-manifest/v1","splits":{"train":{"spans":{"1":{}}}}}',
    ],
)
def test_a_manifest_that_is_none_is_not_opened(dataset: Dataset, raw: bytes | None) -> None:
    manifest = dataset.directory / "manifest.json"
    manifest.unlink() if raw is None else manifest.write_bytes(raw)
    with pytest.raises(EvidenceError):
        Dataset.open(dataset.directory)


def test_a_manifest_that_names_files_elsewhere_is_not_opened(dataset: Dataset) -> None:
    outside = dataset.directory.parent / "outside.parquet"
    some = dataset.files()[0]
    shutil.copy(some, outside)
    manifest = json.loads((dataset.directory / "manifest.json").read_bytes())
    for split in SPLITS:
        for part in manifest["splits"][split]["spans"].values():
            if dataset.directory / part["file"] == some:
                part["file"] = "../outside.parquet"
    (dataset.directory / "manifest.json").write_bytes(canonical_json(manifest))
    with pytest.raises(EvidenceError, match="is missing or was added"):
        Dataset.open(dataset.directory)


def test_an_edited_manifest_is_another_version(dataset: Dataset) -> None:
    manifest = {**dataset.manifest, "rows": 1}
    (dataset.directory / "manifest.json").write_bytes(canonical_json(manifest))
    assert Dataset.open(dataset.directory).version != dataset.version


def test_no_key_no_cell_and_no_path_is_in_the_manifest(dataset: Dataset, tmp_path: Path) -> None:
    raw = (dataset.directory / "manifest.json").read_bytes()
    assert KEY not in raw
    assert str(tmp_path).encode() not in raw
    for line in rows():
        assert line["person"].encode() not in raw
        assert line["note"].encode() not in raw


def test_a_contract_may_use_any_free_name(home: Path, tmp_path: Path) -> None:
    def change(document: Document) -> None:
        for old, new in (("note", "_split"), ("ward", "v"), ("cost", 'say "n"; --')):
            column_of(document, old)["name"] = new
        table_of(document)["properties"].reverse()

    clinic = contract(tmp_path, change)
    lines = [{**r, "_split": r["note"], "v": r["ward"], 'say "n"; --': r["cost"]} for r in rows()]
    text = csv_text(lines, [c.name for c in clinic.columns])
    found = ingest(clinic, policy(tmp_path, clinic), home, KEY, _file(tmp_path, text))
    table = _table(found)
    assert table["_split"].to_pylist() == [r["note"] for r in lines]
    assert table["v"].to_pylist() == [r["ward"] or None for r in lines]
    assert table['say "n"; --'].to_pylist() == [float(r["cost"]) for r in lines]


def _ingest_there(directory: Path, file: Path, results: Any) -> None:
    clinic = contract(directory)
    dataset = ingest(clinic, policy(directory, clinic), directory.parent / "home", KEY, file)
    results.put(dataset.version)


def test_two_at_once_find_the_same_version(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    file = _file(tmp_path, csv_text(rows()))
    processes = []
    for i in range(2):
        (tmp_path / str(i)).mkdir()
        processes.append(
            context.Process(target=_ingest_there, args=(tmp_path / str(i), file, results))
        )
    for process in processes:
        process.start()
    versions = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(60)
    assert len(versions) == 1
    (found,) = (tmp_path / "home" / "datasets" / "clinic").iterdir()
    assert found.name == versions.pop()[:16]
