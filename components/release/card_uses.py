"""The sections on use: what the model is for, and what to beware of."""

from __future__ import annotations

from collections.abc import Iterator

from components.checks.measurement import Status
from components.contract.policy import Metric
from components.contract.stages import Stage
from components.release.card_masking import FEWEST_SHOWN, HIDDEN
from components.release.card_parts import Column, Field, Fields, Kind, Origin, Section, Table
from components.release.card_source import CardSource
from components.release.card_statements import known, stated
from components.release.card_status import closed_findings
from components.release.card_words import metric_title

_MOST_NAMED = 30
_NAMES = {str(m) for m in Metric}


def uses(source: CardSource) -> Section:
    """CHAI: uses and directions."""
    policy = source.policy
    label = source.contract.label
    output = (
        "A score in [0, 1]; the model selects where it is at or above "
        f"{policy.decision_threshold:g}. A high score speaks for {label.name} = {label.positive}."
    )
    items = (
        Field("Purpose under this policy", policy.purpose, Origin.POLICY),
        stated(policy, "intended_use", "Intended use and workflow"),
        stated(policy, "intended_users", "Primary intended users"),
        known(policy, "how_to_use", "How to use", output),
        stated(policy, "target_population", "Targeted patient population"),
        stated(policy, "out_of_scope", "Cautioned out-of-scope settings and use cases"),
        stated(policy, "decision_role", "Role in the decision"),
    )
    return Section("uses", "Uses and directions", (Fields(items),))


def warnings(source: CardSource) -> Section:
    """CHAI: warnings; and every limitation that the evidence itself shows."""
    policy = source.policy
    items = (
        stated(policy, "known_risks", "Known risks and limitations"),
        stated(policy, "known_biases", "Known biases or ethical considerations"),
        stated(policy, "clinical_risk_level", "Clinical risk level"),
        _of_contract(source),
    )
    found = Table(
        "Limitations that the evidence shows",
        (Column("Limitation", width=2), Column("What it means", width=5)),
        tuple(_limitations(source)),
        empty="The evidence shows none.",
    )
    return Section("warnings", "Warnings", (Fields(items), found, _small_groups(source)))


def _of_contract(source: CardSource) -> Field:
    words = source.described.limitations
    name = "Limitations of the data, by the contract"
    if words:
        return Field(name, words)
    return Field(name, "unknown: not stated in the contract", Origin.UNKNOWN)


def _limitations(source: CardSource) -> Iterator[tuple[str, str]]:
    run, policy = source.run, source.policy
    if run.waiver is not None:
        yield (
            "Released although a gate was closed",
            "Two people excused what closed the release gate; see Waiver.",
        )
    if policy.data_gate.first_release is not None:
        yield (
            "No baseline",
            f"Drift was not measured, as the policy declares a first release: "
            f"{policy.data_gate.first_release}",
        )
    if source.gate is not None:
        yield (
            "One source of data",
            "The figures come from people of the same source as the training data whom the model "
            "has not seen. The evidence holds no validation in data from elsewhere.",
        )
    yield from _unjudged(source)
    yield from _inexpressible(source)
    for column in source.contract.columns:
        if column.to_confirm:
            yield ("Unconfirmed contract", f"{column.name}: {column.to_confirm}")


def _unjudged(source: CardSource) -> Iterator[tuple[str, str]]:
    found = [x for x in closed_findings(source) if x[2].status is Status.INCONCLUSIVE]
    for stage, side, finding in found[:_MOST_NAMED]:
        reason = f"{stage.replace('_', ' ')}, {side}: {source.masking.reason(finding)}"
        yield (f"Could not be judged: {source.masking.text(finding.rule)}", reason)
    if (more := len(found) - _MOST_NAMED) > 0:
        yield ("Could not be judged: others", f"{more:,} more findings are in the evidence.")


def _inexpressible(source: CardSource) -> Iterator[tuple[str, str]]:
    for stage in Stage:
        record = source.run.stage(stage)
        count = record.body["facts"].get("notExpressible") if record is not None else None
        if isinstance(count, int) and count > 0:
            yield (
                f"Judged by the referee alone at {stage.replace('_', ' ')}",
                f"The native tools cannot express {count} of the rules; the referee judged them.",
            )


def _small_groups(source: CardSource) -> Table:
    """Groups whose figures are hidden or rest on fewer cases than a limit asks for."""
    least: dict[tuple[str, str], int] = {}
    for limit in source.policy.release_gate.limits:
        of = limit.slice.name if not limit.slice.groups else ""
        asked = (of, str(limit.metric.of_group))
        least[asked] = max(least.get(asked, 0), limit.min_n)
    found: dict[tuple[str, str, str], list[str]] = {}
    for m in source.measurements:
        if not m.of or m.name not in _NAMES:
            continue
        wanted = least.get((m.of, m.name), 0)
        if m.n < max(wanted, FEWEST_SHOWN):
            key = (
                source.masking.group(m),
                source.masking.count(m),
                f"{wanted:,}" if wanted else "",
            )
            found.setdefault(key, []).append(metric_title(Metric(m.name)))
    return Table(
        "Small groups",
        (
            Column("Group", width=4),
            Column("Metrics", width=5),
            Column("Cases", Kind.NUMBER, 1),
            Column("Cases that a limit asks for", Kind.NUMBER, 2),
        ),
        tuple((group, ", ".join(names), n, needs) for (group, n, needs), names in found.items()),
        note="Groups with no case, with fewer than a limit asks for, or whose cases are "
        f"{HIDDEN} as they would tell of 1 to 10 people. Nothing can be concluded of them from "
        "this card.",
        empty="Every group that was measured has at least 11 cases, and as many as the limits ask.",
    )
