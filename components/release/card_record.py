"""The closing sections: transparency and resources, evidence and digests, other statements."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata

from components.contract.stages import Stage
from components.lineage.evidence import EvidenceRecord
from components.release.card_gates import verdict_counts
from components.release.card_masking import Masking
from components.release.card_parts import Column, Field, Fields, Kind, Section, Table
from components.release.card_source import CardSource
from components.release.card_statements import other_statements, stated
from components.release.card_status import shown_time

_TRANSPARENCY = (
    ("transparency", "Transparency"),
    ("funding", "Funding source"),
    ("third_party", "Third-party information"),
    ("stakeholders", "Stakeholders consulted"),
)
_RESOURCES = (
    ("evaluation_references", "Evaluation references"),
    ("clinical_trial", "Clinical trial"),
    ("publications", "Peer reviewed publications"),
    ("reimbursement", "Reimbursement status"),
    ("patient_consent", "Patient consent or disclosure"),
    ("bibliography", "Bibliography"),
)


def transparency(source: CardSource) -> Section:
    """CHAI: transparency information and resources."""
    policy = source.policy
    blocks = (
        Fields(tuple(stated(policy, k, n) for k, n in _TRANSPARENCY), "Transparency"),
        Fields(tuple(stated(policy, k, n) for k, n in _RESOURCES), "Resources"),
    )
    return Section("transparency", "Transparency and resources", blocks)


def evidence(source: CardSource) -> Section:
    """Every digest that the card rests on, and the tools that made what they name."""
    run, inputs = source.run, source.run.inputs
    first, last = run.first, run.last
    bound = (
        Field("Evidence head", last.digest, kind=Kind.CODE),
        Field("Contract, SHA-256", inputs["contract"], kind=Kind.CODE),
        Field("Policy", source.policy.name),
        Field("Policy, SHA-256", inputs["policy"], kind=Kind.CODE),
        Field("Code", inputs["code"], kind=Kind.CODE),
        Field("Environment, SHA-256", inputs["environment"], kind=Kind.CODE),
        Field("Began", shown_time(_began(first))),
        Field("Last record", shown_time(last.body["finished"])),
        Field("Card made by", f"Assay {metadata.version('assay')}, from the evidence alone"),
    )
    return Section(
        "evidence",
        "Evidence and digests",
        (Fields(bound), _records(source), _artifacts(source), _tools(source)),
        note="Each stage left one record, and each record holds the digest of the one before: the "
        "head names them all.",
    )


def _began(first: EvidenceRecord) -> str:
    return str(first.body.get("started") or first.body["finished"])


def _all_records(source: CardSource) -> Iterator[EvidenceRecord]:
    """The records that tell of the model: those of training first where another run did it."""
    if source.run.continues:
        yield from source.run.origin.values()
    yield from source.run.own.values()


def _records(source: CardSource) -> Table:
    rows = []
    for record in _all_records(source):
        counts = ""
        if record.stage in set(Stage):
            sides = [
                f"{side} {verdict_counts(source.findings(Stage(record.stage), side))}"
                for side in ("native", "referee")
                if record.body[side] and record is source.run.stage(Stage(record.stage))
            ]
            counts = "; ".join(sides)
        rows.append((record.stage.replace("_", " "), counts, record.digest))
    return Table(
        "Records",
        (Column("Stage", width=2), Column("Rules", width=4), Column("SHA-256", Kind.CODE, 7)),
        tuple(rows),
    )


def _artifacts(source: CardSource) -> Table:
    masking = source.masking
    return Table(
        "Artifacts",
        (Column("Stage", width=2), Column("Artifact", width=4), Column("SHA-256", Kind.CODE, 7)),
        tuple(_artifact_rows(source, masking)),
    )


def _artifact_rows(source: CardSource, masking: Masking) -> Iterator[tuple[str, ...]]:
    for record in _all_records(source):
        for name, held in sorted(record.body.get("outputs", {}).items()):
            yield (record.stage.replace("_", " "), masking.text(name), held["sha256"])


def _tools(source: CardSource) -> Table:
    tools = {k: v for r in _all_records(source) for k, v in r.body.get("tools", {}).items()}
    return Table(
        "Tools",
        (Column("Tool"), Column("Version")),
        tuple((name, str(version)) for name, version in sorted(tools.items())),
    )


def other(source: CardSource) -> Section | None:
    """What the policy states under keys of its own; None where it states nothing more."""
    found = other_statements(source.policy)
    if not found:
        return None
    return Section("other", "Other statements of the policy", (Fields(found),))
