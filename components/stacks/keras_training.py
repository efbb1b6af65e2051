"""One backend's half of the Keras bridge: train, then predict by the weights of the others.

Runs in a process that has imported Keras on its backend. What it reads and writes lies in one
folder: ``rows.npz`` and ``training.json`` are given, ``<backend>.npz`` is what it trained, and
``<trained by>-on-<backend>.npy`` is how it scores the evaluation rows by another's weights.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.contract.policy import Training
from components.stacks import keras_definition

ROWS, TRAINING = "rows.npz", "training.json"
TRAIN, LABELS, WEIGHTS, EVALUATION = "train", "labels", "weights", "evaluation"
SCORES, SECONDS = "scores", "seconds"
_WEIGHT = "weight-"
_ROWS_AT_ONCE = 65_536


def trained_file(folder: Path, backend: str) -> Path:
    """What a backend trained: weights in Keras' order, scores, seconds."""
    return folder / f"{backend}.npz"


def carried_file(folder: Path, trained_by: str, backend: str) -> Path:
    """A backend's scores by weights that another one trained."""
    return folder / f"{trained_by}-on-{backend}.npy"


def work(keras: Any, folder: Path) -> None:
    """Train, then predict by the weights of each backend that is named on standard input.

    Args:
        keras: the module on the backend of this process.
        folder: where everything lies.
    """
    backend = keras.backend.backend()
    with np.load(folder / ROWS, allow_pickle=False) as held:
        rows = dict(held)
    settings = json.loads((folder / TRAINING).read_bytes())
    training = Training(**{**settings, "hidden": tuple(settings["hidden"])})
    started = time.perf_counter()
    network = train(keras, rows, training)
    seconds = time.perf_counter() - started
    write_arrays(
        trained_file(folder, backend),
        _named(network.get_weights())
        | {SCORES: scores(network, rows[EVALUATION]), SECONDS: np.float64(seconds)},
    )
    for line in sys.stdin:
        trained_by = line.strip()
        network.set_weights(read_weights(trained_file(folder, trained_by)))
        found = scores(network, rows[EVALUATION])
        np.save(carried_file(folder, trained_by, backend), found, allow_pickle=False)


def train(keras: Any, rows: dict[str, npt.NDArray[np.float32]], training: Training) -> Any:
    """The definition's network after the policy's epochs of weighted binary cross-entropy.

    Args:
        keras: the module on any backend.
        rows: features ``train`` of shape (n, width), ``labels`` and ``weights`` of shape (n,).
        training: the policy's settings; weights and order of the rows follow from its seed, in
            each backend in its own way.
    """
    keras.utils.set_random_seed(training.seed)
    network = keras_definition.network(keras, rows[TRAIN].shape[1], training)
    network.compile(
        optimizer=keras_definition.optimizer(keras, training), loss="binary_crossentropy"
    )
    network.fit(
        rows[TRAIN], rows[LABELS][:, None], sample_weight=rows[WEIGHTS],
        batch_size=training.batch_size, epochs=training.epochs, shuffle=True, verbose=0,
    )  # fmt: skip
    return network


def scores(network: Any, features: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Probability of the positive label for features of shape (n, width), shape (n,)."""
    found = network.predict(features, batch_size=_ROWS_AT_ONCE, verbose=0)
    return np.asarray(found[:, 0], np.float64)


def write_weights(path: Path, weights: Sequence[npt.NDArray[np.float32]]) -> None:
    """Leave weights in Keras' order."""
    write_arrays(path, _named(weights))


def read_weights(path: Path) -> list[npt.NDArray[np.float32]]:
    """Weights that a backend left, in Keras' order."""
    with np.load(path, allow_pickle=False) as held:
        count = sum(name.startswith(_WEIGHT) for name in held)
        return [held[f"{_WEIGHT}{i}"] for i in range(count)]


def _named(weights: Sequence[npt.NDArray[np.float32]]) -> dict[str, Any]:
    return {f"{_WEIGHT}{i}": w for i, w in enumerate(weights)}


def write_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """Arrays by name, written whole or not at all: somebody waits for the file to be there."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as stream:
        np.savez(stream, allow_pickle=False, **arrays)
    partial.rename(path)
