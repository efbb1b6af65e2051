"""The stage that judges a model: the release gate."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from components.checks.measurement import Measurement, Verdict, conclude
from components.checks.release import changes
from components.checks.small_figures import hidden_figures, masked, masked_verdict
from components.release.card_masking import FEWEST_SHOWN
from components.release.judging import split_rows
from components.stacks.model_signing import verified_model
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack import artifacts, mlflow_evaluation, mlflow_limits
from components.stacks.pytorch_stack.artifacts import native_path, save_json
from components.stacks.pytorch_stack.frameworks import versions
from components.stacks.pytorch_stack.metric_names import metric_name
from components.stacks.pytorch_stack.mlflow_evaluation import CANDIDATE, CHAMPION
from components.stacks.pytorch_stack.mlflow_store import TrackedRun
from components.stacks.pytorch_stack.native_metrics import Floats
from components.stacks.pytorch_stack.onnx_export import MODEL_FILE
from components.stacks.pytorch_stack.onnx_scoring import OnnxScorer
from components.stacks.pytorch_stack.release_measurements import EvaluationRows, measure
from components.stacks.pytorch_stack.tensors import RawSplit, read_rows
from components.stacks.stages import CHAMPION_PREDICTIONS, PREDICTIONS, Stage, StageResult

_TOOLS = ("onnxruntime", "scikit-learn", "torchmetrics", "fairlearn", "mlflow")


def release_gate(process: ReleaseProcess) -> StageResult:
    """Score the evaluation rows with the very file that would be served, and judge the scores.

    Where a limit is on a change, the champion's file scores the same rows and is measured alike.

    Raises:
        EvidenceError: a model file is not the one that was recorded.
    """
    run, evaluation = TrackedRun.of(process), read_rows(process, "evaluation")
    outputs, scores = _candidate(process, evaluation)
    rows = _evaluation_rows(process, evaluation)
    measured = measure(rows, scores, process.policy)
    evaluated = mlflow_evaluation.evaluate(
        process, run, rows.labels, scores, outputs[PREDICTIONS], CANDIDATE
    )
    same = mlflow_evaluation.finding(evaluated, measured, process.policy.release_gate.agreement)
    champion: tuple[Measurement, ...] = ()
    if (held := _champion(process)) is not None:
        outputs[CHAMPION_PREDICTIONS], before = held
        champion = measure(rows, before, process.policy)
        measured += changes(measured, champion, process.policy)
        mlflow_evaluation.evaluate(
            process, run, rows.labels, before, outputs[CHAMPION_PREDICTIONS], CHAMPION
        )
    limits = mlflow_limits.compile_to_mlflow(process.policy)
    judged = mlflow_limits.limit_findings(
        process.policy, limits, measured, champion, has_champion=process.champion is not None
    )
    verdict = conclude([*judged, same])
    run.log_metrics({metric_name(m): m.value for m in _shown(measured) if not m.hidden})
    outputs["report"] = _report(process, measured, champion, limits, verdict)
    run.log_file(outputs["report"], "release_gate")
    return StageResult(
        outputs,
        versions(*_TOOLS),
        native=verdict,
        measurements=measured,
        facts={"notExpressible": len(limits.unexpressed), "mlflowRun": run.run_id},
    )


def _candidate(process: ReleaseProcess, evaluation: RawSplit) -> tuple[dict[str, Path], Floats]:
    """The scores, their file, and the file of the features that the model makes by itself."""
    trained = artifacts.recorded_digest(process, Stage.TRAIN, "model")
    model = verified_model(process.spec, native_path(process, MODEL_FILE))
    serving = OnnxScorer(model, trained)
    scores = serving.score(evaluation)
    features = artifacts.save_features(
        native_path(process, "served-features.parquet"),
        evaluation.rows,
        serving.features(evaluation),
    )
    path = native_path(process, "predictions.parquet")
    predictions = artifacts.save_scores(path, evaluation.rows, scores)
    return {PREDICTIONS: predictions, "features": features}, scores


def _champion(process: ReleaseProcess) -> tuple[Path, Floats] | None:
    """File and scores of the champion on the same rows; None where it need not be scored."""
    run = process.champion_run
    if run is None:
        return None
    model = verified_model(run.spec, run.spec.origin / "artifacts" / "native" / MODEL_FILE)
    evaluation = read_rows(process, "evaluation", run.candidate)
    scores = OnnxScorer(model, run.release.model).score(evaluation)
    path = native_path(process, "champion-predictions.parquet")
    return artifacts.save_scores(path, evaluation.rows, scores), scores


def _evaluation_rows(process: ReleaseProcess, evaluation: RawSplit) -> EvaluationRows:
    """Labels and groups in the order of the files, in which the scores are too."""
    protected = process.contract.protected
    table = split_rows(process.dataset, "evaluation", [c.group_column for c in protected])
    return EvaluationRows(
        evaluation.labels.numpy().astype(np.int64),
        {c.name: table[c.group_column].to_pylist() for c in protected},
        {c.name: c.group_labels for c in protected},
    )


def _shown(measured: Sequence[Measurement]) -> list[Measurement]:
    """What may stand in a store that many read: nothing that tells of 1 to 10 people.

    A group without cases is left out too, for its name may be somebody's.
    """
    hidden = hidden_figures(measured)
    return [masked(m, hidden) for m in measured if m.n >= FEWEST_SHOWN]


def _report(
    process: ReleaseProcess,
    measured: tuple[Measurement, ...],
    champion: tuple[Measurement, ...],
    limits: mlflow_limits.CompiledLimits,
    verdict: Verdict,
) -> Path:
    return save_json(
        native_path(process, "release-gate.json"),
        {
            "measurements": [m.to_json() for m in _shown(measured)],
            "champion": [m.to_json() for m in _shown(champion)],
            "notExpressible": [u.to_json() for u in limits.unexpressed],
            "verdict": masked_verdict(verdict, measured, hidden_figures(measured)).to_json(),
        },
    )
