from __future__ import annotations

import json
import math
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract.contract import Column, Contract, LogicalType, Role, Source
from components.contract.errors import EvidenceError, InputError
from components.datasets.canonical import Dataset
from components.profile.compute import profile_files
from components.profile.edges import quantile_edges
from components.profile.profile import ColumnProfile, Profile
from components.profile.sql import connect, literal, path_literal, quote

_ARROW = {
    LogicalType.STRING: pa.string(),
    LogicalType.INTEGER: pa.int64(),
    LogicalType.NUMBER: pa.float64(),
    LogicalType.BOOLEAN: pa.bool_(),
}
CAP = 4


def column(name: str, logical_type: LogicalType, **fields: Any) -> Column:
    categorical = fields.pop(
        "categorical", logical_type in (LogicalType.STRING, LogicalType.BOOLEAN)
    )
    return Column(name, Role.FEATURE, logical_type, categorical, **fields)


def contract(*columns: Column, **fields: Any) -> Contract:
    source = Source(None, "x.csv", "csv", ",")
    return Contract("t", "1", Path("t.yaml"), "0" * 64, source, columns, **fields)


def write(path: Path, of: Contract, rows: list[tuple[Any, ...]]) -> Path:
    cells = list(zip(*rows, strict=True)) or [()] * len(of.columns)
    arrays = [pa.array(v, _ARROW[c.logical_type]) for c, v in zip(of.columns, cells, strict=True)]
    pq.write_table(pa.table(arrays, names=[c.name for c in of.columns]), path)
    return path


def profile_of(tmp_path: Path, of: Contract, rows: list[tuple[Any, ...]], bins: int = 4) -> Profile:
    file = write(tmp_path / "rows.parquet", of, rows)
    return profile_files([file], of, quantile_edges([file], of, bins), max_categories=CAP)


# Merging

MIXED = contract(
    column("amount", LogicalType.NUMBER, minimum=-1.0, maximum=1e6),
    column("count", LogicalType.INTEGER),
    column("code", LogicalType.INTEGER, categorical=True, allowed=(0, 1)),
    column("text; DROP--", LogicalType.STRING, pattern="^[a-z]"),
    column('say "hi"', LogicalType.BOOLEAN),
    column("nothing", LogicalType.NUMBER),
)
_amounts = st.one_of(
    st.none(), st.sampled_from([0.0, -0.0, math.nan, math.inf, -math.inf, 1.0]), st.floats(width=32)
)
_texts = st.one_of(
    st.none(),
    st.sampled_from(["", "a", "b", "'", '"', "Ä", "日本", ";", "]["]),
    st.text(max_size=3),
)
_rows = st.lists(
    st.tuples(
        _amounts,
        st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1), st.just(7)),
        st.one_of(st.none(), st.integers(0, 9)),
        _texts,
        st.one_of(st.none(), st.booleans()),
        st.none(),
    ),
    max_size=12,
)


