"""Fixtures that many rooms share: the shipped contract and policies, and their real data."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contract.contract import Contract
from components.contract.contract_loader import load_contract
from components.contract.json_schema import ROOT
from components.contract.policy import Policy
from components.contract.policy_loader import load_policy
from components.datasets.canonical import Dataset, ingest
from components.stacks.telemetry import switch_off
from tests import clinic as clinic_documents

# Tests import frameworks too, some of which report home as soon as they are loaded.
switch_off()


@pytest.fixture(scope="session")
def rand_hie_contract() -> Contract:
    """The shipped contract of the RAND Health Insurance Experiment."""
    return load_contract(ROOT / "schemas" / "rand_hie.yaml")


@pytest.fixture(scope="session")
def rand_hie_policy(rand_hie_contract: Contract) -> Policy:
    """Its production policy."""
    return load_policy(ROOT / "policies" / "rand_hie.yaml", rand_hie_contract)


@pytest.fixture(scope="session")
def rand_hie_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the canonical RAND HIE data; tests read it and change nothing."""
    return tmp_path_factory.mktemp("rand_hie_home")


@pytest.fixture(scope="session")
def rand_hie(rand_hie_contract: Contract, rand_hie_policy: Policy, rand_hie_home: Path) -> Dataset:
    """The canonical RAND HIE data."""
    return ingest(rand_hie_contract, rand_hie_policy, rand_hie_home, b"k" * 32)


@pytest.fixture(scope="session")
def clinic(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """The made-up clinic's contract, as it is."""
    return clinic_documents.contract(tmp_path_factory.mktemp("clinic"))


@pytest.fixture(scope="session")
def rules(clinic: Contract) -> Policy:
    """The made-up clinic's policy, as it is."""
    return clinic_documents.policy(clinic.path.parent, clinic)
