"""The network of the policy's training section in Keras 3, whatever backend Keras runs on.

Keras takes its backend from ``KERAS_BACKEND`` when it is imported and keeps it for the process's
life. So nothing is imported here: who has a process with a backend hands ``keras`` in.
"""

from __future__ import annotations

import math
from typing import Any

from components.contract.policy import Training

_EPSILON = 1e-8


def network(keras: Any, width: int, training: Training) -> Any:
    """ReLU layers with dropout, then one sigmoid: features (n, width) to scores (n, 1) in [0, 1].

    Not compiled. First weights are drawn as PyTorch draws them, so that the two stacks start alike.

    Args:
        keras: the module, on any backend.
        width: number of features, at least 1.
        training: the policy's settings.
    """
    layers = [keras.Input((width,), name="features")]
    for units in training.hidden:
        layers += [_dense(keras, width, units, "relu"), keras.layers.Dropout(training.dropout)]
        width = units
    layers.append(_dense(keras, width, 1, "sigmoid"))
    return keras.Sequential(layers)


def optimizer(keras: Any, training: Training) -> Any:
    """AdamW as the policy sets it, with PyTorch's epsilon."""
    return keras.optimizers.AdamW(
        learning_rate=training.learning_rate,
        weight_decay=training.weight_decay,
        epsilon=_EPSILON,
    )


def _dense(keras: Any, inputs: int, units: int, activation: str) -> Any:
    bound = 1 / math.sqrt(inputs)
    return keras.layers.Dense(
        units,
        activation=activation,
        kernel_initializer=keras.initializers.RandomUniform(-bound, bound),
        bias_initializer=keras.initializers.RandomUniform(-bound, bound),
    )
