"""The section on groups: each group's figures, what comparisons come to, and the champion."""

from __future__ import annotations

from collections.abc import Iterator

from components.checks.measurement import Measurement
from components.contract.policy import RATES, Metric
from components.release.card_masking import (
    HIDDEN,
    Masking,
    shown_value,
)
from components.release.card_parts import Block, Column, Kind, Section, Table
from components.release.card_source import CardSource
from components.release.card_words import metric_title

_NAMES = {str(m) for m in Metric}
_ORDER = (*RATES, *(m for m in Metric if m not in RATES))


def groups(source: CardSource) -> Section:
    """Metrics by group and by intersection of two attributes, with intervals and cases."""
    blocks: tuple[Block, ...] = (*_by_group(source), *_comparisons(source), _pools(source))
    note = (
        f"A cell has the figure, its {source.policy.release_gate.confidence:.0%} interval and the "
        f"cases behind it (n). A figure is {HIDDEN} where it would tell of 1 to 10 people or "
        "stands in a table with one that would; its cases alone, where they differ by 1 to 10 "
        "from those of an earlier release."
    )
    return Section("groups", "Metrics by group", blocks, note)


def _by_group(source: CardSource) -> Iterator[Table]:
    """One table for each protected attribute and for each pair of them."""
    found = [m for m in source.measurements if m.of and m.name in _NAMES]
    if not found:
        yield Table("Groups", (Column("Group"),), (), empty="No group was measured.")
    order = list(dict.fromkeys(m.of for m in found))
    # One attribute first, then intersections: the latter are read after the former.
    for of in sorted(order, key=lambda o: (o.count("*"), order.index(o))):
        yield _group_table(source, of, [m for m in found if m.of == of])


def _group_table(source: CardSource, of: str, found: list[Measurement]) -> Table:
    held = {str(m.name) for m in found}
    metrics = [m for m in _ORDER if m in held]
    by_group: dict[str, dict[str, Measurement]] = {}
    for m in found:
        by_group.setdefault(m.slice, {})[m.name] = m
    attributes = of.split("*")
    rows = [
        (
            _labels(source.masking.aliases.get(group, group), attributes),
            *(_cell(figures.get(str(m)), source.masking) for m in metrics),
        )
        for group, figures in by_group.items()
    ]
    columns = (
        Column(" × ".join(attributes)),
        *(Column(metric_title(m), Kind.NUMBER) for m in metrics),
    )
    return Table(f"By {' and '.join(attributes)}", columns, tuple(rows))


def _labels(group: str, attributes: list[str]) -> str:
    """A group by its labels alone, as ``40+ × male``: the table's head has the attributes."""
    first, *rest = attributes
    whole = "*".join(attributes)
    if rest and group.startswith(f"{whole}="):  # a pool of groups of both attributes
        return group.removeprefix(f"{whole}=")
    label = group.removeprefix(f"{first}=")
    for attribute in rest:
        before, _, after = label.partition(f"*{attribute}=")
        label = f"{before} × {after}"
    return label


def _cell(measured: Measurement | None, masking: Masking) -> str:
    if measured is None:
        return "not measured"
    if measured.hidden:
        return HIDDEN
    count = masking.count(measured)
    n = f"n {HIDDEN}" if count == HIDDEN else f"n={count}"
    parts = (shown_value(measured), masking.interval(measured), n)
    return " ".join(p for p in parts if p)


def _comparisons(source: CardSource) -> Iterator[Table]:
    rows = [
        (
            m.slice.replace("*", " and "),
            metric_title(Metric(m.name)),
            shown_value(m),
            source.masking.interval(m),
            source.masking.count(m),
        )
        for m in source.measurements
        if m.name in _NAMES and Metric(m.name).compares_groups
    ]
    columns = (
        Column("Groups by", width=3),
        Column("Comparison", width=5),
        Column("Figure", Kind.NUMBER),
        Column("Interval", Kind.NUMBER, width=3),
        Column("Cases of the smallest group", Kind.NUMBER),
    )
    yield Table(
        "Comparisons between groups",
        columns,
        tuple(sorted(rows, key=lambda r: r[0].count(" and "))),
        note="A difference of 0 and a ratio of 1 mean that all groups are treated alike. The "
        "difference of true positive rates is the equal opportunity difference. Intervals hold "
        "for the worst pair of groups, whichever it is (Bonferroni).",
        empty="None was measured.",
    )
    yield _champion(source)


def _champion(source: CardSource) -> Table:
    champion = source.gate.body["champion"] if source.gate is not None else None
    rows = tuple(
        (m.name, m.slice, shown_value(m), source.masking.interval(m), source.masking.count(m))
        for m in source.measurements
        if " change of " in m.name
    )
    if champion is None:
        note, empty = "", "No release stood that the model was held against."
    else:
        note = f"The champion is release {champion['release']}, run {champion['run']}."
        empty = "The policy limits no change against it, so none was measured."
    return Table(
        "Change against the champion",
        (
            Column("Change", width=4),
            Column("Of", width=2),
            Column("Figure", Kind.NUMBER),
            Column("Interval", Kind.NUMBER, width=3),
            Column("Cases", Kind.NUMBER),
        ),
        rows,
        note,
        empty,
    )


def _pools(source: CardSource) -> Table:
    return Table(
        "Pooled groups",
        (
            Column("Attributes", width=2),
            Column("Groups", width=3),
            Column("Counted as"),
            Column("Grounds", width=5),
        ),
        tuple(
            (
                " and ".join(p.attributes),
                "; ".join(", ".join(g) for g in p.groups),
                p.into,
                p.grounds,
            )
            for p in source.policy.release_gate.pools
        ),
        empty="The policy pools no groups.",
    )
