"""Checkpoints without pickle, and resuming to the very same weights."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from components.checks import opportunity_penalty as reference
from components.contract.errors import EvidenceError
from components.contract.policy import Training
from components.stacks.pytorch_stack.checkpoints import (
    SafetensorsCheckpointIO,
    latest_checkpoint,
)
from components.stacks.pytorch_stack.network import build_network
from components.stacks.pytorch_stack.training import Classifier, Examples, ShuffledBatches, train
from components.stacks.pytorch_stack.training_penalty import opportunity_penalty

BUDGET = Training(
    seed=7, epochs=4, batch_size=16, learning_rate=0.01, weight_decay=0.01, dropout=0.3,
    hidden=(8, 4), min_category_count=1,
)  # fmt: skip


def examples(weights: float = 1.0) -> Examples:
    """100 rows whose label is the sign of their first feature, in two groups of the second's."""
    features = torch.randn(100, 5, generator=torch.Generator().manual_seed(3))
    first = (features[:, 1] > 0).float()
    members = torch.stack([first, 1 - first], dim=1)
    return Examples(features, (features[:, 0] > 0).float(), torch.full((100,), weights), members)


def trained(
    folder: Path,
    resume_from: Path | None = None,
    weights: float = 1.0,
    penalty: float = 0.0,
    **budget,
):
    """Weights after training, and the epochs that were reported."""
    told: list[tuple[int, dict]] = []
    folder.mkdir(exist_ok=True)
    training = Training(**{**{k: getattr(BUDGET, k) for k in BUDGET.__slots__}, **budget})
    network = train(
        lambda: build_network(5, training),
        examples(weights),
        examples(),
        training,
        folder,
        lambda epoch, losses: told.append((epoch, dict(losses))),
        resume_from,
        penalty_strength=penalty,
    )
    return network.state_dict(), told


def same(a: dict, b: dict) -> bool:
    """Whether two sets of weights are equal to the last bit."""
    return all(torch.equal(a[k], b[k]) for k in a)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory):
    """A training from beginning to end."""
    folder = tmp_path_factory.mktemp("training") / "checkpoints"
    return folder, *trained(folder)


def test_training_is_reproducible_and_learns(uninterrupted, tmp_path: Path) -> None:
    _, weights, told = uninterrupted
    again, _ = trained(tmp_path / "again")
    assert same(weights, again)
    assert [epoch for epoch, _ in told] == [1, 2, 3, 4]
    assert told[-1][1]["train_loss"] < told[0][1]["train_loss"]
    assert set(told[0][1]) == {"train_loss", "validation_loss"}


@pytest.mark.parametrize("epoch", [1, 3])
def test_a_resumed_training_ends_with_the_same_weights(
    uninterrupted, tmp_path: Path, epoch: int
) -> None:
    folder, weights, _ = uninterrupted
    resumed, told = trained(tmp_path / "resumed", folder / f"epoch-{epoch:03d}")
    assert [e for e, _ in told] == list(range(epoch + 1, 5))
    assert same(weights, resumed)


def test_another_seed_gives_other_weights(uninterrupted, tmp_path: Path) -> None:
    assert not same(uninterrupted[1], trained(tmp_path / "other", seed=8)[0])


def test_row_weights_count(uninterrupted, tmp_path: Path) -> None:
    assert not same(uninterrupted[1], trained(tmp_path / "none", weights=0.0)[0])


@pytest.mark.parametrize("seed", range(20))
def test_the_penalty_is_the_referees(seed: int) -> None:
    """Few rows and rare positives: batches lack a group's positives, or all positives."""
    chance = np.random.default_rng(seed)
    n = int(chance.integers(1, 30))
    scores, labels = chance.random(n), chance.random(n) < chance.choice([0.05, 0.5])
    members = (chance.random((n, 4)) < 0.4).astype(float)
    strength = float(chance.uniform(0.1, 5))
    mine = opportunity_penalty(
        torch.from_numpy(scores),
        torch.from_numpy(labels.astype(float)),
        torch.from_numpy(members),
        strength,
    )
    theirs = reference.opportunity_penalty(scores, labels, members, strength)
    assert float(mine) == pytest.approx(theirs, abs=1e-12)


