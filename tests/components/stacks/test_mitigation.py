"""What both stacks take from the training rows for a mitigation: weights, or groups."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.contract.contract import Contract
from components.contract.policy import Candidate, Mitigation, Policy
from components.datasets.canonical import Dataset, ingest
from components.stacks.mitigation import (
    TrainingGroups,
    group_columns,
    group_keys,
    training_groups,
)
from tests.clinic import csv_text, rows

PENALTY, REWEIGHING = Mitigation.OPPORTUNITY_PENALTY, Mitigation.REWEIGHING


def _candidate(mitigation: Mitigation, *by: str) -> Candidate:
    return Candidate("c", "d", (), "", mitigation, by)


@pytest.fixture(scope="module")
def dataset(clinic: Contract, rules: Policy, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    home = tmp_path_factory.mktemp("mitigated")
    (home / "data.csv").write_text(csv_text(rows(200)))
    return ingest(clinic, rules, home, b"k" * 32, home / "data.csv")


def _training(dataset: Dataset) -> pa.Table:
    return pa.concat_tables(pq.read_table(f) for f in dataset.files(split="train"))


def test_without_a_mitigation_nothing_is_read(clinic: Contract, tmp_path: Path) -> None:
    nowhere = Dataset(tmp_path, {"splits": {}}, "0" * 64)
    found = training_groups(nowhere, clinic, _candidate(Mitigation.NONE))
    assert found == TrainingGroups({}, {})
    assert found.row_weights({}, [True, False, True]).tolist() == [1.0, 1.0, 1.0]
    assert found.members({}, 3).shape == (3, 0)


@pytest.mark.parametrize("by", [("sex",), ("sex", "age"), ("age", "sex")])
def test_reweighing_makes_label_and_group_independent_in_training(
    dataset: Dataset, clinic: Contract, by: tuple[str, ...]
) -> None:
    candidate = _candidate(REWEIGHING, *by)
    found = training_groups(dataset, clinic, candidate)
    assert found.groups == {}
    table = _training(dataset)
    columns = group_columns(clinic, candidate)
    assert columns == [f"assay_group_{name}" for name in by]
    groups = {c: table[c].to_pylist() for c in columns}
    labels = np.array(table["readmitted"].to_pylist()) == 1
    weights = found.row_weights(groups, list(labels))
    assert (weights.dtype, weights.shape) == (np.float32, labels.shape)
    assert weights.mean() == pytest.approx(1, abs=1e-6)
    keys = np.array(group_keys(groups))
    assert len(set(keys)) == {1: 2, 2: 8}[len(by)]
    for key in set(keys):
        held = keys == key
        if labels[held].any() and not labels[held].all():
            share = weights[held & labels].sum() / weights[held].sum()
            assert share == pytest.approx(labels.mean(), abs=1e-5)


def test_a_cell_that_training_never_saw_counts_once() -> None:
    found = TrainingGroups({("f", True): 3.0, ("(missing)", False): 0.5}, {})
    groups = {"sex": ["f", "f", None, "x"]}
    assert found.row_weights(groups, [True, False, False, True]).tolist() == [3.0, 1.0, 0.5, 1.0]


def test_the_penalty_is_about_the_groups_that_training_has(
    dataset: Dataset, clinic: Contract
) -> None:
    found = training_groups(dataset, clinic, _candidate(PENALTY, "sex", "age"))
    assert found.weights == {}
    assert list(found.groups.items()) == [
        ("assay_group_sex", ("f", "m")),
        ("assay_group_age", ("(missing)", "middle", "old", "young")),
    ]
    turned = training_groups(dataset, clinic, _candidate(PENALTY, "age", "sex"))
    assert list(turned.groups) == ["assay_group_age", "assay_group_sex"]


def test_only_training_rows_count(dataset: Dataset, clinic: Contract) -> None:
    splits = dataset.manifest["splits"]
    other = {**splits, "train": splits["evaluation"], "evaluation": splits["train"]}
    swapped = replace(dataset, manifest={**dataset.manifest, "splits": other})
    candidate = _candidate(REWEIGHING, "sex")
    one, two = (training_groups(d, clinic, candidate).weights for d in (dataset, swapped))
    assert set(one) == set(two)
    assert one != two


def test_members_worked_by_hand() -> None:
    found = TrainingGroups({}, {"sex": ("f", "m"), "age": ("(missing)", "old")})
    groups = {"age": ["old", None, "young"], "sex": ["m", "f", None]}
    members = found.members(groups, 3)
    assert members.dtype == np.float32
    assert members.tolist() == [[0, 1, 0, 1], [1, 0, 1, 0], [0, 0, 0, 0]]


def test_keys_are_labels_in_the_mappings_order() -> None:
    groups = {"sex": ["f", None], "age": ["old", "young"]}
    assert group_keys(groups) == ["f|old", "(missing)|young"]
    assert group_keys(dict(reversed(groups.items()))) == ["old|f", "young|(missing)"]


labels = st.text(alphabet="|\\a", max_size=3)


@settings(deadline=None)
@given(st.lists(st.tuples(labels, labels), min_size=2, max_size=2, unique=True))
def test_two_groups_never_share_a_key(pairs: list[tuple[str, str]]) -> None:
    one, other = group_keys({"a": [p[0] for p in pairs], "b": [p[1] for p in pairs]})
    assert one != other
