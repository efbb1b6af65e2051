"""The release process: eight stages, two gates, one record a stage, the same for every stack.

A stack supplies one hook a stage: what its native tools do. Everything else happens here, once:
order, completeness, digests, the referee, the verdicts, the evidence. The process keeps its state
in the run's directory and nowhere else, so a stage may run in another process or container.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from components.checks.measurement import Finding, Status, Verdict, conclude
from components.contract.contract import Contract
from components.contract.contract_loader import load_contract
from components.contract.errors import EvidenceError, ProcessError
from components.contract.policy import Candidate, Policy
from components.contract.policy_loader import load_policy
from components.datasets.canonical import Dataset
from components.lineage.commitments import load_or_create_row_key
from components.lineage.evidence import CLOSING_STAGE, EvidenceChain, EvidenceRecord
from components.release.records import read_releases, write_release
from components.stacks.referee import Referee, RefereeResult, artifact_summary
from components.stacks.run_spec import RunSpec, utc_now
from components.stacks.stages import GATES, REQUIRED_OUTPUTS, Hook, Stage, StageResult

log = logging.getLogger("assay.process")


class ReleaseProcess:
    """One run of the release process.

    Attributes:
        spec: the run's identity.
        contract: the data contract the run is bound to.
        policy: the policy the run is bound to.
        candidate: the policy's candidate that is trained.
        dataset: the canonical dataset; its files are the only data that a stack reads.
        artifacts: directory for what the stages leave behind.
    """

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.contract: Contract = load_contract(Path(spec.contract_path))
        self.policy: Policy = load_policy(Path(spec.policy_path), self.contract)
        self.candidate: Candidate = self.policy.candidates[spec.candidate]
        self.dataset = Dataset.open(Path(spec.dataset_path))
        self.chain = EvidenceChain(spec.directory / "evidence", spec.run_id)
        self._check_binding()
        self._referee = Referee(
            spec,
            self.contract,
            self.policy,
            self.candidate,
            self.dataset,
            load_or_create_row_key(row_key_path(Path(spec.home))),
            self.chain,
        )

    @property
    def artifacts(self) -> Path:
        """Directory for what the stages leave behind; it exists."""
        return self.spec.directory / "artifacts"

    @classmethod
    def open(cls, directory: Path) -> ReleaseProcess:
        """The process of a run that was started earlier, from its directory.

        Raises:
            EvidenceError: contract, policy or data are not those that the run was started with.
        """
        return cls(RunSpec.load(directory))

    def _check_binding(self) -> None:
        bound = {
            "contract": (self.contract.digest, self.spec.contract),
            "policy": (self.policy.digest, self.spec.policy),
            "data": (self.dataset.version, self.spec.dataset_version),
        }
        for name, (found, expected) in bound.items():
            if found != expected:
                raise EvidenceError(
                    f"run {self.spec.run_id} was started with another {name} "
                    f"({expected[:12]}, now {found[:12]})"
                )

    def begin(self) -> None:
        """Set the clock of a run that waited for another: its seconds count from now.

        Raises:
            ProcessError: the run has records already.
        """
        if self.chain.records():
            raise ProcessError(f"run {self.spec.run_id} has begun already")
        self.spec = replace(self.spec, started=utc_now())
        self.spec.save()

    def next_stage(self) -> Stage | None:
        """The stage that is due; None when a gate is closed, all have run, or the run is closed."""
        records = self.chain.records()
        if any(r.stage == CLOSING_STAGE or not _is_open(r) for r in records):
            return None
        return list(Stage)[len(records)] if len(records) < len(Stage) else None

    def run_stage(self, stage: Stage, hook: Hook) -> bool:
        """Run one stage: the stack's hook, the referee, the verdict, the record.

        Returns:
            Whether what follows may run. At a gate only PASS of both sides opens it; at another
            stage a check of the referee that does not pass closes the run as well.

        Raises:
            ProcessError: the stage is not due, or the hook left less than the stage must.
        """
        if stage is not self.next_stage():
            raise ProcessError(f"stage {stage} is not due in run {self.spec.run_id}")
        log.info("%s %s started", self.spec.stack, stage)
        result = hook()
        _check_complete(stage, result)
        referee: RefereeResult = getattr(self._referee, stage.value)(result)
        if stage is Stage.RELEASE_GATE:
            kept = self._referee.keep_predictions(result.outputs["predictions"])
            result = StageResult(
                {**result.outputs, "predictions": kept},
                result.tools,
                result.native,
                result.measurements,
                result.facts,
            )
        if stage in GATES and referee.verdict is None:
            raise ProcessError(f"stage {stage} has no verdict of the referee")
        verdict = _combine(result.native, referee.verdict)
        record = self.chain.append(str(stage), self._body(stage, result, referee, verdict))
        log.info("%s %s %s (%s s)", self.spec.stack, stage, verdict.status, record.body["seconds"])
        return verdict.is_open

    def _body(
        self, stage: Stage, result: StageResult, referee: RefereeResult, verdict: Verdict
    ) -> dict[str, Any]:
        outputs = {**result.outputs, **referee.outputs}
        finished = utc_now()
        return {
            "stack": self.spec.stack,
            "candidate": self.candidate.name,
            "inputs": self._inputs(),
            "outputs": artifact_summary(outputs),
            "facts": dict(result.facts),
            "tools": dict(result.tools),
            "actor": self.spec.actor,
            "started": self._last_time(),
            "finished": finished,
            "seconds": _seconds(self._last_time(), finished),
            "isGate": stage in GATES,
            "native": result.native.to_json() if result.native else None,
            "referee": referee.verdict.to_json() if referee.verdict else None,
            "verdict": {"status": str(verdict.status), "reason": verdict.reason},
            "nativeMeasurements": [m.to_json() for m in result.measurements],
            "measurements": [m.to_json() for m in referee.measurements],
        }

    def _inputs(self) -> dict[str, str]:
        """Digests that bind a record to this run's contract, policy, data, code, environment."""
        return {
            "contract": self.spec.contract,
            "policy": self.spec.policy,
            "dataset": self.spec.dataset,
            "datasetVersion": self.spec.dataset_version,
            "rowsRoot": self.dataset.manifest["root"],
            "code": self.spec.code,
            "environment": self.spec.environment,
        }

    def _last_time(self) -> str:
        records = self.chain.records()
        return str(records[-1].body["finished"]) if records else self.spec.started

    def close(self, interrupted: str | None = None) -> str:
        """Write the closing record and, where every stage ran open, the release record.

        Args:
            interrupted: why the run stopped, where no gate stopped it.

        Returns:
            ``released``, ``blocked``, or ``interrupted``.

        Raises:
            ProcessError: a stage is missing though no gate is closed: such a run proves nothing.
        """
        records = self.chain.records()
        closed = next((r for r in records if not _is_open(r)), None)
        missing = [str(s) for s in list(Stage)[len(records) :]]
        if interrupted is not None:
            outcome, reason = "interrupted", interrupted
        elif closed is not None:
            outcome, reason = "blocked", f"{closed.stage}: {closed.body['verdict']['reason']}"
        elif missing:
            raise ProcessError(
                f"run {self.spec.run_id} did not run {', '.join(missing)} though no gate is closed"
            )
        else:
            outcome, reason = "released", "every stage ran and every gate is open"
        self.chain.append(
            CLOSING_STAGE,
            {
                "stack": self.spec.stack,
                "candidate": self.candidate.name,
                "inputs": self._inputs(),
                "outcome": outcome,
                "reason": reason,
                "records": len(records),
                "notRun": missing,
                "actor": self.spec.actor,
                "finished": utc_now(),
            },
        )
        self.ensure_release()
        log.info("%s %s", self.spec.stack, outcome)
        return outcome

    def ensure_release(self) -> None:
        """Write the release record of a run that was closed as released, unless there is one.

        The chain is closed first and is the truth; a process that died in between is made up for.
        """
        by_stage = {r.stage: r for r in self.chain.records()}
        closing, home = by_stage.get(CLOSING_STAGE), Path(self.spec.home)
        if closing is None or closing.body["outcome"] != "released":
            return
        known = read_releases(home, self.spec.dataset, self.spec.stack)
        if self.spec.run_id in {r["run"] for r in known}:
            return
        write_release(
            home,
            self.spec.dataset,
            self.spec.stack,
            {
                "run": self.spec.run_id,
                "candidate": self.candidate.name,
                "model": by_stage["push"].body["outputs"]["serving_model"]["sha256"],
                "head": closing.digest,
                "policy": self.spec.policy,
                "contract": self.spec.contract,
                "actor": self.spec.actor,
                "at": utc_now(),
            },
        )


