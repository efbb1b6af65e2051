"""The loss that Keras trains with: cross-entropy, and the opportunity penalty beside it.

The groups that the penalty is about are not the network's to see. They come to the loss packed
beside the label: a target has shape (n, 1 + groups), the label first, then 1 where the row is in a
group, else 0. ``components.checks.opportunity_penalty`` is the penalty's definition.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

Loss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Floats = npt.NDArray[np.float32]


def packed(labels: Floats, members: Floats) -> Floats:
    """Targets of shape (n, 1 + groups) out of labels (n,) and memberships (n, groups)."""
    return np.column_stack([labels, members]).astype(np.float32)


def training_loss(strength: float) -> Loss:
    """Each row's binary cross-entropy, shape (n,), plus the penalty of its batch.

    Keras takes the mean over the batch, each row times its weight. With the penalty every weight
    is 1, so the mean is that of the cross-entropies plus the penalty.

    Args:
        strength: of the penalty; 0 for none.
    """

    def loss(targets: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
        labels, members = targets[:, :1], targets[:, 1:]
        entropy = keras.losses.binary_crossentropy(labels, scores)
        if strength == 0:
            return entropy
        return entropy + opportunity_penalty(scores[:, 0], labels[:, 0], members, strength)

    return loss


def opportunity_penalty(
    scores: tf.Tensor, labels: tf.Tensor, members: tf.Tensor, strength: float
) -> tf.Tensor:
    """Squared distance of each group's mean score among positives from that of all positives.

    Summed over the groups that have a positive in the batch, times ``strength``; 0 without any.

    Args:
        scores: shape (n,), in [0, 1].
        labels: shape (n,), 1 for positives, else 0.
        members: shape (n, groups), 1 where a row is in a group, else 0.
        strength: the weight beside the batch's mean cross-entropy.

    Returns:
        A scalar through which gradients flow to ``scores``.
    """
    held = members * labels[:, None]
    counts = tf.reduce_sum(held, axis=0)
    means = tf.math.divide_no_nan(tf.reduce_sum(held * scores[:, None], axis=0), counts)
    everybody = tf.math.divide_no_nan(tf.reduce_sum(labels * scores), tf.reduce_sum(labels))
    apart = tf.where(counts > 0, (means - everybody) ** 2, 0.0)
    return strength * tf.reduce_sum(apart)


class LabelAUC(keras.metrics.AUC):
    """Keras' AUC of packed targets."""

    def update_state(
        self, y_true: tf.Tensor, y_pred: tf.Tensor, sample_weight: tf.Tensor | None = None
    ) -> None:
        """Count a batch by its labels; memberships are no labels."""
        super().update_state(y_true[:, :1], y_pred, sample_weight)
