"""The last two stages: push and score."""

from __future__ import annotations

from components.contract.errors import EvidenceError
from components.stacks.model_signing import signature_file, verified_model
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack import artifacts, registry
from components.stacks.pytorch_stack.artifacts import native_path
from components.stacks.pytorch_stack.frameworks import versions
from components.stacks.pytorch_stack.mlflow_store import TrackedRun, registered_name
from components.stacks.pytorch_stack.onnx_export import MODEL_FILE
from components.stacks.pytorch_stack.onnx_scoring import OnnxScorer
from components.stacks.pytorch_stack.tensors import read_rows
from components.stacks.stages import Stage, StageResult


def push(process: ReleaseProcess) -> StageResult:
    """Register the model in MLflow; reached only through an open gate.

    Raises:
        EvidenceError: model or transform are no longer what training recorded.
    """
    run = TrackedRun.of(process)
    model = artifacts.of_origin(process, Stage.TRAIN, "model", MODEL_FILE)
    transform = artifacts.of_origin(process, Stage.TRANSFORM, "transform", "transform")
    fitted = artifacts.load_preprocessing(transform).fitted
    pushed = registry.push(process, run, model, fitted, native_path(process, "serving"))
    run.log_file(signature_file(process.spec), "model_signature")
    return StageResult(
        {"serving_model": pushed.file},
        versions("onnx", "mlflow"),
        facts={
            "location": pushed.location,
            "registeredModel": pushed.name,
            "modelVersion": pushed.version,
            "mlflowRun": run.run_id,
        },
    )


def score(process: ReleaseProcess) -> StageResult:
    """Score the evaluation rows, from raw columns, with the model that the registry serves.

    Raises:
        EvidenceError: the registry serves another file than this run pushed, or none.
    """
    run = TrackedRun.of(process)
    name = registered_name(process.spec.dataset)
    version = registry.pushed_version(run)
    if version is None:
        raise EvidenceError(f"run {process.spec.run_id} has pushed no version of {name}")
    served = registry.fetch(run.client, name, version, native_path(process, "served"))
    pushed = artifacts.recorded_digest(process, Stage.PUSH, "serving_model")
    scorer = OnnxScorer(verified_model(process.spec, served.file), pushed)
    evaluation = read_rows(process, "evaluation")
    predictions = artifacts.save_scores(
        native_path(process, "served-predictions.parquet"),
        evaluation.rows,
        scorer.score(evaluation),
    )
    return StageResult(
        {"predictions": predictions},
        versions("onnxruntime", "mlflow"),
        facts={"model": served.sha256, "location": served.location, "mlflowRun": run.run_id},
    )
