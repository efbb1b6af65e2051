"""Why a score is what it is: Shapley values of the raw columns, and the reasons made of them.

The Shapley value of a column is its mean effect on the score when the columns of a row are put,
one after the other in random order, in the place of those of a baseline row (Strumbelj and
Kononenko, Knowledge and Information Systems, 2014). Each order is also walked backwards, which
takes out most of the sampling error (as SHAP's ``PermutationExplainer`` does; Mitchell et al.,
JMLR, 2022). Along each order the effects telescope, so they sum to the difference between the
row's score and the baseline's whatever the number of orders. Only the serving model is asked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.decisions.log import NOT_SELECTED
from components.decisions.scorer import Scorer

PAIRS = 4
"""Orders drawn for each row; each is walked in both directions."""

METHOD = f"shapley-permutation-antithetic/{PAIRS}"
_SEED = 20_141_024
_CALL_ROWS = 262_144
_ROUNDING = 1e-9

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Attributions:
    """How much each column moved each score, shape (n, columns).

    Row ``i`` sums to ``scores[i] - baseline`` up to rounding of floats.
    """

    columns: tuple[str, ...]
    values: Floats
    baseline: float


def attribute(
    scorer: Scorer, rows: pa.Table, scores: Floats, baseline: pa.Table, places: Sequence[int]
) -> Attributions:
    """Shapley values of every column for every row.

    Args:
        scorer: the serving model; it is asked ``2 * PAIRS * (columns - 1)`` times for each row.
        rows: the model's inputs, n rows.
        scores: the model's scores of those rows, shape (n,).
        baseline: the one row that stands for a column that is not known yet; same columns.
        places: the rows' places in their batch. They seed the orders, so a row gets the same
            values again, whoever else is explained beside it.
    """
    names = tuple(rows.column_names)
    start = float(scorer.score(baseline)[0])
    values = np.empty((rows.num_rows, len(names)))
    at_once = max(1, _CALL_ROWS // max(1, 2 * PAIRS * (len(names) - 1)))
    for first in range(0, rows.num_rows, at_once):
        part = slice(first, first + at_once)
        chunk = rows.slice(first, at_once)
        values[part] = _walk(scorer, chunk, scores[part], baseline, start, places[part])
    return Attributions(names, values, start)


def _walk(
    scorer: Scorer,
    rows: pa.Table,
    scores: Floats,
    baseline: pa.Table,
    start: float,
    places: Sequence[int],
) -> Floats:
    """Mean effect of each column along the orders of each row, shape (n, columns)."""
    count, width = rows.num_rows, rows.num_columns
    ranks = _ranks(places, width)
    walked = np.empty((count, 2 * PAIRS, width + 1))
    walked[:, :, 0], walked[:, :, width] = start, scores[:, None]
    if width > 1:
        steps = np.arange(1, width)
        own = ranks[:, :, None, :] < steps[None, None, :, None]
        asked = _mixed(rows, baseline, own.reshape(-1, width))
        walked[:, :, 1:width] = scorer.score(asked).reshape(count, 2 * PAIRS, width - 1)
    effects = np.take_along_axis(np.diff(walked, axis=2), ranks, axis=2)
    mean: Floats = effects.mean(axis=1)
    return mean


def _ranks(places: Sequence[int], width: int) -> npt.NDArray[np.int64]:
    """When each column is put in place: its rank in each order, and in that order backwards."""
    orders = np.empty((len(places), PAIRS, width), np.int64)
    ordered = np.tile(np.arange(width), (PAIRS, 1))
    for i, place in enumerate(places):
        orders[i] = np.random.default_rng((_SEED, place)).permuted(ordered, axis=1)
    return np.concatenate([orders, width - 1 - orders], axis=1)


def _mixed(rows: pa.Table, baseline: pa.Table, own: npt.NDArray[np.bool_]) -> pa.Table:
    """Rows of which each cell is the row's own, or the baseline's; ``own`` says which."""
    each = np.repeat(np.arange(rows.num_rows), len(own) // rows.num_rows)
    columns = {}
    for j, name in enumerate(rows.column_names):
        held = pa.chunked_array(
            [*rows[name].chunks, *baseline[name].chunks], rows[name].type
        ).combine_chunks()
        columns[name] = pc.take(held, pa.array(np.where(own[:, j], each, rows.num_rows)))
    return pa.table(columns)


def reasons_for(
    found: Attributions, sentences: Mapping[str, str], adverse: str, at_most: int
) -> Iterator[list[str]]:
    """The sentences of the columns that moved each score most towards the adverse outcome.

    A column without a sentence is passed over; a row may come out without any reason.

    Args:
        found: the columns' effects.
        sentences: the policy's, by column.
        adverse: the adverse outcome: ``not_selected`` lies at low scores, ``selected`` at high.
        at_most: most sentences of one row.
    """
    towards = -found.values if adverse == NOT_SELECTED else found.values
    order = np.argsort(-towards, axis=1, kind="stable")
    for effects, ranked in zip(towards, order, strict=True):
        told = (found.columns[j] for j in ranked if effects[j] > _ROUNDING)
        yield list(dict.fromkeys(sentences[n] for n in told if n in sentences))[:at_most]
