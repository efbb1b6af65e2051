"""The Trainer component's training: the network and budget that the policy declares, in Keras."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from components.contract.policy import Training
from components.stacks import keras_definition
from components.stacks.mitigation import TrainingGroups, group_columns, training_groups
from components.stacks.model_signing import sign_trained
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
from components.stacks.tfx_stack.training_loss import LabelAUC, packed, training_loss

CHECKPOINTS = "checkpoints"
TRAINED_SCORES = "trained-scores.parquet"
"""Evaluation rows as the network scored them in memory; beside the checkpoints."""

EVALUATION = "evaluation"
_STEPS_A_CALL = 32


@dataclass(frozen=True, slots=True)
class Rows:
    """One split, ready to train on.

    ``features`` has shape (n, width), ``targets`` (n, 1 + groups) as from ``packed``, and
    ``weights`` (n,).
    """

    features: npt.NDArray[np.float32]
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]


def run_fn(fn_args: Any) -> None:
    """Trainer's entry point: train, with a checkpoint each epoch; score; export; sign."""
    process = ReleaseProcess.open(Path(fn_args.custom_config["run_directory"]))
    training = process.policy.training
    keras.utils.set_random_seed(training.seed)
    to_features = RawToFeatures(fn_args.transform_graph_path, input_columns(process))
    groups = training_groups(process.dataset, process.contract, process.candidate)
    train = load_rows(process, to_features, fn_args.train_files, groups)
    # Validation rows are watched as they are: the mitigation is of training.
    validation = load_rows(process, to_features, fn_args.eval_files, TrainingGroups({}, {}))
    strength = process.candidate.penalty_strength
    network = build_network(train.features.shape[1], training, strength)
    fit(network, train, validation, training, Path(fn_args.model_run_dir))
    # Before the export, so that what is kept of training owes nothing to what will be served.
    scores = Path(fn_args.model_run_dir) / TRAINED_SCORES
    write_trained_scores(to_features, network, _examples_uri(fn_args), EVALUATION, scores)
    export(ServingModel(to_features, network), fn_args.serving_model_dir)
    sign_trained(process.spec, Path(fn_args.serving_model_dir))


def _examples_uri(fn_args: Any) -> str:
    """The Examples artifact that Trainer read its splits from: ``<uri>/Split-train/*``."""
    return str(Path(fn_args.train_files[0]).parent.parent)


def load_rows(
    process: ReleaseProcess,
    to_features: RawToFeatures,
    patterns: Sequence[str],
    mitigation: TrainingGroups,
) -> Rows:
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
    return Rows(
        np.concatenate(features),
        packed(labels.astype(np.float32), mitigation.members(groups, len(labels))),
        mitigation.row_weights(groups, labels.tolist()),
    )


def build_network(width: int, training: Training, penalty_strength: float = 0.0) -> keras.Model:
    """The policy's network on TensorFlow, compiled with the policy's optimiser and loss."""
    network = keras_definition.network(keras, width, training)
    network.compile(
        optimizer=keras_definition.optimizer(keras, training),
        loss=training_loss(penalty_strength),
        weighted_metrics=[LabelAUC(name="auc")],
        # Many steps a call: the arithmetic is the same, the cost of calling is not.
        steps_per_execution=_STEPS_A_CALL,
        jit_compile=False,
    )
    return network


def fit(
    network: keras.Model, train: Rows, validation: Rows, training: Training, directory: Path
) -> None:
    """Train for the policy's epochs; leave a checkpoint and a line of figures for each."""
    checkpoints = directory / CHECKPOINTS
    checkpoints.mkdir(parents=True, exist_ok=True)
    network.fit(
        train.features,
        train.targets,
        sample_weight=train.weights,
        validation_data=(validation.features, validation.targets, validation.weights),
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
