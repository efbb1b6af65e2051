"""A verified bundle's run, as the rest of the audit reads a run of a home."""

from __future__ import annotations

import tempfile
from pathlib import Path

from components.audit.verify import Verification
from components.contract.contract_loader import load_contract
from components.contract.errors import EvidenceError
from components.contract.policy_loader import load_policy
from components.release.run_evidence import RunEvidence


def evidence_of(found: Verification, bundle: Path) -> RunEvidence:
    """Records, contract and policy of the run in a bundle, from the bytes that were verified.

    Args:
        found: what verification came to; it must be sound.
        bundle: the bundle's file, where the run lies.

    Raises:
        InputError: contract or policy are none that this version of assay reads.
        EvidenceError: the bundle is not sound.
    """
    if not found.sound or found.run is None or found.contents is None:
        raise EvidenceError(f"{bundle.name} is not sound")
    run, parsed = found.run, found.contents.parsed
    with tempfile.TemporaryDirectory() as folder:
        for name in ("contract.yaml", "policy.yaml"):
            (Path(folder) / name).write_bytes(parsed[f"runs/{run.run}/{name}"])
        contract = load_contract(Path(folder) / "contract.yaml")
        policy = load_policy(Path(folder) / "policy.yaml", contract)
    return RunEvidence(bundle, run.run, run.own, run.origin_id, run.origin, contract, policy)
