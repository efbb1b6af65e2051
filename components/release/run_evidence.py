"""One run's records, with the documents and the earlier run that they are bound to."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.checks.measurement import Status
from components.contract.contract import Contract
from components.contract.contract_loader import load_contract
from components.contract.errors import EvidenceError, InputError
from components.contract.policy import Policy
from components.contract.policy_loader import load_policy
from components.contract.stages import Stage
from components.lineage.evidence import CLOSING_STAGE, EvidenceRecord, chain_of

Records = dict[str, EvidenceRecord]
_WORST_FIRST = (Status.FAIL, Status.INCONCLUSIVE, Status.PASS)


@dataclass(frozen=True, slots=True)
class RunRecords:
    """One run's records, every link checked.

    ``own`` has its records by stage. Where it releases what another run trained, ``origin_id``
    names that run and ``origin`` has its records; else both are its own.
    """

    directory: Path
    run_id: str
    own: Records
    origin_id: str
    origin: Records

    @property
    def continues(self) -> str:
        """The run that trained the model, empty where it is this one."""
        return "" if self.origin_id == self.run_id else self.origin_id

    @property
    def first(self) -> EvidenceRecord:
        """The run's first record."""
        return next(iter(self.own.values()))

    @property
    def last(self) -> EvidenceRecord:
        """The run's last record; its digest names the whole chain."""
        return list(self.own.values())[-1]

    @property
    def inputs(self) -> dict[str, str]:
        """Digests of the contract, policy, data, code and environment that bind the run."""
        return dict(self.first.body["inputs"])

    @property
    def closing(self) -> EvidenceRecord | None:
        """The record that closed the run; None where it is still open."""
        return self.own.get(CLOSING_STAGE)

    @property
    def outcome(self) -> str:
        """``released``, ``blocked``, ``interrupted`` or ``unfinished``."""
        return str(self.closing.body["outcome"]) if self.closing else "unfinished"

    @property
    def waiver(self) -> dict[str, Any] | None:
        """What two people signed about the closed release gate, if they did."""
        gate = self.own.get(Stage.RELEASE_GATE)
        found = gate.body.get("waiver") if gate else None
        return found if isinstance(found, dict) else None

    def stage(self, stage: Stage) -> EvidenceRecord | None:
        """A stage's record: the run's own, else that of the run that trained the model."""
        return self.own.get(stage) or self.origin.get(stage)


@dataclass(frozen=True, slots=True)
class RunEvidence(RunRecords):
    """One run as its evidence tells it: its records, and the documents that bind it, loaded."""

    contract: Contract
    policy: Policy


def findings_by_rule(body: Mapping[str, Any]) -> dict[str, str]:
    """Each rule's status in a record; the worse one where the native tools and the referee differ.

    Args:
        body: a stage's record; a side that did not speak has no findings.
    """
    found: dict[str, str] = {}
    for side in ("native", "referee"):
        for finding in (body[side] or {}).get("findings", ()):
            rule, status = finding["rule"], finding["status"]
            found[rule] = min(found.get(rule, status), status, key=_WORST_FIRST.index)
    return found


def read_evidence(directory: Path) -> RunEvidence:
    """Read one run's evidence, and that of the run whose model it releases.

    Raises:
        InputError: there is no evidence.
        EvidenceError: a chain is broken, or the contract, the policy or the earlier run is not the
            one that the records are bound to.
    """
    held = read_records(directory)
    contract = load_contract(directory / "contract.yaml")
    return RunEvidence(
        directory=held.directory,
        run_id=held.run_id,
        own=held.own,
        origin_id=held.origin_id,
        origin=held.origin,
        contract=contract,
        policy=load_policy(directory / "policy.yaml", contract),
    )


def read_records(directory: Path) -> RunRecords:
    """As ``read_evidence``, but contract and policy are known by their digests alone.

    To load them takes longer than to read all of the records.
    """
    own = _records(directory)
    if not own:
        raise InputError(
            "holds no evidence", where=str(directory), expected="a run, as in HOME/runs/<run id>"
        )
    inputs = next(iter(own.values())).body["inputs"]
    for name in ("contract", "policy"):
        _require_bound(directory / f"{name}.yaml", inputs[name])
    origin_id, origin = _origin(directory, own)
    return RunRecords(directory, directory.name, own, origin_id, origin)


def _records(directory: Path) -> Records:
    chain = chain_of(directory)
    return {r.stage: r for r in chain.records()}


def _require_bound(path: Path, digest: str) -> None:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise EvidenceError(f"{path.parent} has no readable {path.name}") from error
    if hashlib.sha256(raw).hexdigest() != digest:
        raise EvidenceError(f"{path} is not the one the run was bound to")


def _origin(directory: Path, own: Records) -> tuple[str, Records]:
    """The run that trained, by the name and the head that the release gate's record holds."""
    gate = own.get(Stage.RELEASE_GATE)
    named = gate.body["facts"].get("continues") if gate is not None else None
    if gate is None or named is None:
        return directory.name, own
    # The name comes from a file: it must not lead out of the folder of runs.
    if not isinstance(named, str) or Path(named).name != named or named == directory.name:
        raise EvidenceError(f"run {directory.name} continues no run of its home")
    origin = _records(directory.parent / named)
    if not origin:
        raise EvidenceError(f"run {named}, which {directory.name} continues, is not there")
    if list(origin.values())[-1].digest != gate.body["facts"].get("head"):
        raise EvidenceError(f"run {named} is not as it was when {directory.name} continued it")
    return named, origin
