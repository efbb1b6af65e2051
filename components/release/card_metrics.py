"""The section on metrics of everybody, and CHAI's key metrics with what they are held against."""

from __future__ import annotations

from components.checks.measurement import Measurement, Status
from components.contract.policy import Limit, Metric
from components.contract.stages import Stage
from components.release.card_masking import shown_count, shown_interval, shown_number, shown_value
from components.release.card_parts import Block, Column, Field, Fields, Kind, Section, Table
from components.release.card_source import CardSource
from components.release.card_statements import known

_MEANINGS = {
    Metric.ROC_AUC: (
        "ROC AUC",
        "chance that a positive ranks above a negative; 1 is best, 0.5 a guess",
    ),
    Metric.AVERAGE_PRECISION: (
        "Average precision",
        "precision averaged over recall; 1 is best, the share of positives a guess",
    ),
    Metric.BRIER: ("Brier score", "mean squared distance of score and label; 0 is best"),
    Metric.CALIBRATION_ERROR: (
        "Calibration error",
        "expected calibration error over ten bins; 0 is best",
    ),
    Metric.CALIBRATION_BIAS: (
        "Calibration bias",
        "mean score less share of positives; above 0 risk is overstated",
    ),
    Metric.SELECTION_RATE: ("Selection rate", "selected of all"),
    Metric.TPR: ("True positive rate", "selected of positives"),
    Metric.FPR: ("False positive rate", "selected of negatives"),
    Metric.PPV: ("Positive predictive value", "positives of selected"),
}

_SKEW = {
    "transform": ("Features, stack and referee", "std", Stage.TRANSFORM),
    "skew:features": ("Features, training and serving", "std", Stage.RELEASE_GATE),
    "skew:score": ("Scores, training and serving", "", Stage.RELEASE_GATE),
    "serving": ("Scores, judged and served", "", Stage.SCORE),
}


def metric_title(metric: Metric) -> str:
    """A metric in words; that of a comparison names what it compares."""
    words = _MEANINGS[metric.of_group][0]
    if metric.is_difference:
        return f"{words}, largest difference"
    return f"{words}, smallest ratio" if metric.is_ratio else words


def rule_of(limit: Limit) -> str:
    """What a limit requires, as ``ROC AUC at least 0.7``; of a change, against the champion."""
    bound = (
        f"at least {limit.at_least:g}"
        if limit.at_least is not None
        else f"at most {limit.at_most:g}"
    )
    words = metric_title(limit.metric)
    if limit.champion is not None:
        words = f"{limit.champion.change} change against the champion: {words}"
    where = "" if not limit.slice.attributes else f" of {limit.slice.name}"
    return f"{words}{where} {bound}"


