"""No cell of 1 to 10 resolves, from one table or from two that were made of the same people."""

from __future__ import annotations

import random
from itertools import product

import pytest

from components.checks.suppression import (
    FEWEST_SHOWN,
    Sum,
    hidden_cells,
    is_small,
    resolved,
    told_count,
)

PAIRS = 5_000

Cell = tuple[str, ...]


def _pair(chance: random.Random) -> tuple[dict[Cell, int], list[Sum[Cell]]]:
    """Two reports of the same people: by each of two attributes, and by both together."""
    first = [f"a{i}" for i in range(chance.randint(2, 4))]
    second = [f"b{i}" for i in range(chance.randint(2, 3))]
    most = chance.choice((3, 15, 40, 200))
    cells: dict[Cell, int] = {p: chance.randint(0, most) for p in product(first, second)}
    sums: list[Sum[Cell]] = []
    for a in first:
        sums.append(Sum((a,), frozenset((a, b) for b in second)))
    for b in second:
        sums.append(Sum((b,), frozenset((a, b) for a in first)))
    for names in (first, second):
        sums.append(Sum(("all",), frozenset((x,) for x in names)))
    for one in sums:
        cells[one.total] = sum(cells[p] for p in one.parts)
    return cells, sums


def test_of_5000_pairs_of_reports_no_cell_resolves() -> None:
    chance, hid, beside = random.Random(11), 0, 0
    for _ in range(PAIRS):
        cells, sums = _pair(chance)
        hidden = hidden_cells(cells, sums)
        small = {c for c, n in cells.items() if is_small(n)}
        assert small <= hidden
        known = resolved(cells, sums, hidden)
        assert not small & known
        shown = cells.keys() - hidden
        for one in sums:  # a total less all that is shown below it, by hand
            if one.total in shown and len(rest := one.parts - shown) == 1:
                assert not is_small(cells[one.total] - sum(cells[p] for p in one.parts - rest))
        hid, beside = hid + bool(small), beside + bool(hidden - small)
    assert hid > PAIRS // 2
    assert beside > PAIRS // 4


def test_without_complements_most_pairs_would_give_a_cell_away() -> None:
    chance, given_away = random.Random(11), 0
    for _ in range(500):
        cells, sums = _pair(chance)
        small = {c for c, n in cells.items() if is_small(n)}
        given_away += bool(resolved(cells, sums, small))
    assert given_away > 100


@pytest.mark.parametrize(
    ("parts", "hidden"),
    [
        ({"f": 4, "m": 90}, {"f", "m"}),
        ({"f": 4, "m": 90, "x": 20}, {"f", "x"}),
        ({"f": 4, "m": 90, "x": 0}, {"f", "m"}),
        ({"f": 4, "m": 5, "x": 20}, {"f", "m"}),
        ({"f": 1, "m": 1, "x": 20}, {"f", "m", "x"}),
        ({"f": 10, "m": 10, "x": 20}, {"f", "m", "x"}),
        ({"f": 1, "m": 11, "x": 200}, {"f", "m", "x"}),
        ({"f": 40, "m": 90}, set()),
        ({"f": 0, "m": 90}, set()),
    ],
)
def test_the_least_that_keeps_a_cell_is_hidden(parts: dict[str, int], hidden: set[str]) -> None:
    cells = {**parts, "all": sum(parts.values())}
    assert hidden_cells(cells, [Sum("all", frozenset(parts))]) == hidden


def test_a_total_goes_where_nothing_else_is_left() -> None:
    cells = {"f": 1, "m": 1, "all": 2}
    assert hidden_cells(cells, [Sum("all", frozenset("fm"))]) == set(cells)
    cells = {"f": 9, "m": 9, "all": 18}
    assert hidden_cells(cells, [Sum("all", frozenset("fm"))]) == {"f", "m"}


def test_a_sum_that_does_not_hold_tells_nothing() -> None:
    cells = {"f": 4, "m": 90, "all": 100}
    sums = [Sum("all", frozenset("fm")), Sum("all", frozenset({"f", "nobody"}))]
    assert hidden_cells(cells, sums) == {"f"}


def test_a_count_in_a_sentence() -> None:
    told = [told_count(n) for n in (0, 1, FEWEST_SHOWN - 1, FEWEST_SHOWN, 1234)]
    assert told == ["0", "under 11", "under 11", "11", "1234"]
