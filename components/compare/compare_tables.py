"""Everything that is compared as plain tables, the same for page, JSON, CSV and workbook."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from components.compare.comparison import Comparison, Table
from components.compare.faults import STACKS, Column, Outcome
from components.release.run_summary import Figure, RunSummary, to_figure

Value = str | float | int | None
Row = tuple[Value, ...]

AUDIT_SCORE = "audit_score"


@dataclass(frozen=True, slots=True)
class Grid:
    """A table as it is written to a file. None is what was not measured.

    ``name`` is also its file's name; ``rows`` are as long as ``head``.
    """

    name: str
    title: str
    note: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]

    def to_json(self, mark: str) -> dict[str, Any]:
        """The table for machines; ``mark`` says why it must not be relied upon, where it must not.

        Rows are lists in the order of ``head``.
        """
        return {
            "name": self.name,
            "title": self.title,
            "note": self.note,
            "notComparable": mark or None,
            "head": list(self.head),
            "rows": [list(row) for row in self.rows],
        }


def grids(comparison: Comparison) -> tuple[Grid, ...]:
    """Every table of a comparison; those of what was not measured are left out."""
    found = [runs_grid(comparison)]
    if comparison.matrix is not None:
        found += [faults_grid(comparison), counts_grid(comparison)]
    if comparison.table(AUDIT_SCORE) is not None:
        found.append(questions_grid(comparison))
    found += [fairness_grid(comparison), drift_grid(comparison)]
    found += [nodes_grid(comparison), edges_grid(comparison)]
    return (*found, *(table_grid(t) for t in comparison.tables))


def runs_grid(comparison: Comparison) -> Grid:
    """What was compared, by digests."""
    rows: list[Row] = [
        (r.stack, r.run_id, r.candidate, r.outcome, r.reason, r.dataset_version, r.policy.digest,
         r.contract.digest, r.head, r.seconds)
        for r in _runs(comparison)
    ]  # fmt: skip
    return Grid(
        "runs",
        "The runs",
        "Each run left one signed record a stage, each holding the digest of the one before. The "
        "head is the digest of the last one and names the whole chain.",
        ("stack", "run", "candidate", "outcome", "reason", "data", "policy", "contract", "head",
         "seconds"),
        tuple(rows),
    )  # fmt: skip


def faults_grid(comparison: Comparison) -> Grid:
    """A row for each cell of the fault matrix."""
    matrix = comparison.matrix
    faults = {f.name: f for f in matrix.faults} if matrix else {}
    rows: list[Row] = [
        (c.fault, faults[c.fault].title, str(faults[c.fault].moment), c.stack, str(c.column),
         str(c.outcome), c.stage, c.tool, c.message, round(c.seconds, 3),
         "yes" if c.crashed else "no", c.evidence)
        for c in (matrix.cells if matrix else ())
    ]  # fmt: skip
    return Grid(
        "faults",
        "Faults, and what came of each",
        "A row for each fault, stack and column; every row comes from a run.",
        ("fault", "what was done", "moment", "stack", "column", "outcome", "stage", "tool",
         "message", "seconds", "broke down", "evidence"),
        tuple(rows),
    )  # fmt: skip


def counts_grid(comparison: Comparison) -> Grid:
    """How many faults came to what, by stack and column."""
    matrix = comparison.matrix
    rows: list[Row] = [
        (s, str(column), *matrix.count(s, column).values())
        for s in STACKS
        for column in Column
        if matrix is not None
    ]
    return Grid(
        "fault-counts",
        "What the faults came to",
        "Faults by outcome. Nothing wrong was released in the first two outcomes and where it was "
        "kept out.",
        ("stack", "column", *(str(o) for o in Outcome)),
        tuple(rows),
    )


def questions_grid(comparison: Comparison) -> Grid:
    """Each question, and how far each stack answers it."""
    score = comparison.table(AUDIT_SCORE)
    found = {line.name: line.values for line in (score.lines if score else ())}
    rows: list[Row] = [
        (q.id, q.text, *(found.get(f"question {q.id}", {}).get(s) for s in comparison.stacks))
        for q in comparison.questions
    ]
    return Grid(
        "questions",
        "Question by question",
        "The answers themselves, fact by fact: `assay audit questions -o FOLDER`.",
        ("id", "question", *comparison.stacks),
        tuple(rows),
    )


def score_grid(comparison: Comparison) -> Grid | None:
    """The audit score without its single questions; None where nothing was asked."""
    score = comparison.table(AUDIT_SCORE)
    if score is None:
        return None
    lines = tuple(line for line in score.lines if not line.name.startswith("question "))
    return table_grid(replace(score, lines=lines))


def fairness_grid(comparison: Comparison) -> Grid:
    """Rates of every group in both stacks, with intervals."""
    keys = dict.fromkeys((f.of, f.slice, f.name) for r in _runs(comparison) for f in groups(r))
    rows: list[Row] = [
        (of, where, name, *(v for r in _runs(comparison) for v in _parts(r.figure(name, where))))
        for of, where, name in keys
    ]
    head = (f"{s} {part}" for s in comparison.stacks for part in ("value", "low", "high", "cases"))
    return Grid(
        "fairness",
        "Figures by group",
        "The referee's figures at the release gate. Empty where a group has too few people for its "
        "figures to be shown, or where nothing was measured.",
        ("attributes", "group", "figure", *head),
        tuple(rows),
    )


def drift_grid(comparison: Comparison) -> Grid:
    """Drift of every column that is watched, with its limit."""
    found = {r.stack: drift(r) for r in _runs(comparison)}
    columns = dict.fromkeys(c for figures in found.values() for c in figures)
    policy = _runs(comparison)[0].policy.data_gate
    spans = ", ".join(policy.current_spans), ", ".join(policy.baseline_spans)
    rows: list[Row] = [
        (c, str(policy.limit_for(c).statistic), policy.limit_for(c).at_most,
         *(_number(found[s].get(c)) for s in comparison.stacks))
        for c in columns
    ]  # fmt: skip
    note = (
        f"Spans {spans[0]} against {spans[1]}, by the referee. " if all(spans) else ""
    ) + "Above its limit a column closes the data gate."
    return Grid(
        "drift",
        "Drift by column",
        note,
        ("column", "statistic", "limit", *comparison.stacks),
        tuple(rows),
    )


def nodes_grid(comparison: Comparison) -> Grid:
    """The nodes of the lineage; attributes as ``name: value``."""
    rows: list[Row] = [
        (n.id, str(n.kind), "; ".join(f"{k}: {v}" for k, v in sorted(n.attributes.items())))
        for n in comparison.graph.nodes.values()
    ]
    return Grid(
        "lineage-nodes",
        "Lineage: nodes",
        "As the signed evidence tells it.",
        ("id", "kind", "attributes"),
        tuple(rows),
    )


def edges_grid(comparison: Comparison) -> Grid:
    """The edges of the lineage."""
    rows: list[Row] = [(e.source, str(e.kind), e.target, e.role) for e in comparison.graph.edges]
    return Grid(
        "lineage-edges",
        "Lineage: edges",
        "The source depends on the target.",
        ("source", "relation", "target", "role"),
        tuple(rows),
    )


def table_grid(table: Table) -> Grid:
    """A table of measurements, a column for each stack."""
    rows: list[Row] = [
        (line.name, line.unit, *(line.values.get(c) for c in table.columns),
         "estimate" if line.estimate else "measured", line.note, line.evidence)
        for line in table.lines
    ]  # fmt: skip
    return Grid(
        table.name,
        table.title,
        table.note,
        ("measure", "unit", *table.columns, "kind", "note", "evidence"),
        tuple(rows),
    )


def groups(run: RunSummary) -> Iterator[Figure]:
    """The figures of single groups."""
    return (f for f in run.figures if f.of)


def drift(run: RunSummary) -> dict[str, Figure]:
    """The referee's drift of each column that could be measured."""
    return {
        finding["rule"].split(":", 1)[1]: to_figure(finding["measurement"])
        for where, finding in run.findings
        if where == "data_gate referee"
        and finding["rule"].startswith("drift:")
        and finding["measurement"]
    }


def _runs(comparison: Comparison) -> Sequence[RunSummary]:
    return [comparison.runs[s] for s in comparison.stacks]


def _parts(figure: Figure | None) -> Row:
    if figure is None or figure.n is None:
        return None, None, None, None
    return (
        _number(figure),
        *(None if v is None or not math.isfinite(v) else v for v in (figure.low, figure.high)),
        figure.n,
    )


def _number(figure: Figure | None) -> float | None:
    return None if figure is None or not math.isfinite(figure.value) else figure.value