def row_key_path(home: Path) -> Path:
    """Where a home keeps its row key: outside every run, dataset and store."""
    return home / "keys" / "row.key"


def _is_open(record: EvidenceRecord) -> bool:
    return bool(record.body.get("verdict", {}).get("status") == Status.PASS)


def _check_complete(stage: Stage, result: StageResult) -> None:
    if absent := REQUIRED_OUTPUTS[stage] - set(result.outputs):
        raise ProcessError(f"stage {stage} left no {min(absent)}")
    for name, path in result.outputs.items():
        if not path.exists():
            raise ProcessError(f"stage {stage}: output {name} does not exist")
    if stage in GATES and result.native is None:
        raise ProcessError(f"stage {stage} has no native verdict")


def _combine(native: Verdict | None, referee: Verdict | None) -> Verdict:
    """PASS only where both sides that speak say PASS; a side's own words are the reason."""
    findings = [
        Finding(side, v.status, f"{side}: {v.reason}")
        for side, v in (("native", native), ("referee", referee))
        if v is not None
    ]
    if not findings:
        return Verdict(Status.PASS, "no check at this stage")
    if {f.status for f in findings} == {Status.PASS}:
        return Verdict(Status.PASS, "; ".join(f.reason for f in findings))
    return conclude(findings)


def _seconds(started: str, finished: str) -> str:
    elapsed = datetime.fromisoformat(finished) - datetime.fromisoformat(started)
    return f"{elapsed.total_seconds():.1f}"
