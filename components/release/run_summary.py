"""What a run's evidence says, in a shape that tables and charts can use. Reads evidence only."""

from __future__ import annotations

import hashlib
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.contract.contract import Contract
from components.contract.contract_loader import load_contract
from components.contract.errors import EvidenceError, InputError
from components.contract.policy import Metric, Policy
from components.contract.policy_loader import load_policy
from components.contract.stages import Stage
from components.lineage.evidence import CLOSING_STAGE, EvidenceChain, EvidenceRecord

NOT_RUN = "NOT RUN"


@dataclass(frozen=True, slots=True)
class Figure:
    """A measurement as evidence holds it; ``low`` and ``high`` are None without an interval."""

    name: str
    slice: str
    value: float
    low: float | None
    high: float | None
    n: int

    def __str__(self) -> str:
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class StageSummary:
    """One stage of one run; ``status`` is NOT RUN where a closed gate skipped it."""

    stage: str
    status: str
    reason: str
    seconds: float
    native: str | None
    referee: str | None


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run, read back from its evidence, with every link of its chain checked."""

    directory: Path
    run_id: str
    stack: str
    candidate: str
    outcome: str
    reason: str
    contract: Contract
    policy: Policy
    dataset_version: str
    rows_root: str
    head: str
    stages: tuple[StageSummary, ...]
    figures: tuple[Figure, ...]
    native_figures: tuple[Figure, ...]
    findings: tuple[tuple[str, dict[str, Any]], ...]
    tools: dict[str, str]

    @property
    def seconds(self) -> float:
        """Wall time of all stages that ran."""
        return sum(s.seconds for s in self.stages)

    def figure(self, name: str, slice_: str = "overall") -> Figure | None:
        """The referee's figure of that name and slice, if it was measured."""
        return next((f for f in self.figures if (f.name, f.slice) == (name, slice_)), None)

    @property
    def worst_gap(self) -> Figure | None:
        """The largest equal-opportunity gap over the protected attributes."""
        gaps = [f for f in self.figures if f.name == Metric.TPR_DIFFERENCE]
        # A gap that could not be measured may be the worst of all.
        return max(gaps, key=lambda f: math.inf if math.isnan(f.value) else f.value, default=None)


def summarise(directory: Path) -> RunSummary:
    """Read one run's evidence.

    Raises:
        InputError: there is no evidence.
        EvidenceError: the chain is broken, or the contract or policy beside
            it is not the one that the records are bound to.
    """
    chain = EvidenceChain(directory / "evidence", directory.name)
    records = chain.records()
    if not records:
        raise InputError(
            "holds no evidence", where=str(directory), expected="a run, as in HOME/runs/<run id>"
        )
    inputs = records[0].body["inputs"]
    for name in ("contract", "policy"):
        try:
            raw = (directory / f"{name}.yaml").read_bytes()
        except OSError as error:
            raise EvidenceError(f"{directory} has no readable {name}.yaml") from error
        if hashlib.sha256(raw).hexdigest() != inputs[name]:
            raise EvidenceError(f"{directory / name}.yaml is not the one the run was bound to")
    contract = load_contract(directory / "contract.yaml")
    by_stage = {r.stage: r for r in records}
    closing = by_stage.get(CLOSING_STAGE)
    gate = by_stage.get(Stage.RELEASE_GATE)
    return RunSummary(
        directory=directory,
        run_id=directory.name,
        stack=records[0].body["stack"],
        candidate=records[0].body["candidate"],
        outcome=closing.body["outcome"] if closing else "unfinished",
        reason=closing.body["reason"] if closing else "the run was not closed",
        contract=contract,
        policy=load_policy(directory / "policy.yaml", contract),
        dataset_version=inputs["datasetVersion"],
        rows_root=inputs["rowsRoot"],
        head=records[-1].digest,
        stages=tuple(_stage(str(s), by_stage.get(s)) for s in Stage),
        figures=_figures(gate, "measurements"),
        native_figures=_figures(gate, "nativeMeasurements"),
        findings=tuple(_findings(records)),
        tools={k: v for r in records for k, v in r.body.get("tools", {}).items()},
    )


def _stage(name: str, record: EvidenceRecord | None) -> StageSummary:
    if record is None:
        return StageSummary(name, NOT_RUN, "a gate before it is closed", 0.0, None, None)
    body = record.body

    def status(side: str) -> str | None:
        return body[side]["status"] if body[side] else None

    return StageSummary(
        name,
        body["verdict"]["status"],
        body["verdict"]["reason"],
        float(body["seconds"]),
        status("native"),
        status("referee"),
    )


def _figures(record: EvidenceRecord | None, key: str) -> tuple[Figure, ...]:
    return tuple(to_figure(m) for m in (record.body[key] if record else ()))


def to_figure(measurement: dict[str, Any]) -> Figure:
    """A measurement out of a record; its decimal strings become numbers."""
    low, high = measurement["low"], measurement["high"]
    return Figure(
        name=measurement["name"],
        slice=measurement["slice"],
        value=float(measurement["value"]),
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        n=measurement["n"],
    )


def _findings(records: list[EvidenceRecord]) -> list[tuple[str, dict[str, Any]]]:
    """Every finding of every stage, labelled ``<stage> <side>``."""
    return [
        (f"{r.stage} {side}", finding)
        for r in records
        for side in ("native", "referee")
        if r.body.get(side)
        for finding in r.body[side]["findings"]
    ]


def as_json(summary: RunSummary) -> dict[str, Any]:
    """A run for machines: identity, outcome, stages, accuracy and gaps."""
    auc, gap = summary.figure("roc_auc"), summary.worst_gap
    return {
        "run": summary.run_id,
        "directory": str(summary.directory),
        "stack": summary.stack,
        "candidate": summary.candidate,
        "policy": summary.policy.name,
        "outcome": summary.outcome,
        "reason": summary.reason,
        "head": summary.head,
        "datasetVersion": summary.dataset_version,
        "seconds": round(summary.seconds, 1),
        "stages": [
            {
                "stage": s.stage,
                "status": s.status,
                "native": s.native,
                "referee": s.referee,
                "seconds": s.seconds,
                "reason": s.reason,
            }
            for s in summary.stages
        ],
        "rocAuc": _figure_json(auc),
        "worstGap": _figure_json(gap),
    }


def _figure_json(figure: Figure | None) -> dict[str, Any] | None:
    """A figure for JSON, which has no NaN: what is not a number is null."""
    if figure is None:
        return None
    return {
        k: None if isinstance(v, float) and not math.isfinite(v) else v
        for k, v in asdict(figure).items()
    }
