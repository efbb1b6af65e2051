"""Training with Lightning: seeded, checkpointed each epoch, resumable to the same weights."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import lightning.pytorch as lightning
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset, Sampler

from components.contract.policy import Training
from components.stacks.pytorch_stack.checkpoints import CheckpointEachEpoch, SafetensorsCheckpointIO
from components.stacks.pytorch_stack.training_penalty import opportunity_penalty

RNG_STATE = "assay_rng_state"
EpochLog = Callable[[int, Mapping[str, float]], None]
"""Called after each epoch with its number, from 1, and its losses."""

_ROWS_AT_ONCE = 65_536


class Examples(NamedTuple):
    """Features of shape (n, width), labels and weights of shape (n,), all float32.

    ``members`` has shape (n, groups) and says which groups a row counts in for the penalty; the
    network never sees it.
    """

    features: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor
    members: torch.Tensor


class Classifier(lightning.LightningModule):
    """A network of one logit, trained with AdamW.

    The loss of a batch is the mean of its rows' weighted binary cross-entropies, plus the
    opportunity penalty where it has a strength.
    """

    def __init__(self, network: nn.Module, training: Training, penalty_strength: float) -> None:
        super().__init__()
        self.network = network
        self._training = training
        self._penalty_strength = penalty_strength

    def training_step(self, batch: Examples, batch_idx: int) -> torch.Tensor:
        """Loss of one batch."""
        logits = self.network(batch.features).squeeze(1)
        loss = binary_cross_entropy_with_logits(logits, batch.labels, batch.weights)
        if self._penalty_strength:
            loss = loss + opportunity_penalty(
                torch.sigmoid(logits), batch.labels, batch.members, self._penalty_strength
            )
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch.labels))
        return loss

    def validation_step(self, batch: Examples, batch_idx: int) -> None:
        """Plain cross-entropy on the validation split; watched, never used to choose."""
        logits = self.network(batch.features).squeeze(1)
        loss = binary_cross_entropy_with_logits(logits, batch.labels, batch.weights)
        self.log("validation_loss", loss, batch_size=len(batch.labels))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW: weight decay apart from the gradient (Loshchilov and Hutter, 2019)."""
        return torch.optim.AdamW(
            self.network.parameters(),
            lr=self._training.learning_rate,
            weight_decay=self._training.weight_decay,
        )

    def on_save_checkpoint(self, checkpoint: dict) -> None:
        """Keep the generator that dropout draws from, so that a resumed run draws the same."""
        checkpoint[RNG_STATE] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict) -> None:
        """Put that generator back."""
        torch.set_rng_state(checkpoint[RNG_STATE])


class _Rows(Dataset):
    """Rows by a tensor of positions, a whole batch at a time."""

    def __init__(self, examples: Examples) -> None:
        self._examples = examples

    def __len__(self) -> int:
        return len(self._examples.labels)

    def __getitem__(self, rows: torch.Tensor) -> Examples:
        return Examples(*(held[rows] for held in self._examples))


class ShuffledBatches(Sampler):
    """Batches of row positions; the order of an epoch depends on seed and epoch alone."""

    def __init__(self, rows: int, batch_size: int, seed: int) -> None:
        self._rows, self._batch_size, self._seed, self._epoch = rows, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before each epoch, also after a resume."""
        self._epoch = epoch

    def __iter__(self) -> Iterator[torch.Tensor]:
        # A generator function: after a resume Lightning makes the iterator before it sets the
        # epoch, so the order must be drawn with the first batch and no sooner.
        generator = torch.Generator().manual_seed(self._seed + self._epoch)
        yield from torch.randperm(self._rows, generator=generator).split(self._batch_size)

    def __len__(self) -> int:
        return -(-self._rows // self._batch_size)


class _ReportEpoch(lightning.Callback):
    def __init__(self, report: EpochLog) -> None:
        self._report = report

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        losses = {k: float(v) for k, v in trainer.callback_metrics.items()}
        self._report(trainer.current_epoch + 1, losses)


def train(
    build: Callable[[], nn.Module],
    examples: Examples,
    validation: Examples,
    training: Training,
    checkpoints: Path,
    report: EpochLog,
    resume_from: Path | None = None,
    penalty_strength: float = 0.0,
) -> nn.Module:
    """Train for ``training.epochs`` epochs and return the last epoch's network, in eval mode.

    Args:
        build: makes the network; its initial weights follow from the seed.
        examples: training rows.
        validation: rows that are only watched.
        training: the policy's budget.
        checkpoints: directory that gets one checkpoint an epoch.
        report: told of each epoch's losses.
        resume_from: a checkpoint; training goes on after its epoch and ends with the same
            weights as a training that was never interrupted.
        penalty_strength: of the opportunity penalty; 0 for none.

    Raises:
        KeyboardInterrupt: the user stopped it; checkpoints of whole epochs remain.
    """
    torch.manual_seed(training.seed)
    model = Classifier(build(), training, penalty_strength)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=training.epochs,
        deterministic=True,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=checkpoints,
        callbacks=[CheckpointEachEpoch(checkpoints), _ReportEpoch(report)],
        plugins=[SafetensorsCheckpointIO()],
    )
    shuffled = ShuffledBatches(len(examples.labels), training.batch_size, training.seed)
    in_order = torch.arange(len(validation.labels)).split(_ROWS_AT_ONCE)
    _fit(
        trainer,
        model,
        _loader(examples, shuffled),
        _loader(validation, in_order),
        resume_from,
    )
    return model.network.eval()


def _loader(examples: Examples, batches: Sampler | Sequence[torch.Tensor]) -> DataLoader:
    # A generator of its own: a loader without one draws from the one that dropout draws from.
    generator = torch.Generator().manual_seed(0)
    return DataLoader(_Rows(examples), batch_size=None, sampler=batches, generator=generator)


def _fit(trainer, model, examples, validation, resume_from: Path | None) -> None:
    handler, threads = signal.getsignal(signal.SIGINT), torch.get_num_threads()
    # One thread: batches are small, waiting for each other costs threads more than they gain,
    # and sums in one order give the same weights on every machine.
    torch.set_num_threads(1)
    try:
        trainer.fit(model, examples, validation, ckpt_path=resume_from and str(resume_from))
    except SystemExit:
        # Lightning turns Ctrl-C into exit(1), which our callers read as a closed gate.
        if not trainer.interrupted:
            raise
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None
    finally:
        torch.set_num_threads(threads)
