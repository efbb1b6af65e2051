"""A fact taken from a bound document alone is the one that the whole document has."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from components.contract.bound_documents import decision_rules, entity_column
from components.contract.contract_loader import load_contract
from components.contract.errors import EvidenceError
from components.contract.json_schema import ROOT
from components.contract.policy_loader import load_policy


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("name", ["rand_hie", "prior_auth"])
def test_facts_are_those_of_the_loaded_documents(name: str) -> None:
    contract = load_contract(ROOT / "schemas" / f"{name}.yaml")
    policy = load_policy(ROOT / "policies" / f"{name}.yaml", contract)
    assert entity_column(contract.path, contract.digest) == contract.entity.name
    rules = decision_rules(policy.path, policy.digest)
    assert rules.threshold == policy.decision_threshold
    assert rules.adverse == policy.decision.adverse is not None
    assert rules.sentences == set(policy.decision.reasons.values()) != set()


@pytest.mark.parametrize("fact", [entity_column, decision_rules])
def test_another_document_is_broken_evidence(tmp_path: Path, fact) -> None:
    path = tmp_path / "document.yaml"
    path.write_text("a: 1\n")
    with pytest.raises(EvidenceError, match="is not the one the run was bound to"):
        fact(path, "0" * 64)


@pytest.mark.parametrize(
    ("fact", "text"),
    [
        (entity_column, "a: 1"),
        (entity_column, "schema: [{properties: [{name: x}]}]"),
        (
            entity_column,
            "schema: [{properties: [{name: x, customProperties: "
            + "[{property: assayRole, value: entity}, {property: assayRole, value: entity}]}]}]",
        ),
        (decision_rules, "a: 1"),
        (decision_rules, "decision: {threshold: high}"),
        (decision_rules, "decision: {threshold: 0.5, reasons: {columns: [a]}}"),
    ],
)
def test_a_document_without_the_fact_is_broken_evidence(tmp_path: Path, fact, text: str) -> None:
    path = tmp_path / "document.yaml"
    path.write_text(text)
    with pytest.raises(EvidenceError, match="document.yaml"):
        fact(path, _digest(path))
