"""Runs with a fault in their data, their settings, or while they work, and the cells they give.

Every run stands in a home of its own, so that no fault's model is another's champion. A run is made
as users make it, referee and evidence on. What the native tools alone would have said is read from
the same run where they closed it too; where only the referee did, the run is made again with the
referee unheard, and goes on to wherever that leads.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from components.checks.measurement import Status
from components.compare.canary import files_with
from components.compare.data_faults import IDENTITY, SETTINGS, SQL, write_policy, write_rows
from components.compare.faults import Cell, Column, Outcome
from components.contract.contract_loader import load_contract
from components.contract.errors import AssayError, InputError
from components.contract.policy_loader import load_policy
from components.contract.stages import Stage
from components.datasets.sources import open_source
from components.lineage.evidence import CLOSING_STAGE, EvidenceRecord, chain_of
from components.stacks.run_spec import RunSpec
from components.stacks.stage_records import is_open
from pipelines.catalogue import find
from pipelines.fault_audit import ask
from pipelines.fault_injections import INJECTIONS
from pipelines.fault_worker import BROKE_DOWN
from pipelines.launch import Order, execute, prepare

HOMES = "homes"
CANDIDATE = "mitigated"
_BEFORE = (Stage.INGEST, Stage.STATISTICS, Stage.DATA_GATE, Stage.TRANSFORM)


@dataclass(frozen=True, slots=True)
class Attempt:
    """A run with a fault that was got ready, or why it could not be."""

    fault: str
    stack: str
    column: Column
    home: Path
    spec: RunSpec | None = None
    refusal: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class FaultRuns:
    """What is run, and where.

    Attributes:
        folder: the matrix' folder; homes and data are made in it.
        contract: the contract's file.
        policy: the policy's file.
        tell: is told what is done, a few words each time.
    """

    folder: Path
    contract: Path
    policy: Path
    tell: Callable[[str], None]
    columns: tuple[Column, ...] = (Column.NATIVE, Column.ASSAY)

    def cells(self, stack: str, faults: Sequence[str]) -> Iterator[Cell]:
        """The native and the assay cells of faults in one stack, as soon as each is known."""
        attempts = [self._prepare(f, stack, Column.ASSAY) for f in faults if f in RUN_FAULTS]
        self._execute(attempts)
        again = []
        for attempt in attempts:
            yield self._cell(attempt, Column.ASSAY)
            if self._native_spoke(attempt):
                yield self._cell(attempt, Column.NATIVE)
            else:
                again.append(self._prepare(attempt.fault, stack, Column.NATIVE))
        self._execute(again)
        for attempt in again:
            yield self._cell(attempt, Column.NATIVE)

    def _prepare(self, fault: str, stack: str, column: Column) -> Attempt:
        home = self.folder / HOMES / f"{fault}-{stack}-{column}"
        if (finished := _finished(home)) is not None:
            return Attempt(fault, stack, column, home, finished)
        shutil.rmtree(home, ignore_errors=True)
        self.tell(f"{fault}: reading the data")
        began = time.perf_counter()
        try:
            order = Order(stack, CANDIDATE, self._policy(fault))
            (spec,) = prepare(self.contract, [order], home, self._data(fault))
        except InputError as error:
            told = str(error).replace(str(self.folder), "…")
            return Attempt(fault, stack, column, home, None, told, time.perf_counter() - began)
        return Attempt(fault, stack, column, home, spec)

    def _data(self, fault: str) -> Path:
        path = self.folder / "data" / f"{fault if fault in SQL else 'as_it_is'}.csv"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            contract = load_contract(self.contract)
            policy = load_policy(self.policy, contract)
            write_rows(open_source(contract), path.stem, policy, path)
        return path

    def _policy(self, fault: str) -> Path:
        if fault not in SETTINGS:
            return self.policy
        path = self.folder / "policies" / f"{fault}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        return write_policy(self.policy, fault, path)

    def _execute(self, attempts: Sequence[Attempt]) -> None:
        ready = [(a, a.spec) for a in attempts if a.spec is not None and not closing_of(a.spec)]
        if not ready:
            return
        plan = self.folder / f"plan-{ready[0][0].stack}.json"
        orders = {
            spec.run_id: {"fault": a.fault, "referee": a.column is Column.ASSAY}
            for a, spec in ready
        }
        plan.write_text(json.dumps(orders), "utf-8")
        worker = ("pipelines.fault_worker", str(plan))
        faults = {spec.run_id: a.fault for a, spec in ready}
        execute(
            [spec for _, spec in ready],
            lambda spec, record: self.tell(f"{faults[spec.run_id]}: {record.stage} is over"),
            worker=worker,
        )

    def _native_spoke(self, attempt: Attempt) -> bool:
        """Whether one run tells of both columns: it was refused, broke down, or was closed by both.

        A released run tells of both as well; but then only what each column has is asked of it.
        """
        if attempt.spec is None:
            return True
        closed = closed_record(attempt.spec)
        if closed is None:
            return True
        native = closed.body["native"]
        return native is not None and native["status"] != Status.PASS

    def _cell(self, attempt: Attempt, column: Column) -> Cell:
        if attempt.spec is None:
            return self._made(
                attempt, column, Outcome.BEFORE_TRAINING, "ingest", "contract and policy loaders",
                attempt.refusal, attempt.seconds, "the message itself",
            )  # fmt: skip
        spec = attempt.spec
        records = chain_of(spec.directory).records()
        closed = closed_record(spec)
        if closed is not None:
            return self._closed(attempt, column, closed)
        closing = records[-1]
        if closing.stage == CLOSING_STAGE and closing.body["outcome"] != "released":
            return self._broke_down(attempt, column, records)
        told = ask(attempt.home, attempt.stack, column)
        outcome = Outcome.AT_AUDIT if told.message else Outcome.MISSED
        tool, message = told.tool, told.message or "the model was released and put to use"
        if attempt.fault == "phi_in_text":
            found, searched = files_with(attempt.home, IDENTITY.encode())
            tool = ""
            message = f"identities in {len(found)} of {searched} files that the run wrote"
            outcome = Outcome.MISSED if found else Outcome.KEPT_OUT
        return self._made(
            attempt, column, outcome, "audit" if outcome is Outcome.AT_AUDIT else "", tool, message,
            _seconds(spec, closing), self._evidence(spec, closing),
        )  # fmt: skip

    def _closed(self, attempt: Attempt, column: Column, record: EvidenceRecord) -> Cell:
        if attempt.spec is None:
            raise AssayError("a run that was refused has no record")
        body = record.body
        native = [f"{n} {v}" for n, v in sorted(body["tools"].items())]
        sides = [s for s in ("native", "referee") if body[s] and body[s]["status"] != Status.PASS]
        if column is Column.NATIVE:
            sides = ["native"]
        tools = [
            *(native if "native" in sides else []),
            *(["referee"] if "referee" in sides else []),
        ]
        message = "; ".join(str(body[s]["reason"]) for s in sides)
        outcome = Outcome.BEFORE_TRAINING if record.stage in _BEFORE else Outcome.BEFORE_RELEASE
        return self._made(
            attempt, column, outcome, record.stage, ", ".join(tools), message,
            _seconds(attempt.spec, record), self._evidence(attempt.spec, record),
        )  # fmt: skip

    def _broke_down(
        self, attempt: Attempt, column: Column, records: Sequence[EvidenceRecord]
    ) -> Cell:
        if attempt.spec is None:
            raise AssayError("a run that was refused has no record")
        closing = records[-1]
        due = list(Stage)[len(records) - 1]
        outcome = Outcome.BEFORE_TRAINING if due in _BEFORE else Outcome.BEFORE_RELEASE
        reason = str(closing.body["reason"])
        return self._made(
            attempt, column, outcome, str(due), "breakdown", reason,
            _seconds(attempt.spec, closing), self._evidence(attempt.spec, closing),
            crashed=reason.startswith(BROKE_DOWN),
        )  # fmt: skip

    def _evidence(self, spec: RunSpec, record: EvidenceRecord) -> str:
        where = spec.directory.relative_to(self.folder)
        return f"{where}, record {record.stage}, sha256 {record.digest}"

    @staticmethod
    def _made(
        attempt: Attempt, column: Column, outcome: Outcome, stage: str, tool: str, message: str,
        seconds: float, evidence: str, *, crashed: bool = False,
    ) -> Cell:  # fmt: skip
        return Cell(
            attempt.fault, attempt.stack, column, outcome, stage, tool, message[:500],
            seconds, evidence, crashed,
        )  # fmt: skip


def closing_of(spec: RunSpec) -> EvidenceRecord | None:
    """The record that closed a run; None where it is open, or was broken off from outside."""
    closing = next(
        (r for r in chain_of(spec.directory).records() if r.stage == CLOSING_STAGE), None
    )
    if closing is None or closing.body["outcome"] != "interrupted":
        return closing
    return closing if str(closing.body["reason"]).startswith(BROKE_DOWN) else None


def _finished(home: Path) -> RunSpec | None:
    """The run of an earlier attempt, where it came to its end."""
    for directory in sorted((home / "runs").glob("*")):
        spec = RunSpec.load(directory)
        if closing_of(spec) is not None:
            return spec
    return None


def closed_record(spec: RunSpec) -> EvidenceRecord | None:
    """The record of the stage that closed a run; None where none did."""
    records = chain_of(spec.directory).records()
    return next((r for r in records if r.stage != CLOSING_STAGE and not is_open(r)), None)


def _seconds(spec: RunSpec, record: EvidenceRecord) -> float:
    """From the run's start to a record, wall time."""
    started = RunSpec.load(spec.directory).started
    finished = str(record.body["finished"])
    return (datetime.fromisoformat(finished) - datetime.fromisoformat(started)).total_seconds()


RUN_FAULTS = (*SQL, *SETTINGS, *dict.fromkeys(f for f, _ in INJECTIONS))
"""Faults that a run is made with."""


def fault_runs(folder: Path, tell: Callable[[str], None]) -> FaultRuns:
    """Runs on the RAND Health Insurance Experiment under its pilot's policy, which releases."""
    return FaultRuns(folder, find("schemas", "rand_hie"), find("policies", "rand_hie_pilot"), tell)
