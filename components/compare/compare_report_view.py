"""What the page shows of a comparison, in the shape in which it is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from components.compare.charts import ChartRow, chart
from components.compare.compare_tables import Grid, Value, drift, groups
from components.compare.comparison import Comparison
from components.compare.comparison_verdict import STOPPED, name_of
from components.compare.faults import Moment, Outcome
from components.contract.policy import Metric
from components.lineage.graph import Node
from components.release.run_summary import Figure, RunSummary

_MOST_DRIFTED = 12
_FINDING = "finding:"
_RATES = {
    Metric.SELECTION_RATE: "Share selected",
    Metric.TPR: "Found among those who will be positive (true positive rate)",
    Metric.FPR: "Selected among those who will not be (false positive rate)",
}


@dataclass(frozen=True, slots=True)
class Panel:
    """A rate of the groups of one attribute: a chart, and the same as a table."""

    title: str
    chart: Markup
    grid: Grid


@dataclass(frozen=True, slots=True)
class Filter:
    """A choice by which cells of the matrix are shown: a value, and how many cells have it."""

    name: str
    title: str
    options: Sequence[tuple[str, int]]


def shown(value: Value) -> str:
    """A value as the page shows it: four significant digits of what is no whole number."""
    if value is None:
        return "–"
    if isinstance(value, str):
        return value
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.1f}" if abs(value) >= 1000 else f"{value:.4g}"


def outcome_class(outcome: Outcome) -> str:
    """How an outcome is coloured: by what it means, and never by colour alone."""
    if outcome in STOPPED:
        return "good"
    return {Outcome.AT_AUDIT: "late", Outcome.MISSED: "bad"}.get(outcome, "none")


def findings_of(node: Node) -> list[tuple[str, str]]:
    """A gate's rules, and how each came out; its figures stand in tables of their own."""
    return [
        (name.removeprefix(_FINDING), status)
        for name, status in sorted(node.attributes.items())
        if name.startswith(_FINDING)
    ]


def filters(comparison: Comparison) -> list[Filter]:
    """By what the cells can be chosen, with counts; empty where there is no matrix."""
    if comparison.matrix is None:
        return []
    moments = {f.name: f.moment for f in comparison.matrix.faults}
    cells = comparison.matrix.cells
    return [
        _filter("stack", "Stack", [c.stack for c in cells], comparison.stacks),
        _filter("column", "Wiring", [c.column for c in cells], ()),
        _filter("outcome", "Outcome", [c.outcome for c in cells], list(Outcome)),
        _filter("moment", "Comes in", [moments[c.fault] for c in cells], list(Moment)),
    ]


def _filter(name: str, title: str, values: Sequence[str], order: Sequence[str]) -> Filter:
    counts = Counter(str(v) for v in values)
    known = dict.fromkeys([*map(str, order), *counts])
    return Filter(name, title, [(v, counts[v]) for v in known if counts[v]])


def fairness_panels(comparison: Comparison) -> list[Panel]:
    """Rates of the groups of each protected attribute, one attribute at a time, both stacks."""
    panels = []
    for attribute in dict.fromkeys(f.of for r in _runs(comparison) for f in groups(r)):
        for metric, title in _RATES.items():
            found = _of_groups(comparison, attribute, metric)
            if any(f for pair in found.values() for f in pair):
                panels.append(_panel(comparison, f"{title}, by {attribute}", found))
    return panels


def _of_groups(
    comparison: Comparison, attribute: str, metric: str
) -> Mapping[str, list[Figure | None]]:
    """The figures of each group, in the stacks' order."""
    wheres = dict.fromkeys(
        f.slice
        for r in _runs(comparison)
        for f in groups(r)
        if f.of == attribute and f.name == metric and "*" not in attribute
    )
    prefix = f"{attribute}="
    return {
        w.removeprefix(prefix): [r.figure(metric, w) for r in _runs(comparison)] for w in wheres
    }


def _panel(
    comparison: Comparison, title: str, found: Mapping[str, Sequence[Figure | None]]
) -> Panel:
    rows = [
        ChartRow(
            f"{where} {name_of(stack)}", f.value, f"{f.value:.2f}", f.low, f.high, series=stack
        )
        for where, pair in found.items()
        for stack, f in zip(comparison.stacks, pair, strict=True)
        if f is not None and f.n is not None
    ]
    grid = Grid(
        "panel",
        title,
        "",
        ("group", *comparison.stacks),
        tuple((where, *(_told(f) for f in pair)) for where, pair in found.items()),
    )
    return Panel(title, chart(rows, label=title, span=(0.0, 1.0)), grid)


def _told(figure: Figure | None) -> str:
    if figure is None:
        return "not measured"
    return f"{figure} of {figure.n:,}" if figure.n is not None else str(figure)


def drift_chart(comparison: Comparison) -> Markup | None:
    """The columns that moved most, as a share of their limits; None where none was measured."""
    found = {r.stack: drift(r) for r in _runs(comparison)}
    shares = {
        (column, run.stack): figure.value / run.policy.data_gate.limit_for(column).at_most
        for run in _runs(comparison)
        for column, figure in found[run.stack].items()
        if run.policy.data_gate.limit_for(column).at_most > 0
    }
    columns = sorted(
        {column for column, _ in shares},
        key=lambda c: -max(v for (name, _), v in shares.items() if name == c),
    )
    rows = [
        ChartRow(
            f"{column} {name_of(stack)}", share, f"{share:.0%} of its limit", series=stack, bar=True
        )
        for column in columns[:_MOST_DRIFTED]
        for stack in comparison.stacks
        if (share := shares.get((column, stack))) is not None
    ]
    if not rows:
        return None
    return chart(
        rows,
        label="Drift of columns as a share of their limits",
        span=(0.0, 1.0),
        limits=[(1.0, "limit")],
    )


def _runs(comparison: Comparison) -> list[RunSummary]:
    return [comparison.runs[s] for s in comparison.stacks]
