"""The optional section on the 31 source attributes of predictive decision support interventions.

They stand in 45 CFR 170.315(b)(11)(iv)(B), which the HTI-1 rule of the United States' Office of the
National Coordinator for Health Information Technology brought in. The numbers here count them in
the rule's order, (1)(i) to (9)(ii).
"""

from __future__ import annotations

from collections.abc import Callable

from components.contract.policy import Metric
from components.release.card_masking import shown_value
from components.release.card_parts import Field, Fields, Section
from components.release.card_source import CardSource
from components.release.card_statements import known, stated

Fact = Callable[[CardSource], str]


def _purpose(source: CardSource) -> str:
    return source.policy.purpose


def _output(source: CardSource) -> str:
    label = source.contract.label
    return (
        f"A score in [0, 1] for {label.name} = {label.positive}, and a selection where it is at or "
        f"above {source.policy.decision_threshold:g}."
    )


def _output_type(_: CardSource) -> str:
    return "Prediction, and at the threshold a classification."


def _variables(source: CardSource) -> str:
    protected = ", ".join(c.name for c in source.contract.protected)
    seen = ", ".join(source.candidate.protected_features) or "none"
    return f"Protected columns of the contract: {protected}. Of these the model sees: {seen}."


def _criteria(source: CardSource) -> str:
    return source.described.limitations


def _fairness_approach(source: CardSource) -> str:
    limits = [x for x in source.policy.release_gate.limits if x.slice.attributes]
    return f"{len(limits)} limits on groups, each with its grounds; see Limits."


def _mitigation(source: CardSource) -> str:
    by = ", ".join(source.candidate.mitigate_by)
    name = source.candidate.mitigation.replace("_", " ")
    return f"In training: {name}{f' over the groups of {by}' if by else ''}."


def _validity(source: CardSource) -> str:
    found = source.measured(Metric.ROC_AUC)
    if found is None:
        return "Not measured: the run did not reach the release gate."
    return f"ROC AUC {shown_value(found)} {source.masking.interval(found)}; see Metrics."


def _fairness(source: CardSource) -> str:
    gaps = [
        f"{c.name} {shown_value(m)} {source.masking.interval(m)}".strip()
        for c in source.contract.protected
        if (m := source.measured(Metric.TPR_DIFFERENCE, c.name)) is not None
    ]
    if not gaps:
        return "Not measured: the run did not reach the release gate."
    return f"Equal opportunity difference: {'; '.join(gaps)}. See Metrics by group."


_ATTRIBUTES: tuple[tuple[str, tuple[tuple[str, str, Fact | None], ...]], ...] = (
    (
        "Details and output of the intervention",
        (
            ("Developer's name and contact", "developer", None),
            ("Funding source of the technical implementation", "funding", None),
            ("Value that is produced as an output", "outcome_and_output", _output),
            ("Type of output", "data_types", _output_type),
        ),
    ),
    (
        "Purpose of the intervention",
        (
            ("Intended use", "intended_use", _purpose),
            ("Intended patient population", "target_population", None),
            ("Intended users", "intended_users", None),
            ("Intended role in decisions", "decision_role", None),
        ),
    ),
    (
        "Cautioned out-of-scope use of the intervention",
        (
            ("Tasks, situations or populations with a caution", "out_of_scope", None),
            ("Known risks, inappropriate settings and uses, limitations", "known_risks", None),
        ),
    ),
    (
        "Development of the intervention and its input features",
        (
            (
                "Exclusion and inclusion criteria of the training data",
                "inclusion_criteria",
                _criteria,
            ),
            ("Use of the variables of (A)(5) to (13) as inputs", "protected_variables", _variables),
            ("Demographic representativeness by these variables", "representativeness", None),
            ("Relevance of the training data to the setting", "relevance_to_setting", None),
        ),
    ),
    (
        "Process to ensure fairness in development",
        (
            ("Approach to make the output fair", "fairness_approach", _fairness_approach),
            ("Approaches to manage, reduce or eliminate bias", "bias_mitigation", _mitigation),
        ),
    ),
    (
        "External validation process",
        (
            ("Data source, setting or environment of it", "external_data", None),
            ("Party that conducted the external testing", "external_party", None),
            (
                "Demographic representativeness of the external data",
                "external_representativeness",
                None,
            ),
            ("External validation process", "external_process", None),
        ),
    ),
    (
        "Quantitative measures of performance",
        (
            ("Validity in test data of the same source", "usefulness_interpretation", _validity),
            ("Fairness in test data of the same source", "fairness_interpretation", _fairness),
            ("Validity in external data", "external_validity", None),
            ("Fairness in external data", "external_fairness", None),
            ("References to evaluations of the effect on outcomes", "outcome_evaluation", None),
        ),
    ),
    (
        "Ongoing maintenance of implementation and use",
        (
            ("Process and frequency of monitoring validity", "validity_monitoring", None),
            ("Validity in local data", "local_validity", None),
            ("Process and frequency of monitoring fairness", "fairness_monitoring", None),
            ("Fairness in local data", "local_fairness", None),
        ),
    ),
    (
        "Update and continued validation or fairness assessment schedule",
        (
            ("Process and frequency of updates", "update_process", None),
            ("Frequency of corrections where risks are found", "correction_frequency", None),
        ),
    ),
)


def source_attributes(source: CardSource) -> Section:
    """The 31 attributes, each with the fact that we have or that it is unknown."""
    number, blocks = 0, []
    for title, attributes in _ATTRIBUTES:
        items = []
        for name, key, fact in attributes:
            number += 1
            items.append(_attribute(source, f"{number}. {name}", key, fact))
        blocks.append(Fields(tuple(items), title))
    note = (
        "The attributes of 45 CFR 170.315(b)(11)(iv)(B) in the rule's order. They are shown for "
        "who has to fill them in; a card alone makes nothing conform to the rule."
    )
    return Section("onc", "Source attributes of a predictive intervention", tuple(blocks), note)


def _attribute(source: CardSource, name: str, key: str, fact: Fact | None) -> Field:
    if key == "developer":
        contact = source.policy.model_card.get("developer_contact", "")
        field = stated(source.policy, key, name)
        if contact and "developer" in source.policy.model_card:
            return Field(name, f"{field.value}; {contact}", field.origin)
        return field
    return known(source.policy, key, name, fact(source) if fact is not None else "")