def metrics(source: CardSource) -> Section:
    """CHAI: key metrics; with every figure of everybody."""
    confidence = f"{source.policy.release_gate.confidence:.0%}"
    blocks: tuple[Block, ...] = (
        _overall(source, confidence),
        _usefulness(source),
        _fairness(source),
        _safety(source),
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
    for metric, (words, meaning) in _MEANINGS.items():
        found = source.measured(metric)
        if found is None:
            continue
        theirs = native.get((found.name, found.slice))
        rows.append(
            (
                words,
                meaning,
                shown_value(found),
                shown_interval(found),
                shown_count(found.n),
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


def _testing(source: CardSource) -> tuple[Field, ...]:
    """What CHAI asks of each key metric's test; the evaluation is the same for all three."""
    rows = source.measured(Metric.SELECTION_RATE)
    size = f"{shown_count(rows.n)} rows of" if rows else "Rows of"
    return (
        Field("Test type", "Internal: the same source as the training data, other people."),
        Field(
            "Testing data",
            f"{size} the evaluation split, cut by person with a salted hash of the entity.",
        ),
        Field(
            "Validation process",
            "The stack's own tools and the referee measured the same scores apart from each other "
            f"and may differ by at most {source.policy.release_gate.agreement:g}; each limit and "
            "its grounds are under Limits.",
        ),
    )


def _held(source: CardSource, limits: list[Limit]) -> str:
    """How many limits hold, by the referee."""
    if source.gate is None:
        return "Not judged: the run did not reach the release gate."
    judged = source.findings(Stage.RELEASE_GATE, "referee")
    good = 0
    for limit in limits:
        mine = [f for f in judged if f.rule == limit.rule or f.rule.startswith(f"{limit.rule}:")]
        good += bool(mine) and all(f.status is Status.PASS for f in mine)
    return f"{good} of {len(limits)} limits hold."


def _goals(limits: list[Limit]) -> str:
    return "; ".join(rule_of(x) for x in limits) or "none: the policy sets no limit"


def _limits(source: CardSource, *, of_groups: bool) -> list[Limit]:
    limits = source.policy.release_gate.limits
    return [x for x in limits if bool(x.slice.attributes) == of_groups]


def _summary(found: list[Measurement]) -> str:
    words = [
        f"{metric_title(Metric(m.name))}{'' if m.slice == 'overall' else f' of {m.slice}'} "
        f"{shown_value(m)} {shown_interval(m)}".strip()
        for m in found
    ]
    return "; ".join(words) or "none: the run did not reach the release gate"


def _usefulness(source: CardSource) -> Fields:
    limits = _limits(source, of_groups=False)
    wanted = (Metric.ROC_AUC, Metric.AVERAGE_PRECISION, Metric.TPR, Metric.PPV)
    found = [m for x in wanted if (m := source.measured(x)) is not None]
    items = (
        Field("Goal", _goals(limits)),
        Field("Result", _summary(found)),
        known(source.policy, "usefulness_interpretation", "Interpretation", _held(source, limits)),
    )
    return Fields((*items, *_testing(source)), "Key metric: usefulness, usability and efficacy")


def _fairness(source: CardSource) -> Fields:
    limits = _limits(source, of_groups=True)
    keys = dict.fromkeys(
        (str(x.metric), x.slice.name) for x in limits if x.metric.compares_groups and not x.champion
    )
    found = [m for name, where in keys if (m := source.measured(name, where)) is not None]
    items = (
        Field("Goal", _goals(limits)),
        Field("Result", _summary(found)),
        known(source.policy, "fairness_interpretation", "Interpretation", _held(source, limits)),
    )
    return Fields((*items, *_testing(source)), "Key metric: fairness and equity")


def _safety(source: CardSource) -> Fields:
    rules = source.policy.release_gate
    goal = (
        f"Serving scores differ from those judged by at most {rules.serving_tolerance:g}; features "
        f"by at most {rules.transform_tolerance:g} standard deviations; native tools and referee "
        f"by at most {rules.agreement:g}"
    )
    found = [m for x in (Metric.BRIER, Metric.CALIBRATION_ERROR) if (m := source.measured(x))]
    items = (
        Field("Goal", goal),
        Field("Result", f"{_summary(found)}; see Reliability"),
        known(source.policy, "safety_interpretation", "Interpretation", ""),
    )
    return Fields((*items, *_testing(source)), "Key metric: safety and reliability")


def _reliability(source: CardSource) -> Table:
    rules = source.policy.release_gate
    rows: list[tuple[str, ...]] = []
    for rule, (words, unit, stage) in _SKEW.items():
        most = rules.transform_tolerance if unit else rules.serving_tolerance
        for finding in source.findings(stage, "referee"):
            if finding.rule == rule:
                measured = finding.measurement
                value = f"{measured.value:.2g} {unit}".strip() if measured else "not measured"
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
    values = [f.measurement.value for f in found if f.measurement is not None]
    value = shown_number(max(values, default=float("nan")))
    words = f"Metrics, native tools and referee ({len(found)} figures)"
    return [(words, value, f"{source.policy.release_gate.agreement:g}", str(worst))]
