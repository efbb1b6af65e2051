"""The loss that Keras trains with, held against its definition in numpy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from components.checks.opportunity_penalty import opportunity_penalty
from components.contract.policy import Training
from components.stacks.mitigation import TrainingGroups, group_columns, training_groups
from components.stacks.process import ReleaseProcess
from components.stacks.tfx_stack import training, training_loss
from components.stacks.tfx_stack.serving import RawToFeatures

STRENGTH = 3.0
BUDGET = Training(
    seed=1, epochs=1, batch_size=16, learning_rate=0.01, weight_decay=0.0, dropout=0.0,
    hidden=(4,), min_category_count=1,
)  # fmt: skip


class Batch:
    """Random rows with two attributes; one row may lack a group of the second."""

    def __init__(self, seed: int, n: int = 32, share: float = 0.3) -> None:
        chance = np.random.default_rng(seed)
        self.scores = chance.random(n).astype(np.float32)
        self.labels = chance.random(n) < share
        first, second = chance.integers(0, 2, n), chance.integers(0, 4, n)
        columns = [first == i for i in range(2)] + [second == i for i in range(3)]
        self.members = np.column_stack(columns).astype(np.float32)

    @property
    def targets(self) -> np.ndarray:
        """As Keras gets them."""
        return training_loss.packed(self.labels.astype(np.float32), self.members)

    def entropy(self) -> np.ndarray:
        """Each row's binary cross-entropy."""
        s = np.clip(self.scores.astype(np.float64), 1e-7, 1 - 1e-7)
        return np.where(self.labels, -np.log(s), -np.log(1 - s))

    def penalty(self) -> float:
        """By its definition."""
        return opportunity_penalty(
            self.scores.astype(np.float64), self.labels, self.members.astype(np.float64), STRENGTH
        )


def keras_loss(batch: Batch, strength: float, weights: np.ndarray | None = None) -> float:
    """The loss as Keras makes it of a batch, its own mean over rows included."""
    network = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    network.compile(loss=training_loss.training_loss(strength))
    found = network.evaluate(
        batch.scores[:, None], batch.targets, sample_weight=weights,
        batch_size=len(batch.labels), verbose=0,
    )  # fmt: skip
    return float(found)


@pytest.mark.parametrize("seed", range(8))
def test_the_loss_is_mean_entropy_plus_the_penalty(seed: int) -> None:
    batch = Batch(seed)
    assert batch.penalty() > 0.01
    expected = batch.entropy().mean() + batch.penalty()
    assert keras_loss(batch, STRENGTH) == pytest.approx(expected, rel=1e-5)


def test_a_batch_without_positives_has_no_penalty() -> None:
    batch = Batch(1, share=0.0)
    assert keras_loss(batch, STRENGTH) == pytest.approx(batch.entropy().mean(), rel=1e-5)


def test_a_group_without_positives_is_left_out() -> None:
    batch = Batch(2)
    batch.labels &= batch.members[:, 0] == 0
    assert batch.labels.any()
    expected = batch.entropy().mean() + batch.penalty()
    assert keras_loss(batch, STRENGTH) == pytest.approx(expected, rel=1e-5)


def test_without_the_penalty_it_is_weighted_entropy() -> None:
    batch = Batch(3)
    batch.members = np.empty((len(batch.labels), 0), np.float32)
    weights = np.random.default_rng(3).random(len(batch.labels)).astype(np.float32)
    expected = (weights * batch.entropy()).mean()
    assert keras_loss(batch, 0.0, weights) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("share", [0.0, 0.2, 0.5])
def test_gradients_are_numbers_and_pull_groups_together(share: float) -> None:
    batch = Batch(4, n=64, share=share)
    labels = tf.constant(batch.labels.astype(np.float32))
    scores = tf.Variable(batch.scores)
    with tf.GradientTape() as tape:
        found = training_loss.opportunity_penalty(scores, labels, batch.members, STRENGTH)
    gradient = tape.gradient(found, scores).numpy()
    assert np.isfinite(gradient).all()
    assert (gradient[~batch.labels] == 0).all(), "the penalty is of positives alone"
    if share == 0.0:
        assert (gradient == 0).all()
        return
    nearer = training_loss.opportunity_penalty(
        scores - 0.01 * gradient, labels, batch.members, STRENGTH
    )
    assert float(nearer) < float(found)


def test_the_watched_auc_is_of_labels() -> None:
    batch = Batch(5, n=200)
    packed, plain = training_loss.LabelAUC(), keras.metrics.AUC()
    packed.update_state(batch.targets, batch.scores[:, None])
    plain.update_state(batch.labels[:, None], batch.scores[:, None])
    assert float(packed.result()) == pytest.approx(float(plain.result()))


def test_the_network_trains_with_its_penalty() -> None:
    batch = Batch(6, n=64)
    network = training.build_network(1, BUDGET, STRENGTH)
    scores = network.predict(batch.scores[:, None], verbose=0)[:, 0]
    batch_of_scores = Batch(6, n=64)
    batch_of_scores.scores = scores
    found = network.evaluate(batch.scores[:, None], batch.targets, batch_size=64, verbose=0)
    expected = batch_of_scores.entropy().mean() + batch_of_scores.penalty()
    assert found[0] == pytest.approx(expected, rel=1e-4)


def _penalise(document: dict) -> None:
    document["candidates"]["fair"].update(
        mitigation="opportunity_penalty", penalty_strength=STRENGTH, mitigate_by=["sex", "age"]
    )


def test_training_rows_carry_their_groups_and_validation_rows_none(
    make_process, examples_uri: str
) -> None:
    process: ReleaseProcess = make_process(candidate="fair", policy_change=_penalise)
    mitigation = training_groups(process.dataset, process.contract, process.candidate)
    assert sum(map(len, mitigation.groups.values())) > 3
    rows = training.load_rows(process, _Nothing(), [f"{examples_uri}/Split-train/*"], mitigation)
    width = 1 + sum(map(len, mitigation.groups.values()))
    assert rows.targets.shape == (len(rows.weights), width)
    assert set(rows.weights) == {1.0}
    names = group_columns(process.contract, process.candidate)
    first = len(mitigation.groups[names[0]])
    # Every training row is in one group of each attribute.
    assert (rows.targets[:, 1 : 1 + first].sum(axis=1) == 1).all()
    assert (rows.targets[:, 1 + first :].sum(axis=1) == 1).all()
    plain = training.load_rows(
        process, _Nothing(), [f"{examples_uri}/Split-validation/*"], TrainingGroups({}, {})
    )
    assert plain.targets.shape[1] == 1
    assert set(plain.weights) == {1.0}


class _Nothing(RawToFeatures):
    """A transform that makes one feature of every row, without a graph."""

    def __init__(self) -> None:
        tf.Module.__init__(self)

    def __call__(self, examples: tf.Tensor) -> tf.Tensor:
        """Zeros."""
        return tf.zeros([tf.shape(examples)[0], 1])
