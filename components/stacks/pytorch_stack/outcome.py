"""How a run ended, written into MLflow: what an auditor reads who opens nothing but MLflow.

Everything here is copied from the evidence, so that it may be written again at any time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from components.contract.stages import Stage
from components.lineage.evidence import EvidenceRecord
from components.release.card_masking import FEWEST_SHOWN
from components.release.run_evidence import findings_by_rule
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack import registry, run_handle
from components.stacks.pytorch_stack.mlflow_store import TrackedRun
from components.stacks.pytorch_stack.tag_texts import document_tags
from components.stacks.run_spec import utc_now

_DRIFTING = Stage.DATA_GATE
"""The gate whose figures are no metrics of the MLflow run."""
_WAIVER_FIELDS = ("sha256", "reason", "expires", "signer", "cosigner")


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
            _finish(process, "interrupted", f"broken off {after}", utc_now())


def settle(process: ReleaseProcess, outcome: str) -> None:
    """Write a closed run's outcome into MLflow; only a released one moves the alias.

    A closed gate is a finished run, tagged ``blocked``. The chain is closed first: a release that
    MLflow does not show yet can be told from the evidence, the reverse could not.
    """
    closing = process.chain.records()[-1].body
    _finish(process, outcome, str(closing["reason"]), str(closing["finished"]))


def _finish(process: ReleaseProcess, outcome: str, reason: str, finished: str) -> None:
    run, records = TrackedRun.of(process), process.chain.records()
    stages = [r for r in records if "verdict" in r.body]
    last = stages[-1] if stages else None
    registry.settle(process, run, outcome)
    run.set_tags(
        {
            **{k: v for record in stages for k, v in _stage_tags(record).items()},
            "assay.outcome": outcome,
            "assay.last_stage": last.stage if last else "none",
            "assay.verdict": last.body["verdict"]["status"] if last else "none",
            "assay.reason": reason,
            "assay.finished": finished,
            **({"assay.evidence_head": records[-1].digest} if records else {}),
        }
    )
    # MLflow's own end of the run is the evidence's, or it would move each time this is written.
    moment = int(datetime.fromisoformat(finished).timestamp() * 1000)
    status = "FAILED" if outcome == "interrupted" else "FINISHED"
    run.client.set_terminated(run.run_id, status, end_time=moment)


def _stage_tags(record: EvidenceRecord) -> dict[str, str]:
    """A stage's verdict, times, tools, and the digest of everything that it left behind."""
    body, stage = record.body, f"assay.stage.{record.stage}"
    tools = ", ".join(f"{name} {version}" for name, version in sorted(body["tools"].items()))
    return {
        stage: body["verdict"]["status"],
        f"{stage}.reason": body["verdict"]["reason"],
        f"{stage}.started": body["started"],
        f"{stage}.finished": body["finished"],
        f"{stage}.tools": tools,
        f"{stage}.record": record.digest,
        **document_tags(f"{stage}.findings", findings_by_rule(body)),
        **(document_tags(f"{stage}.figures", _drift(body)) if record.stage == _DRIFTING else {}),
        **{f"assay.output.{record.stage}.{n}": o["sha256"] for n, o in body["outputs"].items()},
        **_waiver_tags(body.get("waiver") or {}),
    }


def _drift(body: Mapping[str, Any]) -> dict[str, str]:
    """How far each column has moved, as ``<name>@<slice>``; nothing of fewer than 11 people."""
    found: dict[str, str] = {}
    for measured in (*body["nativeMeasurements"], *body["measurements"]):
        if measured["value"] is not None and measured["n"] >= FEWEST_SHOWN:
            found.setdefault(f"{measured['name']}@{measured['slice']}", measured["value"])
    return found


def _waiver_tags(waiver: Mapping[str, Any]) -> dict[str, str]:
    return {f"assay.waiver.{k}": str(waiver[k]) for k in _WAIVER_FIELDS if k in waiver}
