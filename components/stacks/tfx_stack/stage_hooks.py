"""What the TFX stack hands over at each stage, read from the native artifacts on disk."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path

import pyarrow.parquet as pq

from components.checks.gates import finite_scores
from components.checks.measurement import Measurement, conclude
from components.contract.errors import ProcessError
from components.datasets.canonical import SPLITS
from components.lineage.digests import sha256_tree
from components.stacks.process import ReleaseProcess
from components.stacks.stages import StageResult

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
        {"rows": rows, "examples": Path(examples_uri)}, tools("apache-beam", "tfx-bsl")
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
        },
        tools("tensorflow", "keras", "tensorflow-transform"),
        native=conclude([finite_scores(scores)]),
        facts={"seed": training.seed, "epochs": training.epochs, "checkpoints": len(kept)},
    )


def serving_directory(model_uri: str) -> Path:
    """Where TFX keeps the serving format of a Model artifact."""
    from tfx.utils import path_utils

    return Path(path_utils.serving_model_path(model_uri))


def release_gate_result(
    process: ReleaseProcess, evaluation_uri: str, predictions: Path, features: Path
) -> StageResult:
    """TFMA's figures and verdict; scores and features of the exported model that TFMA judged."""
    import tensorflow_model_analysis as tfma

    from components.stacks.tfx_stack import evaluation_results as results

    slices = results.read_slices(evaluation_uri)
    found: tuple[Measurement, ...] = results.measurements(slices, process.contract, process.policy)
    validated = any(Path(evaluation_uri).glob("validations*"))
    verdict = results.native_verdict(
        found,
        slices,
        evaluation_groups(process),
        tfma.load_validation_result(evaluation_uri) if validated else None,
        process.policy,
    )
    return StageResult(
        {"predictions": predictions, "features": features, "report": Path(evaluation_uri)},
        tools("tensorflow-model-analysis", "apache-beam", "tensorflow"),
        native=verdict,
        measurements=found,
    )


def evaluation_groups(process: ReleaseProcess) -> dict[str, set[str]]:
    """For each group column, the groups that the evaluation rows hold."""
    from components.checks.measurement import MISSING

    columns = [c.group_column for c in process.contract.protected]
    groups: dict[str, set[str]] = {c: set() for c in columns}
    for file in process.dataset.files(split=EVALUATION):
        table = pq.read_table(file, columns=columns)
        for name in columns:
            groups[name] |= {MISSING if g is None else g for g in set(table[name].to_pylist())}
    return groups


def push_result(process: ReleaseProcess, destination: str) -> StageResult:
    """The pushed model; the referee checks that it is the one that was judged.

    Raises:
        ProcessError: Pusher pushed nothing.
    """
    pushed = Path(destination)
    if not destination or not pushed.is_dir():
        raise ProcessError("the release gate is open, but Pusher pushed nothing")
    location = _relative(pushed, Path(process.spec.home))
    return StageResult(
        {"serving_model": pushed},
        tools(),
        facts={"model": sha256_tree(pushed), "location": location},
    )


def _relative(path: Path, home: Path) -> str:
    return path.resolve().relative_to(home.resolve()).as_posix()


def score_result(process: ReleaseProcess, destination: str, predictions: Path) -> StageResult:
    """Scores that the pushed model gave to the raw evaluation rows."""
    pushed = Path(destination)
    return StageResult(
        {"predictions": predictions},
        tools("tensorflow"),
        facts={
            "model": sha256_tree(pushed),
            "location": _relative(pushed, Path(process.spec.home)),
        },
    )
