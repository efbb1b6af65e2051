"""The section on metrics of everybody, and CHAI's key metrics with what they are held against."""

from __future__ import annotations

from components.checks.measurement import Status
from components.contract.stages import Stage
from components.release.card_key_metrics import key_metrics
from components.release.card_masking import HIDDEN, shown_number, shown_value
from components.release.card_parts import Block, Column, Kind, Section, Table
from components.release.card_source import CardSource
from components.release.card_words import MEANINGS

_SKEW = {
    "transform": ("Features, stack and referee", "std", Stage.TRANSFORM),
    "skew:features": ("Features, training and serving", "std", Stage.RELEASE_GATE),
    "skew:score": ("Scores, training and serving", "", Stage.RELEASE_GATE),
    "serving": ("Scores, judged and served", "", Stage.SCORE),
}


def metrics(source: CardSource) -> Section:
    """CHAI: key metrics; with every figure of everybody."""
    confidence = f"{source.policy.release_gate.confidence:.0%}"
    blocks: tuple[Block, ...] = (
        _overall(source, confidence),
        *key_metrics(source),
        _reliability(source),
    )
    note = (
        f"Intervals are at {confidence}. Figures are the referee's, computed from the stored "
        "scores of the evaluation split: people whom the model has not seen."
    )
    return Section("metrics", "Metrics", blocks, note)


def _overall(source: CardSource, confidence: str) -> Table:
    native = {(m.name, m.slice): m for m in source.native}
    rows = []
    for metric, (words, meaning) in MEANINGS.items():
        found = source.measured(metric)
        if found is None:
            continue
        theirs = native.get((found.name, found.slice))
        rows.append(
            (
                words,
                meaning,
                shown_value(found),
                source.masking.interval(found),
                source.masking.count(found),
                shown_value(theirs) if theirs else "no figure",
            )
        )
    return Table(
        "Everybody",
        (
            Column("Metric", width=3),
            Column("Meaning", width=5),
            Column("Figure", Kind.NUMBER),
            Column(f"{confidence} interval", Kind.NUMBER, width=3),
            Column("Cases", Kind.NUMBER),
            Column("Native tools", Kind.NUMBER),
        ),
        tuple(rows),
        note="Cases are those behind a figure: positives for the true positive rate, negatives for "
        "the false positive rate, the rarer class for ROC AUC and average precision.",
        empty="None: the run did not reach the release gate.",
    )


def _reliability(source: CardSource) -> Table:
    rules = source.policy.release_gate
    rows: list[tuple[str, ...]] = []
    for rule, (words, unit, stage) in _SKEW.items():
        most = rules.transform_tolerance if unit else rules.serving_tolerance
        for finding in source.findings(stage, "referee"):
            if finding.rule == rule:
                measured = finding.measurement
                value = f"{measured.value:.2g} {unit}".strip() if measured else "not measured"
                if measured and measured.hidden:
                    value = HIDDEN
                rows.append((words, value, f"{most:g} {unit}".strip(), str(finding.status)))
    rows += _agreement(source)
    return Table(
        "Reliability: what two ways of computing the same thing gave",
        (
            Column("Largest difference of", width=4),
            Column("Figure", Kind.NUMBER),
            Column("At most", Kind.NUMBER),
            Column("Status", Kind.STATUS),
        ),
        tuple(rows),
        empty="None was compared.",
    )


def _agreement(source: CardSource) -> list[tuple[str, ...]]:
    """One row for all figures that the native tools and the referee both have."""
    found = [
        f
        for f in source.findings(Stage.RELEASE_GATE, "referee")
        if f.rule.partition(":")[0] == "agreement"
    ]
    if not found:
        return []
    # Closed first: the worst of them is the row's own status.
    order = (Status.FAIL, Status.INCONCLUSIVE, Status.PASS)
    worst = min((f.status for f in found), key=order.index)
    values = [f.measurement.value for f in found if f.measurement and not f.measurement.hidden]
    value = shown_number(max(values, default=float("nan")))
    words = f"Metrics, native tools and referee ({len(found)} figures)"
    return [(words, value, f"{source.policy.release_gate.agreement:g}", str(worst))]
