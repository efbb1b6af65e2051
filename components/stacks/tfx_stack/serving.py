"""The serving model: raw tf.Examples in, scores out, with Transform's graph inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

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
SCORE = "score"
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
    """Preprocessing and network as one module with one signature."""

    def __init__(self, to_features: RawToFeatures, network: tf.keras.Model) -> None:
        super().__init__()
        self._to_features = to_features
        self._network = network

    @tf.function(input_signature=_EXAMPLES, autograph=False)
    def serve(self, examples: tf.Tensor) -> Mapping[str, tf.Tensor]:
        """Scores in [0, 1], shape (batch, 1), of serialized raw examples."""
        return {SCORE: self._network(self._to_features(examples), training=False)}


def export(module: ServingModel, directory: str) -> None:
    """Write the serving model as a SavedModel with its one signature."""
    tf.saved_model.save(module, directory, signatures={SIGNATURE: module.serve})


def write_scores(model_directory: str, examples_uri: str, split: str, target: Path) -> Path:
    """Score a split's raw examples through a SavedModel's signature; write rows and scores."""
    signature = tf.saved_model.load(model_directory).signatures[SIGNATURE]
    rows: list[bytes] = []
    scores: list[float] = []
    for serialized in serialized_batches(split_files(examples_uri, split)):
        rows += row_commitments(serialized)
        scores += signature(examples=serialized)[SCORE].numpy()[:, 0].tolist()
    table = pa.table({ROW_COLUMN: pa.array(rows, pa.binary(32)), "score": pa.array(scores)})
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, target, compression="zstd")
    return target


def write_features(
    transform_graph: str,
    columns: Sequence[InputColumn],
    examples_uri: str,
    split: str,
    target: Path,
) -> Path:
    """Apply the saved transform graph to a split's raw examples; write rows and features."""
    to_features = RawToFeatures(transform_graph, columns)
    rows: list[bytes] = []
    features: list[list[float]] = []
    for serialized in serialized_batches(split_files(examples_uri, split)):
        rows += row_commitments(serialized)
        features += to_features(serialized).numpy().tolist()
    table = pa.table(
        {
            ROW_COLUMN: pa.array(rows, pa.binary(32)),
            "features": pa.array(features, pa.list_(pa.float32())),
        }
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, target, compression="zstd")
    return target
