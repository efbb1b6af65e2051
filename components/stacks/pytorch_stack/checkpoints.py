"""Lightning checkpoints without pickle: tensors as safetensors, everything else as JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import lightning.pytorch as lightning
import torch
from lightning.fabric.plugins import CheckpointIO
from safetensors.torch import load_file, save_file

from components.contract.errors import EvidenceError
from components.lineage.durable import sync_directory, write_atomically

TENSORS, STATE = "tensors.safetensors", "state.json"
_TENSOR, _PAIRS = "$tensor", "$pairs"


class SafetensorsCheckpointIO(CheckpointIO):
    """Writes and reads what ``Trainer`` keeps in a checkpoint as a directory of two plain files.

    Lightning's own format is a pickle, and loading a pickle runs code. Here a state that is
    neither a tensor nor JSON cannot be written at all.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None
    ) -> None:
        """Write the directory ``path``; it appears whole or not at all.

        Raises:
            EvidenceError: the state holds something that is neither tensor nor JSON.
        """
        target = Path(path)
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        tensors: dict[str, torch.Tensor] = {}
        state = _flatten(checkpoint, "", tensors)
        save_file(tensors, partial / TENSORS)
        write_atomically(partial / STATE, json.dumps(state, sort_keys=True).encode())
        partial.rename(target)
        sync_directory(target.parent)

    def load_checkpoint(
        self, path: Any, map_location: Any | None = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        """The state that ``save_checkpoint`` wrote; nothing in it can run."""
        directory = Path(path)
        tensors = load_file(directory / TENSORS)
        return _restore(json.loads((directory / STATE).read_bytes()), tensors)

    def remove_checkpoint(self, path: Any) -> None:
        """Remove the directory, if it is there."""
        shutil.rmtree(Path(path), ignore_errors=True)


class CheckpointEachEpoch(lightning.Callback):
    """Writes ``<directory>/epoch-<number>`` after each epoch, numbered from 1."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def on_train_epoch_end(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule
    ) -> None:
        """Lightning's hook."""
        trainer.save_checkpoint(self._directory / f"epoch-{trainer.current_epoch + 1:03d}", False)


def latest_checkpoint(directory: Path) -> Path | None:
    """The checkpoint of the last whole epoch in a directory, if there is one."""
    return max(directory.glob("epoch-*"), default=None)


def _flatten(value: Any, key: str, tensors: dict[str, torch.Tensor]) -> Any:
    """JSON for a nested state; its tensors are taken out and named by where they stood."""
    if isinstance(value, torch.Tensor):
        # A copy: safetensors refuses tensors that share memory.
        tensors[key] = value.detach().clone().contiguous()
        return {_TENSOR: key}
    if isinstance(value, Mapping):
        # As pairs: optimisers key their state by integers, which JSON objects would make text.
        return {_PAIRS: [[k, _flatten(v, f"{key}/{k}", tensors)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        return [_flatten(v, f"{key}/{i}", tensors) for i, v in enumerate(value)]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise EvidenceError(f"a checkpoint cannot hold {type(value).__name__} at {key}")


def _restore(value: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    if isinstance(value, list):
        return [_restore(v, tensors) for v in value]
    if isinstance(value, dict):
        if _TENSOR in value:
            return tensors[value[_TENSOR]]
        return {k: _restore(v, tensors) for k, v in value[_PAIRS]}
    return value
