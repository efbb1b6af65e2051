"""The card's first two sections: what was decided, and what is being talked about."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from components.checks.measurement import Finding, Status
from components.contract.policy import Metric
from components.contract.stages import Stage
from components.release.card_masking import shown_value
from components.release.card_parts import Column, Field, Fields, Kind, Origin, Section, Table
from components.release.card_source import CardSource
from components.release.card_statements import known, stated

_SIDES = ("native", "referee")


def shown_time(text: str) -> str:
    """A record's time, to the second."""
    return datetime.fromisoformat(text).strftime("%Y-%m-%d %H:%M:%S UTC")


def title(source: CardSource) -> str:
    """Name of the card: what the policy calls the model, else dataset and candidate."""
    return source.policy.model_card.get(
        "model_name", f"{source.contract.name} {source.candidate.name}"
    )


def status(source: CardSource) -> str:
    """The outcome, with what is not to be overlooked about it."""
    outcome = source.run.outcome
    if outcome == "released" and source.run.waiver is not None:
        return f"{outcome}, waived"
    return f"{outcome}, {source.kind}" if source.kind == "rollback" else outcome


def headline(source: CardSource) -> str:
    """One sentence on what was decided and why."""
    run = source.run
    if run.outcome == "interrupted":
        return "The run was interrupted: nothing was released."
    if run.closing is None:
        return "The run is not closed: nothing has been decided."
    if run.outcome != "released":
        return _blocked(source)
    if source.kind == "rollback":
        return f"Released again, a rollback to the model that run {run.continues} trained."
    if run.waiver is not None:
        return (
            f"Released under a waiver: {run.waiver['signer']} and {run.waiver['cosigner']} excused "
            f"what closed the release gate, until {run.waiver['expires']}."
        )
    return "Released: every stage ran and every gate is open."


def _blocked(source: CardSource) -> str:
    closed = [r for r in source.run.own.values() if not _is_open(r.body)]
    where = closed[0].stage.replace("_", " ") if closed else "a stage"
    rules = len({f.rule for _, _, f in closed_findings(source)})
    return f"Blocked at {where}: {rules} {'rule' if rules == 1 else 'rules'} did not pass."


def _is_open(body: dict[str, object]) -> bool:
    verdict = body.get("verdict")
    return not isinstance(verdict, dict) or verdict["status"] == Status.PASS


def closed_findings(source: CardSource) -> Iterator[tuple[Stage, str, Finding]]:
    """Every finding of the run itself that is not PASS, with its stage and its side."""
    for stage in Stage:
        if stage not in source.run.own:
            continue
        for side in _SIDES:
            for finding in source.findings(stage, side):
                if finding.status is not Status.PASS:
                    yield stage, side, finding


def decided(source: CardSource) -> Section:
    """What was decided, the figures that a reader looks for first, and the stages."""
    run, closing = source.run, source.run.closing
    items = [
        Field("Outcome", run.outcome, kind=Kind.STATUS),
        Field("Kind of release", source.kind or "none: nothing was released"),
        Field("Decided", shown_time(closing.body["finished"]) if closing else "not yet"),
        Field("Actor", str(run.first.body["actor"])),
    ]
    if run.continues:
        items.append(Field("Continues run", run.continues, kind=Kind.CODE))
        reason = run.own[Stage.RELEASE_GATE].body["facts"]["reason"]
        items.append(Field("Reason given", source.masking.text(str(reason))))
    if source.history:
        before = source.history[-1]
        items.append(Field("Release before", f"number {before.number}, run {before.run}"))
    else:
        items.append(Field("Release before", "none: no release stood"))
    items += _first_figures(source)
    return Section("decision", "What was decided", (Fields(tuple(items)), _stages(source)))


def _first_figures(source: CardSource) -> Iterator[Field]:
    if source.gate is None:
        yield Field("Figures", "none: the run did not reach the release gate", Origin.EVIDENCE)
        return
    auc = source.measured(Metric.ROC_AUC)
    if auc is not None:
        yield Field("ROC AUC", f"{shown_value(auc)} {source.masking.interval(auc)}")
    for column in source.contract.protected:
        gap = source.measured(Metric.TPR_DIFFERENCE, column.name)
        if gap is not None:
            value = f"{shown_value(gap)} {source.masking.interval(gap)}"
            yield Field(f"Equal opportunity difference, {column.name}", value)


def _stages(source: CardSource) -> Table:
    columns = (
        Column("Stage"),
        Column("Verdict", Kind.STATUS),
        Column("Native tools", Kind.STATUS),
        Column("Referee", Kind.STATUS),
        Column("Finished", width=3),
        Column("Run", width=4),
    )
    return Table(
        "Stages",
        columns,
        tuple(_stage_row(source, s) for s in Stage),
        note="A gate opens only where the stack's own tools and the referee, which computes every "
        "figure again from the same bytes, both say PASS.",
    )


def _stage_row(source: CardSource, stage: Stage) -> tuple[str, ...]:
    run = source.run
    taken_over = run.continues and stage not in run.own
    record = run.stage(stage)
    again = stage in (Stage.RELEASE_GATE, Stage.PUSH, Stage.SCORE)
    if record is None or (taken_over and again):
        return (stage.replace("_", " "), "not run", "", "", "", "")
    body = record.body
    sides = [body[s]["status"] if body[s] else "no check" for s in _SIDES]
    verdict = body["verdict"]["status"]
    if stage is Stage.RELEASE_GATE and run.waiver is not None and verdict != Status.PASS:
        verdict = f"{verdict}, waived"
    who = run.continues if taken_over else "this run"
    return (stage.replace("_", " "), verdict, *sides, shown_time(body["finished"]), who)


def release_information(source: CardSource) -> Section:
    """CHAI: basic information, release information and model summary."""
    policy, run = source.policy, source.run
    closing = run.closing
    released = closing is not None and run.outcome == "released"
    date = closing.body["finished"][:10] if released and closing else "none: not released"
    model = source.model or "unknown: no model was trained"
    basic = (
        Field(
            "Name",
            title(source),
            Origin.BOTH if "model_name" in policy.model_card else Origin.EVIDENCE,
        ),
        stated(policy, "developer", "Developer"),
        stated(policy, "developer_contact", "Developer's contact"),
        stated(policy, "release_stage", "Release stage"),
        Field("Release date", date),
        stated(policy, "version", "Version"),
        stated(policy, "global_availability", "Global availability"),
        stated(policy, "ehr_compatibility", "Health record compatibility"),
        stated(policy, "regulatory_approval", "Regulatory approval"),
        stated(policy, "license", "Licence"),
        known(policy, "summary", "Summary", source.described.purpose),
        known(policy, "keywords", "Keywords", ""),
    )
    identity = (
        Field("Dataset", f"{source.contract.name}, contract version {source.contract.version}"),
        Field("Stack", str(run.first.body["stack"])),
        Field("Candidate", source.candidate.name),
        Field("Run", run.run_id, kind=Kind.CODE),
        Field("Model, SHA-256", model, kind=Kind.CODE if source.model else Kind.TEXT),
        Field("Evidence head", run.last.digest, kind=Kind.CODE),
    )
    return Section(
        "release",
        "Basic and release information",
        (Fields(basic), Fields(identity, "Identity")),
    )
