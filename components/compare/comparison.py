"""What `assay compare` compares, gathered: every table of the report, and nothing about its look.

Each claim carries a text that says what somebody else would recompute it from: a run id with the
digest of a record, a file with its digest, or the command that measures it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.compare.fault_matrix import FaultMatrix
from components.release.run_summary import RunSummary


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table that holds a value for each stack.

    Attributes:
        name: what was measured, as ``installed megabytes``.
        unit: its unit, empty for a count or a text.
        values: by stack; None where it was not measured, and ``note`` says why.
        evidence: what the values can be recomputed from.
        estimate: whether it is an estimate and no measurement.
        note: what a reader has to know beside it.
    """

    name: str
    unit: str
    values: Mapping[str, float | str | None]
    evidence: str
    estimate: bool = False
    note: str = ""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a title, a sentence that explains it, and its lines."""

    name: str
    title: str
    note: str
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that is compared, of one dataset, contract, policy and code.

    Attributes:
        runs: the run of each stack that is compared, by stack; both came to the release gate.
        matrix: the fault matrix, None where none was given.
        tables: parity, audit score, cost, exports, bridge: whatever was measured, in order.
        graph: nodes and edges of the lineage, as ``assay lineage`` reads them from evidence.
        differences: what makes the runs not comparable, as ``policy: 1a2b… and 3c4d…``; not empty
            only where comparing was forced, and then it stands on every page.
        at: time at which it was gathered, ISO 8601 in UTC.
        version: Assay's version.
    """

    runs: Mapping[str, RunSummary]
    matrix: FaultMatrix | None
    tables: tuple[Table, ...]
    graph: Mapping[str, Sequence[Mapping[str, Any]]]
    differences: tuple[str, ...]
    at: str
    version: str
    notes: tuple[str, ...] = field(default=())

    def table(self, name: str) -> Table | None:
        """The table of that name; None where it was not measured."""
        return next((t for t in self.tables if t.name == name), None)
