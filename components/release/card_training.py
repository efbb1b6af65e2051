"""The section on the model: what it is, how it was trained, and what was done against bias."""

from __future__ import annotations

from collections.abc import Iterator

from components.contract.features import model_inputs
from components.contract.policy import Mitigation
from components.contract.stages import Stage
from components.release.card_parts import Field, Fields, Origin, Section
from components.release.card_source import CardSource
from components.release.card_statements import known, stated

_MITIGATIONS = {
    Mitigation.NONE: "None.",
    Mitigation.REWEIGHING: "Reweighing: training rows are weighted so that label and group are "
    "independent (Kamiran and Calders, 2012).",
    Mitigation.OPPORTUNITY_PENALTY: "Opportunity penalty: the loss is raised where groups of "
    "positives get different scores.",
}


def training(source: CardSource) -> Section:
    """CHAI: AI system facts; and the training as the policy sets it."""
    policy = source.policy
    inputs = len(model_inputs(source.contract, source.candidate))
    facts = (
        known(policy, "outcome_and_output", "Outcome and output", _output(source)),
        known(policy, "model_type", "Model type", _network(source)),
        stated(policy, "foundation_models", "Foundation models used"),
        known(
            policy,
            "data_types",
            "Output and input data types",
            f"Input: {inputs} columns of a table, numbers and categories. Output: one number.",
        ),
        known(policy, "bias_mitigation", "Bias mitigation approaches", _mitigation(source)),
        stated(policy, "maintenance", "Ongoing maintenance"),
        known(policy, "security", "Security and compliance", ""),
    )
    blocks = (Fields(facts), Fields(tuple(_budget(source)), "Training"))
    return Section("model", "Model and training", blocks)


def _output(source: CardSource) -> str:
    label = source.contract.label
    return (
        f"Binary classification: a score in [0, 1] for {label.name} = {label.positive}, and a "
        f"selection where the score is at or above {source.policy.decision_threshold:g}."
    )


def _network(source: CardSource) -> str:
    if source.run.stage(Stage.TRAIN) is None:
        return ""
    layers = ", ".join(str(width) for width in source.policy.training.hidden)
    return f"As the policy sets it, a feed-forward network with hidden layers of {layers} units."


def _mitigation(source: CardSource) -> str:
    candidate = source.candidate
    text = _MITIGATIONS[candidate.mitigation]
    if candidate.mitigate_by:
        text += f" Over the groups of {', '.join(candidate.mitigate_by)}."
    if candidate.penalty_strength:
        text += f" Strength {candidate.penalty_strength:g}."
    return text


def _budget(source: CardSource) -> Iterator[Field]:
    yield Field(
        "Candidate", f"{source.candidate.name}: {source.candidate.description}", Origin.POLICY
    )
    t = source.policy.training
    yield Field("Decision threshold", f"{source.policy.decision_threshold:g}", Origin.POLICY)
    for name, value in (
        ("Seed", str(t.seed)),
        ("Epochs", str(t.epochs)),
        ("Batch size", str(t.batch_size)),
        ("Learning rate", f"{t.learning_rate:g}"),
        ("Weight decay", f"{t.weight_decay:g}"),
        ("Dropout", f"{t.dropout:g}"),
        ("Fewest rows of a category", str(t.min_category_count)),
    ):
        yield Field(name, value, Origin.POLICY)
    record = source.run.stage(Stage.TRAIN)
    parameters = record.body["facts"].get("parameters") if record is not None else None
    if isinstance(parameters, int):
        yield Field("Parameters of the network", f"{parameters:,}")