@settings(max_examples=10, deadline=None)
@given(parts=st.lists(_rows, min_size=3, max_size=3), bins=st.integers(2, 6))
def test_merged_parts_are_the_whole_in_any_order(
    parts: list[list[tuple[Any, ...]]], bins: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        files = [write(Path(folder) / f"{i}.parquet", MIXED, rows) for i, rows in enumerate(parts)]
        edges = quantile_edges(files[:1], MIXED, bins)
        a, b, c = (profile_files([f], MIXED, edges, max_categories=CAP) for f in files)
        whole = profile_files(files, MIXED, edges, max_categories=CAP)
    assert (a + b) + c == a + (b + c) == c + (b + a) == replace(whole, duplicates=None)
    assert a + b == b + a
    again = Profile.from_json(json.loads(json.dumps(whole.to_json())))
    assert again == whole
    for found in whole.columns.values():
        assert found.rows == sum(map(len, parts))
        counted = sum(found.bins) if found.counts is None else sum(found.counts.values())
        if found.bins or found.counts is not None:
            assert counted + found.nulls == found.rows


def test_one_category_over_the_cap_is_none_for_ever(tmp_path: Path) -> None:
    of = contract(column("c", LogicalType.STRING))
    few = profile_of(tmp_path, of, [(str(i),) for i in range(CAP)])
    more = profile_of(tmp_path, of, [("0",), ("new",)])
    many = profile_of(tmp_path, of, [(str(i),) for i in range(CAP + 1)])
    assert few.columns["c"].counts == {"0": 1, "1": 1, "2": 1, "3": 1}
    assert many.columns["c"].counts is None
    assert (few + few).columns["c"].counts == {"0": 2, "1": 2, "2": 2, "3": 2}
    assert (few + more).columns["c"].counts is None
    assert (few + more + few).columns["c"].counts is None


def test_profiles_counted_otherwise_do_not_merge(tmp_path: Path) -> None:
    of = contract(column("x", LogicalType.NUMBER))
    one = profile_of(tmp_path, of, [(1.0,), (2.0,), (3.0,)])
    others = [
        profile_of(tmp_path, of, [(4.0,), (5.0,)]),
        profile_files([tmp_path / "rows.parquet"], of, {}, max_categories=CAP + 1),
        profile_of(tmp_path, contract(column("y", LogicalType.NUMBER)), [(1.0,)]),
    ]
    for other in others:
        with pytest.raises(EvidenceError, match="cannot be merged"):
            one + other


def test_another_format_is_not_read() -> None:
    with pytest.raises(EvidenceError, match="assay-profile/v2"):
        Profile.from_json({"schemaVersion": "assay-profile/v1", "columns": {}})


def test_no_files_are_bad_input() -> None:
    with pytest.raises(InputError, match="no rows"):
        profile_files([], MIXED, {}, max_categories=CAP)
    assert quantile_edges([], contract(column("x", LogicalType.NUMBER)), 4) == {"x": ()}


# Edges


def _numeric(tmp_path: Path, values: list[float | None], bins: int = 4) -> ColumnProfile:
    of = contract(column("x", LogicalType.NUMBER))
    return profile_of(tmp_path, of, [(v,) for v in values], bins).columns["x"]


def test_edges_are_quantiles_and_bins_hold_their_lower_edge(tmp_path: Path) -> None:
    found = _numeric(tmp_path, [float(i) for i in range(1, 101)])
    assert found.edges == (25.0, 50.0, 75.0)
    assert found.bins == (24, 25, 25, 26)
    assert (found.minimum, found.maximum) == (1.0, 100.0)


def test_a_heavy_lowest_value_has_a_bin_to_itself(tmp_path: Path) -> None:
    found = _numeric(tmp_path, [0.0] * 60 + [float(i) for i in range(1, 41)])
    assert found.edges[0] == 0.0
    assert found.bins[:2] == (0, 60)
    assert len(found.edges) == 4
    assert all(12 <= n <= 15 for n in found.bins[2:])
    assert list(found.edges) == sorted(set(found.edges))


def test_two_values_have_two_bins(tmp_path: Path) -> None:
    found = _numeric(tmp_path, [0.0] * 9 + [1.0])
    assert found.edges == (0.0, 1.0)
    assert found.bins == (0, 9, 1)


def test_a_constant_that_moves_either_way_leaves_its_bin(tmp_path: Path) -> None:
    of = contract(column("x", LogicalType.NUMBER))
    base = write(tmp_path / "base.parquet", of, [(5.0,)] * 10)
    edges = quantile_edges([base], of, 4)
    assert edges == {"x": (5.0, math.nextafter(5.0, 6.0))}
    for value, bins in ((5.0, (0, 3, 0)), (4.0, (3, 0, 0)), (6.0, (0, 0, 3))):
        moved = write(tmp_path / "moved.parquet", of, [(value,)] * 3)
        found = profile_files([moved], of, edges, max_categories=CAP)
        assert found.columns["x"].bins == bins


@pytest.mark.parametrize("values", [[None, None], [math.nan, None], []])
def test_a_column_without_values_has_no_edges(tmp_path: Path, values: list[float | None]) -> None:
    found = _numeric(tmp_path, values)
    assert (found.edges, found.bins, found.nulls) == ((), (0,), len(values))
    assert (found.minimum, found.maximum) == (None, None)


def test_infinities_are_values_and_nan_is_none(tmp_path: Path) -> None:
    found = _numeric(tmp_path, [-math.inf, -math.inf, math.inf, math.nan, 0.0, 1.0])
    assert found.nulls == 1
    assert (found.minimum, found.maximum) == (-math.inf, math.inf)
    assert sum(found.bins) == 5


def test_minus_zero_is_zero(tmp_path: Path) -> None:
    for values in ([-0.0], [-0.0, 0.0], [0.0, -0.0, None]):
        found = _numeric(tmp_path, list(values))
        assert str(found.minimum) == str(found.maximum) == "0.0"


@settings(max_examples=15, deadline=None)
@given(
    values=st.lists(
        st.one_of(st.sampled_from([0.0, 1.0]), st.floats(-1e6, 1e6)), min_size=1, max_size=40
    ),
    bins=st.integers(2, 8),
)
def test_edges_rise_and_bins_hold_every_value(values: list[float], bins: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = _numeric(Path(folder), list(values), bins)
    edges = [-math.inf, *found.edges, math.inf]
    assert list(found.edges) == sorted(set(found.edges))
    assert len(found.edges) <= bins
    assert found.bins == tuple(
        sum(low <= v < high for v in values)
        for low, high in zip(edges[:-1], edges[1:], strict=True)
    )


# Clauses


def _outside(tmp_path: Path, of: Column, *values: Any) -> int:
    found = profile_of(tmp_path, contract(of), [(v,) for v in values]).columns[of.name]
    broken = {
        "range": found.out_of_range,
        "domain": found.out_of_domain,
        "pattern": found.out_of_pattern,
    }
    stated = {
        "range": of.minimum is not None or of.maximum is not None,
        "domain": of.allowed is not None,
        "pattern": of.pattern is not None,
    }
    assert not any(n for clause, n in broken.items() if not stated[clause])
    return sum(broken.values())


def test_outside_counts_what_is_out_of_range_and_never_nulls(tmp_path: Path) -> None:
    amount = column("x", LogicalType.NUMBER, minimum=0.1, maximum=2)
    assert _outside(tmp_path, amount, None, math.nan, 0.1, 2.0) == 0
    assert _outside(tmp_path, amount, math.nextafter(0.1, 0), math.nextafter(2.0, 3)) == 2
    assert _outside(tmp_path, amount, math.inf, -math.inf) == 2
    count = column("n", LogicalType.INTEGER, minimum=0.00012345678901234567, maximum=2**62)
    assert _outside(tmp_path, count, 2**63 - 1, -(2**63), 0, 1, None) == 3


def test_outside_counts_what_is_not_in_the_domain(tmp_path: Path) -> None:
    hostile = ("it's", 'a "b"', "x'); DROP TABLE data; --", "]", "")
    text = column("t", LogicalType.STRING, allowed=hostile)
    assert _outside(tmp_path, text, *hostile, None) == 0
    assert _outside(tmp_path, text, "IT'S", " ", "\\", "x") == 4
    flag = column("b", LogicalType.BOOLEAN, allowed=(True,))
    assert _outside(tmp_path, flag, True, False, None) == 1
    number = column("x", LogicalType.NUMBER, allowed=(0, 0.1, 1e-7))
    assert _outside(tmp_path, number, 0.0, -0.0, 0.1, 1e-7, 0.10000000001) == 1


def test_a_pattern_is_searched_for_as_in_json_schema(tmp_path: Path) -> None:
    def outside(pattern: str, *values: str | None) -> int:
        return _outside(tmp_path, column("t", LogicalType.STRING, pattern=pattern), *values)

    assert outside("ab", "xaby", "ab", None, "") == 1
    assert outside("^ab", "xaby", "ab", "abx") == 1
    assert outside("^ab$", "xaby", "ab", "abx", "ab\n") == 3
    assert outside("it's", "it's", "its") == 1
    assert outside("^[0-9]{3}(\\.[0-9]+)?$", "250.83", "250", "V27", "2500") == 2


def test_unparseable_cells_are_told_by_the_caller(tmp_path: Path) -> None:
    of = contract(column("x", LogicalType.NUMBER), column("y", LogicalType.NUMBER))
    file = write(tmp_path / "f.parquet", of, [(1.0, None)])
    found = profile_files([file], of, {}, max_categories=CAP, unparseable={"y": 1})
    assert {n: c.unparseable for n, c in found.columns.items()} == {"x": 0, "y": 1}


# Names and paths

HOSTILE = [
    'quo"te',
    "semi;colon",
    "[brackets]",
    "apo'strophe",
    "data",
    "n",
    "assay n",
    "select",
    "%s",
    "日本",
    "a\\b",
]


def test_hostile_column_names_are_only_names(tmp_path: Path) -> None:
    of = contract(
        *(column(name, LogicalType.INTEGER, unique=True) for name in HOSTILE),
        unique_together=(tuple(HOSTILE),),
    )
    found = profile_of(tmp_path, of, [(i,) * len(HOSTILE) for i in (1, 1, 2, None)])
    assert list(found.columns) == HOSTILE
    assert all((c.minimum, c.maximum, c.nulls) == (1, 2, 1) for c in found.columns.values())
    assert found.duplicates is not None
    assert set(found.duplicates.values()) == {1}


def test_literals_come_back_as_they_went_in() -> None:
    values = ["it's", '"', "a\\'b", "", "日本", True, False, 0, -5, 2**62, 0.1, -1e-300, 1e22]
    with connect() as database:
        for value in values:
            (found,) = database.execute(f"SELECT {literal(value)}").fetchall()[0]
            assert found == value
            assert type(found) is type(value)
        name = 'a"b'
        assert database.execute(f"SELECT 1 AS {quote(name)}").description[0][0] == name
        (infinite,) = database.execute(f"SELECT {literal(-math.inf)}").fetchall()[0]
        assert infinite == -math.inf


@pytest.mark.parametrize("folder", ["a[1]", "b*", "c?", "it's", "x=9", "d [é] {1,2}"])
def test_a_path_is_a_path_and_not_a_pattern(tmp_path: Path, folder: str) -> None:
    of = contract(column("x", LogicalType.INTEGER))
    for name, value in ((folder, 1), ("a1", 2), ("bb", 2), ("cc", 2)):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "f[0].parquet", of, [(value,)])
        write(tmp_path / name / "f0.parquet", of, [(3,)])
    found = profile_files([tmp_path / folder / "f[0].parquet"], of, {}, max_categories=CAP)
    assert (found.rows, found.columns["x"].minimum, found.columns["x"].maximum) == (1, 1, 1)


def test_a_relative_path_is_made_absolute() -> None:
    assert path_literal(Path("~/f.parquet")) == literal(str(Path.cwd() / "~/f.parquet"))


# Duplicates


def test_duplicates_are_repeats_of_whole_keys_without_nulls(tmp_path: Path) -> None:
    of = contract(
        column("a", LogicalType.STRING, unique=True),
        column("b", LogicalType.INTEGER),
        unique_together=(("a", "b"),),
    )
    rows = [("x", 1), ("x", 1), ("x", 2), ("y", 1), (None, 1), (None, 1), ("z", None), ("z", None)]
    found = profile_of(tmp_path, of, rows)
    assert found.duplicates == {"a": 3, "a+b": 1}
    assert (found + found).duplicates is None


def test_the_database_reaches_nothing_by_itself() -> None:
    with connect() as database:
        settings_ = dict(database.execute("SELECT name, value FROM duckdb_settings()").fetchall())
    assert settings_["autoinstall_known_extensions"] == "false"
    assert settings_["autoload_known_extensions"] == "false"


def test_nan_is_null_even_where_the_files_statistics_pass_over_it(tmp_path: Path) -> None:
    found = _numeric(tmp_path, [0.0, math.nan, 3.0])
    assert (found.nulls, found.maximum) == (1, 3.0)


def test_a_profile_holds_no_value_of_an_identifier(
    rand_hie: Dataset, rand_hie_contract: Contract
) -> None:
    files = rand_hie.files(split="validation")
    edges = quantile_edges(files, rand_hie_contract, 10)
    assert "zper" not in edges
    found = profile_files(files, rand_hie_contract, edges, max_categories=10_000).columns["zper"]
    assert found.rows > 0
    assert (found.minimum, found.maximum, found.counts, found.edges, found.bins) == (
        None, None, None, (), (),
    )  # fmt: skip


def test_a_bound_beyond_any_integer_is_still_a_bound(tmp_path: Path) -> None:
    for kind in (LogicalType.INTEGER, LogicalType.NUMBER):
        wide = column("n", kind, minimum=-(10**60), maximum=10**60, allowed=(1, 10**60))
        assert _outside(tmp_path, wide, 1, 2**53, None) == 1  # in the range, not in the domain
