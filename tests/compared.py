"""Comparisons made in code: two runs with real evidence, and everything else as a test wants it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from components.audit.evidence_lineage import EvidenceLineage
from components.audit.question_catalogue import load_catalogue
from components.audit.readings import Reading, no_reading, take_reading
from components.compare.audit_score import audit_score_table
from components.compare.comparison import Comparison, Line, Table
from components.compare.fault_catalogue import FAULTS
from components.compare.fault_matrix import FaultMatrix, sorted_matrix
from components.compare.faults import STACKS, Cell, Column, Outcome
from components.release.run_summary import RunSummary

HOSTILE = "<script>alert(1)</script>"

Choose = Callable[[str, str, Column], Outcome]


def one_outcome(fault: str, stack: str, column: Column) -> Outcome:
    """Nothing is noticed in the stock wiring, and everything is stopped with the rest."""
    return Outcome.MISSED if column is Column.STOCK else Outcome.BEFORE_RELEASE


def matrix(choose: Choose = one_outcome, message: str = "drift of one column") -> FaultMatrix:
    """A whole matrix; what is not to be expressed in a stack is not."""
    return sorted_matrix(
        Cell(
            f.name, s, column,
            choose(f.name, s, column) if s in f.stacks else Outcome.NOT_EXPRESSIBLE,
            "data gate", "a tool 1.0", message, 1.5, f"cells/{f.name}-{s}-{column}.json",
        )
        for f in FAULTS
        for s in STACKS
        for column in Column
    )  # fmt: skip


def comparison(
    runs: Sequence[RunSummary],
    *,
    faults: FaultMatrix | None = None,
    tables: Sequence[Table] = (),
    differences: Sequence[str] = (),
    asked: bool = True,
) -> Comparison:
    """Two runs of one home, one a stack, compared."""
    home = runs[0].directory.parent.parent
    graph = EvidenceLineage(home, None).read({r.run_id for r in runs}).graph
    catalogue = load_catalogue()
    readings = [r for s in STACKS for r in _readings(home, s)] if asked else []
    score = [audit_score_table(readings)] if asked else []
    return Comparison(
        runs={r.stack: r for r in runs},
        matrix=faults,
        tables=(*score, *tables),
        graph=graph,
        differences=tuple(differences),
        at="2026-11-30T20:00:00+00:00",
        version="0.0.0",
        questions=catalogue.questions,
        readings=tuple(readings),
    )


def table(name: str = "cost", value: float | str | None = 1.5, **fields: str) -> Table:
    """A table of one line, measured for one stack and not for the other."""
    line = Line(
        fields.get("line", "seconds"), "s", {"tfx": value, "pytorch": None},
        fields.get("evidence", "`make bench`"), note="not told",
    )  # fmt: skip
    return Table(name, fields.get("title", "A title"), "What it is.", (line,))


def _readings(home: Path, stack: str) -> list[Reading]:
    catalogue = load_catalogue()
    evidence = take_reading(stack, EvidenceLineage(home, stack), catalogue)
    return [no_reading(stack, "mlmd", catalogue, "no store"), evidence]
