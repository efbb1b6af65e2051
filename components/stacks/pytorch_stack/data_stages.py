"""The first three stages: ingest, statistics, data gate."""

from __future__ import annotations

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from components.checks.drift import drifting_columns
from components.checks.measurement import conclude
from components.contract.features import model_inputs
from components.datasets.canonical import ROW_COLUMN, SPLITS
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack import contract_to_gx, evidently_reports, gx_validation
from components.stacks.pytorch_stack.artifacts import native_path, save_json
from components.stacks.pytorch_stack.dataset_inputs import log_dataset_inputs
from components.stacks.pytorch_stack.frames import analysis_frame, read_frame
from components.stacks.pytorch_stack.frameworks import versions
from components.stacks.pytorch_stack.mlflow_store import TrackedRun
from components.stacks.pytorch_stack.policy_to_evidently import compile_to_evidently
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
    sides = {"baseline": _side(process, baseline=True), "current": _side(process, baseline=False)}
    summary = {
        name: evidently_reports.summarise(rows, process.contract)
        for name, rows in sides.items()
        if rows is not None
    }
    path = save_json(native_path(process, "statistics.json"), summary)
    run.log_file(path, "statistics")
    return StageResult({"statistics": path}, versions("evidently", "mlflow"))


def data_gate(process: ReleaseProcess) -> StageResult:
    """The contract on all rows with GX, and the policy's drift limits with Evidently."""
    suite = contract_to_gx.compile_to_gx(process.contract)
    names = [c.name for c in process.contract.columns]
    ruled = gx_validation.validate(suite, read_frame(process.dataset.files(), names))
    policy = process.policy.data_gate
    drift = compile_to_evidently(process.contract, policy)
    current, baseline = _side(process, baseline=False), _side(process, baseline=True)
    fewest = min(0 if side is None else len(side) for side in (current, baseline))
    drifted = evidently_reports.measure_drift(drift, current, baseline, process.contract)
    verdict = conclude(
        [
            *gx_validation.findings(ruled),
            *evidently_reports.drift_findings(drifted, fewest, policy.min_rows),
        ]
    )
    left_out = [*suite.not_expressible, *drift.not_expressible]
    report = save_json(
        native_path(process, "data-gate.json"),
        {
            "great-expectations": [r.to_json() for r in ruled],
            "evidently": [r.to_json() for r in drifted],
            "notExpressible": [n.to_json() for n in left_out],
            "verdict": verdict.to_json(),
        },
    )
    TrackedRun.of(process).log_file(report, "data_gate")
    return StageResult(
        {"report": report},
        versions("great-expectations", "evidently"),
        native=verdict,
        measurements=tuple(evidently_reports.measurement(r, fewest) for r in drifted),
        facts={"notExpressible": len(left_out)},
    )


def _side(process: ReleaseProcess, *, baseline: bool) -> pd.DataFrame | None:
    """Watched columns of the baseline or the current spans; None where no span has rows."""
    policy = process.policy.data_gate
    spans = policy.baseline_spans if baseline else policy.current_spans
    files = process.dataset.files(spans=spans)
    if not files:
        return None
    watched = drifting_columns(process.contract)
    return analysis_frame(read_frame(files, watched), process.contract)


def _counts(read: list) -> dict[str, int]:
    return {f"rows_{raw.name}": len(raw) for raw in read}
