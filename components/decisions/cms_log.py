"""A decision log and the batch that it is about, as requests that the yearly metrics count.

The batch says when a request was sent, how urgent it is and for which line of business; the log
says what was decided and when. They are joined by place: a decision's row is its place in the
batch, and the batch is known by its keyed digest.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.contract.contract import Contract
from components.contract.errors import InputError
from components.datasets.sources import RowSource
from components.datasets.typed_rows import open_rows
from components.decisions.decision_log import REVIEW, DecisionLog, Segment
from components.decisions.later_labels import LaterLabels
from components.decisions.scoring import batch_digest
from components.profile.sql import quote

BATCH_COLUMNS = ("line_of_business", "urgency", "requested_at")
_MICROSECONDS = 1e6


@contextmanager
def decided_requests(
    log: DecisionLog,
    contract: Contract,
    source: RowSource,
    key: bytes,
    labels: LaterLabels | None = None,
) -> Iterator[Path]:
    """A Parquet file of one request a decision, there within the block, a segment at a time.

    An adverse decision is a denial, ``overturned`` where a label says that an appeal overturned
    it; ``review`` was left to a person, whose decision the log does not hold; another is approved.

    Args:
        log: a whole log whose release knows an adverse outcome.
        contract: of the release.
        source: the batch, as it was scored.
        key: the home's row key.
        labels: what came later.

    Raises:
        InputError: the batch is another one or lacks a column, or the log cannot be counted.
        EvidenceError: a segment is not the one that was signed, or no scoring wrote it.
    """
    _require_countable(log)
    absent = [n for n in BATCH_COLUMNS if n not in source.types]
    absent += [n for n in BATCH_COLUMNS if n not in {c.name for c in contract.columns}]
    if absent:
        expected = f"a batch and a contract with {', '.join(BATCH_COLUMNS)}"
        raise InputError(f"has no column {absent[0]}", where=source.named, expected=expected)
    if batch_digest(key, source) != log.header["batch"]:
        raise InputError(
            f"is not the batch of log {log.log_id}",
            where=source.named,
            expected="the files that were scored, as they were",
        )
    with tempfile.TemporaryDirectory(prefix="assay-") as folder:
        path = Path(folder) / "requests.parquet"
        _write(path, log, contract.narrowed(BATCH_COLUMNS), source, labels)
        yield path


def _require_countable(log: DecisionLog) -> None:
    if not log.closed:
        raise InputError(
            "is not finished", where=log.log_id, expected="a log that `assay score` closed"
        )
    if log.header.get("adverse") is None:
        raise InputError(
            "does not say which outcome is a denial",
            where=log.log_id,
            expected="a release whose policy names its adverse outcome",
        )


def _write(
    path: Path,
    log: DecisionLog,
    contract: Contract,
    source: RowSource,
    labels: LaterLabels | None,
) -> None:
    columns = ", ".join(map(quote, BATCH_COLUMNS))
    with open_rows(contract, source) as typed:
        relation = typed.database.sql(f"SELECT {columns} FROM {typed.relation}")  # noqa: S608
        batches = iter(relation.to_arrow_reader())
        writer, waiting = None, None
        for segment in log.segments:
            rows, waiting = _take(batches, waiting, segment.rows)
            if rows.num_rows != segment.rows:
                raise InputError(
                    f"has fewer rows than log {log.log_id}",
                    where=source.named,
                    expected="the files that were scored",
                )
            table = _decided(log, segment, rows, labels)
            writer = writer or pq.ParquetWriter(path, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()


def _take(
    batches: Iterator[pa.RecordBatch], waiting: pa.Table | None, rows: int
) -> tuple[pa.Table, pa.Table]:
    """The next rows, and what was read beyond them."""
    held = [] if waiting is None else [waiting]
    while sum(t.num_rows for t in held) < rows and (batch := next(batches, None)) is not None:
        held.append(pa.Table.from_batches([batch]))
    whole = pa.concat_tables(held)
    return whole.slice(0, rows), whole.slice(rows)


def _decided(
    log: DecisionLog, segment: Segment, rows: pa.Table, labels: LaterLabels | None
) -> pa.Table:
    decisions = log.rows_of(segment)
    adverse = pc.equal(decisions["outcome"], log.header["adverse"]).to_numpy()
    outcome = np.where(adverse, "denied", "approved").astype(object)
    outcome[pc.equal(decisions["outcome"], REVIEW).to_numpy()] = REVIEW
    if labels is not None:
        known = labels.of(log.log_id, segment.first, segment.rows)
        outcome[adverse & (known.overturned == 1)] = "overturned"
    seconds = decisions["decided_at"].cast(pa.int64()).to_numpy() / _MICROSECONDS
    return rows.append_column("decided_at", pa.array(seconds)).append_column(
        "outcome", pa.array(outcome, pa.string())
    )
