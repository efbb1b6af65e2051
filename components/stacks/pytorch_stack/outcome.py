"""How a run ended, written into MLflow: what an auditor reads who opens nothing but MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack import registry
from components.stacks.pytorch_stack.mlflow_store import TrackedRun
from components.stacks.stages import Stage


@contextmanager
def tracked(process: ReleaseProcess) -> Iterator[None]:
    """Runs stages; whatever ends them, the MLflow run says so and is terminated.

    A closed gate is a finished run, tagged ``blocked``. Only a run that was broken off is marked
    as failed in MLflow. A model whose run did not end well does not keep the alias.
    """
    try:
        yield
    finally:
        if TrackedRun.is_started(process):
            _finish(process, TrackedRun.of(process))


def _finish(process: ReleaseProcess, run: TrackedRun) -> None:
    records = process.chain.records()
    last = records[-1] if records else None
    verdict = last.body["verdict"] if last else {"status": "none", "reason": ""}
    if last is not None and verdict["status"] != "PASS":
        outcome, status, reason = "blocked", "FINISHED", f"{last.stage}: {verdict['reason']}"
    elif last is not None and last.stage == list(Stage)[-1]:
        outcome, status = registry.RELEASED, "FINISHED"
        reason = "every stage ran and every gate is open"
    else:
        outcome, status = "interrupted", "FAILED"
        reason = f"broken off after {last.stage}" if last else "broken off in the first stage"
    registry.settle(process, run, outcome)
    run.set_tags(
        {
            "assay.outcome": outcome,
            "assay.last_stage": last.stage if last else "none",
            "assay.verdict": verdict["status"],
            "assay.reason": reason,
            "assay.evidence_head": last.digest if last else "none",
        }
    )
    run.client.set_terminated(run.run_id, status)
