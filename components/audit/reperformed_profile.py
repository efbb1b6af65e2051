"""Profiles and the data gate, made again from the rows.

A record holds the digest of each profile, not what it counts. The bytes are made again with the
nonce of the profile that the run kept, if it is the one that was recorded, or with the row key.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from components.audit.reperformed_data import digest_of
from components.checks.gates import data_gate
from components.checks.measurement import Finding
from components.checks.small_figures import masked
from components.contract.stages import Stage
from components.datasets.canonical import Dataset
from components.datasets.profiles import (
    BASELINE,
    CURRENT,
    EVERYTHING,
    profile_nonce,
    profiles_of,
)
from components.profile.compute import Watch
from components.profile.profile import ColumnProfile, Profile
from components.profile.stored import StoredProfile
from components.release.recomputation import (
    Outcome,
    Recomputed,
    compare_figures,
    compare_texts,
)
from components.release.run_evidence import RunEvidence

PROFILE, DATA_GATE = "profile", "data gate"
_FROM_HISTORY = "first_release:history"
"""The one rule of the data gate that rests on the releases of that day and on no row."""


def check_profiles(
    run: RunEvidence, dataset: Dataset, artifacts: Path, row_key: bytes | None, watch: Watch
) -> tuple[list[Recomputed], dict[str, Profile]]:
    """Make every profile again; returns how each compares, and the profiles by name.

    Args:
        run: the run's records, contract and policy.
        dataset: a sound one.
        artifacts: what the run that read the data kept, or a copy of it.
        row_key: the home's row key, where it is known.
        watch: told which profile is being made.
    """
    record = run.stage(Stage.STATISTICS)
    if record is None:
        return [], {}
    recorded = {
        name.removeprefix("profile_"): output["sha256"]
        for name, output in record.body["outputs"].items()
        if name.startswith("profile_")
    }
    watch("profiles")
    made: dict[str, Profile] = {}
    found: list[Recomputed] = []
    for name, profile in profiles_of(dataset, run.contract, run.policy.data_gate):
        watch(f"profile of {name}")
        made[name] = profile
        kept = _kept(artifacts / f"profile-{name}.json", recorded.get(name, ""))
        nonce = kept.nonce if kept else None
        if nonce is None and row_key is not None:
            nonce = profile_nonce(row_key, dataset, name)
        found += _compare(run, name, recorded.get(name, ""), profile, kept, nonce)
    found += [compare_texts(n, "", recorded[n], "", PROFILE) for n in recorded if n not in made]
    return found, made


def _kept(path: Path, recorded: str) -> StoredProfile | None:
    """The profile that the run kept, if the file is the one that was recorded."""
    return StoredProfile.read(path) if recorded and digest_of(path) == recorded else None


def _compare(
    run: RunEvidence,
    name: str,
    recorded: str,
    profile: Profile,
    kept: StoredProfile | None,
    nonce: str | None,
) -> Iterator[Recomputed]:
    if nonce is None:
        told = f"profile-{name}.json is not what was recorded, and no row key was given"
        yield Recomputed(name, "", recorded, told, Outcome.IMPOSSIBLE, PROFILE)
        return
    again = StoredProfile.of(run.contract, run.policy.data_gate, profile, nonce).to_bytes()
    whole = compare_texts(name, "", recorded, hashlib.sha256(again).hexdigest(), PROFILE)
    yield whole
    if kept is not None and not whole.same:
        yield from _columns(name, kept.profile, profile)


def _columns(name: str, kept: Profile, made: Profile) -> Iterator[Recomputed]:
    """Where two profiles differ: the figures' names and no figure, for they count people."""
    for column in dict.fromkeys([*kept.columns, *made.columns]):
        then, now = kept.columns.get(column), made.columns.get(column)
        if differing := _differing(then, now):
            told = f"other {', '.join(differing)}"
            yield Recomputed(name, column, "as kept", told, Outcome.DIFFERENT, PROFILE)


def _differing(then: ColumnProfile | None, now: ColumnProfile | None) -> list[str]:
    if then is None or now is None:
        return ["columns"]
    names = [f.name for f in fields(ColumnProfile)]
    return [n for n in names if getattr(then, n) != getattr(now, n)]


def check_data_gate(
    run: RunEvidence, dataset: Dataset, made: Mapping[str, Profile]
) -> list[Recomputed]:
    """Schema and drift of the profiles, rule by rule: each figure and each finding.

    Args:
        run: the run's records, contract and policy.
        dataset: a sound one.
        made: the profiles, made again.
    """
    record = run.stage(Stage.DATA_GATE)
    if record is None:
        return []
    verdict = data_gate(
        made.get(EVERYTHING),
        made.get(CURRENT),
        made.get(BASELINE),
        run.contract,
        run.policy,
        dataset.spans,
    )
    then = {f["rule"]: f for f in record.body["referee"]["findings"] if f["rule"] != _FROM_HISTORY}
    now = {f.rule: f for f in verdict.findings}
    found: list[Recomputed] = []
    for rule in dict.fromkeys([*then, *now]):
        found += _rule(rule, then.get(rule), now.get(rule), run)
    return found


def _rule(
    rule: str, then: Mapping[str, Any] | None, now: Finding | None, run: RunEvidence
) -> Iterator[Recomputed]:
    recorded = then["measurement"] if then else None
    measured = now.measurement if now else None
    if measured and recorded and recorded["n"] is None:
        measured = masked(measured, ())  # hidden here as well if it must be
    computed = measured.to_json() if measured else None
    if figure := recorded or computed:
        yield compare_figures(rule, figure["slice"], recorded, computed, run.policy, DATA_GATE)
    status = str(now.status) if now else ""
    yield compare_texts("finding", rule, then["status"] if then else "", status, DATA_GATE)
