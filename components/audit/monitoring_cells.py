"""The counts behind a monitoring report, as cells that add up: by outcome, label and group.

Counts that are left of others, such as selected people whose label is not known, are cells as well:
a report that tells the others tells them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from components.audit.monitoring_counts import Counted
from components.checks.suppression import Sum
from components.decisions.decision_log import REVIEW
from components.decisions.log import SELECTED

Where = tuple[str, str]
Cell = tuple[Where, str, str]
"""Whose count, by which label (``POSITIVE``, ...), and of which outcome."""

ALL: Where = ("", "")
ANY, POSITIVE, NEGATIVE, KNOWN, UNKNOWN = "any", "positive", "negative", "known", "unknown"
EVERY, DECIDED, CHOSEN, OTHER, REVIEWED = "every", "decided", "selected", "other", "review"
OVERTURNED, UPHELD, APPEALED = "overturned", "upheld", "appealed"
_NOT_APPEALED = "not appealed"
_ONE_BY_ONE = (POSITIVE, NEGATIVE, UNKNOWN)


def cells_of(found: Counted, adverse: str | None) -> tuple[dict[Cell, int], list[Sum[Cell]]]:
    """Every count by group, label and outcome, told or not, and how they add up.

    Args:
        found: what was counted; a column that a log has no groups of is left out.
        adverse: the outcome that appeals are about, if there is one.
    """
    cells: dict[Cell, int] = {}
    sums: list[Sum[Cell]] = []
    for column in filter(found.grouped, found.groups):
        labels = found.labels(column)
        for label in labels:
            _group(cells, sums, found, column, label)
        for kind, outcome in _inner(found):
            parts = [((column, g), kind, outcome) for g in labels]
            cells[ALL, kind, outcome] = sum(cells[p] for p in parts)
            sums.append(Sum((ALL, kind, outcome), frozenset(parts)))
    sums += _overall(cells, found)
    sums += _appeals(cells, found, adverse)
    return cells, [s for s in sums if _holds(cells, s)]


def _holds(cells: Mapping[Cell, int], one: Sum[Cell]) -> bool:
    return bool(one.parts) and cells[one.total] == sum(cells[p] for p in one.parts)


def _inner(found: Counted) -> Iterator[tuple[str, str]]:
    kinds = (ANY,) if found.labelled is None else (ANY, *_ONE_BY_ONE)
    return ((kind, outcome) for kind in kinds for outcome in (DECIDED, CHOSEN, OTHER))


def _group(
    cells: dict[Cell, int], sums: list[Sum[Cell]], found: Counted, column: str, label: str
) -> None:
    where = (column, label)
    decided = found.decided(column, label)
    table = {ANY: (decided.cases, decided.hits)}
    if found.labelled is not None:
        held = found.labelled.group(column, label)
        table[POSITIVE] = (held.positives, held.true_positives)
        table[NEGATIVE] = (held.rows - held.positives, held.selected - held.true_positives)
        rows, chosen = ((a - b - c) for a, b, c in zip(*table.values(), strict=True))
        table[UNKNOWN] = (rows, chosen)
    _cross(cells, sums, where, {k: (n, s, n - s) for k, (n, s) in table.items()})


def _cross(
    cells: dict[Cell, int],
    sums: list[Sum[Cell]],
    where: Where,
    table: Mapping[str, tuple[int, int, int]],
) -> None:
    """Cells by label and outcome, and how they add up both ways."""
    outcomes = (DECIDED, CHOSEN, OTHER)
    for kind, row in table.items():
        cells |= {(where, kind, o): n for o, n in zip(outcomes, row, strict=True)}
        parts = frozenset({(where, kind, CHOSEN), (where, kind, OTHER)})
        sums.append(Sum((where, kind, DECIDED), parts))
    if len(table) > 1:
        sums += [
            Sum((where, ANY, o), frozenset((where, k, o) for k in _ONE_BY_ONE)) for o in outcomes
        ]


def _overall(cells: dict[Cell, int], found: Counted) -> Iterator[Sum[Cell]]:
    """Everybody: decided by the model and left to a person, labelled and not."""
    reviewed = {ANY: found.outcomes[REVIEW]}
    rows = {ANY: found.rows}
    if (held := found.labelled) is not None:
        rows[POSITIVE] = held.everybody.positives
        rows[NEGATIVE] = held.everybody.rows - held.everybody.positives
        rows[UNKNOWN] = found.rows - held.everybody.rows
        reviewed[POSITIVE], reviewed[NEGATIVE] = held.reviewed[True], held.reviewed[False]
        reviewed[UNKNOWN] = reviewed[ANY] - held.reviewed.total()
        cells[ALL, KNOWN, EVERY] = held.everybody.rows
        yield Sum((ALL, ANY, EVERY), frozenset({(ALL, KNOWN, EVERY), (ALL, UNKNOWN, EVERY)}))
        yield Sum((ALL, KNOWN, EVERY), frozenset({(ALL, POSITIVE, EVERY), (ALL, NEGATIVE, EVERY)}))
    for kind, n in rows.items():
        cells[ALL, kind, EVERY], cells[ALL, kind, REVIEWED] = n, reviewed[kind]
        cells[ALL, kind, DECIDED] = n - reviewed[kind]
        parts = frozenset({(ALL, kind, DECIDED), (ALL, kind, REVIEWED)})
        yield Sum((ALL, kind, EVERY), parts)


def _appeals(cells: dict[Cell, int], found: Counted, adverse: str | None) -> Iterator[Sum[Cell]]:
    """Appeals of adverse decisions, and the adverse decisions without a known one."""
    if found.labelled is None or adverse is None:
        return
    overturned, upheld = found.labelled.overturned, found.labelled.upheld
    cells[ALL, OVERTURNED, CHOSEN], cells[ALL, UPHELD, CHOSEN] = overturned, upheld
    cells[ALL, APPEALED, CHOSEN] = overturned + upheld
    cells[ALL, _NOT_APPEALED, CHOSEN] = found.outcomes[adverse] - overturned - upheld
    outcome = CHOSEN if adverse == SELECTED else OTHER
    cells[ALL, ANY, outcome] = found.outcomes[adverse]
    parts = frozenset({(ALL, OVERTURNED, CHOSEN), (ALL, UPHELD, CHOSEN)})
    yield Sum((ALL, APPEALED, CHOSEN), parts)
    parts = frozenset({(ALL, APPEALED, CHOSEN), (ALL, _NOT_APPEALED, CHOSEN)})
    yield Sum((ALL, ANY, outcome), parts)
