"""The stages that make and judge a model: transform, train, release gate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from components.checks.measurement import conclude
from components.contract.features import model_inputs
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack import artifacts, mlflow_limits, release_measurements
from components.stacks.pytorch_stack.artifacts import native_path, save_json
from components.stacks.pytorch_stack.checkpoints import latest_checkpoint
from components.stacks.pytorch_stack.frameworks import versions
from components.stacks.pytorch_stack.mlflow_store import TrackedRun, metric_name
from components.stacks.pytorch_stack.network import RiskModel, build_network
from components.stacks.pytorch_stack.onnx_export import MODEL_FILE, export_onnx, save_onnx
from components.stacks.pytorch_stack.onnx_scoring import OnnxScorer
from components.stacks.pytorch_stack.preprocessing import Preprocessing, fit, module_inputs
from components.stacks.pytorch_stack.row_weights import row_weights
from components.stacks.pytorch_stack.tensors import RawSplit, read_split
from components.stacks.pytorch_stack.training import Examples, train
from components.stacks.stages import Stage, StageResult


def transform(process: ReleaseProcess) -> StageResult:
    """Fit the preprocessing module on the training rows and apply it to the evaluation rows."""
    inputs = model_inputs(process.contract, process.candidate)
    fitted = fit(
        _read(process, "train"),
        inputs,
        process.contract,
        process.policy.training.min_category_count,
    )
    module = Preprocessing(fitted)
    saved = artifacts.save_preprocessing(native_path(process, "transform"), module)
    evaluation = _read(process, "evaluation")
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
    )
    model = RiskModel(preprocessing, network)
    evaluation = _read(process, "evaluation")
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


def release_gate(process: ReleaseProcess) -> StageResult:
    """Score the evaluation rows with the very file that would be served, and judge the scores."""
    run = TrackedRun.of(process)
    evaluation = _read(process, "evaluation")
    trained = artifacts.recorded_digest(process, Stage.TRAIN, "model")
    serving = OnnxScorer(native_path(process, MODEL_FILE), trained)
    scores = serving.score(evaluation)
    features = artifacts.save_features(
        native_path(process, "served-features.parquet"),
        evaluation.rows,
        serving.features(evaluation),
    )
    predictions = artifacts.save_scores(
        native_path(process, "predictions.parquet"), evaluation.rows, scores
    )
    measured = release_measurements.measure(
        evaluation.labels.numpy() == 1,
        scores,
        _groups(process),
        process.policy.decision_threshold,
    )
    run.log_metrics({metric_name(m): m.value for m in measured})
    limits = mlflow_limits.compile_to_mlflow(process.policy)
    verdict = conclude(mlflow_limits.limit_findings(limits, measured))
    report = save_json(
        native_path(process, "release-gate.json"),
        {
            "measurements": [m.to_json() for m in measured],
            "notExpressible": [u.to_json() for u in limits.unexpressed],
            "verdict": verdict.to_json(),
        },
    )
    run.log_file(report, "release_gate")
    return StageResult(
        {"predictions": predictions, "report": report, "features": features},
        versions("onnxruntime", "scikit-learn", "fairlearn", "mlflow"),
        native=verdict,
        measurements=measured,
        facts={"notExpressible": len(limits.unexpressed), "mlflowRun": run.run_id},
    )


def _read(process: ReleaseProcess, split: str) -> RawSplit:
    inputs = model_inputs(process.contract, process.candidate)
    return read_split(process.dataset, split, process.contract, inputs)


def scores_in_memory(model: RiskModel, raw: RawSplit) -> npt.NDArray[np.float64]:
    """Scores of the torch network by the path that training uses, shape (n,)."""
    with torch.inference_mode():
        scores = model.eval()(*module_inputs(raw, model.preprocessing.fitted))
    return scores.numpy().astype(np.float64)


def _examples(process: ReleaseProcess, module: Preprocessing, split: str) -> Examples:
    raw = _read(process, split)
    with torch.inference_mode():
        features = module(*module_inputs(raw, module.fitted))
    weights = (
        row_weights(process.dataset, process.contract, process.candidate)
        if split == "train"
        else None
    )
    return Examples(
        features.clone(),
        raw.labels,
        torch.ones(len(raw)) if weights is None else weights,
    )


def _groups(process: ReleaseProcess) -> dict[str, list[str | None]]:
    """Group labels of the evaluation rows, in the order in which ``read_split`` reads them."""
    columns = [c.group_column for c in process.contract.protected]
    files = process.dataset.files(split="evaluation")
    table = pa.concat_tables(pq.read_table(f, columns=columns) for f in files)
    return {c.name: table[c.group_column].to_pylist() for c in process.contract.protected}
