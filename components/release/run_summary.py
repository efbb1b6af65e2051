"""What a run's evidence says, in a shape that tables and charts can use. Reads evidence only."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.checks.small_figures import NOT_SHOWN
from components.contract.contract import Contract
from components.contract.policy import Metric, Policy
from components.contract.stages import Stage
from components.lineage.evidence import EvidenceRecord
from components.release.run_evidence import RunEvidence, read_evidence

NOT_RUN = "NOT RUN"

_AGAIN = (Stage.RELEASE_GATE, Stage.PUSH, Stage.SCORE)
"""Stages that a run which releases an earlier model goes through itself."""


@dataclass(frozen=True, slots=True)
class Figure:
    """A measurement as evidence holds it; ``low`` and ``high`` are None without an interval.

    ``n`` is None, and ``value`` NaN, where it is not told, or would tell of 1 to 10 people.
    """

    name: str
    slice: str
    value: float
    low: float | None
    high: float | None
    n: int | None
    of: str = ""

    def __str__(self) -> str:
        if self.n is None:
            return NOT_SHOWN
        if self.low is None or self.high is None:
            return f"{self.value:.3f}"
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True, slots=True)
class StageSummary:
    """One stage of one run; ``status`` is NOT RUN where a closed gate skipped it.

    ``run`` names the earlier run that the stage is taken over from; empty where it is this one's.
    """

    stage: str
    status: str
    reason: str
    seconds: float
    native: str | None
    referee: str | None
    run: str = ""


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run, read back from its evidence, with every link of its chain checked.

    ``continues`` names the run whose model this one releases; empty where it trains its own.
    ``waived`` says whether two people excused a closed release gate.
    """

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
    continues: str = ""
    waived: bool = False

    @property
    def seconds(self) -> float:
        """Wall time of all stages that this run ran."""
        return sum(s.seconds for s in self.stages if not s.run)

    def figure(self, name: str, slice_: str = "overall") -> Figure | None:
        """The referee's figure of that name and slice, if it was measured."""
        return next((f for f in self.figures if (f.name, f.slice) == (name, slice_)), None)

    @property
    def worst_gap(self) -> Figure | None:
        """The largest equal-opportunity gap over the protected attributes, one at a time."""
        protected = {c.name for c in self.contract.protected}
        gaps = [f for f in self.figures if f.name == Metric.TPR_DIFFERENCE and f.slice in protected]
        # A gap that could not be measured may be the worst of all.
        return max(gaps, key=lambda f: math.inf if math.isnan(f.value) else f.value, default=None)


def summarise(directory: Path) -> RunSummary:
    """Read one run's evidence.

    Raises:
        InputError: there is no evidence.
        EvidenceError: the chain is broken, or the contract, the policy or the earlier run beside
            it is not the one that the records are bound to.
    """
    run = read_evidence(directory)
    gate = run.own.get(Stage.RELEASE_GATE)
    return RunSummary(
        directory=directory,
        run_id=run.run_id,
        stack=run.first.body["stack"],
        candidate=run.first.body["candidate"],
        outcome=run.outcome,
        reason=run.closing.body["reason"] if run.closing else "the run was not closed",
        contract=run.contract,
        policy=run.policy,
        dataset_version=run.inputs["datasetVersion"],
        rows_root=run.inputs["rowsRoot"],
        head=run.last.digest,
        stages=tuple(_stage(run, s) for s in Stage),
        figures=_figures(gate, "measurements"),
        native_figures=_figures(gate, "nativeMeasurements"),
        findings=tuple(_findings(list(run.own.values()))),
        tools={k: v for r in run.own.values() for k, v in r.body.get("tools", {}).items()},
        continues=run.continues,
        waived=run.waiver is not None,
    )


def _stage(run: RunEvidence, stage: Stage) -> StageSummary:
    record = run.stage(stage)
    if record is None or (run.continues and stage in _AGAIN and stage not in run.own):
        return StageSummary(str(stage), NOT_RUN, "a gate before it is closed", 0.0, None, None)
    body = record.body

    def status(side: str) -> str | None:
        return body[side]["status"] if body[side] else None

    return StageSummary(
        str(stage),
        body["verdict"]["status"],
        body["verdict"]["reason"],
        float(body["seconds"]),
        status("native"),
        status("referee"),
        run="" if stage in run.own else run.origin_id,
    )


def _figures(record: EvidenceRecord | None, key: str) -> tuple[Figure, ...]:
    return tuple(to_figure(m) for m in (record.body[key] if record else ()))


def to_figure(measurement: dict[str, Any]) -> Figure:
    """A measurement out of a record; its decimal strings become numbers."""
    value = measurement["value"]
    low, high = measurement["low"], measurement["high"]
    return Figure(
        name=measurement["name"],
        slice=measurement["slice"],
        value=math.nan if value is None else float(value),
        low=None if low is None else float(low),
        high=None if high is None else float(high),
        n=measurement["n"],
        of=measurement.get("of", ""),
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
        "waived": summary.waived,
        "continues": summary.continues or None,
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