def test_the_penalty_without_positives_is_nothing_and_has_no_gradient() -> None:
    scores = torch.rand(8, requires_grad=True)
    penalty = opportunity_penalty(scores, torch.zeros(8), torch.ones(8, 2), 3.0)
    (scores.mean() + penalty).backward()
    assert float(penalty) == 0.0
    assert torch.equal(scores.grad, torch.full((8,), 1 / 8))


def test_the_loss_is_cross_entropy_plus_penalty() -> None:
    """One step from the same weights, by hand and by Lightning's module."""
    torch.manual_seed(0)
    network = build_network(5, BUDGET).eval()
    batch = examples(weights=0.5)
    with torch.no_grad():
        logits = network(batch.features).squeeze(1)
        scores, labels = torch.sigmoid(logits).numpy().astype(float), batch.labels.numpy()
    entropy = -0.5 * np.mean(labels * np.log(scores) + (1 - labels) * np.log(1 - scores))
    penalty = reference.opportunity_penalty(scores, labels > 0, batch.members.numpy(), 2000.0)
    model = Classifier(network, BUDGET, penalty_strength=2000.0)
    model.log = lambda *_, **__: None
    assert penalty > 0.001
    assert float(model.training_step(batch, 0).detach()) == pytest.approx(
        entropy + penalty, abs=1e-6
    )


def test_a_penalised_training_brings_groups_together(uninterrupted, tmp_path: Path) -> None:
    def apart(weights: dict) -> float:
        network = build_network(5, BUDGET).eval()
        network.load_state_dict(weights)
        batch = examples()
        with torch.no_grad():
            scores = torch.sigmoid(network(batch.features).squeeze(1))
        return float(opportunity_penalty(scores, batch.labels, batch.members, 1.0))

    penalised, told = trained(tmp_path / "penalised", penalty=50.0)
    assert apart(penalised) < apart(uninterrupted[1]) / 2
    resumed, _ = trained(tmp_path / "resumed", tmp_path / "penalised" / "epoch-002", penalty=50.0)
    assert same(penalised, resumed)
    assert told[0][1]["train_loss"] > uninterrupted[2][0][1]["train_loss"]


def test_checkpoints_are_safetensors_and_json_each_epoch(uninterrupted) -> None:
    folder = uninterrupted[0]
    assert sorted(p.name for p in folder.iterdir()) == [f"epoch-00{i}" for i in (1, 2, 3, 4)]
    assert latest_checkpoint(folder) == folder / "epoch-004"
    files = {p.name for p in folder.rglob("*") if p.is_file()}
    assert files == {"tensors.safetensors", "state.json"}
    json.loads((folder / "epoch-001" / "state.json").read_bytes())


def test_any_nesting_of_tensors_and_json_comes_back(tmp_path: Path) -> None:
    state = {"a": [{"b": torch.arange(3)}, None, 1.5], 0: {"t": torch.tensor(2.0), "s": "x"}}
    io = SafetensorsCheckpointIO()
    io.save_checkpoint(state, tmp_path / "c")
    back = io.load_checkpoint(tmp_path / "c")
    assert torch.equal(back["a"][0]["b"], torch.arange(3))
    assert back["a"][1:] == [None, 1.5]
    assert back[0]["s"] == "x"
    assert back[0]["t"].shape == ()


def test_an_object_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(EvidenceError, match="cannot hold object at /a"):
        SafetensorsCheckpointIO().save_checkpoint({"a": object()}, tmp_path / "c")
    assert not (tmp_path / "c").exists()
    assert latest_checkpoint(tmp_path) is None


def test_an_epochs_order_depends_on_seed_and_epoch_alone() -> None:
    batches = ShuffledBatches(10, 4, seed=1)
    first = torch.cat(list(batches)).tolist()
    batches.set_epoch(1)
    second = torch.cat(list(batches)).tolist()
    batches.set_epoch(0)
    assert torch.cat(list(batches)).tolist() == first != second
    assert sorted(first) == sorted(second) == list(range(10))
    assert len(batches) == 3
