"""The documents of a bundle against the records that name them: contract, policy, SBOM, cards.

YAML is read strictly and from the bytes that were hashed. The policy is read as far as its limits;
only a waiver needs it whole, with the contract, for who may sign stands there.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from components.audit.bundle_format import TamperedError
from components.audit.bundle_links import check_limits, entry_of
from components.audit.bundle_run import BundledRun
from components.contract.contract_loader import load_contract
from components.contract.errors import InputError
from components.contract.json_schema import validate
from components.contract.policy import Policy
from components.contract.policy_loader import SCHEMA as POLICY_SCHEMA
from components.contract.policy_loader import load_policy
from components.contract.stages import Stage
from components.contract.strict_yaml import load_yaml
from components.release.model_card import DIRECTORY as CARD
from components.release.waiver_rules import ClosedGate, Refusal
from components.release.waivers import check, closed_findings

SBOM = "sbom.cdx.json"
_NONE = "none"


def check_documents(found: BundledRun, parsed: Mapping[str, bytes], checks: list[str]) -> None:
    """Check the documents that the records of a run name by digest.

    Raises:
        TamperedError: one is missing, extra, or another one.
    """
    _check_digests(found, parsed)
    contract, policy = (parsed[_path(found, f"{n}.yaml")] for n in ("contract", "policy"))
    for name, document in zip(("contract", "policy"), _read(contract, policy), strict=True):
        said = document.get("name" if name == "contract" else "dataset")
        if said != found.closing.body["inputs"]["dataset"]:
            raise TamperedError(_path(found, f"{name}.yaml"), "it is about another dataset")
    check_limits(found.run, found.own, _read(contract, policy)[1])
    checks.append("documents: contract, policy and SBOM are those that the records name")
    _check_waiver(found, parsed, checks)


def _path(found: BundledRun, name: str) -> str:
    return f"runs/{found.run}/{name}"


def _check_digests(found: BundledRun, parsed: Mapping[str, bytes]) -> None:
    """Each document is there if a record names it, and only then; none is left over."""
    wanted: dict[str, str] = {}
    for run, records in found.runs.items():
        inputs = next(iter(records.values())).body["inputs"]
        if run == found.run:
            wanted |= {f"runs/{run}/{n}.yaml": inputs[n] for n in ("contract", "policy")}
        if inputs["sbom"] != _NONE:
            wanted[f"runs/{run}/{SBOM}"] = inputs["sbom"]
    there = {n for n in parsed if n.endswith((".yaml", SBOM))}
    for name in sorted(there | wanted.keys()):
        if name not in there:
            raise TamperedError(name, "it is missing, and a record names it")
        if name not in wanted:
            raise TamperedError(name, "no record names it")
        if hashlib.sha256(parsed[name]).hexdigest() != wanted[name]:
            raise TamperedError(name, "it is not the one that the records name")


@lru_cache(maxsize=8)
def _read(contract: bytes, policy: bytes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Both documents as YAML; the policy is checked against its schema."""
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for name, raw in (("contract", contract), ("policy", policy)):
            path = Path(folder) / f"{name}.yaml"
            path.write_bytes(raw)
            try:
                found.append(load_yaml(path)[0])
                if name == "policy":
                    validate(found[-1], POLICY_SCHEMA, path)
            except InputError as error:
                raise TamperedError(
                    path.name, f"{error.what}; expected {error.expected}"
                ) from error
    return found[0], found[1]


@lru_cache(maxsize=8)
def _policy(contract: bytes, policy: bytes) -> Policy:
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder) / "contract.yaml", Path(folder) / "policy.yaml"
        for path, raw in zip(paths, (contract, policy), strict=True):
            path.write_bytes(raw)
        try:
            return load_policy(paths[1], load_contract(paths[0]))
        except InputError as error:
            raise TamperedError(
                "policy.yaml", f"{error.what}; expected {error.expected}"
            ) from error


def check_cards(found: BundledRun, digests: Mapping[str, str], checks: list[str]) -> None:
    """The cards of a bundle are those that its release names.

    Args:
        found: the run.
        digests: SHA-256 of every entry, by name.
        checks: takes in a line.

    Raises:
        TamperedError: one is missing, extra, or another one.
    """
    named = dict(found.history[-1].cards) if found.history else {}
    wanted = {_path(found, f"{CARD}/{name}"): sha256 for name, sha256 in named.items()}
    there = {n for n in digests if n.startswith("runs/") and n.split("/")[2] == CARD}
    for name in sorted(there | wanted.keys()):
        if name not in wanted or digests.get(name) != wanted[name]:
            raise TamperedError(name, "it is not a card that the release names")
    if wanted:
        checks.append(f"cards: {len(wanted)}, those that the release names")


def _check_waiver(found: BundledRun, parsed: Mapping[str, bytes], checks: list[str]) -> None:
    """What excused the gate was signed by two people of the policy, and covers what closed it."""
    held, gate = found.waiver, found.own.get(Stage.RELEASE_GATE)
    if held is None or gate is None:
        return
    name = f"waivers/{held['sha256']}.json"
    if name not in parsed:
        raise TamperedError(name, "it is missing, and the release gate's record names it")
    raw = parsed[name]
    contract, policy = (parsed[_path(found, f"{n}.yaml")] for n in ("contract", "policy"))
    trained = found.origin[Stage.TRAIN].body["outputs"].get("model", {}).get("sha256", "")
    *_, last = found.origin.values()
    closed = ClosedGate(
        dataset=gate.body["inputs"]["dataset"],
        stack=gate.body["stack"],
        gate=str(Stage.RELEASE_GATE),
        model=trained,
        policy=_policy(contract, policy),
        findings=closed_findings(gate.body),
        run=found.origin_id,
        head=last.digest,
    )
    # It was looked for at a moment between these two, which may be on two days.
    moments = [datetime.fromisoformat(gate.body[f]) for f in ("started", "finished")]
    results = [check(raw, closed, at) for at in moments]
    refused = [r for r in results if isinstance(r, Refusal)]
    if len(refused) == len(results):
        raise TamperedError(name, f"it does not hold ({refused[0].ground}): {refused[0].reason}")
    for waiver in results:
        if not isinstance(waiver, Refusal) and waiver.to_json() != held:
            raise TamperedError(entry_of(found.run, gate), "its waiver is not the one that is here")
    checks.append(
        f"waiver: signed by {held['signer']} and {held['cosigner']}, covers what closed the gate"
    )
