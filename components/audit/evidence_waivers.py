"""The waivers of a home, each checked against the policy of the run that it excuses."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from components.audit.evidence_runs import RunFacts
from components.contract.contract_loader import load_contract
from components.contract.errors import EvidenceError, InputError
from components.contract.policy_loader import load_policy
from components.lineage.dsse import verify
from components.release.waiver_terms import Waiver, from_statement
from components.release.waivers import trusted_keys


def read_waivers(
    home: Path, stack: str | None, runs: Mapping[str, RunFacts], *, whole: bool
) -> tuple[list[Waiver], int]:
    """The waivers that excuse any of some runs, used or not, and how many files were read.

    Args:
        home: where they are kept.
        stack: the stack whose waivers count; None for all.
        runs: by id, those that may be excused.
        whole: whether these are all runs, so that a waiver of another one is out of place.

    Raises:
        EvidenceError: one is missing from the middle, is not signed by the two people whom the
            run's policy names, or is about another run than it was given for; names the file.
    """
    found, read = [], 0
    for directory in sorted((home / "waivers").glob(f"*/{stack or '*'}")):
        for number, path in enumerate(sorted(directory.glob("[0-9]*.json")), start=1):
            read += 1
            where = path.relative_to(home).as_posix()
            if path.name != f"{number:06d}.json":
                raise EvidenceError(f"{where}: waiver {number} before it is missing")
            try:
                waiver = _read(home, path, runs)
            except OSError as error:
                raise EvidenceError(f"{where} cannot be read ({error.strerror})") from error
            except (EvidenceError, InputError) as error:
                raise EvidenceError(f"{where}: {error}") from error
            if waiver is None and whole:
                raise EvidenceError(f"{where}: the run that it excuses is not there")
            if waiver is not None:
                found.append(waiver)
    return found, read


def _read(home: Path, path: Path, runs: Mapping[str, RunFacts]) -> Waiver | None:
    """A waiver, None where it excuses another run than those that are asked for."""
    raw = path.read_bytes()
    run = runs.get(_claimed_run(raw))
    if run is None:
        return None
    directory = home / "runs" / run.run
    policy = load_policy(directory / "policy.yaml", load_contract(directory / "contract.yaml"))
    rules = policy.waivers
    if rules is None:
        raise EvidenceError(f"the policy of run {run.run} lets nobody waive")
    verified = verify(raw, trusted_keys(rules, policy.path))
    waiver = from_statement(verified.statement, hashlib.sha256(raw).hexdigest())
    named = {rules.signers.get(waiver.signer), rules.cosigners.get(waiver.cosigner)}
    if set(verified.signers) != named:
        raise EvidenceError(f"it is not signed by {waiver.signer} and {waiver.cosigner} alone")
    if (waiver.head, waiver.policy) != (run.head, run.inputs["policy"]):
        raise EvidenceError(f"it is about another end, or another policy, of run {run.run}")
    return waiver


def _claimed_run(raw: bytes) -> str:
    """The run that an envelope names: it says whose policy to check it with, and is checked too."""
    try:
        statement = json.loads(base64.b64decode(json.loads(raw)["payload"]))
        return str(statement["predicate"]["run"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise EvidenceError("it is no signed waiver") from error
