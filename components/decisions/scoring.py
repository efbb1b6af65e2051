"""From a checked batch to a decision log: score, commit, explain and write, by segments.

A segment is the unit of everything. Its rows are scored, their commitments made in a second
process meanwhile, and it is written and named before the next one is begun. Whoever was killed
reads the batch again from its first row, for a row's commitment depends on its copies before it,
and goes on scoring behind the last segment that the log names.
"""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.contract.contract import Contract
from components.contract.errors import InputError
from components.contract.policy import DecisionPolicy
from components.datasets.sources import RowSource
from components.datasets.typed_rows import open_rows
from components.decisions.decision_log import (
    OUTCOMES,
    SEGMENT_ROWS,
    DecisionLog,
    Segment,
)
from components.decisions.log import NOT_SELECTED, SELECTED
from components.decisions.log_form import REVIEW, SCHEMA
from components.decisions.reasons import Floats, attribute, reasons_for
from components.decisions.row_names import RowNames
from components.decisions.scorer import Scorer
from components.lineage.commitments import artifact_nonce, entity_tags
from components.lineage.digests import sha256_file

Watch = Callable[[int], None]
_UNNAMED = SCHEMA.remove(SCHEMA.get_field_index("assay_row"))


@dataclass(frozen=True, slots=True)
class Rules:
    """How rows of a batch become decisions.

    ``contract`` has the columns of the batch; all of them are in a row's commitment. ``inputs``
    are those that the model sees. ``review`` leaves every case to a person. ``baseline`` is the
    row that reasons are measured from, with the model's inputs.
    """

    contract: Contract
    inputs: tuple[str, ...]
    threshold: float
    policy: DecisionPolicy
    review: bool
    baseline: Callable[[pa.Schema], pa.Table]


def batch_digest(key: bytes, source: RowSource) -> str:
    """A keyed digest of the batch's files, in hex: the same bytes in the same order, no more.

    Raises:
        InputError: a file cannot be read.
    """
    try:
        digests = [sha256_file(f) for f in source.files]
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", where=source.named, expected="readable files"
        ) from error
    whole = hashlib.sha256("\n".join(digests).encode()).hexdigest()
    return artifact_nonce(key, f"batch:{whole}")


def score_batch(
    log: DecisionLog, scorer: Scorer, rules: Rules, source: RowSource, key: bytes, watch: Watch
) -> None:
    """Give every row of a batch that has no decision yet its decision, and close the log.

    Args:
        log: an open log of this batch.
        scorer: the release's serving model.
        rules: how scores become decisions.
        source: the batch's files.
        key: the home's row key.
        watch: told the number of decided rows whenever a segment was written.

    Raises:
        InputError: the files were changed while they were scored. The log is given up then.
        EvidenceError: a segment is missing, or was changed.
    """
    done = log.rows
    watch(done)
    logged = {segment.first: segment for segment in log.segments}
    # A segment is written while the next one is scored; one at a time, so their order stands.
    with ThreadPoolExecutor(1) as writer:
        writing: Future[Segment] | None = None
        for first, rows, names in _named(rules.contract, source, key):
            if first in logged:
                held = log.rows_of(logged[first], ["assay_row"])["assay_row"]
                if held.to_pylist() != names.result().to_pylist():
                    _give_up(log, source)
            fresh = rows.slice(max(0, done - first))
            if fresh.num_rows:
                known = rows.num_rows - fresh.num_rows
                decisions = _decide(first + known, fresh, scorer, rules, key)
                place, field = _UNNAMED.get_field_index("assay_entity"), SCHEMA.field("assay_row")
                named = decisions.add_column(place, field, names.result().slice(known))
                _await(writing, log, watch)
                writing = writer.submit(log.append, named)
        _await(writing, log, watch)
    if batch_digest(key, source) != log.header["batch"]:
        _give_up(log, source)
    log.close()


def _await(writing: Future[Segment] | None, log: DecisionLog, watch: Watch) -> None:
    """Wait until a segment is written; what went wrong there is raised here."""
    if writing is not None:
        writing.result()
        watch(log.rows)


def _give_up(log: DecisionLog, source: RowSource) -> NoReturn:
    """End a log that holds decisions about rows of other files than it was begun for."""
    log.abort("the batch was changed while it was scored")
    raise InputError(
        f"was changed while it was scored: log {log.log_id} is given up and does not stand",
        where=source.named,
        expected="the command given again, and files that stay as they are meanwhile",
    )


def outcomes(log: DecisionLog) -> dict[str, int]:
    """Number of decisions of each outcome.

    Raises:
        EvidenceError: a segment is missing or was changed.
    """
    counted: Counter[str] = Counter()
    for segment in log.segments:
        found = log.rows_of(segment, ["score", "outcome", "reasons"])["outcome"]
        for cell in found.value_counts():
            counted[cell["values"].as_py()] += cell["counts"].as_py()
    return {outcome: counted[outcome] for outcome in OUTCOMES}


