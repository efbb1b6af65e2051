"""What this stack's stages leave in a run's directory, and how the next stage reads it back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import load_file, save_file

from components.contract.errors import EvidenceError
from components.contract.policy import Training
from components.datasets.canonical import ROW_COLUMN
from components.lineage.durable import write_atomically
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack.network import RiskModel, build_network
from components.stacks.pytorch_stack.preprocessing import FittedInput, Kind, Preprocessing
from components.stacks.referee import digest
from components.stacks.stages import Stage

_BUFFERS, _INPUTS = "buffers.safetensors", "inputs.json"


def native_path(process: ReleaseProcess, name: str) -> Path:
    """A path of the run that belongs to this stack; its directory exists."""
    path = process.artifacts / "native" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def save_json(path: Path, document: Any) -> Path:
    """Write a JSON document with sorted keys; NaN is refused."""
    content = json.dumps(document, sort_keys=True, indent=1, allow_nan=False)
    write_atomically(path, content.encode())
    return path


def save_preprocessing(directory: Path, module: Preprocessing) -> Path:
    """Write the fitted inputs as JSON and the module's buffers as safetensors."""
    directory.mkdir(parents=True, exist_ok=True)
    inputs = [
        {
            "name": f.name,
            "kind": str(f.kind),
            "mean": f.mean,
            "scale": f.scale,
            "vocabulary": list(f.vocabulary),
        }
        for f in module.fitted
    ]
    save_json(directory / _INPUTS, inputs)
    save_file(module.state_dict(), directory / _BUFFERS)
    return directory


def load_preprocessing(directory: Path) -> Preprocessing:
    """The module that ``save_preprocessing`` wrote.

    Raises:
        EvidenceError: its two files do not belong together.
    """
    module = Preprocessing(
        [
            FittedInput(i["name"], Kind(i["kind"]), i["mean"], i["scale"], tuple(i["vocabulary"]))
            for i in json.loads((directory / _INPUTS).read_bytes())
        ]
    )
    saved = load_file(directory / _BUFFERS)
    mine = module.state_dict()
    if set(saved) != set(mine) or not all(torch.equal(saved[k], mine[k]) for k in mine):
        raise EvidenceError("the buffers of the transform are not those of its inputs")
    return module


def save_weights(path: Path, model: RiskModel) -> Path:
    """Write preprocessing buffers and network weights as one safetensors file."""
    save_file(model.state_dict(), path)
    return path


def load_weights(path: Path, preprocessing: Preprocessing, training: Training) -> RiskModel:
    """The model that ``save_weights`` wrote, in eval mode."""
    model = RiskModel(preprocessing, build_network(preprocessing.width, training))
    model.load_state_dict(load_file(path))
    return model.eval()


def of_origin(process: ReleaseProcess, stage: Stage, output: str, name: str) -> Path:
    """A file or directory of the run that trained the model, known to be what it recorded.

    Args:
        process: that run, or one that releases what it trained.
        stage: the stage that left it.
        output: under which name that stage recorded it.
        name: its path among what belongs to this stack.

    Raises:
        EvidenceError: it was changed since, or is gone.
    """
    path = process.spec.origin / "artifacts" / "native" / name
    record = next(r for r in process.origin.records() if r.stage == stage)
    if not path.exists() or digest(path) != record.body["outputs"][output]["sha256"]:
        raise EvidenceError(f"{name} is not what stage {stage} of {process.spec.origin.name} left")
    return path


def recorded_digest(process: ReleaseProcess, stage: Stage, output: str) -> str:
    """SHA-256 of an earlier stage's output, as the evidence has it.

    Raises:
        EvidenceError: the stage has no record in this run.
    """
    for record in process.chain.records():
        if record.stage == stage:
            return str(record.body["outputs"][output]["sha256"])
    raise EvidenceError(f"run {process.spec.run_id} has no record of {stage}")


def save_scores(path: Path, rows: pa.Array, scores: npt.NDArray[np.float64]) -> Path:
    """Write one score for each row commitment."""
    pq.write_table(pa.table({ROW_COLUMN: rows, "score": scores}), path, compression="zstd")
    return path


def save_features(path: Path, rows: pa.Array, features: npt.NDArray[np.float32]) -> Path:
    """Write the features of each row commitment, shape (n, width), as one list of floats a row."""
    flat = pa.array(features.reshape(-1))
    lists = pa.FixedSizeListArray.from_arrays(flat, features.shape[1])
    pq.write_table(pa.table({ROW_COLUMN: rows, "features": lists}), path, compression="zstd")
    return path
