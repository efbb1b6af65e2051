"""How far two runs decide alike, case by case, from the scores that both release gates stored."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from components.checks.suppression import UNDER, Sum, hidden_cells
from components.compare.comparison import Line, Table
from components.contract.errors import EvidenceError
from components.contract.stages import PREDICTIONS, Stage
from components.datasets.dataset import ROW_COLUMN
from components.lineage.regular_file import read_regular
from components.release.run_evidence import read_records
from components.release.run_summary import RunSummary

if TYPE_CHECKING:
    import pyarrow as pa

BOTH = "both stacks"
"""The one column of what is about two runs together."""

_HIDDEN = f"not shown: it would tell of a group of {UNDER} people"
_SUMS = tuple(
    Sum(total, frozenset(parts))
    for total, parts in (
        ("rows", ("both", "neither", "first", "second")),
        ("rows", ("alike", "apart")),
        ("alike", ("both", "neither")),
        ("apart", ("first", "second")),
        ("selected by first", ("both", "first")),
        ("selected by second", ("both", "second")),
        ("rows", ("selected by first", "passed over by first")),
        ("rows", ("selected by second", "passed over by second")),
        ("passed over by first", ("neither", "second")),
        ("passed over by second", ("neither", "first")),
    )
)


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two runs' decisions on the rows that both scored.

    Attributes:
        counts: rows in all (``rows``), and of them selected by ``both``, by ``neither``, by the
            ``first`` run alone, by the ``second`` alone, and decided ``alike``; None where the
            number would tell of 1 to 10 people.
        correlation: Spearman's rank correlation of the scores, in [-1, 1]; None where all scores
            of a run are the same or there are fewer than two rows.
        largest_difference: of two scores of one row, in [0, 1]; None where there are no rows.
    """

    counts: Mapping[str, int | None]
    correlation: float | None
    largest_difference: float | None


def agreement(first: RunSummary, second: RunSummary) -> Agreement | None:
    """Join the scores of both runs row by row; None where one has stored none, or none are left.

    Each run's decision is by its own policy's threshold: at or above it a case is selected.

    Raises:
        EvidenceError: a file of scores is not the one that was judged, or has a row twice.
    """
    tables = [_scores(run) for run in (first, second)]
    if tables[0] is None or tables[1] is None:
        return None
    import numpy as np
    from scipy.stats import spearmanr

    joined = tables[0].join(tables[1], ROW_COLUMN, join_type="inner", right_suffix=" second")
    a, b = (np.asarray(joined[name], np.float64) for name in ("score", "score second"))
    whole = np.isfinite(a) & np.isfinite(b)
    a, b = a[whole], b[whole]
    mine = a >= first.policy.decision_threshold
    theirs = b >= second.policy.decision_threshold
    counts = {
        "rows": len(a),
        "both": int((mine & theirs).sum()),
        "neither": int((~mine & ~theirs).sum()),
        "first": int((mine & ~theirs).sum()),
        "second": int((~mine & theirs).sum()),
        "alike": int((mine == theirs).sum()),
        "apart": int((mine != theirs).sum()),
        "selected by first": int(mine.sum()),
        "selected by second": int(theirs.sum()),
        "passed over by first": int((~mine).sum()),
        "passed over by second": int((~theirs).sum()),
    }
    hidden = hidden_cells(counts, _SUMS)
    shown = {k: None if k in hidden else n for k, n in counts.items()}
    varied = len(a) > 1 and np.ptp(a) > 0 and np.ptp(b) > 0
    few = shown["rows"] is None
    return Agreement(
        shown,
        float(spearmanr(a, b).statistic) if varied and not few else None,
        float(np.abs(a - b).max()) if len(a) and not few else None,
    )


def agreement_table(first: RunSummary, second: RunSummary) -> Table:
    """The agreement as a table of one column, with what is not shown and why."""
    found = agreement(first, second)
    evidence = f"predictions.parquet of {first.run_id} and {second.run_id}, `assay compare`"
    note = (
        f"Decisions on the evaluation rows, each run at its policy's threshold "
        f"({first.policy.decision_threshold} for {first.stack}, "
        f"{second.policy.decision_threshold} for {second.stack}); joined on the row's commitment."
    )
    lines = [] if found is None else _lines(found, first, second, evidence)
    if found is None or found.counts["rows"] == 0:
        why = "the two runs have stored no scores of the same rows"
        lines = [Line("rows scored by both", "", {BOTH: None}, evidence, note=why)]
    return Table("agreement", "Agreement of decisions, case by case", note, tuple(lines))


def _lines(found: Agreement, first: RunSummary, second: RunSummary, evidence: str) -> list[Line]:
    counts = found.counts
    rows, alike = counts["rows"], counts["alike"]
    share = alike / rows if rows and alike is not None else None
    counted = [
        ("rows scored by both", rows),
        ("selected by both", counts["both"]),
        ("selected by neither", counts["neither"]),
        (f"selected by {first.stack} alone", counts["first"]),
        (f"selected by {second.stack} alone", counts["second"]),
    ]
    same = "all scores of a run are the same" if rows else _HIDDEN
    return [
        Line(
            "decided alike", "share", {BOTH: share}, evidence, note="" if share is not None
            else _HIDDEN,
        ),
        *(
            Line(name, "rows", {BOTH: n}, evidence, note="" if n is not None else _HIDDEN)
            for name, n in counted
        ),
        Line(
            "rank correlation of scores", "Spearman", {BOTH: found.correlation}, evidence,
            note="" if found.correlation is not None else same,
        ),
        Line(
            "largest difference of two scores of a row", "probability",
            {BOTH: found.largest_difference}, evidence,
            note="" if found.largest_difference is not None else _HIDDEN,
        ),
    ]  # fmt: skip


def _scores(run: RunSummary) -> pa.Table | None:
    """Rows and scores as the release gate stored them, parsed from the bytes that were checked."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    gate = read_records(run.directory).own.get(Stage.RELEASE_GATE)
    recorded = gate.body["outputs"].get(PREDICTIONS) if gate else None
    path = run.directory / "artifacts" / f"{PREDICTIONS}.parquet"
    if recorded is None or not path.exists():
        return None
    raw = read_regular(path)
    if hashlib.sha256(raw).hexdigest() != recorded["sha256"]:
        raise EvidenceError(f"{path.name} of {run.run_id} is not what its release gate recorded")
    table = pq.read_table(io.BytesIO(raw), columns=[ROW_COLUMN, "score"])
    table = pa.table(
        {
            # A row's commitment joins as text whatever type a stack keeps it in.
            ROW_COLUMN: table[ROW_COLUMN].cast(pa.binary()),
            "score": table["score"].cast(pa.float64()),
        }
    )
    if pc.count_distinct(table[ROW_COLUMN]).as_py() != len(table):
        raise EvidenceError(f"{path.name} of {run.run_id} scores a row twice")
    return table
