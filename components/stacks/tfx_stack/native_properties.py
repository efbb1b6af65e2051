"""The custom properties that a run's evidence becomes in MLMD. All values are text."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.lineage.digests import canonical_json
from components.lineage.evidence import CLOSING_STAGE, EvidenceRecord
from components.release.card_masking import FEWEST_SHOWN
from components.release.records import read_releases
from components.release.run_evidence import findings_by_rule
from components.stacks.process import ReleaseProcess
from components.stacks.tfx_stack import mlmd_names as names

_WAIVER_FIELDS = ("sha256", "reason", "expires", "signer", "cosigner")


def run_properties(process: ReleaseProcess) -> dict[str, str]:
    """What binds an artifact to its run, and to the data and the documents that it follows from."""
    spec = process.spec
    return {
        names.RUN: spec.run_id,
        "assay_dataset_version": spec.dataset_version,
        "assay_contract": spec.contract,
        "assay_policy": spec.policy,
    }


def binding(process: ReleaseProcess) -> dict[str, str]:
    """What a run is about, known before its first stage."""
    spec, manifest = process.spec, process.dataset.manifest
    found = {
        **run_properties(process),
        "assay_stack": spec.stack,
        "assay_candidate": spec.candidate,
        "assay_dataset": spec.dataset,
        "assay_rows_root": str(manifest["root"]),
        "assay_rows": str(manifest["rows"]),
        "assay_code": spec.code,
        "assay_environment": spec.environment,
        "assay_lock": spec.lock,
        "assay_sbom": spec.sbom,
        "assay_image": spec.image,
        "assay_seed": str(process.policy.training.seed),
        "assay_actor": spec.actor,
        "assay_started": spec.started,
    }
    if spec.continues is not None:
        found |= {"assay_continues": spec.continues, "assay_continues_reason": spec.reason or ""}
    return found


def ending(process: ReleaseProcess) -> dict[str, str]:
    """How a closed run ended, and the release that came of it; nothing of one that is open."""
    records = process.chain.records()
    if not records or records[-1].stage != CLOSING_STAGE:
        return {}
    spec, closing = process.spec, records[-1]
    found = {f"assay_{k}": str(closing.body[k]) for k in ("outcome", "reason", "finished")}
    found["assay_head"] = closing.digest
    for release in read_releases(Path(spec.home), spec.dataset, spec.stack):
        if release.run == spec.run_id:
            at = release.at.isoformat(timespec="microseconds")
            values = {f: str(getattr(release, f)) for f in names.RELEASE} | {"at": at}
            found |= {f"assay_release_{f}": v for f, v in values.items()}
    return found


def execution_properties(process: ReleaseProcess) -> dict[str, str]:
    """What binds an execution to its run, and to what ran."""
    spec = process.spec
    return {
        names.RUN: spec.run_id,
        "assay_code": spec.code,
        "assay_environment": spec.environment,
    }


def stage_properties(record: EvidenceRecord) -> dict[str, str]:
    """A stage's outcome. Figures of fewer than 11 people stay in the evidence."""
    body = record.body
    figures = {
        f"{m['name']}@{m['slice']}": m["value"]
        for m in reversed(body["nativeMeasurements"])
        if m["value"] is not None and m["n"] >= FEWEST_SHOWN
    }
    own = {name for stage, name in names.STAGE_OUTPUTS.values() if stage == record.stage}
    outputs = {k: v for k, v in body["outputs"].items() if k not in own}
    waiver = {k: v for k, v in (body.get("waiver") or {}).items() if k in _WAIVER_FIELDS}
    found = {
        names.STAGE: record.stage,
        "assay_status": body["verdict"]["status"],
        "assay_reason": body["verdict"]["reason"],
        "assay_started": body["started"],
        "assay_finished": body["finished"],
        "assay_tools": ", ".join(f"{k} {v}" for k, v in sorted(body["tools"].items())),
        "assay_record": record.digest,
    }
    documents = {
        names.FIGURES: figures,
        names.FINDINGS: _findings(body),
        names.OUTPUTS: outputs,
        names.WAIVER: waiver,
    }
    return found | {k: canonical_json(v).decode() for k, v in documents.items() if v}


def _findings(body: Mapping[str, Any]) -> dict[str, str]:
    """Each rule's status, the worse of both sides; none that rests on fewer than 11 people."""
    few = {
        finding["rule"]
        for side in ("native", "referee")
        for finding in (body[side] or {}).get("findings", ())
        if finding["measurement"] and (finding["measurement"]["n"] or 0) < FEWEST_SHOWN
    }
    found = findings_by_rule(body)
    return {rule: status for rule, status in found.items() if rule not in few}
