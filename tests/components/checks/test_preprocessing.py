from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from components.checks.preprocessing import as_text, features, fit
from components.contract.contract import Contract
from components.contract.features import ModelInput, model_inputs
from components.contract.policy import Policy
from components.datasets.canonical import Dataset


def _fit_and_apply(
    tmp_path: Path, table: pa.Table, inputs: list[ModelInput], least: int = 1, files: int = 1
) -> np.ndarray:
    paths = []
    step = -(-table.num_rows // files)
    for i in range(files):
        paths.append(tmp_path / f"{i}.parquet")
        pq.write_table(table.slice(i * step, step), paths[-1])
    return features(table, fit(paths, inputs, least))


def test_complete_data_come_out_as_from_scikit_learn(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    table = pa.table(
        {
            "x": chance.normal(50, 1e-3, 500),
            "y": chance.integers(-5, 5, 500),
            "city": chance.choice(["Ä", "a", "B", "z"], 500),
            "code": chance.integers(1, 12, 500),
            "flag": chance.random(500) < 0.5,
        }
    )
    inputs = [ModelInput(n, categorical=n in ("city", "code", "flag")) for n in table.column_names]
    found = _fit_and_apply(tmp_path, table, inputs, files=3)
    numbers = np.column_stack([table["x"].to_numpy(), table["y"].to_numpy()]).astype(float)
    parts = [StandardScaler().fit_transform(numbers)]
    for name in ("city", "code", "flag"):
        texts = np.array([[as_text(v)] for v in table[name].to_pylist()], dtype=object)
        parts.append(OneHotEncoder(sparse_output=False).fit_transform(texts))
    assert found == pytest.approx(np.hstack(parts), abs=1e-9)


def test_the_real_training_rows_come_out_as_from_scikit_learn(
    rand_hie: Dataset, rand_hie_contract: Contract, rand_hie_policy: Policy
) -> None:
    inputs = [
        i
        for i in model_inputs(rand_hie_contract, rand_hie_policy.candidates["plain"])
        if not i.categorical
    ]
    files = rand_hie.files(split="train")
    rows = pa.concat_tables(pq.read_table(f) for f in files)
    complete = [i for i in inputs if rows[i.name].null_count == 0]
    assert len(complete) > 20
    found = features(rows, fit(files, complete, 20))
    matrix = np.column_stack([rows[i.name].to_numpy() for i in complete]).astype(float)
    assert found == pytest.approx(StandardScaler().fit_transform(matrix), abs=1e-9)


def test_missing_and_unknown_values_are_zeros(tmp_path: Path) -> None:
    train = pa.table({"x": [1.0, 3.0, None, math.nan], "c": ["a", "a", "b", None]})
    path = tmp_path / "t.parquet"
    pq.write_table(train, path)
    fitted = fit([path], [ModelInput("x", False), ModelInput("c", True)], 1)
    assert (fitted[0].mean, fitted[0].std) == (2.0, 1.0)
    assert fitted[1].vocabulary == ("a", "b")
    new = pa.table({"x": [None, math.nan, 4.0], "c": [None, "z", "b"]})
    assert features(new, fitted).tolist() == [[0, 0, 0], [0, 0, 0], [2, 0, 1]]


def test_a_rare_category_counts_as_unknown(tmp_path: Path) -> None:
    table = pa.table({"c": ["a"] * 3 + ["b"] * 2 + ["c"]})
    inputs = [ModelInput("c", True)]
    assert _fit_and_apply(tmp_path, table, inputs, least=2).shape == (6, 2)
    assert _fit_and_apply(tmp_path, table, inputs, least=3).sum() == 3
    assert _fit_and_apply(tmp_path, table, inputs, least=9).shape == (6, 0)


@pytest.mark.parametrize("value", [0.1, 1e300, -7.3, 0.0])
def test_a_constant_is_zero_and_not_rounding_noise(tmp_path: Path, value: float) -> None:
    table = pa.table({"x": [value] * 300_000 + [None]})
    assert not _fit_and_apply(tmp_path, table, [ModelInput("x", False)]).any()


def test_a_large_offset_does_not_drown_the_spread(tmp_path: Path) -> None:
    values = 1e9 + np.random.default_rng(1).normal(0, 0.01, 300_000)
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": values}), path, row_group_size=10_000)
    (fitted,) = fit([path], [ModelInput("x", False)], 1)
    assert fitted.mean == pytest.approx(math.fsum(values) / len(values), abs=1e-6)
    assert fitted.std == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize("name", ["v", "n", "value", "mean", 'a"b', "select", "[x]"])
def test_a_column_may_have_any_name(tmp_path: Path, name: str) -> None:
    table = pa.table({"c": ["a", "b", "b"], name: ["x", "x", "y"]})
    found = _fit_and_apply(tmp_path, table, [ModelInput("c", True), ModelInput(name, True)])
    assert found.tolist() == [[1, 0, 1, 0], [0, 1, 1, 0], [0, 1, 0, 1]]


def test_numbers_as_categories_are_the_same_text_on_both_sides(tmp_path: Path) -> None:
    values = [0.0, 1.0, 250.83, 1e16, 1e-5, 1e22, 123456789012345680.0, 0.1 + 0.2, -0.5]
    table = pa.table({"code": values})
    found = _fit_and_apply(tmp_path, table, [ModelInput("code", True)])
    assert found.sum(axis=1).tolist() == [1.0] * len(values)
    assert found.sum(axis=0).tolist() == [1.0] * len(values)


def test_text_of_values() -> None:
    assert [as_text(v) for v in (None, math.nan, True, False, 1, 1.0, "x", "")] == [
        None,
        None,
        "true",
        "false",
        "1",
        "1.0",
        "x",
        "",
    ]
