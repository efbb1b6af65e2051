"""The release that stands, and the record of the one that supersedes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contract.contract import Contract
from components.contract.errors import EvidenceError
from components.contract.policy import Candidate, Policy
from components.contract.policy_loader import load_candidate
from components.lineage.digests import sha256_file
from components.lineage.dsse import verify
from components.lineage.evidence import CLOSING_STAGE, EvidenceRecord, chain_of
from components.lineage.evidence_keys import HomeKeys
from components.release.records import Release, read_releases
from components.stacks.run_spec import RunSpec
from components.stacks.stages import Stage

_RELEASED = "released"


@dataclass(frozen=True, slots=True)
class ChampionRun:
    """The release that stands, the run that made it, and how its model was trained.

    ``release.model`` is the digest that its model file must have.
    """

    release: Release
    spec: RunSpec
    candidate: Candidate


def latest_release(spec: RunSpec) -> Release | None:
    """The release that a run's model would supersede, if there is one, as the history has it."""
    before = [r for r in _history(spec) if r.run != spec.run_id]
    return before[-1] if before else None


def standing_release(spec: RunSpec) -> Release | None:
    """As ``latest_release``, once it is known to be what the run that it names came to.

    Raises:
        EvidenceError: that run was not released, with that model and evidence, or is not there.
    """
    standing = latest_release(spec)
    if standing is not None:
        _require_released(spec, standing)
    return standing


def unrecorded_runs(spec: RunSpec) -> list[Path]:
    """Directories of runs that were closed as released and are not in the history, oldest first.

    A process died between the two, or somebody took a record away; the chain is the truth.
    """
    named = {r.run for r in _history(spec)} | {spec.run_id}
    found, trusted = [], HomeKeys(Path(spec.home)).trusted()
    for path in sorted((Path(spec.home) / "runs").glob(f"*-{spec.stack}-*/evidence/*-close.json")):
        directory = path.parent.parent
        if directory.name in named:
            continue
        # The one record tells whether to read the others: of a thousand runs few are unrecorded.
        body = verify(path.read_bytes(), trusted).statement["predicate"]["body"]
        mine = body.get("inputs", {}).get("dataset") == spec.dataset
        if mine and body.get("stack") == spec.stack and body.get("outcome") == _RELEASED:
            found.append(directory)
    return found


def _require_released(spec: RunSpec, release: Release) -> None:
    """The run that a release names was closed as released, and pushed that model."""
    directory = Path(spec.home) / "runs" / release.run
    records = {r.stage: r for r in chain_of(directory).records()}
    closing, pushed = records.get(CLOSING_STAGE), records.get(Stage.PUSH)
    if closing is None or pushed is None:
        raise EvidenceError(f"run {release.run} of release {release.number} is not there, or open")
    model = pushed.body["outputs"]["serving_model"]["sha256"]
    found = (closing.body["outcome"], closing.digest, model)
    if found != (_RELEASED, release.head, release.model):
        raise EvidenceError(f"release {release.number} is not what run {release.run} came to")


def is_recorded(spec: RunSpec) -> bool:
    """Whether a run stands in the release history."""
    return spec.run_id in {r.run for r in _history(spec)}


def is_rollback(spec: RunSpec) -> bool:
    """Whether a run releases a model that was released before."""
    before = {r.continues or r.run for r in _history(spec) if r.run != spec.run_id}
    return spec.continues in before


def champion_json(champion: Release | None) -> dict[str, Any] | None:
    """The release that a gate compared with, as its record holds it."""
    if champion is None:
        return None
    return {"release": champion.number, "run": champion.run, "model": champion.model}


def overtaken(
    spec: RunSpec, policy: Policy, gate: EvidenceRecord, standing: Release | None
) -> str | None:
    """Why a model may not be released for want of a comparison; None where it may.

    A limit against the champion holds only against the one that stands. Who rolls back has seen the
    release that stands, and wants an earlier one all the same.

    Args:
        spec: the run.
        policy: its limits.
        gate: the record of the gate that compared.
        standing: what stands now.
    """
    limited = any(x.champion is not None for x in policy.release_gate.limits)
    if not limited or is_rollback(spec) or champion_json(standing) == gate.body["champion"]:
        return None
    return "another release stands than the one that the gate compared with"


def _history(spec: RunSpec) -> list[Release]:
    return read_releases(Path(spec.home), spec.dataset, spec.stack)


def champion_run(
    spec: RunSpec, contract: Contract, policy: Policy, champion: Release | None
) -> ChampionRun | None:
    """The champion as the stack must score it beside the candidate; None where it need not.

    It must where the policy limits a change against it. A champion that was released under another
    contract cannot be: such a limit then stays INCONCLUSIVE.

    Raises:
        EvidenceError: its run is not there, or its policy is not the one it was released by.
    """
    if champion is None or champion.contract != contract.digest:
        return None
    if all(x.champion is None for x in policy.release_gate.limits):
        return None
    made_by = RunSpec.load(Path(spec.home) / "runs" / champion.run)
    path = made_by.directory / "policy.yaml"
    if not path.is_file() or sha256_file(path) != champion.policy:
        raise EvidenceError(f"{path.name} of run {champion.run} is not the one it was released by")
    return ChampionRun(champion, made_by, load_candidate(path, champion.candidate))


def release_document(
    spec: RunSpec, records: Mapping[str, EvidenceRecord], cards: Sequence[Path]
) -> dict[str, Any]:
    """What a release record says of a run beside its place in the history.

    Args:
        spec: the run.
        records: its records by stage; of a stage that it did not run, those of the run that did.
        cards: the model card's files.
    """
    closing = records[CLOSING_STAGE]
    waiver = records[Stage.RELEASE_GATE].body.get("waiver")
    return {
        "run": spec.run_id,
        "candidate": spec.candidate,
        "model": records[Stage.PUSH].body["outputs"]["serving_model"]["sha256"],
        "head": closing.digest,
        "policy": spec.policy,
        "contract": spec.contract,
        "actor": spec.actor,
        "at": closing.body["finished"],
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
    if is_rollback(spec):
        return "rollback"
    return "waived" if waived else "release"
