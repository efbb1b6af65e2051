"""How a run ended, written into MLflow: what an auditor reads who opens nothing but MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack import registry, run_handle
from components.stacks.pytorch_stack.mlflow_store import TrackedRun


@contextmanager
def tracked(process: ReleaseProcess) -> Iterator[None]:
    """Runs stages; if they break off, the MLflow run says so and is terminated as failed."""
    ended = False
    try:
        yield
        ended = True
    finally:
        if not ended and run_handle.is_saved(process):
            records = process.chain.records()
            after = f"after {records[-1].stage}" if records else "in the first stage"
            _finish(process, "interrupted", "FAILED", f"broken off {after}")


def settle(process: ReleaseProcess, outcome: str) -> None:
    """Write a closed run's outcome into MLflow; only a released one moves the alias.

    A closed gate is a finished run, tagged ``blocked``. The chain is closed first: a release that
    MLflow does not show yet can be told from the evidence, the reverse could not.
    """
    _finish(process, outcome, "FINISHED", str(process.chain.records()[-1].body["reason"]))


def _finish(process: ReleaseProcess, outcome: str, status: str, reason: str) -> None:
    run = TrackedRun.of(process)
    stages = [r for r in process.chain.records() if "verdict" in r.body]
    last = stages[-1] if stages else None
    registry.settle(process, run, outcome)
    run.set_tags(
        {
            "assay.outcome": outcome,
            "assay.last_stage": last.stage if last else "none",
            "assay.verdict": last.body["verdict"]["status"] if last else "none",
            "assay.reason": reason,
            "assay.evidence_head": last.digest if last else "none",
        }
    )
    run.client.set_terminated(run.run_id, status)
