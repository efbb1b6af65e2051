"""CHAI's three key metrics: what is asked, what came of it, and how it was tested."""

from __future__ import annotations

from components.checks.measurement import Measurement, Status
from components.contract.policy import Limit, Metric
from components.contract.stages import Stage
from components.release.card_masking import shown_value
from components.release.card_parts import Field, Fields
from components.release.card_source import CardSource
from components.release.card_statements import known
from components.release.card_words import metric_title, rule_of


def key_metrics(source: CardSource) -> tuple[Fields, ...]:
    """Usefulness, fairness and safety."""
    return _usefulness(source), _fairness(source), _safety(source)


def _testing(source: CardSource) -> tuple[Field, ...]:
    """What CHAI asks of each key metric's test; the evaluation is the same for all three."""
    rows = source.measured(Metric.SELECTION_RATE)
    size = f"{source.masking.count(rows)} rows of" if rows else "Rows of"
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


def _summary(source: CardSource, found: list[Measurement]) -> str:
    words = [
        f"{metric_title(Metric(m.name))}{'' if m.slice == 'overall' else f' of {m.slice}'} "
        f"{shown_value(m)} {source.masking.interval(m)}".strip()
        for m in found
    ]
    return "; ".join(words) or "none: the run did not reach the release gate"


def _usefulness(source: CardSource) -> Fields:
    limits = _limits(source, of_groups=False)
    wanted = (Metric.ROC_AUC, Metric.AVERAGE_PRECISION, Metric.TPR, Metric.PPV)
    found = [m for x in wanted if (m := source.measured(x)) is not None]
    items = (
        Field("Goal", _goals(limits)),
        Field("Result", _summary(source, found)),
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
        Field("Result", _summary(source, found)),
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
        Field("Result", f"{_summary(source, found)}; see Reliability"),
        known(source.policy, "safety_interpretation", "Interpretation", ""),
    )
    return Fields((*items, *_testing(source)), "Key metric: safety and reliability")
