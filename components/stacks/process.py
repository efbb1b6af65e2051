"""The release process: eight stages, two gates, one record a stage, the same for every stack.

A stack supplies one hook a stage: what its native tools do. Everything else happens here, once:
order, completeness, digests, the referee, the verdicts, the evidence. The process keeps its state
in the run's directory and nowhere else, so a stage may run in another process or container.
"""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from components.checks.measurement import Measurement, Verdict
from components.contract.contract import Contract
from components.contract.contract_loader import load_contract
from components.contract.errors import EvidenceError, ProcessError
from components.contract.policy import Candidate, Policy
from components.contract.policy_loader import load_policy
from components.datasets.canonical import Dataset
from components.lineage.evidence import (
    CLOSING_STAGE,
    GENESIS,
    EvidenceRecord,
    chain_of,
    check_schema,
    statement_of,
)
from components.lineage.row_key import read_row_key
from components.release.model_card import write_model_card
from components.release.records import Release, history_locked, write_release
from components.release.waivers import closed_findings, find_waiver
from components.stacks.model_signing import with_signature
from components.stacks.referee import Referee, RefereeResult
from components.stacks.releasing import (
    ChampionRun,
    champion_json,
    champion_run,
    is_recorded,
    latest_release,
    overtaken,
    release_document,
    standing_release,
    unrecorded_runs,
)
from components.stacks.run_spec import RunSpec, utc_now
from components.stacks.stage_records import (
    check_complete,
    combine,
    is_open,
    require_outputs,
    stage_body,
    without_few,
)
from components.stacks.stages import (
    CHAMPION_PREDICTIONS,
    CONTINUED,
    GATES,
    Hook,
    Stage,
    StageResult,
)

log = logging.getLogger("assay.process")


