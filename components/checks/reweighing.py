"""Reweighing: training weights that make label and group independent."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

Cell = tuple[str, bool]


def reweighing(cells: Iterable[Cell]) -> dict[Cell, float]:
    """Weight of each (group, label) cell: ``n(group) * n(label) / (n * n(group, label))``.

    With these weights the weighted share of positives is the same in every group (Kamiran and
    Calders, Knowledge and Information Systems, 2012). The weights average to 1 over the rows. A
    cell without rows has no weight.

    Args:
        cells: one (group, whether positive) pair for each training row.
    """
    counts = Counter(cells)
    total = sum(counts.values())
    groups: Counter[str] = Counter()
    labels: Counter[bool] = Counter()
    for (group, label), n in counts.items():
        groups[group] += n
        labels[label] += n
    return {
        (group, label): groups[group] * labels[label] / (total * n)
        for (group, label), n in sorted(counts.items())
    }
