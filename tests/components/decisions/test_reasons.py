"""Attributions are Shapley values, and reasons come from nothing else."""

from __future__ import annotations

from itertools import combinations
from math import factorial

import numpy as np
import pyarrow as pa
import pytest

from components.contract.contract import Column, LogicalType, Role
from components.decisions.baseline_row import baseline_row
from components.decisions.reasons import Attributions, attribute, reasons_for
from components.profile.profile import ColumnProfile, Profile

NAMES = ("age", "visits", "plan", "cost")
BASELINE = pa.table({"age": [40.0], "visits": [1], "plan": ["gold"], "cost": [10.0]})
ROWS = pa.table(
    {
        "age": [71.0, 40.0, None, 18.0],
        "visits": [0, 9, 3, 1],
        "plan": ["bronze", "gold", None, "bronze"],
        "cost": [99.0, 10.0, 50.0, 0.5],
    }
)


class Pairwise:
    """Effects of single columns and of pairs of them, and of no more than two together."""

    calls = 0

    def score(self, columns: pa.Table) -> np.ndarray:
        self.calls += columns.num_rows
        age = np.nan_to_num(columns["age"].to_numpy(), nan=30.0) / 100
        visits = columns["visits"].to_numpy() / 10
        bronze = np.array([p == "bronze" for p in columns["plan"].to_pylist()], float)
        cost = columns["cost"].to_numpy() / 100
        return 0.1 + 0.2 * age + 0.1 * visits * cost + 0.2 * bronze * age + 0.1 * cost * age


class Tangled(Pairwise):
    """All columns together."""

    def score(self, columns: pa.Table) -> np.ndarray:
        return 1 / (1 + np.exp(-10 * (super().score(columns) - 0.3) ** 3))


def _exact(row: pa.Table, model: Pairwise) -> list[float]:
    """Shapley values by their definition, over every set of columns."""
    found = []
    for column in NAMES:
        others = [n for n in NAMES if n != column]
        total = 0.0
        for size in range(len(others) + 1):
            weight = factorial(size) * factorial(len(others) - size) / factorial(len(NAMES))
            for known in combinations(others, size):
                total += weight * (
                    _value(row, {*known, column}, model) - _value(row, {*known}, model)
                )
        found.append(total)
    return found


def _value(row: pa.Table, known: set[str], model: Pairwise) -> float:
    cells = {n: (row if n in known else BASELINE)[n].combine_chunks() for n in NAMES}
    return float(model.score(pa.table(cells))[0])


def _attributed(model: Pairwise, rows: pa.Table, places: list[int]) -> Attributions:
    return attribute(model, rows, model.score(rows), BASELINE, places)


def test_pairs_of_columns_are_attributed_exactly() -> None:
    found = _attributed(Pairwise(), ROWS, [0, 1, 2, 3])
    exact = [_exact(ROWS.slice(i, 1), Pairwise()) for i in range(ROWS.num_rows)]
    assert found.columns == NAMES
    np.testing.assert_allclose(found.values, exact, atol=1e-12)
    assert np.abs(found.values).max() > 0.01


def test_the_mean_of_many_draws_nears_the_exact_values() -> None:
    many = pa.concat_tables([ROWS.slice(0, 1)] * 500)
    found = _attributed(Tangled(), many, list(range(500))).values.mean(axis=0)
    np.testing.assert_allclose(found, _exact(ROWS.slice(0, 1), Tangled()), atol=2e-3)


@pytest.mark.parametrize("model", [Pairwise(), Tangled()])
def test_attributions_sum_to_the_difference_from_the_baseline(model: Pairwise) -> None:
    found = _attributed(model, ROWS, [5, 6, 7, 8])
    expected = model.score(ROWS) - float(model.score(BASELINE)[0])
    np.testing.assert_allclose(found.values.sum(axis=1), expected, atol=1e-6)
    # The second row differs from the baseline in one column, which then moved all of it.
    np.testing.assert_allclose(found.values[1], [0, expected[1], 0, 0], atol=1e-12)


def test_a_row_gets_the_same_values_whoever_is_explained_beside_it() -> None:
    together = _attributed(Tangled(), ROWS, [11, 12, 13, 14]).values
    alone = _attributed(Tangled(), ROWS.slice(2, 1), [13]).values
    np.testing.assert_array_equal(together[2], alone[0])


def test_a_model_of_one_column_needs_no_orders() -> None:
    class One:
        def score(self, columns: pa.Table) -> np.ndarray:
            return np.asarray(columns["age"].to_numpy()) / 100

    rows = pa.table({"age": [70.0, 20.0]})
    found = attribute(One(), rows, One().score(rows), pa.table({"age": [40.0]}), [0, 1])
    np.testing.assert_allclose(found.values, [[0.3], [-0.2]])


SENTENCES = {"age": "Age.", "visits": "Visits.", "cost": "Cost."}


@pytest.mark.parametrize(
    ("adverse", "at_most", "told"),
    [
        ("selected", 3, ["Cost.", "Age."]),
        ("selected", 1, ["Cost."]),
        ("not_selected", 3, ["Visits."]),
    ],
)
def test_reasons_are_what_moved_the_score_most_to_the_adverse_side(
    adverse: str, at_most: int, told: list[str]
) -> None:
    # ``plan`` moved it most of all, and has no sentence: it is never named.
    found = Attributions(NAMES, np.array([[0.1, -0.2, 0.9, 0.3]]), 0.5)
    assert list(reasons_for(found, SENTENCES, adverse, at_most)) == [told]


def test_a_row_that_nothing_moved_has_no_reason() -> None:
    found = Attributions(NAMES, np.array([[0.0, 1e-12, 0.0, -0.4]]), 0.5)
    assert list(reasons_for(found, SENTENCES, "selected", 3)) == [[]]


def test_the_baseline_row_is_of_medians_and_modes() -> None:
    def column(kind: LogicalType, *, categorical: bool = False) -> Column:
        return Column("c", Role.FEATURE, kind, categorical)

    number = ColumnProfile(11, 1, 0.0, 8.0, None, 9, (2.0, 4.0), (2, 4, 4))
    flag = ColumnProfile(14278, 0, 0.0, 1.0, None, 9, (0.0, 1.0), (0, 13000, 1278))
    category = ColumnProfile(9, 0, None, None, {"b": 4, "a": 4, "c": 1}, 9)
    code = ColumnProfile(9, 0, None, None, {"10": 5, "9": 4}, 9)
    rare = ColumnProfile(9, 5, 0.0, 8.0, None, 9, (2.0,), (2, 2))
    cases = {
        "median": (number, column(LogicalType.NUMBER), pa.float64(), 2.0),
        "whole": (flag, column(LogicalType.INTEGER), pa.int64(), 0),
        "mode": (category, column(LogicalType.STRING, categorical=True), pa.string(), "a"),
        "code": (code, column(LogicalType.INTEGER, categorical=True), pa.int64(), 10),
        "null": (rare, column(LogicalType.NUMBER), pa.float64(), None),
    }
    columns = [
        Column(name, c.role, c.logical_type, c.categorical) for name, (_, c, _, _) in cases.items()
    ]
    made = baseline_row(
        Profile(11, {name: found for name, (found, _, _, _) in cases.items()}),
        columns,
        pa.schema([(name, kind) for name, (_, _, kind, _) in cases.items()]),
    )
    assert made.to_pylist() == [{name: value for name, (_, _, _, value) in cases.items()}]