class ReleaseProcess:
    """One run of the release process.

    Attributes:
        spec: the run's identity.
        contract: the data contract the run is bound to.
        policy: the policy the run is bound to.
        candidate: the policy's candidate that is trained.
        dataset: the canonical dataset; its files are the only data that a stack reads.
        chain: the run's records.
        origin: the records of the run that trained the model; the same but for a continued run.
        champion: the release that stands in this stack, if there is one.
        artifacts: directory for what the stages leave behind.
    """

    def __init__(self, spec: RunSpec) -> None:
        self.spec = spec
        self.contract: Contract = load_contract(Path(spec.contract_path))
        self.policy: Policy = load_policy(Path(spec.policy_path), self.contract)
        self.candidate: Candidate = self.policy.candidates[spec.candidate]
        self.dataset = Dataset.open(Path(spec.dataset_path))
        self.chain = chain_of(spec.directory)
        self.origin = chain_of(spec.origin)
        self.champion: Release | None = latest_release(spec)
        self._check_binding()

    @cached_property
    def _referee(self) -> Referee:
        """Made when it is needed: to look at a run must make no row key."""
        return Referee(
            self.spec,
            self.contract,
            self.policy,
            self.candidate,
            self.dataset,
            read_row_key(Path(self.spec.home)),
            self.chain,
            self.origin,
            self.champion,
        )

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Stages of this run: all eight, or the last three where it trains no model itself."""
        return tuple(Stage) if self.spec.continues is None else CONTINUED

    @property
    def champion_run(self) -> ChampionRun | None:
        """The champion where the stack must score it beside the candidate, else None."""
        return champion_run(self.spec, self.contract, self.policy, self.champion)

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
        # ``run.json`` is in no chain: what the records say is what the run is bound to.
        names = ("contract", "policy", "dataset", "datasetVersion", "rowsRoot")
        for records in (self.origin.records(), self.chain.records()):
            for record in records[:1]:
                body = record.body
                same = all(body["inputs"][n] == self._inputs()[n] for n in names)
                who = (body["stack"], body["candidate"])
                if not same or who != (self.spec.stack, self.spec.candidate):
                    raise EvidenceError(
                        f"run {self.spec.run_id} is not about what stage {record.stage} recorded"
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
        if any(r.stage == CLOSING_STAGE or not is_open(r) for r in records):
            return None
        return self.stages[len(records)] if len(records) < len(self.stages) else None

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
        if stage is Stage.RELEASE_GATE:
            self._meet_champion()
        result = hook()
        check_complete(stage, result)
        result = with_signature(self.spec, stage, result)
        if stage is Stage.RELEASE_GATE and self.champion_run is not None:
            require_outputs(stage, result, {CHAMPION_PREDICTIONS})
        referee: RefereeResult = getattr(self._referee, stage.value)(result)
        if stage in GATES and referee.verdict is None:
            raise ProcessError(f"stage {stage} has no verdict of the referee")
        result, referee = without_few(result, referee)
        verdict = combine(result.native, referee.verdict)
        return self._record(stage, self._body(stage, result, referee, verdict))

    def _record(self, stage: Stage, body: dict[str, Any]) -> bool:
        record = self._append(str(stage), body)
        status, seconds = record.body["verdict"]["status"], record.body["seconds"]
        log.info("%s %s %s (%s s)", self.spec.stack, stage, status, seconds)
        return is_open(record)

    def _append(self, stage: str, body: dict[str, Any]) -> EvidenceRecord:
        check_schema(statement_of(self.spec.run_id, stage, 1, GENESIS, body))
        return self.chain.append(stage, body)

    def _meet_champion(self) -> None:
        """Look again at what stands: another run may have been released since this one began."""
        with self._history():
            for directory in unrecorded_runs(self.spec):
                log.info("%s is closed as released and gets its record now", directory.name)
                ReleaseProcess.open(directory)._write_release()
            self.champion = standing_release(self.spec)
        self._referee = replace(self._referee, champion=self.champion)

    def rejudge(self) -> bool:
        """The release gate of a run that releases what another run trained.

        The scores that were judged then are judged again. A gate that was closed stays closed
        unless two people have excused everything that closed it.

        Returns:
            Whether the model may be pushed.

        Raises:
            ProcessError: the stage is not due, or this run trains a model itself.
            EvidenceError: what was judged is no longer there, or gives other figures.
        """
        stage = Stage.RELEASE_GATE
        if self.spec.continues is None or stage is not self.next_stage():
            raise ProcessError(f"run {self.spec.run_id} has no gate to judge again")
        before = next(r for r in self.origin.records() if r.stage == stage)
        self._meet_champion()
        referee = self._referee.rejudge(
            before, overtaken(self.spec, self.policy, before, self.champion)
        )
        result = StageResult(
            {},
            before.body["tools"],
            native=Verdict.from_json(before.body["native"]),
            measurements=tuple(Measurement.from_json(m) for m in before.body["nativeMeasurements"]),
            facts={
                "continues": self.spec.continues,
                "head": self.origin.records()[-1].digest,
                "reason": self.spec.reason,
            },
        )
        result, referee = without_few(result, referee)
        verdict = combine(result.native, referee.verdict)
        body = self._body(stage, result, referee, verdict)
        for told in ("native", "nativeMeasurements", "measurements"):
            body[told] = before.body[told]  # as that gate told it, in its own format
        body["champion"] = before.body["champion"]  # the one that the scores were held against
        if not verdict.is_open:
            body["waiver"] = self._waiver(body)
        return self._record(stage, body)

    def _waiver(self, body: dict[str, Any]) -> dict[str, Any] | None:
        """What two people signed about this model's closed gate, if they did and it holds today."""
        waiver = find_waiver(
            Path(self.spec.home),
            dataset=self.spec.dataset,
            stack=self.spec.stack,
            gate=str(Stage.RELEASE_GATE),
            model=self.model,
            policy=self.policy,
            findings=closed_findings(body),
            run=self.origin.run_id,
            head=self.origin.records()[-1].digest,
            at=datetime.now(UTC),
        )
        return waiver.to_json() if waiver is not None else None

    @property
    def model(self) -> str:
        """SHA-256 of the trained model, in hex, as its training recorded it."""
        trained = next(r for r in self.origin.records() if r.stage == Stage.TRAIN)
        return str(trained.body["outputs"]["model"]["sha256"])

    def _body(
        self, stage: Stage, result: StageResult, referee: RefereeResult, verdict: Verdict
    ) -> dict[str, Any]:
        records = self.chain.records()
        started = str(records[-1].body["finished"]) if records else self.spec.started
        body = {**self._who(), **stage_body(stage, result, referee, verdict, started)}
        if stage is Stage.RELEASE_GATE:
            body["champion"] = champion_json(self.champion)
        return body

    def _who(self) -> dict[str, Any]:
        """What binds every record to this run."""
        return {
            "stack": self.spec.stack,
            "candidate": self.candidate.name,
            "inputs": self._inputs(),
            "actor": self.spec.actor,
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
            "lock": self.spec.lock,
            "sbom": self.spec.sbom,
            "image": self.spec.image,
            "seed": str(self.policy.training.seed),
        }

    def close(self, interrupted: str | None = None) -> str:
        """Write the closing record and, where every stage ran open, the release record.

        Args:
            interrupted: why the run stopped, where no gate stopped it.

        Returns:
            ``released``, ``blocked``, or ``interrupted``.

        Raises:
            ProcessError: a stage is missing though no gate is closed: such a run proves nothing.
        """
        if interrupted is not None:
            return self._close(interrupted)  # it releases nothing, so it need not wait for others
        with self._history():
            return self._close(interrupted)

    def _history(self) -> AbstractContextManager[None]:
        """While it is held, no other run of this dataset and stack is released."""
        return history_locked(Path(self.spec.home), self.spec.dataset, self.spec.stack)

    def _close(self, interrupted: str | None) -> str:
        records = self.chain.records()
        closed = next((r for r in records if not is_open(r)), None)
        missing = [str(s) for s in self.stages[len(records) :]]
        gate = next((r for r in records if r.stage == Stage.RELEASE_GATE), None)
        if interrupted is not None:
            outcome, reason = "interrupted", interrupted
        elif closed is not None:
            outcome, reason = "blocked", f"{closed.stage}: {closed.body['verdict']['reason']}"
        elif missing:
            raise ProcessError(
                f"run {self.spec.run_id} did not run {', '.join(missing)} though no gate is closed"
            )
        elif gate is not None and (
            late := overtaken(self.spec, self.policy, gate, standing_release(self.spec))
        ):
            outcome, reason = "blocked", f"{gate.stage}: {late}"
        else:
            outcome, reason = "released", "every stage ran and every gate is open"
            if any(r.body.get("waiver") for r in records):
                reason = "every stage ran; what closed the release gate is excused by a waiver"
        self._append(
            CLOSING_STAGE,
            {
                **self._who(),
                "outcome": outcome,
                "reason": reason,
                "records": len(records),
                "notRun": missing,
                "finished": utc_now(),
            },
        )
        self._write_release()
        log.info("%s %s", self.spec.stack, outcome)
        return outcome

    def ensure_release(self) -> None:
        """Write the release record of a run that was closed as released, unless there is one.

        The chain is closed first and is the truth; a process that died in between is made up for.
        """
        records = self.chain.records()
        if not records or records[-1].body.get("outcome") != "released":
            return
        with self._history():
            self._write_release()

    def _write_release(self) -> None:
        by_stage = {r.stage: r for r in self.chain.records()}
        closing, home = by_stage.get(CLOSING_STAGE), Path(self.spec.home)
        if closing is None or closing.body["outcome"] != "released" or is_recorded(self.spec):
            return
        cards = write_model_card(self.spec.directory)
        whole = {**{r.stage: r for r in self.origin.records()}, **by_stage}
        document = release_document(self.spec, whole, cards)
        write_release(home, self.spec.dataset, self.spec.stack, document)
