"""Cells of 1 to 10 people out of sight, and with them the cells that would give them away.

A hidden count resolves where the counts that are shown beside it leave one number for it: a group's
count is the total less the other groups' counts. Then further cells are hidden as well, the
smallest first, until none resolves (complementary suppression). It is held against a reader who
knows how it is done: that a small cell is 1 to 10, and a cell hidden beside it none of these.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    import numpy as np

FEWEST_SHOWN = 11
"""Cells of fewer people stay out of reports (the cell size policy of the United States' Centers
for Medicare and Medicaid Services)."""

UNDER = f"under {FEWEST_SHOWN}"

_Cell = TypeVar("_Cell")
_EPSILON = 1e-9
_MOVED = 0.5
_MOST = 1e12


def is_small(n: float) -> bool:
    """Whether a count is one that is not shown; nobody at all is no small group."""
    return 0 < n < FEWEST_SHOWN


def told_count(n: int) -> str:
    """A count for a sentence of a record: its digits, or that there are fewer than 11."""
    return UNDER if is_small(n) else str(n)


@dataclass(frozen=True, slots=True)
class Sum(Generic[_Cell]):
    """A cell that is the sum of others."""

    total: _Cell
    parts: frozenset[_Cell]


def hidden_cells(cells: Mapping[_Cell, int], sums: Iterable[Sum[_Cell]]) -> frozenset[_Cell]:
    """The cells not to show: those of 1 to 10, and as many others as keep them from resolving.

    Args:
        cells: every count that would be shown, totals included.
        sums: how the cells add up; one that names an unknown cell or does not hold is left out.
    """
    held = [s for s in sums if holds(cells, s)]
    small = {c for c, n in cells.items() if is_small(n)}
    hidden = set(small)
    # A cell hidden beside a small one may be known by another figure of the same people.
    while small & (known := resolved(cells, held, hidden)):
        near = [s for s in held if known & ({s.total} | s.parts)]
        beside = {c for s in near for c in ({s.total} | s.parts)} - hidden
        others = beside or cells.keys() - hidden
        if not others:
            break
        # Somebody before nobody, then the least: what is left shown says the most.
        hidden.add(min(others, key=lambda c: (cells[c] == 0, cells[c], str(c))))
    return frozenset(hidden)


def holds(cells: Mapping[_Cell, int], one: Sum[_Cell]) -> bool:
    """Whether all of a sum's cells are known and it is right."""
    if not one.parts or not ({one.total} | one.parts) <= cells.keys():
        return False
    return cells[one.total] == sum(cells[p] for p in one.parts)


def resolved(
    cells: Mapping[_Cell, int], sums: Sequence[Sum[_Cell]], hidden: Iterable[_Cell]
) -> frozenset[_Cell]:
    """The hidden cells that the shown ones leave one number for.

    Found by solving the sums as linear equations, and again by narrowing each cell's range.
    """
    import numpy as np

    order = list(dict.fromkeys(hidden))
    place = {c: i for i, c in enumerate(order)}
    rows, rests = [], []
    for one in sums:
        row, rest = np.zeros(len(order)), 0
        for cell, sign in ((one.total, -1), *((p, 1) for p in one.parts)):
            if cell in place:
                row[place[cell]] = sign
            else:
                rest -= sign * cells[cell]
        if row.any():
            rows.append(row)
            rests.append(rest)
    if not rows:
        return frozenset()
    fixed = _determined(np.array(rows)) | _narrowed(rows, rests, [cells[c] for c in order])
    return frozenset(order[i] for i in fixed)


def _determined(equations: np.ndarray) -> set[int]:
    """Unknowns that have one value in every solution: no vector of the null space moves them."""
    import numpy as np

    _, sizes, vectors = np.linalg.svd(equations)
    rank = int((sizes > _EPSILON).sum())
    moved = np.abs(vectors[rank:]).max(axis=0, initial=0.0)
    return {int(i) for i in np.flatnonzero(moved < _EPSILON)}


def _narrowed(rows: list[np.ndarray], rests: list[int], counts: list[int]) -> set[int]:
    """Unknowns whose range is narrowed to one number, each equation in turn until nothing moves."""
    low = [1.0 if is_small(n) else float(FEWEST_SHOWN if n else 0) for n in counts]
    high = [float(FEWEST_SHOWN - 1) if is_small(n) else math.inf for n in counts]
    changed = True
    while changed:
        changed = False
        for row, rest in zip(rows, rests, strict=True):
            signs = {int(i): row[i] for i in row.nonzero()[0]}
            for i, sign in signs.items():
                others = [sorted((s * low[j], s * high[j])) for j, s in signs.items() if j != i]
                ends = [sign * (rest - sum(o[side] for o in others)) for side in (0, 1)]
                if min(ends) > low[i] or max(ends) < high[i]:
                    low[i], high[i] = max(low[i], min(ends)), min(high[i], max(ends))
                    changed = True
    return {i for i in range(len(counts)) if low[i] == high[i]}


def certain(
    cells: Mapping[_Cell, int],
    sums: Sequence[Sum[_Cell]],
    hidden: Sequence[_Cell],
    asked: Iterable[_Cell],
) -> frozenset[_Cell]:
    """The hidden cells among those asked for that can have one number alone, as none is below 0.

    Found by linear programs over all the sums together, which is more than ``resolved`` sees; of
    what a reader knows beside the sums it takes no account.
    """
    import numpy as np
    from scipy.optimize import linprog

    place = {c: i for i, c in enumerate(hidden)}
    open_ = sorted({place[c] for c in asked if c in place})
    true = np.array([cells[c] for c in hidden], float)
    rows = [r for one in sums if (r := _coefficients(one, place)) is not None]
    if not rows or not open_:
        return frozenset()
    matrix = np.array(rows)

    def reached(indices: list[int], sign: int) -> np.ndarray:
        """Other numbers that fit the sums, with these cells as small or as large as can be."""
        goal = np.zeros(len(true))
        goal[indices] = sign
        solved = linprog(goal, A_eq=matrix, b_eq=matrix @ true, bounds=(0, _MOST))
        return np.abs(solved.x - true) if solved.status == 0 else np.zeros(len(true))

    # All at once as long as that tells some of them from certain, then each by itself.
    for sign in (1, -1):
        while open_:
            moved = reached(open_, sign)
            left = [i for i in open_ if moved[i] < _MOVED]
            if len(left) == len(open_):
                break
            open_ = left
    alone = (i for i in open_ if all(reached([i], sign)[i] < _MOVED for sign in (1, -1)))
    return frozenset(hidden[i] for i in alone)


def _coefficients(one: Sum[_Cell], place: Mapping[_Cell, int]) -> np.ndarray | None:
    """The sum as an equation in hidden cells; None where it has none."""
    import numpy as np

    row = np.zeros(len(place))
    for cell, sign in ((one.total, -1), *((p, 1) for p in one.parts)):
        if cell in place:
            row[place[cell]] = sign
    return row if row.any() else None
