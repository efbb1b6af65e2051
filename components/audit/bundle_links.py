"""Whether the records of a run fit together: each sound alone is not yet a run.

Everything here compares what signed records say with each other, with the policy and with the
release history. Each check raises the first thing that does not fit, under the name of its entry.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from components.audit.bundle_format import TamperedError
from components.checks.measurement import Status
from components.contract.stages import GATES, Stage
from components.lineage.evidence import CLOSING_STAGE, EvidenceRecord
from components.release.run_evidence import Records

_BOUND = ("contract", "policy", "dataset", "datasetVersion", "rowsRoot", "seed")
CONTINUED = (Stage.RELEASE_GATE, Stage.PUSH, Stage.SCORE)
_SIDES = ("native", "referee")
_OVERTAKEN = "champion"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def entry_of(run: str, record: EvidenceRecord) -> str:
    """Name of a record's entry."""
    return f"runs/{run}/evidence/{record.sequence:04d}-{record.stage}.json"


def check_run(run: str, records: Sequence[EvidenceRecord], stages: Sequence[str]) -> None:
    """The records of one run are of the right stages, about the same things, and end as they say.

    Args:
        run: its id.
        records: all of its records, every signature and link of the chain checked.
        stages: the stages that such a run goes through.

    Raises:
        TamperedError: they do not fit together.
    """
    if not records or records[-1].stage != CLOSING_STAGE:
        raise TamperedError(f"runs/{run}/evidence", "the chain has no closing record: it is cut")
    *done, closing = records
    if not done and closing.body["outcome"] != "interrupted":
        raise TamperedError(entry_of(run, closing), "it closes a run that did nothing")
    for i, record in enumerate(done):
        if i >= len(stages) or record.stage != stages[i]:
            raise TamperedError(entry_of(run, record), f"stage {record.stage} is out of turn")
    _same_subject(run, records)
    for i, record in enumerate(done):
        _check_stage(run, record)
        if not is_open(record) and i != len(done) - 1:
            raise TamperedError(entry_of(run, record), "the run went on though it was closed")
    _check_times(run, records)
    _check_end(run, done, closing, stages)


def _same_subject(run: str, records: Sequence[EvidenceRecord]) -> None:
    first = records[0].body
    for record in records[1:]:
        for field in ("stack", "candidate", "actor", "inputs"):
            if record.body[field] != first[field]:
                what = f"its {field} is not that of the run's first record"
                raise TamperedError(entry_of(run, record), what)


def _check_stage(run: str, record: EvidenceRecord) -> None:
    """Its verdict follows from both sides, and each side's from its findings."""
    body, entry = record.body, entry_of(run, record)
    gate = record.stage in GATES
    if body["isGate"] is not gate:
        raise TamperedError(entry, "it says wrongly whether it is a gate")
    sides = [body[side] for side in _SIDES]
    if gate and None in sides:
        raise TamperedError(entry, "a side of the gate did not speak")
    for name, side in zip(_SIDES, sides, strict=True):
        if side is not None and side["status"] != _worst(side):
            raise TamperedError(entry, f"the {name} verdict is not what its findings come to")
    spoken = {side["status"] for side in sides if side is not None}
    if body["verdict"]["status"] != _worst_of(spoken):
        raise TamperedError(entry, "its verdict is not what both sides come to")
    for field, stage in (("champion", Stage.RELEASE_GATE), ("waiver", Stage.RELEASE_GATE)):
        if field in body and record.stage != stage:
            raise TamperedError(entry, f"it has a {field}, and is not {stage}")
    if (waiver := body.get("waiver")) is not None:
        if body["verdict"]["status"] == Status.PASS:
            raise TamperedError(entry, "a gate that is open needs no waiver")
        if not _SHA256.fullmatch(str(waiver.get("sha256"))):
            raise TamperedError(entry, "its waiver has no digest")


def _worst(side: Mapping[str, Any]) -> str:
    """What findings come to; a side that has none may be closed all the same, and never open."""
    found = {f["status"] for f in side["findings"]}
    if found:
        return _worst_of(found)
    closed = side["status"] != Status.PASS
    return str(side["status"]) if closed else str(Status.INCONCLUSIVE)


def _worst_of(statuses: set[str]) -> str:
    order = (Status.FAIL, Status.INCONCLUSIVE)
    return str(next((s for s in order if s in statuses), Status.PASS))


def is_open(record: EvidenceRecord) -> bool:
    """Whether the run could go on: the stage passed, or two people excused what closed it."""
    return bool(
        record.body["verdict"]["status"] == Status.PASS or record.body.get("waiver") is not None
    )


def _check_times(run: str, records: Sequence[EvidenceRecord]) -> None:
    """Each stage starts when the one before ends, and takes the seconds that it says."""
    end = None
    for record in records:
        entry, body = entry_of(run, record), record.body
        finished = moment_of(entry, body["finished"])
        if record.stage == CLOSING_STAGE:
            if end is not None and finished < end:
                raise TamperedError(entry, "it closes the run before its last stage ended")
            return
        started = moment_of(entry, body["started"])
        if (end is not None and started != end) or finished < started:
            raise TamperedError(entry, "its times do not follow those of the stage before")
        if body["seconds"] != f"{(finished - started).total_seconds():.1f}":
            raise TamperedError(entry, "its seconds are not those between its times")
        end = finished


