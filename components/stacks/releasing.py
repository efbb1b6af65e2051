"""The release that stands, and the record of the one that supersedes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contract.contract import Contract
from components.contract.policy import Candidate, Policy
from components.contract.policy_loader import load_policy
from components.lineage.digests import sha256_file
from components.lineage.evidence import EvidenceRecord
from components.release.records import Release, read_releases
from components.stacks.run_spec import RunSpec, utc_now
from components.stacks.stages import Stage


@dataclass(frozen=True, slots=True)
class ChampionRun:
    """The release that stands, the run that made it, and how its model was trained.

    ``release.model`` is the digest that its model file must have.
    """

    release: Release
    spec: RunSpec
    candidate: Candidate


def standing_release(spec: RunSpec) -> Release | None:
    """The release that a run's model would supersede, if there is one."""
    before = [r for r in _history(spec) if r.run != spec.run_id]
    return before[-1] if before else None


def is_recorded(spec: RunSpec) -> bool:
    """Whether a run stands in the release history."""
    return spec.run_id in {r.run for r in _history(spec)}


def _history(spec: RunSpec) -> list[Release]:
    return read_releases(Path(spec.home), spec.dataset, spec.stack)


def champion_run(
    spec: RunSpec, contract: Contract, policy: Policy, champion: Release | None
) -> ChampionRun | None:
    """The champion as the stack must score it beside the candidate; None where it need not.

    It must where the policy limits a change against it. A champion that was released under another
    contract cannot be: such a limit then stays INCONCLUSIVE.

    Raises:
        EvidenceError: its run is not there.
    """
    if champion is None or champion.contract != contract.digest:
        return None
    if all(x.champion is None for x in policy.release_gate.limits):
        return None
    made_by = RunSpec.load(Path(spec.home) / "runs" / champion.run)
    rules = load_policy(made_by.directory / "policy.yaml", contract)
    return ChampionRun(champion, made_by, rules.candidates[champion.candidate])


def release_document(
    spec: RunSpec, records: Mapping[str, EvidenceRecord], cards: Sequence[Path], head: str
) -> dict[str, Any]:
    """What a release record says of a run beside its place in the history.

    Args:
        spec: the run.
        records: its records by stage; of a stage that it did not run, those of the run that did.
        cards: the model card's files.
        head: digest of the record that closed the run.
    """
    waiver = records[Stage.RELEASE_GATE].body.get("waiver")
    return {
        "run": spec.run_id,
        "candidate": spec.candidate,
        "model": records[Stage.PUSH].body["outputs"]["serving_model"]["sha256"],
        "head": head,
        "policy": spec.policy,
        "contract": spec.contract,
        "actor": spec.actor,
        "at": utc_now(),
        "kind": _kind(spec, waived=waiver is not None),
        "continues": spec.continues or "",
        "reason": spec.reason or "",
        "waiver": waiver["sha256"] if waiver else "",
        "verdicts": {
            stage: record.body["verdict"]["status"]
            for stage, record in records.items()
            if "verdict" in record.body
        },
        "cards": {path.name: sha256_file(path) for path in cards},
    }


def _kind(spec: RunSpec, *, waived: bool) -> str:
    released = {r.continues or r.run for r in _history(spec)}
    if spec.continues in released:
        return "rollback"
    return "waived" if waived else "release"
