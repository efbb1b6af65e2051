"""The Trainer component's training: the network and budget that the policy declares, in Keras."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.contract.policy import Training
from components.stacks.process import ReleaseProcess
from components.stacks.tfx_stack.example_columns import LABEL_FEATURE
from components.stacks.tfx_stack.example_records import serialized_batches
from components.stacks.tfx_stack.preprocessing import input_columns
from components.stacks.tfx_stack.serving import (
    RawToFeatures,
    ServingModel,
    export,
    write_trained_scores,
)
from components.stacks.weights import group_columns, group_keys, training_weights

CHECKPOINTS = "checkpoints"
TRAINED_SCORES = "trained-scores.parquet"
"""Evaluation rows as the network scored them in memory; beside the checkpoints."""

EVALUATION = "evaluation"
_STEPS_A_CALL = 32
_EPSILON = 1e-8


@dataclass(frozen=True, slots=True)
class Rows:
    """One split, ready to train on: features (n, width), labels (n,) and weights (n,)."""

    features: npt.NDArray[np.float32]
    labels: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]


def run_fn(fn_args: Any) -> None:
    """Trainer's entry point: train, with a checkpoint each epoch; score; export."""
    process = ReleaseProcess.open(Path(fn_args.custom_config["run_directory"]))
    training = process.policy.training
    keras.utils.set_random_seed(training.seed)
    to_features = RawToFeatures(fn_args.transform_graph_path, input_columns(process))
    train, validation = (
        load_rows(process, to_features, patterns)
        for patterns in (fn_args.train_files, fn_args.eval_files)
    )
    network = build_network(train.features.shape[1], training)
    fit(network, train, validation, training, Path(fn_args.model_run_dir))
    # Before the export, so that what is kept of training owes nothing to what will be served.
    scores = Path(fn_args.model_run_dir) / TRAINED_SCORES
    write_trained_scores(to_features, network, _examples_uri(fn_args), EVALUATION, scores)
    export(ServingModel(to_features, network), fn_args.serving_model_dir)


def _examples_uri(fn_args: Any) -> str:
    """The Examples artifact that Trainer read its splits from: ``<uri>/Split-train/*``."""
    return str(Path(fn_args.train_files[0]).parent.parent)


def load_rows(process: ReleaseProcess, to_features: RawToFeatures, patterns: Sequence[str]) -> Rows:
    """Read raw examples, in file order, through the very graph that the serving model applies."""
    files = sorted(f for pattern in patterns for f in tf.io.gfile.glob(pattern))
    names = group_columns(process.contract, process.candidate)
    spec = {name: tf.io.FixedLenFeature([], tf.string) for name in names}
    spec[LABEL_FEATURE] = tf.io.FixedLenFeature([], tf.int64)
    features, parsed = [], []
    for serialized in serialized_batches(files):
        features.append(to_features(serialized).numpy())
        parsed.append(tf.io.parse_example(serialized, spec))
    labels = np.concatenate([p[LABEL_FEATURE].numpy() for p in parsed]) == 1
    groups = {g: [v.decode() for p in parsed for v in p[g].numpy()] for g in names}
    weights = _weights(process, groups, labels)
    return Rows(np.concatenate(features), labels.astype(np.float32), weights)


def _weights(
    process: ReleaseProcess, groups: dict[str, list[str]], labels: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float32]:
    """Each row's training weight; a cell that no training row falls in counts once."""
    cells = training_weights(process.dataset, process.contract, process.candidate)
    if cells is None:
        return np.ones(len(labels), np.float32)
    keys = group_keys(groups)
    found = [cells.get((k, bool(v)), 1.0) for k, v in zip(keys, labels, strict=True)]
    return np.array(found, np.float32)


def build_network(width: int, training: Training) -> keras.Model:
    """The policy's network, compiled: ReLU layers with dropout, one sigmoid at the end.

    First weights and the optimiser's epsilon are as in PyTorch, so that the two stacks start alike.
    """
    layers: list[keras.Layer] = [keras.Input((width,), name="features")]
    for units in training.hidden:
        layers += [_dense(width, units, "relu"), keras.layers.Dropout(training.dropout)]
        width = units
    layers.append(_dense(width, 1, "sigmoid"))
    network = keras.Sequential(layers)
    network.compile(
        optimizer=keras.optimizers.AdamW(
            learning_rate=training.learning_rate,
            weight_decay=training.weight_decay,
            epsilon=_EPSILON,
        ),
        loss="binary_crossentropy",
        weighted_metrics=[keras.metrics.AUC(name="auc")],
        # Many steps a call: the arithmetic is the same, the cost of calling is not.
        steps_per_execution=_STEPS_A_CALL,
        jit_compile=False,
    )
    return network


def _dense(inputs: int, units: int, activation: str) -> keras.Layer:
    bound = 1 / math.sqrt(inputs)
    return keras.layers.Dense(
        units,
        activation=activation,
        kernel_initializer=keras.initializers.RandomUniform(-bound, bound),
        bias_initializer=keras.initializers.RandomUniform(-bound, bound),
    )


def fit(
    network: keras.Model, train: Rows, validation: Rows, training: Training, directory: Path
) -> None:
    """Train for the policy's epochs; leave a checkpoint and a line of figures for each."""
    checkpoints = directory / CHECKPOINTS
    checkpoints.mkdir(parents=True, exist_ok=True)
    network.fit(
        train.features,
        train.labels,
        sample_weight=train.weights,
        validation_data=(validation.features, validation.labels, validation.weights),
        batch_size=training.batch_size,
        epochs=training.epochs,
        shuffle=True,
        verbose=0,
        callbacks=[
            keras.callbacks.ModelCheckpoint(
                str(checkpoints / "epoch-{epoch:03d}.weights.h5"), save_weights_only=True
            ),
            keras.callbacks.CSVLogger(str(directory / "epochs.csv")),
        ],
    )
