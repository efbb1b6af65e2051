"""A home with one run whose release gate is closed, and the keys of those who may excuse it.

The chain, the contract, the policy and the keys are real; the verdicts are written by hand, so that
a test chooses what closed the gate.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from components.contract.policy import Policy
from components.contract.stages import Stage
from components.lineage.evidence import CLOSING_STAGE, chain_of
from components.lineage.keys import KeyPair, new_key, public_text
from components.release.waiver_requests import Asked
from tests import clinic

Document = dict[str, Any]
Findings = list[tuple[str, str]]

RUN = "20261122T120000Z-tfx-plain-1a2b3c"
MODEL = hashlib.sha256(b"model").hexdigest()
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
PEOPLE = ("ana", "bo", "eve")
FAILED: Findings = [("limit:tpr", "FAIL"), ("limit:auc", "PASS")]
"""One limit that the model breaks, in the words of either side."""


def side(findings: Findings, status: str | None = None) -> Document:
    """One side's verdict; its status is the worst of its findings' unless it is given."""
    worst = {s for _, s in findings} - {"PASS"}
    return {
        "status": status or ("FAIL" if "FAIL" in worst else min(worst, default="PASS")),
        "reason": "as found",
        "findings": [
            {"rule": r, "status": s, "reason": "as found", "measurement": None} for r, s in findings
        ],
    }


@dataclass(frozen=True)
class BlockedRun:
    """Where things are. ``keys`` has a key pair for each of ``PEOPLE``."""

    home: Path
    directory: Path
    keys: dict[str, KeyPair]
    policy: Policy

    @property
    def head(self) -> str:
        """Digest of the run's last record."""
        return chain_of(self.directory).records()[-1].digest

    @property
    def waivers(self) -> Path:
        """Where the run's waivers go."""
        return self.home / "waivers" / "clinic" / "tfx"

    @property
    def written(self) -> list[str]:
        """Every file below the folder of waivers, hidden ones as well."""
        found = (self.home / "waivers").rglob("*")
        return sorted(p.relative_to(self.waivers).as_posix() for p in found if p.is_file())

    def asked(self, **changes: Any) -> Asked:
        """A request that is granted, but for what is changed."""
        wanted: Document = {
            "gate": "release_gate",
            "reason": "Nurses read every chart until the next release.",
            "expires": str(NOW.date() + timedelta(days=30)),
            "signer_key": self.keys["ana"].private,
            "cosigner_key": self.keys["bo"].private,
            "actor": "tester",
            "at": NOW,
        }
        return Asked(**{**wanted, **changes})


def people(keys: dict[str, KeyPair], *names: str) -> dict[str, str]:
    """Names and public keys as a policy holds them."""
    return {name: public_text(keys[name].raw) for name in names}


def blocked_run(
    directory: Path,
    *,
    native: Document | None = None,
    referee: Document | None = None,
    change: Callable[[Document, dict[str, KeyPair]], object] | None = None,
    stages: tuple[str, ...] = tuple(Stage)[:6],
    outcome: str | None = "blocked",
    dataset: str = "clinic",
    **bodies: Document,
) -> BlockedRun:
    """Make a home, keys, and a run.

    Args:
        directory: an empty folder.
        native: the native side's verdict at the release gate; one broken limit if not given.
        referee: the referee's, likewise.
        change: changes the policy's document, given the keys.
        stages: those that have a record, in their order.
        outcome: what the closing record says; None for a run that was not closed.
        dataset: what the records say the data are.
        bodies: fields to replace in a stage's record, by stage.
    """
    keys = {name: new_key(directory / "keys", name) for name in PEOPLE}
    run = directory / "home" / "runs" / RUN
    (run / "evidence").mkdir(parents=True)
    (run / "run.json").write_text("{}")
    document = clinic.policy_document()
    document["waivers"] = {
        "max_days": 90, "signers": people(keys, "ana"), "cosigners": people(keys, "bo")
    }  # fmt: skip
    if change:
        change(document, keys)
    contract = clinic.write(run / "contract.yaml", clinic.contract_document())
    path = clinic.write(run / "policy.yaml", document)
    inputs = {
        "contract": hashlib.sha256(contract.read_bytes()).hexdigest(),
        "policy": hashlib.sha256(path.read_bytes()).hexdigest(),
        "dataset": dataset,
    }
    chain = chain_of(run)
    for stage in stages:
        body = {"stack": "tfx", "inputs": inputs, "facts": {}, "verdict": {"status": "PASS"}}
        if stage == Stage.TRAIN:
            body["outputs"] = {"model": {"sha256": MODEL}}
        if stage == Stage.RELEASE_GATE:
            verdict = {"status": "FAIL", "reason": "as found"}
            sides = {"native": native or side(FAILED), "referee": referee or side(FAILED)}
            body.update(sides, verdict=verdict)
        chain.append(stage, {**body, **bodies.get(stage, {})})
    if outcome is not None:
        body = {"stack": "tfx", "inputs": inputs, "outcome": outcome, "reason": "as found"}
        chain.append(CLOSING_STAGE, {**body, **bodies.get(CLOSING_STAGE, {})})
    made = clinic.load_policy(path, clinic.load_contract(contract))
    return BlockedRun(directory / "home", run, keys, made)