def _named(
    contract: Contract, source: RowSource, key: bytes
) -> Iterator[tuple[int, pa.Table, Future[pa.Array]]]:
    """The batch in segments: place of the first row, rows, and their commitments to come.

    This segment and the next one, which is read by then, are named in the other process while this
    one is scored.
    """
    columns = [c.name for c in contract.columns]
    with (
        open_rows(contract, source) as typed,
        RowNames(key) as names,
        ThreadPoolExecutor(1) as ahead,
    ):
        relation = typed.database.sql(f"SELECT * FROM {typed.relation}")  # noqa: S608
        stream = relation.to_arrow_reader(SEGMENT_ROWS)
        first, waiting = 0, None
        for rows in itertools.chain(_segments(stream), [None]):
            due = None if rows is None else (rows, ahead.submit(names.next, rows.select(columns)))
            if waiting is not None:
                yield first, *waiting
                first += waiting[0].num_rows
            waiting = due


def _segments(stream: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """The same rows in tables of ``SEGMENT_ROWS``, the last of what is left."""
    held: list[pa.RecordBatch] = []
    count = 0
    for batch in stream:
        held.append(batch)
        count += batch.num_rows
        while count >= SEGMENT_ROWS:
            whole = pa.Table.from_batches(held)
            yield whole.slice(0, SEGMENT_ROWS)
            held = whole.slice(SEGMENT_ROWS).to_batches()
            count -= SEGMENT_ROWS
    if count:
        yield pa.Table.from_batches(held)


def _decide(first: int, rows: pa.Table, scorer: Scorer, rules: Rules, key: bytes) -> pa.Table:
    """The decisions about some rows of which the first has that place in the batch.

    The rows' commitments are still to be put in.
    """
    inputs = rows.select(list(rules.inputs))
    scores = scorer.score(inputs)
    outcome = np.where(scores >= rules.threshold, SELECTED, NOT_SELECTED).astype(object)
    reasons: dict[int, list[str]] = {}
    if rules.review:
        outcome[:] = REVIEW
    elif rules.policy.adverse is not None:
        _explain(first, inputs, scores, scorer, rules, outcome, reasons)
    now = pa.scalar(datetime.now(UTC), SCHEMA.field("decided_at").type)
    decisions = {
        "row": np.arange(first, first + rows.num_rows),
        "assay_entity": _entity_tags(rows[rules.contract.entity.name], key),
        "score": scores,
        "outcome": outcome,
        "reasons": _lists(reasons, rows.num_rows),
        "decided_at": pa.repeat(now, rows.num_rows),
    }
    table = pa.table(decisions, schema=_UNNAMED)
    for column in rules.contract.protected:
        table = table.append_column(column.group_column, rows[column.group_column])
    return table


def _explain(
    first: int,
    inputs: pa.Table,
    scores: Floats,
    scorer: Scorer,
    rules: Rules,
    outcome: npt.NDArray[np.object_],
    reasons: dict[int, list[str]],
) -> None:
    """Fill in reasons of the adverse rows; without a specific one, a person decides."""
    adverse = str(rules.policy.adverse)
    places = np.flatnonzero(outcome == adverse)
    if not len(places):
        return
    found = attribute(
        scorer,
        inputs.take(pa.array(places)),
        scores[places],
        rules.baseline(inputs.schema),
        [first + int(p) for p in places],
    )
    told = reasons_for(found, rules.policy.reasons, adverse, rules.policy.reasons_at_most)
    for place, sentences in zip(places, told, strict=True):
        reasons[int(place)] = sentences
        if not sentences:
            outcome[place] = REVIEW


def _lists(reasons: dict[int, list[str]], rows: int) -> pa.Array:
    """A list for each row, most of them empty: a million Python lists would take a second."""
    lengths = np.zeros(rows + 1, np.int32)
    for place, sentences in reasons.items():
        lengths[place + 1] = len(sentences)
    told = [sentence for place in sorted(reasons) for sentence in reasons[place]]
    offsets = pa.array(np.cumsum(lengths, dtype=np.int32))
    return pa.ListArray.from_arrays(offsets, pa.array(told, pa.string()))


def _entity_tags(entities: pa.ChunkedArray, key: bytes) -> pa.Array:
    """Each row's keyed name of its person: made once for each person."""
    coded = entities.combine_chunks().dictionary_encode()
    tags = b"".join(entity_tags(key, map(str, coded.dictionary.to_pylist())))
    kind = pa.binary(16)
    named = pa.Array.from_buffers(kind, len(coded.dictionary), [None, pa.py_buffer(tags)])
    return named.take(coded.indices)
