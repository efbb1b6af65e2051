"""The section on limits: what each asks, what came of it, and what two people excused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from components.checks.measurement import Finding, Status
from components.contract.policy import Limit
from components.contract.stages import Stage
from components.release.card_masking import shown_value
from components.release.card_parts import Block, Column, Field, Fields, Kind, Section, Table
from components.release.card_source import CardSource
from components.release.card_status import closed_findings, shown_time
from components.release.card_words import rule_of

_MOST_SHOWN = 60

_TESTED = {"point": "the figure", "worst_bound": "the worse end of the interval"}


def gates(source: CardSource) -> Section:
    """Every limit, what closed a gate, and the waiver where there is one."""
    blocks: tuple[Block, ...] = (
        _limit_table(source),
        _grounds(source),
        _closed(source),
        _waiver(source),
    )
    return Section("limits", "Limits, verdicts and waivers", blocks)


def _limit_table(source: CardSource) -> Table:
    rows = [
        row for limit in source.policy.release_gate.limits for row in _limit_rows(source, limit)
    ]
    return Table(
        "Limits of the release gate",
        (
            Column("Limit", width=4),
            Column("Requires", width=4),
            Column("Tested on", width=2),
            Column("Cases needed", Kind.NUMBER, 1),
            Column("Figure", Kind.NUMBER, 4),
            Column("Cases", Kind.NUMBER, 1),
            Column("Referee", Kind.STATUS, 3),
            Column("Native", Kind.STATUS, 3),
        ),
        tuple(rows),
        note="A limit that holds for every group has a row for each. The gate opens only where "
        "both sides say PASS.",
    )


def _limit_rows(source: CardSource, limit: Limit) -> Iterator[tuple[str, ...]]:
    native = {f.rule: f for f in _of_limit(source, limit, "native")}
    judged = _of_limit(source, limit, "referee")
    head = (limit.id, rule_of(limit), _TESTED[limit.tested_on], f"{limit.min_n:,}")
    if not judged:
        yield (*head, "not measured", "", "not run", "not run")
    for finding in judged:
        m, theirs = finding.measurement, native.get(finding.rule)
        # Of every group in turn: the row says which.
        group = f" {source.masking.group(m)}:" if m and finding.rule != limit.rule else ""
        absent = "no champion" if limit.champion is not None else "not measured"
        value = f"{group} {shown_value(m)} {source.masking.interval(m)}".strip() if m else absent
        yield (
            *head,
            value,
            source.masking.count(m) if m else "",
            str(finding.status),
            str(theirs.status) if theirs else "no verdict",
        )


def _of_limit(source: CardSource, limit: Limit, side: str) -> list[Finding]:
    if source.gate is None:
        return []
    found = source.findings(Stage.RELEASE_GATE, side)
    return [f for f in found if f.rule == limit.rule or f.rule.startswith(f"{limit.rule}:")]


def _grounds(source: CardSource) -> Table:
    policy = source.policy
    rows = [(limit.id, limit.grounds) for limit in policy.release_gate.limits]
    leak = policy.leak_check
    rows.append((f"AUC of one column alone at most {leak.at_most:g}", leak.grounds))
    for limit in policy.release_gate.limits:
        if limit.champion is not None and limit.champion.none_yet is not None:
            rows.append((f"{limit.id}, without a champion", limit.champion.none_yet))
    return Table(
        "Grounds of the limits",
        (Column("Limit", width=2), Column("Grounds", width=7)),
        tuple(rows),
    )


def _closed(source: CardSource) -> Table:
    found = list(closed_findings(source))
    rows = [
        (
            stage.replace("_", " "),
            "native tools" if side == "native" else side,
            source.masking.text(finding.rule),
            str(finding.status),
            source.masking.reason(finding),
        )
        for stage, side, finding in found[:_MOST_SHOWN]
    ]
    more = len(found) - _MOST_SHOWN
    return Table(
        "What closed a gate",
        (
            Column("Stage", width=2),
            Column("Side", width=2),
            Column("Rule", width=4),
            Column("Status", Kind.STATUS, 3),
            Column("Reason", width=6),
        ),
        tuple(rows),
        note=f"{more:,} more are in the evidence." if more > 0 else "",
        empty="Nothing: every rule of every stage that ran holds.",
    )


def _waiver(source: CardSource) -> Table | Fields:
    waiver = source.run.waiver
    if waiver is None:
        empty = "None: nobody excused a closed gate."
        return Table("Waiver", (Column("Waiver"),), (), empty=empty)
    items = (
        Field("Signed by", str(waiver["signer"])),
        Field("Co-signed by", str(waiver["cosigner"])),
        Field("Reason", str(waiver["reason"])),
        Field("Holds until", f"{waiver['expires']}, the end of the day in UTC"),
        *_optional(source, waiver),
        Field("Waiver, SHA-256", str(waiver["sha256"]), kind=Kind.CODE),
    )
    note = "Two people whom the policy names excused what closed the release gate of this model."
    return Fields(items, "Waiver", note)


def _optional(source: CardSource, waiver: dict[str, Any]) -> Iterator[Field]:
    if "at" in waiver:
        yield Field("Signed on", shown_time(str(waiver["at"])))
    findings = waiver.get("findings")
    if isinstance(findings, list) and findings:
        excused = "; ".join(f"{rule} ({status})" for rule, status in findings)
        yield Field("Excuses", source.masking.text(excused))


def verdict_counts(findings: tuple[Finding, ...]) -> str:
    """How many rules passed, failed and could not be judged."""
    counts = {s: sum(f.status is s for f in findings) for s in Status}
    return ", ".join(f"{n:,} {status}" for status, n in counts.items() if n) or "no rule"
