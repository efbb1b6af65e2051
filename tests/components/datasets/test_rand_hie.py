from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contract.contract import Contract, Role
from components.contract.errors import EvidenceError
from components.contract.policy import Policy
from components.datasets.canonical import (
    ROW_COLUMN,
    SPLITS,
    Dataset,
    ingest,
    rows_root,
    split_of,
)
from components.datasets.sources import open_source
from components.lineage.commitments import commit_rows, encode_rows


@pytest.fixture(scope="module")
def source(rand_hie_contract: Contract) -> pd.DataFrame:
    """The study's file as pandas reads it, in the order of persons and years."""
    (path,) = open_source(rand_hie_contract).files
    return pd.read_csv(path).sort_values(["zper", "year"], ignore_index=True)


@pytest.fixture(scope="module")
def rows(rand_hie: Dataset) -> pd.DataFrame:
    """Every canonical row, with its split."""
    parts = [
        pq.read_table(f).to_pandas().assign(split=s)
        for s in SPLITS
        for f in rand_hie.files(split=s)
    ]
    return pd.concat(parts).sort_values(["zper", "year"], ignore_index=True)


def test_the_label_is_what_pandas_finds_in_the_following_row(
    source: pd.DataFrame, rows: pd.DataFrame
) -> None:
    assert len(source) == 20_190
    following = source.groupby("zper")["totadm"].shift(-1)
    expected = source[following.notna()].reset_index(drop=True)
    label = (following[following.notna()] > 0).astype(int).reset_index(drop=True)
    assert len(rows) == len(expected) == 14_278
    assert (rows["admitted_next_year"] == label).all()
    assert rows["admitted_next_year"].mean() == pytest.approx(0.0907, abs=5e-5)
    people = set(source["zper"])
    alone = {z for z, n in source["zper"].value_counts().items() if n == 1}
    assert len(people) == 5_912
    assert set(rows["zper"]) == people - alone


def test_no_other_cell_comes_from_the_following_row(
    source: pd.DataFrame, rows: pd.DataFrame, rand_hie_contract: Contract
) -> None:
    following = source.groupby("zper")["totadm"].shift(-1)
    expected = source[following.notna()].reset_index(drop=True)
    for column in rand_hie_contract.columns:
        if column.role is not Role.LABEL:
            pd.testing.assert_series_equal(
                rows[column.name], expected[column.name], check_dtype=False
            )


def test_no_column_gives_the_label_away(rows: pd.DataFrame, rand_hie_contract: Contract) -> None:
    numbers = [c.name for c in rand_hie_contract.columns if c.role is not Role.LABEL]
    varied = [name for name in numbers if rows[name].nunique() > 1]
    correlation = rows[varied].corrwith(rows["admitted_next_year"]).abs()
    assert correlation.max() < 0.3


def test_the_manifest_counts_what_is_there(rand_hie: Dataset, rows: pd.DataFrame) -> None:
    assert rand_hie.manifest["rows"] == 14_278
    assert rand_hie.manifest["unparseable"] == {}
    assert sum(rand_hie.rows(s) for s in SPLITS) == 14_278
    assert rand_hie.spans == ("1", "2", "3", "4")
    for split in SPLITS:
        part = rows[rows["split"] == split]
        assert rand_hie.rows(split) == len(part)
        assert rand_hie.root(split) == rows_root(list(part[ROW_COLUMN]))
        for span, held in rand_hie.manifest["splits"][split]["spans"].items():
            assert held["rows"] == (part["year"].astype(str) == span).sum()
            (file,) = rand_hie.files(split=split, spans=(span,))
            assert set(pq.read_table(file)["year"].to_pylist()) == {int(span)}
    assert rand_hie.manifest["root"] == rows_root(list(rows[ROW_COLUMN]))
    assert rand_hie.files(spans=("9",)) == []
    assert len(rand_hie.files()) == 12


def test_every_row_carries_its_own_commitment(
    rand_hie: Dataset, rows: pd.DataFrame, rand_hie_contract: Contract
) -> None:
    assert rows[ROW_COLUMN].nunique() == len(rows)
    names = [c.name for c in rand_hie_contract.columns]
    table = pq.read_table(rand_hie.files(split="validation")[0])
    assert list(commit_rows(b"k" * 32, encode_rows(table.select(names)))) == (
        table[ROW_COLUMN].to_pylist()
    )


