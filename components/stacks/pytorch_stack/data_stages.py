"""The first three stages: ingest, statistics, data gate."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.checks.drift import first_release_findings
from components.checks.measurement import conclude
from components.contract.clauses import drifting_columns
from components.contract.features import model_inputs
from components.datasets.canonical import ROW_COLUMN, SPLITS
from components.profile.edges import quantile_edges
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack import contract_to_gx, evidently_reports, gx_validation
from components.stacks.pytorch_stack.artifacts import native_path, save_json
from components.stacks.pytorch_stack.dataset_inputs import log_dataset_inputs
from components.stacks.pytorch_stack.frames import analysis_frame, drift_labels, read_frame
from components.stacks.pytorch_stack.frameworks import versions
from components.stacks.pytorch_stack.mlflow_store import TrackedRun
from components.stacks.pytorch_stack.policy_to_evidently import CompiledDrift, compile_to_evidently
from components.stacks.pytorch_stack.tensors import read_split
from components.stacks.stages import StageResult


def ingest(process: ReleaseProcess) -> StageResult:
    """Read every split into tensors and hand over whose rows they are."""
    run = TrackedRun.start(process)
    inputs = model_inputs(process.contract, process.candidate)
    read = [read_split(process.dataset, split, process.contract, inputs) for split in SPLITS]
    table = pa.concat_tables(
        pa.table({"split": [raw.name] * len(raw), ROW_COLUMN: raw.rows}) for raw in read
    )
    rows = native_path(process, "rows.parquet")
    pq.write_table(table, rows, compression="zstd")
    return StageResult(
        {"rows": rows},
        versions("torch", "pyarrow", "mlflow"),
        facts={"mlflowRun": run.run_id, "inputs": len(inputs), **_counts(read)},
    )


def statistics(process: ReleaseProcess) -> StageResult:
    """Name the dataset in MLflow by all of its content; summarise both sides with Evidently."""
    run = TrackedRun.of(process)
    log_dataset_inputs(run, process.dataset, process.contract)
    sides = zip(("baseline", "current"), _sides(process), strict=True)
    summary = {
        name: evidently_reports.summarise(analysis_frame(rows, process.contract), process.contract)
        for name, rows in sides
        if rows is not None
    }
    path = save_json(native_path(process, "statistics.json"), summary)
    run.log_file(path, "statistics")
    return StageResult({"statistics": path}, versions("evidently", "mlflow"))


def data_gate(process: ReleaseProcess) -> StageResult:
    """The contract on all rows with GX, and the policy's drift limits with Evidently."""
    gate = process.policy.data_gate
    suite = contract_to_gx.compile_to_gx(process.contract)
    names = [c.name for c in process.contract.columns]
    ruled = gx_validation.validate(suite, read_frame(process.dataset.files(), names))
    drift = compile_to_evidently(process.contract, gate)
    if gate.first_release is not None:
        measured: list[evidently_reports.DriftResult] = []
        drifted = first_release_findings([r.rule for r in drift.rules])
        fewest = 0
    else:
        measured, fewest = _measure_drift(process, drift)
        drifted = evidently_reports.drift_findings(measured, fewest, gate.min_rows)
    verdict = conclude([*gx_validation.findings(ruled), *drifted])
    left_out = [*suite.unexpressed, *drift.unexpressed]
    report = save_json(
        native_path(process, "data-gate.json"),
        {
            "great-expectations": [r.to_json() for r in ruled],
            "evidently": [r.to_json() for r in measured],
            "notExpressible": [u.to_json() for u in left_out],
            "verdict": verdict.to_json(),
        },
    )
    TrackedRun.of(process).log_file(report, "data_gate")
    return StageResult(
        {"report": report},
        versions("great-expectations", "evidently"),
        native=verdict,
        measurements=tuple(evidently_reports.measurement(r, fewest) for r in measured),
        facts={"notExpressible": len(left_out)},
    )


def _measure_drift(
    process: ReleaseProcess, drift: CompiledDrift
) -> tuple[list[evidently_reports.DriftResult], int]:
    """What Evidently measures on the referee's bins, and the rows of the smaller side."""
    gate, contract = process.policy.data_gate, process.contract
    edges = quantile_edges(process.dataset.sides(gate)[0], contract, gate.bins)
    baseline, current = (
        None if rows is None else drift_labels(rows, contract, edges, gate.max_categories)
        for rows in _sides(process)
    )
    fewest = min(0 if side is None else len(side) for side in (baseline, current))
    return evidently_reports.measure_drift(drift, current, baseline), fewest


def _sides(process: ReleaseProcess) -> Iterator[pd.DataFrame | None]:
    """Watched columns of the baseline and of the current rows; None where a side has no files."""
    watched = drifting_columns(process.contract)
    for files in process.dataset.sides(process.policy.data_gate):
        yield read_frame(files, watched) if files else None


def _counts(read: list) -> dict[str, int]:
    return {f"rows_{raw.name}": len(raw) for raw in read}
