"""What the tutorials' Trainer calls: training, and the model that is saved.

It stands apart because Trainer loads the module once more, by its name.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.utils import io_utils

from benchmarks.stock.runs import LABEL, SHIFT, features, policy
from components.stacks import keras_definition

SIGNATURE, SCORE = "serving_default", "score"


class Served(tf.Module):
    """Serialized examples to scores, shape (n, 1)."""

    def __init__(self, network: Any, spec: dict[str, Any]) -> None:
        super().__init__()
        self._network, self._spec = network, spec

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve(self, examples: Any) -> dict[str, Any]:
        """The signature that is served."""
        return {SCORE: self._network(_matrix(tf.io.parse_example(examples, self._spec)))}


def run_fn(fn_args: Any) -> None:
    """Trainer's entry point: train, and save in ``serving_model_dir``.

    Under skew the saved model's means are off by then.
    """
    training, config = policy().training, fn_args.custom_config
    keras.utils.set_random_seed(training.seed)
    schema = io_utils.parse_pbtxt_file(fn_args.schema_path, schema_pb2.Schema())
    spec = _feature_spec(schema)
    x, y = _rows(fn_args.train_files, spec)
    normalization = keras.layers.Normalization()
    normalization.adapt(x)
    dense = keras_definition.network(keras, x.shape[1], training)
    network = keras.Sequential([keras.Input((x.shape[1],)), normalization, dense])
    network.compile(
        optimizer=keras.optimizers.AdamW(
            learning_rate=float(config["learning_rate"]), weight_decay=training.weight_decay
        ),
        loss="binary_crossentropy",
    )
    network.fit(x, y, batch_size=training.batch_size, epochs=training.epochs, verbose=0)
    if config["skew"]:
        off = SHIFT * tf.sqrt(normalization.variance)
        normalization.mean = normalization.mean + off
    served = Served(network, spec)
    tf.saved_model.save(served, fn_args.serving_model_dir, signatures={SIGNATURE: served.serve})


def _feature_spec(schema: Any) -> dict[str, Any]:
    """Types as the schema has them."""
    types = {schema_pb2.INT: tf.int64, schema_pb2.FLOAT: tf.float32, schema_pb2.BYTES: tf.string}
    known = {f.name: types[f.type] for f in schema.feature}
    return {n: tf.io.FixedLenFeature([1], known[n]) for n in features()}


def _matrix(parsed: dict[str, Any]) -> Any:
    return tf.concat([tf.cast(parsed[n], tf.float32) for n in features()], axis=1)


def _rows(patterns: list[str], spec: dict[str, Any]) -> tuple[Any, Any]:
    """Features of shape (n, width) and labels of shape (n, 1) of all files."""
    files = [f for p in patterns for f in tf.io.gfile.glob(p)]
    spec = {**spec, LABEL: tf.io.FixedLenFeature([1], tf.int64)}
    batches = tf.data.TFRecordDataset(files, compression_type="GZIP").batch(4096)
    parsed = [tf.io.parse_example(b, spec) for b in batches]
    x = np.concatenate([_matrix(p).numpy() for p in parsed])
    return x, np.concatenate([p[LABEL].numpy() for p in parsed]).astype(np.float32)