def test_groups_are_the_contracts_bands(rows: pd.DataFrame) -> None:
    assert rows["assay_group_female"].equals(rows["female"].map({0: "male", 1: "female"}))
    assert rows["assay_group_black"].eq("black").equals(rows["black"].ge(0.5))
    bands = pd.cut(rows["xage"], [-1, 18, 40, 200], right=False, labels=["0-17", "18-39", "40+"])
    assert (rows["assay_group_xage"] == bands.astype(str)).all()


def test_a_person_is_in_one_split_and_the_shares_are_kept(
    rows: pd.DataFrame, rand_hie_policy: Policy
) -> None:
    splits = rows.groupby("zper")["split"].unique()
    assert splits.map(len).max() == 1
    share = splits.map(lambda s: s[0]).value_counts(normalize=True)
    assert share["train"] == pytest.approx(0.6, abs=0.03)
    assert share["validation"] == pytest.approx(0.1, abs=0.02)
    assert share["evaluation"] == pytest.approx(0.3, abs=0.03)
    salt = rand_hie_policy.splits.salt
    for person, split in rows.groupby("zper")["split"].first().items():
        digest = hashlib.sha256(f"{salt}\x00{person}".encode()).digest()
        bucket = int.from_bytes(digest[:8], "big") % 10_000
        expected = "train" if bucket < 6000 else "validation" if bucket < 7000 else "evaluation"
        assert split == expected == split_of(str(person), rand_hie_policy.splits)


def test_half_of_the_people_keep_their_splits_and_commitments(
    rows: pd.DataFrame,
    rand_hie_contract: Contract,
    rand_hie_policy: Policy,
    tmp_path: Path,
) -> None:
    people = sorted(set(rows["zper"]))[::2]
    names = [c.name for c in rand_hie_contract.columns]
    half = rows[rows["zper"].isin(people)].sample(frac=1, random_state=1)
    file = tmp_path / "half.parquet"
    pq.write_table(pa.Table.from_pandas(half[names], preserve_index=False), file)
    found = ingest(rand_hie_contract, rand_hie_policy, tmp_path, b"k" * 32, file)
    before = defaultdict(set)
    for person, split, row in zip(half["zper"], half["split"], half[ROW_COLUMN], strict=True):
        before[split].add((person, row))
    for split in SPLITS:
        after = set()
        for path in found.files(split=split):
            table = pq.read_table(path, columns=["zper", ROW_COLUMN])
            after |= set(zip(*(table[c].to_pylist() for c in table.column_names), strict=True))
        assert after == before[split]


def test_the_same_input_gives_the_same_version_and_another_key_another_root(
    rand_hie: Dataset,
    rand_hie_home: Path,
    rand_hie_contract: Contract,
    rand_hie_policy: Policy,
    tmp_path: Path,
) -> None:
    again = ingest(rand_hie_contract, rand_hie_policy, rand_hie_home, b"k" * 32)
    assert (again.directory, again.version) == (rand_hie.directory, rand_hie.version)
    parent = rand_hie_home / "datasets" / "rand_hie"
    assert [p.name for p in parent.iterdir()] == [rand_hie.version[:16]]
    elsewhere = ingest(rand_hie_contract, rand_hie_policy, tmp_path, b"j" * 32)
    assert elsewhere.version != rand_hie.version
    assert elsewhere.manifest["root"] != rand_hie.manifest["root"]
    assert all(elsewhere.rows(s) == rand_hie.rows(s) for s in SPLITS)
    _flip_a_byte(elsewhere)


def _flip_a_byte(dataset: Dataset) -> None:
    """Every file of a dataset is checked, wherever the byte is."""
    for path in dataset.files():
        sound = path.read_bytes()
        for place in (0, len(sound) // 2, len(sound) - 1):
            path.write_bytes(sound[:place] + bytes([sound[place] ^ 1]) + sound[place + 1 :])
            with pytest.raises(EvidenceError, match="is not the file that was ingested"):
                Dataset.open(dataset.directory)
        path.write_bytes(sound)
    assert Dataset.open(dataset.directory).version == dataset.version
