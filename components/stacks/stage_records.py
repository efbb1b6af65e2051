"""What a record says of one stage, and whether it lets the run go on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any

from components.checks.measurement import Finding, Status, Verdict, conclude
from components.checks.small_figures import hidden_figures, masked, masked_verdict
from components.contract.errors import ProcessError
from components.lineage.evidence import EvidenceRecord
from components.stacks.referee import RefereeResult, artifact_summary
from components.stacks.run_spec import utc_now
from components.stacks.stages import GATES, REQUIRED_OUTPUTS, Stage, StageResult


def is_open(record: EvidenceRecord) -> bool:
    """A stage is open on PASS, and a release gate also where its closed verdict was excused."""
    if record.body.get("verdict", {}).get("status") == Status.PASS:
        return True
    return record.stage == Stage.RELEASE_GATE and record.body.get("waiver") is not None


def check_complete(stage: Stage, result: StageResult) -> None:
    """A stage left everything that it must.

    Raises:
        ProcessError: an output is missing or not there, or a gate has no native verdict.
    """
    require_outputs(stage, result, REQUIRED_OUTPUTS[stage])
    for name, path in result.outputs.items():
        if not path.exists():
            raise ProcessError(f"stage {stage}: output {name} does not exist")
    if stage in GATES and result.native is None:
        raise ProcessError(f"stage {stage} has no native verdict")


def require_outputs(stage: Stage, result: StageResult, names: Collection[str]) -> None:
    """A stage left outputs of these names.

    Raises:
        ProcessError: it did not.
    """
    if absent := set(names) - set(result.outputs):
        raise ProcessError(f"stage {stage} left no {min(absent)}")


def without_few(result: StageResult, referee: RefereeResult) -> tuple[StageResult, RefereeResult]:
    """What both sides measured and said, with nothing in it that tells of 1 to 10 people.

    Verdicts stand as they were given, on all figures. What is told of the referee's follows from
    its own figures alone, so that whoever has the data comes to the same record again.
    """
    own = hidden_figures(referee.measurements)
    theirs = own | hidden_figures(result.measurements)
    native, judged = result.native, referee.verdict
    return (
        replace(
            result,
            native=masked_verdict(native, result.measurements, theirs) if native else None,
            measurements=tuple(masked(m, theirs) for m in result.measurements),
        ),
        replace(
            referee,
            verdict=masked_verdict(judged, referee.measurements, theirs) if judged else None,
            measurements=tuple(masked(m, own) for m in referee.measurements),
        ),
    )


def combine(native: Verdict | None, referee: Verdict | None) -> Verdict:
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


def stage_body(
    stage: Stage, result: StageResult, referee: RefereeResult, verdict: Verdict, started: str
) -> dict[str, Any]:
    """What both sides left and said, as a record holds it.

    Args:
        stage: the stage.
        result: what the stack handed over.
        referee: what the referee made of it; a file that it kept stands for the stack's own.
        verdict: what both come to.
        started: time at which the stage began.
    """
    finished = utc_now()
    elapsed = datetime.fromisoformat(finished) - datetime.fromisoformat(started)
    return {
        "outputs": artifact_summary({**result.outputs, **referee.outputs}),
        "facts": dict(result.facts),
        "tools": dict(result.tools),
        "started": started,
        "finished": finished,
        "seconds": f"{elapsed.total_seconds():.1f}",
        "isGate": stage in GATES,
        "native": result.native.to_json() if result.native else None,
        "referee": referee.verdict.to_json() if referee.verdict else None,
        "verdict": {"status": str(verdict.status), "reason": verdict.reason},
        "nativeMeasurements": [m.to_json() for m in result.measurements],
        "measurements": [m.to_json() for m in referee.measurements],
    }
