"""What only people know: the statements of a policy that a model card shows.

The key ``model_card`` of a policy holds them, each a text under a key of ``KEYS``. They follow the
applied model card of the Coalition for Health AI (schema 0.2) and, from ``decision_role`` on, the
source attributes of predictive decision support interventions, 45 CFR 170.315(b)(11)(iv)(B). A key
that is not among them is shown under "Other statements of the policy". ``profile: onc`` adds the
table of source attributes to the card.
"""

from __future__ import annotations

from components.contract.policy import Policy
from components.release.card_parts import NOT_STATED, Field, Kind, Origin

PROFILE = "profile"
"""Key that chooses what is added to the card; it is no statement."""

ONC = "onc"
"""The one profile there is: the 31 source attributes."""

KEYS = {
    "license": "Licence of the model, as an SPDX or Hugging Face identifier.",
    "model_name": "Name under which people know the model.",
    "developer": "Who developed it.",
    "developer_contact": "How to reach them.",
    "release_stage": "Stage of the product: research, pilot, general use.",
    "version": "Version that the organisation gives it.",
    "global_availability": "Countries in which it is offered.",
    "ehr_compatibility": "Health record systems that it works with.",
    "regulatory_approval": "Clearances and approvals, or that none is needed and why.",
    "summary": "What it is and does, in a few sentences.",
    "keywords": "Words to find it by.",
    "intended_use": "Intended use and workflow, beyond the policy's purpose.",
    "intended_users": "Primary intended users.",
    "how_to_use": "What a user does with the output.",
    "target_population": "Patients for whom it is meant.",
    "out_of_scope": "Settings and uses for which it is not meant.",
    "known_risks": "Known risks and limitations.",
    "known_biases": "Known biases or ethical considerations.",
    "clinical_risk_level": "Level of clinical risk, and by which scale.",
    "outcome_and_output": "The outcome that is predicted, in clinical terms.",
    "model_type": "Type of model, beyond what the evidence says.",
    "foundation_models": "Foundation models that it is built on, or that there are none.",
    "input_data_source": "Where the input data come from in use.",
    "data_types": "Types of the input and output data in use.",
    "development_data": "Where and when the development data were collected.",
    "bias_mitigation": "Bias mitigation beyond what the training did.",
    "maintenance": "Ongoing maintenance: monitoring, retraining, retirement.",
    "security": "Security and compliance environment.",
    "transparency": "Other facts for the sake of transparency.",
    "funding": "Source of funding for the technical implementation.",
    "third_party": "Third parties that took part, and their interests.",
    "stakeholders": "Stakeholders that were consulted.",
    "usefulness_interpretation": "What the accuracy means for the users.",
    "fairness_interpretation": "What the differences between groups mean for the people.",
    "safety_interpretation": "What reliability means for safety in use.",
    "evaluation_references": "Reports of evaluations.",
    "clinical_trial": "Clinical trial, by its registration.",
    "publications": "Peer reviewed publications.",
    "reimbursement": "Reimbursement status.",
    "patient_consent": "Whether patients are told or asked.",
    "bibliography": "Other works that the card rests on.",
    "decision_role": "Role in the decision: informs, augments or replaces clinical management.",
    "inclusion_criteria": "Exclusion and inclusion criteria of the training data.",
    "protected_variables": "Which inputs are race, ethnicity, language, sexual orientation, gender "
    "identity, sex, date of birth, social determinants or health status.",
    "representativeness": "Demographic representativeness of the training data.",
    "relevance_to_setting": "Relevance of the training data to the setting of use.",
    "fairness_approach": "Approach to make the output fair.",
    "external_data": "Data source and setting of external validation.",
    "external_party": "Party that conducted the external testing.",
    "external_representativeness": "Demographic representativeness of the external data.",
    "external_process": "External validation process.",
    "external_validity": "Validity in external data.",
    "external_fairness": "Fairness in external data.",
    "outcome_evaluation": "References to evaluations of the effect on outcomes.",
    "validity_monitoring": "Process and frequency of monitoring validity.",
    "local_validity": "Validity in local data.",
    "fairness_monitoring": "Process and frequency of monitoring fairness.",
    "local_fairness": "Fairness in local data.",
    "update_process": "Process and frequency of updates.",
    "correction_frequency": "How often performance is corrected when a risk is found.",
}


def stated(policy: Policy, key: str, name: str) -> Field:
    """What the policy states under a key, or that it does not."""
    return known(policy, key, name, "")


def known(policy: Policy, key: str, name: str, evidence: str, kind: Kind = Kind.TEXT) -> Field:
    """What the evidence says, followed by what the policy states under a key.

    Raises:
        KeyError: the key is not documented in ``KEYS``.
    """
    if key not in KEYS:
        raise KeyError(key)
    statement = policy.model_card.get(key, "")
    if not statement and not evidence:
        return Field(name, NOT_STATED, Origin.UNKNOWN)
    if not statement:
        return Field(name, evidence, Origin.EVIDENCE, kind)
    if not evidence:
        return Field(name, statement, Origin.POLICY)
    return Field(name, f"{evidence} {statement}", Origin.BOTH)


def other_statements(policy: Policy) -> tuple[Field, ...]:
    """What the policy states under keys that are not documented here, in the policy's order."""
    return tuple(
        Field(key, text, Origin.POLICY)
        for key, text in policy.model_card.items()
        if key not in KEYS and (key, text) != (PROFILE, ONC)
    )
