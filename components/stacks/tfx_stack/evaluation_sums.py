"""Reads TFMA's output back: each slice's figures, and the sums that all others follow from."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.slicer import slicer_lib

from components.checks.tallies import CALIBRATION_BINS, Tally
from components.contract.contract import Contract
from components.contract.policy import Metric
from components.stacks.tfx_stack.evaluation_config import COUNT, MATRIX
from components.stacks.tfx_stack.evaluation_thresholds import Labels

Place = tuple[Labels, Labels]
"""Attributes, and one group's label for each; both empty for everybody."""

EVERYBODY: Place = ((), ())


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What TFMA measured of one model.

    Attributes:
        figures: each slice's single numbers, by metric.
        sums: the sums over each slice's rows; a slice whose parts do not add up is not there.
        differences: what TFMA found between two slices, by metric.
    """

    figures: Mapping[Place, Mapping[str, float]]
    sums: Mapping[Place, Tally]
    differences: Mapping[tuple[Place, Place], Mapping[str, float]]


def read_evaluation(evaluation_uri: str, contract: Contract, model: str = "") -> Evaluation:
    """TFMA's figures of one model.

    Args:
        evaluation_uri: where TFMA wrote.
        contract: whose columns the slices are named by.
        model: its name in TFMA's configuration; empty where it was the only one.
    """
    figures: dict[Place, dict[str, float]] = {}
    matrices: dict[Place, list[Any]] = {}
    differences: dict[tuple[Place, Place], dict[str, float]] = {}
    for record in tfma.load_metrics(evaluation_uri):
        values = {
            pair.key.name: pair.value
            for pair in record.metric_keys_and_values
            if pair.key.model_name == model and not pair.key.is_diff
        }
        numbers = {k: v.double_value.value for k, v in values.items() if v.HasField("double_value")}
        if record.HasField("cross_slice_key"):
            pair = record.cross_slice_key
            one, other = pair.baseline_slice_key, pair.comparison_slice_key
            differences[_place(one, contract), _place(other, contract)] = numbers
        else:
            place = _place(record.slice_key, contract)
            figures[place] = numbers
            if MATRIX in values:
                matrices[place] = values[MATRIX].confusion_matrix_at_thresholds.matrices
    buckets = _calibration_buckets(evaluation_uri, contract, model)
    sums = {
        place: held
        for place, numbers in figures.items()
        if (held := tally(numbers, matrices.get(place, ()), buckets.get(place, ()))) is not None
    }
    return Evaluation(figures, sums, differences)


def _place(key: Any, contract: Contract) -> Place:
    """TFMA's slice key, which goes by column name, in the contract's order of attributes."""
    named = dict(slicer_lib.deserialize_slice_key(key))
    held = [c for c in contract.protected if c.group_column in named]
    labels = [named[c.group_column] for c in held]
    return tuple(c.name for c in held), tuple(
        label.decode() if isinstance(label, bytes) else str(label) for label in labels
    )


def _calibration_buckets(
    evaluation_uri: str, contract: Contract, model: str
) -> dict[Place, Iterable[Any]]:
    """Each slice's calibration plot; it is the only plot there is."""
    return {
        _place(record.slice_key, contract): pair.value.calibration_histogram_buckets.buckets
        for record in tfma.load_plots(evaluation_uri)
        if record.HasField("slice_key")
        for pair in record.plot_keys_and_values
        if pair.key.model_name == model
    }


def tally(
    numbers: Mapping[str, float], matrices: Iterable[Any], buckets: Iterable[Any]
) -> Tally | None:
    """A slice's sums; None where TFMA's count, matrix and plot are not of the same rows.

    The squares are the mean squared error times the rows. Fourth powers are not to be had from
    TFMA: the squares stand for them, which are never smaller, since a residual is at most 1. They
    make the interval of the Brier score alone, which is wider for it.
    """
    held, matrix = list(buckets), list(matrices)
    rows, error = numbers.get(COUNT, math.nan), numbers.get(Metric.BRIER, math.nan)
    if len(matrix) != 1 or not held or not math.isfinite(error):
        return None
    cells = matrix[0]
    selected = cells.true_positives + cells.false_positives
    positives = cells.true_positives + cells.false_negatives
    residuals, counted, labelled = np.zeros(CALIBRATION_BINS), 0.0, 0.0
    for bucket in held:
        counted += bucket.num_weighted_examples.value
        labelled += bucket.total_weighted_label.value
        residuals[_bin(bucket)] += (
            bucket.total_weighted_refined_prediction.value - bucket.total_weighted_label.value
        )
    total = selected + cells.true_negatives + cells.false_negatives
    if not (rows == total == counted and positives == labelled and np.isfinite(residuals).all()):
        return None
    squares = error * rows
    return Tally(
        rows=int(rows),
        positives=int(positives),
        selected=int(selected),
        true_positives=int(cells.true_positives),
        invalid=0,
        bin_residuals=residuals,
        squares=squares,
        fourths=squares,
    )


def _bin(bucket: Any) -> int:
    """TFMA has a bucket below 0, which scores never fall in, and one from 1 up, for 1 itself."""
    lower = max(bucket.lower_threshold_inclusive, 0.0)
    return min(round(lower * CALIBRATION_BINS), CALIBRATION_BINS - 1)
