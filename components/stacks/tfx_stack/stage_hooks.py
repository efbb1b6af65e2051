"""What the TFX stack hands over at each stage, read from the native artifacts on disk."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

import pyarrow.parquet as pq

from components.checks.measurement import conclude
from components.checks.release import finite_scores
from components.contract.errors import ProcessError
from components.datasets.canonical import SPLITS
from components.lineage.digests import sha256_tree
from components.stacks.model_signing import MODEL_SIGNATURE, signature_file
from components.stacks.process import ReleaseProcess
from components.stacks.stages import StageResult
from components.stacks.tfx_stack.recorded_artifacts import location_of, serving_directory

EVALUATION = "evaluation"


@cache
def _version(distribution: str) -> str:
    return metadata.version(distribution)


def tools(*distributions: str) -> Mapping[str, str]:
    """Versions of the named distributions, and of TFX itself."""
    return {name: _version(name) for name in ("tfx", *distributions)}


def native_file(process: ReleaseProcess, name: str) -> Path:
    """Where the stack keeps a file of its own in the run."""
    return process.spec.directory / "native" / "assay" / name


def ingest_result(process: ReleaseProcess, examples_uri: str) -> StageResult:
    """The rows that stand in the records, read back from the records."""
    from components.stacks.tfx_stack.example_records import write_rows

    rows = write_rows(examples_uri, list(SPLITS), native_file(process, "rows.parquet"))
    return StageResult(
        {"rows": rows, "examples": Path(examples_uri)},
        tools("apache-beam", "tfx-bsl"),
        facts={"location": location_of(Path(examples_uri), Path(process.spec.home))},
    )


def statistics_result(process: ReleaseProcess, statistics_uri: str) -> StageResult:
    """TFDV's statistics of the baseline and the current spans."""
    return StageResult(
        {"statistics": Path(statistics_uri)}, tools("tensorflow-data-validation", "apache-beam")
    )


def data_gate_result(
    process: ReleaseProcess, anomalies_uri: str, drift_uri: str, statistics_uri: str
) -> StageResult:
    """TFDV's verdict, a finding for each clause that it enforces, and the list of the others."""
    from components.stacks.tfx_stack import data_gate_findings as gate
    from components.stacks.tfx_stack.contract_to_tfmd import compile_schema
    from components.stacks.tfx_stack.parquet_example_gen import BASELINE, CURRENT

    statistics = gate.read_statistics(statistics_uri, (BASELINE, CURRENT))
    rows = gate.row_counts(statistics)
    sides = {
        side: gate.read_anomalies(anomalies_uri, f"Split-{side}")
        for side in (BASELINE, CURRENT)
        if rows[side]
    }
    drift = gate.read_anomalies(drift_uri, f"SplitPair-{CURRENT}_{BASELINE}")
    findings = gate.data_gate_findings(sides, drift, statistics, process.contract, process.policy)
    return StageResult(
        {"report": Path(anomalies_uri), "drift_report": Path(drift_uri)},
        tools("tensorflow-data-validation"),
        native=conclude(findings),
        measurements=tuple(f.measurement for f in findings if f.measurement is not None),
        facts={
            "rows_baseline": rows[BASELINE],
            "rows_current": rows[CURRENT],
            "not_expressed": compile_schema(process.contract, process.policy).not_expressed,
        },
    )


def transform_result(process: ReleaseProcess, transform_uri: str, examples_uri: str) -> StageResult:
    """The transform graph, and what it makes of the evaluation rows' raw examples."""
    from components.stacks.tfx_stack.preprocessing import input_columns
    from components.stacks.tfx_stack.serving import write_features

    target = native_file(process, "features.parquet")
    columns = input_columns(process)
    features = write_features(transform_uri, columns, examples_uri, EVALUATION, target)
    return StageResult(
        {"transform": Path(transform_uri), "features": features},
        tools("tensorflow-transform", "tensorflow", "apache-beam"),
        facts={"inputs": len(columns)},
    )


def train_result(
    process: ReleaseProcess, model_uri: str, model_run_uri: str, predictions: Path
) -> StageResult:
    """The trained model, its last checkpoint, its scores in memory, and whether it scores at all.

    Args:
        process: the run.
        model_uri: what Trainer exported.
        model_run_uri: what training left beside it.
        predictions: scores that the exported model gave.
    """
    from components.stacks.tfx_stack.training import CHECKPOINTS, TRAINED_SCORES

    training = process.policy.training
    kept = sorted((Path(model_run_uri) / CHECKPOINTS).glob("epoch-*.weights.h5"))
    if len(kept) != training.epochs:
        raise ProcessError(f"training left {len(kept)} checkpoints for {training.epochs} epochs")
    scores = pq.read_table(predictions, columns=["score"])["score"].to_numpy()
    return StageResult(
        {
            "model": serving_directory(model_uri),
            "checkpoint": kept[-1],
            "scores": Path(model_run_uri) / TRAINED_SCORES,
            MODEL_SIGNATURE: signature_file(process.spec),
        },
        tools("tensorflow", "keras", "tensorflow-transform"),
        native=conclude([finite_scores(scores)]),
        facts={
            "seed": training.seed,
            "epochs": training.epochs,
            "checkpoints": len(kept),
            "location": location_of(Path(model_uri), Path(process.spec.home)),
        },
    )


def push_result(process: ReleaseProcess, destination: str) -> StageResult:
    """The pushed model; the referee checks that it is the one that was judged.

    Raises:
        ProcessError: Pusher pushed nothing.
    """
    pushed = Path(destination)
    if not destination or not pushed.is_dir():
        raise ProcessError("the release gate is open, but Pusher pushed nothing")
    location = location_of(pushed, Path(process.spec.home))
    return StageResult(
        {"serving_model": pushed},
        tools(),
        facts={"model": sha256_tree(pushed), "location": location},
    )


def score_result(process: ReleaseProcess, destination: str, predictions: Path) -> StageResult:
    """Scores that the pushed model gave to the raw evaluation rows."""
    pushed = Path(destination)
    return StageResult(
        {"predictions": predictions},
        tools("tensorflow"),
        facts={
            "model": sha256_tree(pushed),
            "location": location_of(pushed, Path(process.spec.home)),
        },
    )
