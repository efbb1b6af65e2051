"""The serving model: raw tf.Examples in, scores or features out, with Transform's graph inside.

What an exported model gives (``write_served_*``) can be held against what training computed of the
same rows (``write_trained_scores``, ``write_features``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf
import tensorflow_transform as tft

from components.datasets.canonical import ROW_COLUMN
from components.stacks.tfx_stack.example_records import (
    row_commitments,
    serialized_batches,
    split_files,
)
from components.stacks.tfx_stack.preprocessing import InputColumn, feature_layout, feature_matrix

SIGNATURE = "serving_default"
FEATURES_SIGNATURE = "features"
SCORE, FEATURES = "score", "features"
_SCORES = pa.field(SCORE, pa.float64())
_FEATURES = pa.field(FEATURES, pa.list_(pa.float32()))
_EXAMPLES = [tf.TensorSpec([None], tf.string, name="examples")]


class RawToFeatures(tf.Module):
    """Parses raw tf.Examples and applies the transform graph.

    Asks an example for the model's inputs and for nothing else: label, groups and entity need not
    be known when a row is scored.
    """

    def __init__(self, transform_graph: str, columns: Sequence[InputColumn]) -> None:
        super().__init__()
        output = tft.TFTransformOutput(transform_graph)
        raw = output.raw_feature_spec()
        self._spec = {c.name: raw[c.name] for c in columns}
        self._layout = feature_layout(output, columns)
        self._layer = output.transform_features_layer()

    @tf.function(input_signature=_EXAMPLES, autograph=False)
    def __call__(self, examples: tf.Tensor) -> tf.Tensor:
        """Feature matrix, float32, shape (batch, width), of serialized examples."""
        raw = tf.io.parse_example(examples, self._spec)
        return feature_matrix(self._layer(raw), self._layout)


class ServingModel(tf.Module):
    """Preprocessing and network as one module: it scores, and shows the features it scores by."""

    def __init__(self, to_features: RawToFeatures, network: tf.keras.Model) -> None:
        super().__init__()
        self._to_features = to_features
        self._network = network

    @tf.function(input_signature=_EXAMPLES, autograph=False)
    def serve(self, examples: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """Scores in [0, 1], shape (batch, 1), of serialized raw examples."""
        return {SCORE: self._network(self._to_features(examples), training=False)}

    @tf.function(input_signature=_EXAMPLES, autograph=False)
    def features(self, examples: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """The features behind the scores, float32, shape (batch, width), of the same examples."""
        return {FEATURES: self._to_features(examples)}


def export(module: ServingModel, directory: str) -> None:
    """Write the serving model as a SavedModel; who names no signature gets scores."""
    signatures = {SIGNATURE: module.serve, FEATURES_SIGNATURE: module.features}
    tf.saved_model.save(module, directory, signatures=signatures)


def write_served_scores(model_directory: str, examples_uri: str, split: str, target: Path) -> Path:
    """Score a split's raw examples with a SavedModel; write rows and scores."""
    signature = tf.saved_model.load(model_directory).signatures[SIGNATURE]
    return _write(
        _SCORES, lambda rows: signature(examples=rows)[SCORE][:, 0], examples_uri, split, target
    )


def write_served_features(
    model_directory: str, examples_uri: str, split: str, target: Path
) -> Path:
    """Ask a SavedModel for the features of a split's raw examples; write rows and features."""
    signature = tf.saved_model.load(model_directory).signatures[FEATURES_SIGNATURE]
    return _write(
        _FEATURES, lambda rows: signature(examples=rows)[FEATURES], examples_uri, split, target
    )


def write_trained_scores(
    to_features: RawToFeatures,
    network: tf.keras.Model,
    examples_uri: str,
    split: str,
    target: Path,
) -> Path:
    """Score a split's raw examples with a network in memory, fed as training fed it."""
    return _write(
        _SCORES,
        lambda rows: network(to_features(rows), training=False)[:, 0],
        examples_uri,
        split,
        target,
    )


def write_features(
    transform_graph: str,
    columns: Sequence[InputColumn],
    examples_uri: str,
    split: str,
    target: Path,
) -> Path:
    """Apply the saved transform graph to a split's raw examples; write rows and features."""
    to_features = RawToFeatures(transform_graph, columns)
    return _write(_FEATURES, to_features, examples_uri, split, target)


def _write(
    field: pa.Field,
    compute: Callable[[tf.Tensor], tf.Tensor],
    examples_uri: str,
    split: str,
    target: Path,
) -> Path:
    """Write a split's row commitments, and beside each what is computed of its raw example."""
    rows: list[bytes] = []
    cells: list[Any] = []
    for serialized in serialized_batches(split_files(examples_uri, split)):
        rows += row_commitments(serialized)
        cells += compute(serialized).numpy().tolist()
    columns = {ROW_COLUMN: pa.array(rows, pa.binary(32)), field.name: pa.array(cells, field.type)}
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), target, compression="zstd")
    return target
