"""The stages that make a model: transform and train."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from components.contract.features import model_inputs
from components.release.judging import split_rows
from components.stacks.mitigation import group_columns, training_groups
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack import artifacts
from components.stacks.pytorch_stack.artifacts import native_path
from components.stacks.pytorch_stack.checkpoints import latest_checkpoint
from components.stacks.pytorch_stack.frameworks import versions
from components.stacks.pytorch_stack.mlflow_store import TrackedRun
from components.stacks.pytorch_stack.network import RiskModel, build_network
from components.stacks.pytorch_stack.onnx_export import MODEL_FILE, export_onnx, save_onnx
from components.stacks.pytorch_stack.preprocessing import Preprocessing, fit, module_inputs
from components.stacks.pytorch_stack.tensors import RawSplit, read_rows
from components.stacks.pytorch_stack.training import Examples, train
from components.stacks.stages import StageResult


def transform(process: ReleaseProcess) -> StageResult:
    """Fit the preprocessing module on the training rows and apply it to the evaluation rows."""
    inputs = model_inputs(process.contract, process.candidate)
    fitted = fit(
        read_rows(process, "train"),
        inputs,
        process.contract,
        process.policy.training.min_category_count,
    )
    module = Preprocessing(fitted)
    saved = artifacts.save_preprocessing(native_path(process, "transform"), module)
    evaluation = read_rows(process, "evaluation")
    with torch.inference_mode():
        made = module(*module_inputs(evaluation, module.fitted)).numpy()
    features = artifacts.save_features(
        native_path(process, "features.parquet"), evaluation.rows, made
    )
    return StageResult(
        {"transform": saved, "features": features},
        versions("torch"),
        facts={"inputs": len(fitted), "features": module.width},
    )


def train_model(process: ReleaseProcess) -> StageResult:
    """Train with Lightning, a checkpoint each epoch; a stage that was broken off goes on.

    The scores are those of the network in memory, fed by training's own preprocessing: what is
    exported afterwards is held against them.
    """
    run, training = TrackedRun.of(process), process.policy.training
    preprocessing = artifacts.load_preprocessing(native_path(process, "transform"))
    checkpoints = native_path(process, "checkpoints")
    checkpoints.mkdir(exist_ok=True)
    network = train(
        lambda: build_network(preprocessing.width, training),
        _examples(process, preprocessing, "train"),
        _examples(process, preprocessing, "validation"),
        training,
        checkpoints,
        lambda epoch, losses: run.log_metrics(losses, step=epoch),
        resume_from=latest_checkpoint(checkpoints),
        penalty_strength=process.candidate.penalty_strength,
    )
    model = RiskModel(preprocessing, network)
    evaluation = read_rows(process, "evaluation")
    scores = artifacts.save_scores(
        native_path(process, "trained-scores.parquet"),
        evaluation.rows,
        scores_in_memory(model, evaluation),
    )
    weights = artifacts.save_weights(native_path(process, "weights.safetensors"), model)
    serving = save_onnx(export_onnx(model), native_path(process, MODEL_FILE))
    parameters = sum(p.numel() for p in network.parameters())
    return StageResult(
        {"model": serving, "weights": weights, "checkpoint": checkpoints, "scores": scores},
        versions("torch", "lightning", "safetensors", "onnx", "onnxscript", "mlflow"),
        facts={"epochs": training.epochs, "parameters": parameters, "mlflowRun": run.run_id},
    )


def scores_in_memory(model: RiskModel, raw: RawSplit) -> npt.NDArray[np.float64]:
    """Scores of the torch network by the path that training uses, shape (n,)."""
    with torch.inference_mode():
        scores = model.eval()(*module_inputs(raw, model.preprocessing.fitted))
    return scores.numpy().astype(np.float64)


def _examples(process: ReleaseProcess, module: Preprocessing, split: str) -> Examples:
    """Rows of a split as training takes them: weights and groups are of training rows only."""
    raw = read_rows(process, split)
    with torch.inference_mode():
        features = module(*module_inputs(raw, module.fitted)).clone()
    if split != "train":
        return Examples(features, raw.labels, torch.ones(len(raw)), torch.empty(len(raw), 0))
    found = training_groups(process.dataset, process.contract, process.candidate)
    names = group_columns(process.contract, process.candidate)
    rows = split_rows(process.dataset, split, names)
    groups = {name: rows[name].to_pylist() for name in names}
    weights = found.row_weights(groups, (raw.labels > 0).tolist())
    members = found.members(groups, len(raw))
    return Examples(features, raw.labels, torch.from_numpy(weights), torch.from_numpy(members))
