"""Which figures of a monitoring report to leave out, so that nobody finds a count of 1 to 10.

Rates rest on counts that share people: of the rates by sex, those by age and the labels in all,
one may follow from the others. A figure is left out where it rests on a small count, and further
ones until no small count follows from what is told, the nearest and smallest first.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

import numpy as np

from components.audit.monitoring_cells import (
    ALL,
    ANY,
    APPEALED,
    CHOSEN,
    DECIDED,
    EVERY,
    KNOWN,
    NEGATIVE,
    OVERTURNED,
    POSITIVE,
    REVIEWED,
    UPHELD,
    Cell,
    cells_of,
)
from components.audit.monitoring_counts import Counted
from components.checks.suppression import Sum, is_small, resolved

Figure = frozenset[Cell]
"""The counts that a figure tells, with its value, interval and number of cases."""

ROWS: Figure = frozenset({(ALL, ANY, EVERY)})
REVIEW_SHARE: Figure = frozenset({(ALL, ANY, REVIEWED)})
LABELLED: Figure = frozenset({(ALL, KNOWN, EVERY)})
CLASSES: Figure = frozenset({(ALL, POSITIVE, EVERY), (ALL, NEGATIVE, EVERY)})
APPEALS: Figure = frozenset(
    {(ALL, OVERTURNED, CHOSEN), (ALL, UPHELD, CHOSEN), (ALL, APPEALED, CHOSEN)}
)
_OVERALL = (REVIEW_SHARE, APPEALS, CLASSES, LABELLED, ROWS)
_EPSILON = 1e-9


def rate_of(column: str, label: str, kind: str) -> Figure:
    """The selection rate of a group, or its true or false positive rate."""
    where = (column, label)
    return frozenset({(where, kind, DECIDED), (where, kind, CHOSEN)})


def hidden(found: Counted, adverse: str | None) -> frozenset[Figure]:
    """The figures to leave out.

    Args:
        found: what was counted.
        adverse: the outcome that appeals are about, if there is one.
    """
    cells, sums = cells_of(found, adverse)
    kinds = (ANY,) if found.labelled is None else (ANY, POSITIVE, NEGATIVE)
    figures = [
        rate_of(column, label, kind)
        for column in filter(found.grouped, found.groups)
        for label in found.labels(column)
        for kind in kinds
    ]
    figures += [f for f in _OVERALL if f <= cells.keys()]
    small = {c for c, n in cells.items() if is_small(n)}
    closed = {f for f in figures if f & small}
    while small and (known := _known(cells, sums, small, figures, closed)):
        left = [f for f in figures if f not in closed]
        if not left:
            break
        left.sort(key=lambda f: _distance(f, known, cells))
        shrinks = (f for f in left if len(_solved(cells, sums, small, left, f)) < len(known))
        closed.add(next(shrinks, left[0]))
    return frozenset(closed)


def _known(
    cells: Mapping[Cell, int],
    sums: Sequence[Sum[Cell]],
    small: set[Cell],
    figures: Sequence[Figure],
    closed: set[Figure],
) -> set[Cell]:
    """The small cells that follow from the open figures."""
    open_ = [f for f in figures if f not in closed]
    linear = _solved(cells, sums, small, open_, frozenset())
    if linear:
        return linear
    told = set(chain.from_iterable(open_))
    found = resolved(cells, sums, [c for c in cells if c not in told])
    return small & found


def _solved(
    cells: Mapping[Cell, int],
    sums: Sequence[Sum[Cell]],
    small: set[Cell],
    open_: Iterable[Figure],
    without: Figure,
) -> set[Cell]:
    """The small cells that the sums leave one number for, to a reader who knows every nought."""
    told = set(chain.from_iterable(f for f in open_ if f != without))
    order = [c for c, n in cells.items() if n and c not in told]
    place = {c: i for i, c in enumerate(order)}
    equations = np.zeros((len(sums), len(order)))
    for row, one in zip(equations, sums, strict=True):
        for cell, sign in ((one.total, -1), *((p, 1) for p in one.parts)):
            if cell in place:
                row[place[cell]] = sign
    _, sizes, vectors = np.linalg.svd(equations)
    free = np.abs(vectors[int((sizes > _EPSILON).sum()) :]).max(axis=0, initial=0.0)
    return {c for c in small if free[place[c]] < _EPSILON}


def _distance(
    figure: Figure, known: set[Cell], cells: Mapping[Cell, int]
) -> tuple[bool, bool, bool, int, str]:
    """Figures of the same column first, then of the same kind and group, the smallest first."""
    (column, label), kind, _ = next(iter(figure))
    return (
        (column, label) == ALL,
        all(column != c[0][0] for c in known),
        all(kind != c[1] and (column, label) != c[0] for c in known),
        min(cells[c] for c in figure),
        str(sorted(figure)),
    )