def moment_of(entry: str, text: str) -> datetime:
    """A time out of a record's text.

    Raises:
        TamperedError: it is none.
    """
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise TamperedError(entry, "a time of it is none") from error


def _check_end(
    run: str, done: Sequence[EvidenceRecord], closing: EvidenceRecord, stages: Sequence[str]
) -> None:
    """The closing record says what the others come to."""
    entry, body = entry_of(run, closing), closing.body
    if body["records"] != len(done):
        raise TamperedError(entry, f"it counts {body['records']} records, there are {len(done)}")
    if body["notRun"] != [str(s) for s in stages[len(done) :]]:
        raise TamperedError(entry, "the stages that it says did not run are others")
    whole = len(done) == len(stages)
    closed = next((r for r in done if not is_open(r)), None)
    outcome = body["outcome"]
    if outcome == "released" and (closed is not None or not whole):
        raise TamperedError(entry, "it says released, and not every stage ran and is open")
    if outcome == "blocked" and closed is None and not whole:
        raise TamperedError(entry, "it says blocked, and no stage is closed")
    if outcome != "blocked" or closed is None:
        return
    if body["reason"] != f"{closed.stage}: {closed.body['verdict']['reason']}":
        raise TamperedError(entry, "its reason is not that of the stage that closed the run")


def check_model(run: str, own: Records, whole: Records) -> None:
    """What was pushed and what scored is what was trained.

    Args:
        run: the run's id.
        own: its records by stage.
        whole: the same, with those of the run that trained its model.

    Raises:
        TamperedError: another model came in between.
    """
    if Stage.PUSH not in own:
        return
    entry = entry_of(run, own[Stage.PUSH])
    trained = _output(whole.get(Stage.TRAIN), "model")
    pushed = _output(own[Stage.PUSH], "serving_model")
    if trained is None or pushed != trained:
        raise TamperedError(entry, "it pushed another model than the one that was trained")
    scored = own.get(Stage.SCORE)
    if scored is not None and scored.body["facts"].get("model") != pushed:
        raise TamperedError(entry_of(run, scored), "it scored with another model than was pushed")


def _output(record: EvidenceRecord | None, name: str) -> str | None:
    found = record.body["outputs"].get(name) if record is not None else None
    return None if found is None else str(found["sha256"])


def check_continues(run: str, own: Records, origin_id: str, origin: Records) -> None:
    """A run that trained nothing goes on from exactly the run that it names.

    Raises:
        TamperedError: it does not.
    """
    gate, before = own.get(Stage.RELEASE_GATE), origin.get(Stage.RELEASE_GATE)
    if gate is None or before is None:
        raise TamperedError(f"runs/{run}/evidence", "it judges again what was never judged")
    entry, facts = entry_of(run, gate), gate.body["facts"]
    *_, last = origin.values()
    if facts.get("continues") != origin_id or facts.get("head") != last.digest:
        raise TamperedError(entry, f"it does not continue run {origin_id} as that one ended")
    first = next(iter(origin.values())).body
    for field in _BOUND:
        if gate.body["inputs"][field] != first["inputs"][field]:
            raise TamperedError(entry, f"its {field} is not that of the run that it continues")
    for field in ("stack", "candidate"):
        if gate.body[field] != first[field]:
            raise TamperedError(entry, f"its {field} is not that of the run that it continues")
    for field in ("native", "champion", "nativeMeasurements", "measurements"):
        if gate.body.get(field) != before.body.get(field):
            raise TamperedError(entry, f"its {field} is not what was judged before")
    if _judged(gate) != _judged(before):
        raise TamperedError(entry, "its referee comes to other findings than before")


def _judged(gate: EvidenceRecord) -> list[tuple[str, str]]:
    """The referee's findings, but for whether another champion stands by now."""
    found = ((f["rule"], f["status"]) for f in gate.body["referee"]["findings"])
    return sorted(f for f in found if f[0] != _OVERTAKEN)


def check_limits(run: str, own: Records, policy: Mapping[str, Any]) -> None:
    """A release gate that is open says of every limit of the policy that it holds.

    Raises:
        TamperedError: a limit was left out.
    """
    gate = own.get(Stage.RELEASE_GATE)
    if gate is None or gate.body["referee"]["status"] != Status.PASS:
        return
    rules = [f["rule"].split(":") for f in gate.body["referee"]["findings"]]
    judged = {parts[1] for parts in rules if parts[0] == "limit" and len(parts) > 1}
    for limit in policy["release_gate"]["limits"]:
        if limit["id"] not in judged:
            what = f"it is open and says nothing of limit {limit['id']}"
            raise TamperedError(entry_of(run, gate), what)
