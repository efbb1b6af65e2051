"""Leaks: one column that alone ranks people so well that it must know what came after."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.checks.measurement import Finding, Measurement, Status, within
from components.checks.performance import Ranked
from components.checks.suppression import told_count
from components.checks.tallies import Flags, Floats, Integers
from components.contract.features import ModelInput

_BINS = 50


def leak_findings(
    train: pa.Table,
    validation: pa.Table,
    labels: tuple[Flags, Flags],
    inputs: Sequence[ModelInput],
    *,
    at_most: float,
    min_n: int,
) -> list[Finding]:
    """One finding ``leak:<column>`` for each input of the model.

    Each value of a column, or each quantile bin of a number with many, missing being a value of its
    own, scores the share of positives that it has among the training rows; the AUC of that score
    over the validation rows is held against the limit. Rows that were not trained on keep rare
    values from looking like knowledge, and shares per bin find a leak that is no rising function. A
    number that is at a quantile is a bin of its own, so that a heap, say of zeros, hides nobody
    beside it. What is spread over more values than there are bins, as in a number's last digit, is
    not found.

    Args:
        train, validation: rows with the inputs' columns.
        labels: true for positives, of both.
        inputs: the model's columns.
        at_most: largest AUC that passes, inclusive.
        min_n: fewest validation rows of either class.
    """
    findings = []
    for column in inputs:
        known, asked = _codes(train[column.name], validation[column.name], column.categorical)
        size = int(max(known.max(initial=0), asked.max(initial=0))) + 1
        scores = _shares(known, labels[0], size)[asked]
        ranked = Ranked.of(labels[1], scores)
        figure = Measurement(f"AUC of {column.name} alone", ranked.area, ranked.fewest)
        if figure.n < min_n:
            reason = f"{figure.name} rests on {told_count(figure.n)} cases, {min_n} required"
            findings.append(Finding(f"leak:{column.name}", Status.INCONCLUSIVE, reason, figure))
        else:
            findings.append(within(f"leak:{column.name}", figure, at_most=at_most))
    return findings or [Finding("leak", Status.INCONCLUSIVE, "the model sees no column")]


def _shares(codes: Integers, labels: Flags, size: int) -> Floats:
    """Share of positives of each code; that of everybody for a code without rows."""
    rows = np.bincount(codes, minlength=size)
    positives = np.bincount(codes, labels, minlength=size)
    overall = float(labels.mean()) if len(labels) else 0.0
    shares: Floats = np.where(rows > 0, positives / np.maximum(rows, 1), overall)
    return shares


def _codes(
    train: pa.ChunkedArray, validation: pa.ChunkedArray, categorical: bool
) -> tuple[Integers, Integers]:
    """A number for each value or bin, the same in both; 0 is missing."""
    if categorical:
        values = pc.unique(train.drop_null())
        found = (pc.index_in(c, value_set=values).fill_null(-1) for c in (train, validation))
        # A value that training never saw is not missing: it gets the code behind the last one.
        known, asked = (np.asarray(c.to_numpy()).astype(np.int64) + 1 for c in found)
        unseen = np.asarray(validation.is_valid().to_numpy()) & (asked == 0)
        return known, np.where(unseen, len(values) + 1, asked)
    numbers = [
        np.asarray(c.cast(pa.float64(), safe=False).to_numpy(), np.float64)
        for c in (train, validation)
    ]
    held = numbers[0][np.isfinite(numbers[0])]
    edges = np.unique(held)
    if len(edges) > _BINS:
        quantiles = np.quantile(held, np.linspace(0, 1, _BINS + 1)[1:-1], method="lower")
        edges = np.unique([quantiles, np.nextafter(quantiles, np.inf)])
    known, asked = (
        np.where(np.isfinite(x), np.searchsorted(edges, x, side="right") + 1, 0) for x in numbers
    )
    return known.astype(np.int64), asked.astype(np.int64)
