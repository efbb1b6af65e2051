"""A run that came to its end, as those see it who are asked to excuse what closed its gate."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.checks.measurement import Status
from components.contract.errors import EvidenceError, InputError
from components.contract.policy import Policy
from components.contract.stages import Stage
from components.lineage.evidence import CLOSING_STAGE, EvidenceRecord
from components.release.run_evidence import RunEvidence, read_evidence
from components.release.waiver_rules import GATE, ClosedGate, Ground, Refusal
from components.release.waivers import closed_findings

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class JudgedRun:
    """A run with every link of its chain checked, bound to the contract and policy beside it.

    ``head`` is the digest of its last record. ``refusal`` says why it was not its release gate
    that ended it; ``closed`` then has no findings, and maybe no model.
    """

    home: Path
    run: str
    head: str
    closed: ClosedGate
    refusal: Refusal | None

    @property
    def dataset(self) -> str:
        """Name of the dataset."""
        return self.closed.dataset

    @property
    def stack(self) -> str:
        """Name of the stack."""
        return self.closed.stack

    @property
    def policy(self) -> Policy:
        """The policy that the run is bound to."""
        return self.closed.policy


def read_run(directory: Path) -> JudgedRun:
    """Read a run of a home, ``HOME/runs/<run id>``.

    Raises:
        InputError: there is none, or it has no records.
        EvidenceError: its records are broken, or contract or policy are not those it is bound to.
    """
    if directory.parent.name != "runs":
        raise InputError(
            "not in a home", where=str(directory), expected="a run, as in HOME/runs/<run id>"
        )
    evidence = read_evidence(directory)
    if any(r.body.get("inputs") != evidence.inputs for r in evidence.own.values()):
        raise EvidenceError(f"the records of {directory.name} are not about the same inputs")
    if _text(evidence.first, _NAME, "inputs", "dataset") != evidence.policy.dataset:
        raise EvidenceError(f"{directory.name} is about another dataset than its policy")
    refusal = _not_blocked(evidence)
    gate = evidence.own.get(GATE)
    # What is waived is the model of the run that trained it, by whichever run it is asked for.
    *_, trained = evidence.origin.values()
    head = trained.digest
    return JudgedRun(
        home=directory.parent.parent,
        run=evidence.origin_id,
        head=head,
        closed=ClosedGate(
            dataset=evidence.policy.dataset,
            stack=_text(evidence.first, _NAME, "stack"),
            gate=GATE,
            model=_model(evidence),
            policy=evidence.policy,
            findings=closed_findings(gate.body) if gate is not None and refusal is None else (),
            run=evidence.origin_id,
            head=head,
        ),
        refusal=refusal,
    )


def _text(record: EvidenceRecord, form: re.Pattern[str], *keys: str) -> str:
    """A text of that form inside a record; it may go on to name a folder.

    Raises:
        EvidenceError: it is not there, or of another form.
    """
    value: Any = record.body
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, str) or not form.fullmatch(value):
        raise EvidenceError(f"the record of stage {record.stage} has no sound {'.'.join(keys)}")
    return value


def _not_blocked(evidence: RunEvidence) -> Refusal | None:
    """Why it is not its release gate that ended a run."""
    if evidence.outcome != "blocked":
        return Refusal(Ground.NOT_CLOSED, f"the run is {evidence.outcome} and not blocked")
    *_, last = (r for r in evidence.own.values() if r.stage != CLOSING_STAGE)
    if last.stage != GATE:
        return Refusal(Ground.NOT_CLOSED, f"the run was blocked at {last.stage} and not at {GATE}")
    if last.body["verdict"]["status"] == Status.PASS or evidence.waiver is not None:
        return Refusal(Ground.NOT_CLOSED, f"{GATE} was not closed")
    return None


def _model(evidence: RunEvidence) -> str:
    """SHA-256 of the model as its training recorded it, in hex; empty where none was trained."""
    trained = evidence.stage(Stage.TRAIN)
    return "" if trained is None else _text(trained, _SHA256, "outputs", "model", "sha256")
