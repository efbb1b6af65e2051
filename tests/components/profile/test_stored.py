from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from components.contract.contract import Contract
from components.contract.errors import InputError
from components.contract.policy import Policy
from components.profile.profile import ColumnProfile, Profile
from components.profile.stored import StoredProfile

PROFILE = Profile(
    3,
    {
        "ward": ColumnProfile(3, 1, None, None, {"A": 2}, 9),
        "person": ColumnProfile(3, 0, None, None, None, 9),
        "cost": ColumnProfile(3, 0, 0.1, 2.0, None, 9, edges=(0.5,), bins=(1, 2)),
    },
    {"ward": 1},
)


def test_a_stored_profile_reads_back(clinic: Contract, rules: Policy, tmp_path: Path) -> None:
    stored = StoredProfile.of(clinic, rules.data_gate, PROFILE, "nonce")
    (tmp_path / "p.json").write_bytes(stored.to_bytes())
    read = StoredProfile.read(tmp_path / "p.json")
    assert read == stored
    assert read.profile.columns["cost"].edges == (0.5,)
    assert read.unusable_for(clinic, rules.data_gate) is None


def test_a_profile_of_another_contract_or_other_bins_is_unusable_and_says_why(
    clinic: Contract, rules: Policy
) -> None:
    gate = rules.data_gate
    stored = StoredProfile.of(clinic, gate, PROFILE)
    other = replace(clinic, version="2.0.0", digest="f" * 64)
    finer = stored.unusable_for(clinic, replace(gate, bins=9))
    assert finer == "the baseline was counted in 5 bins, the policy asks for 9"
    reason = stored.unusable_for(other, gate)
    assert reason is not None
    assert reason.startswith("the baseline was profiled under contract clinic 1.0.0")
    assert "this is clinic 2.0.0 (ffffffffffff)" in reason


def _edited(**changes: object) -> bytes:
    """The clinic's profile with some figures of the column cost changed by hand."""
    document = json.loads(StoredProfile("clinic", "1", "0" * 64, 5, PROFILE).to_bytes())
    document["profile"]["columns"]["cost"].update(changes)
    return json.dumps(document).encode()


@pytest.mark.parametrize(
    "changes",
    [
        {"bins": [-1, 4]},
        {"bins": [1, 1]},
        {"bins": [3]},
        {"bins": []},
        {"bins": ["1", "2"]},
        {"bins": [1.0, 2.0]},
        {"bins": [True, 2]},
        {"edges": [0.5, 0.4], "bins": [1, 1, 1]},
        {"edges": ["x"]},
        {"edges": [float("nan")]},
        {"edges": [True]},
        {"rows": 10**400},
        {"nulls": 4},
        {"nulls": -1},
        {"rows": 4},
        {"out_of_range": -1},
        {"counts": {"A": 1}},
    ],
)
def test_figures_that_no_rows_can_have_are_refused(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    (tmp_path / "p.json").write_bytes(_edited(**changes))
    with pytest.raises(InputError, match=r"p\.json: not a profile"):
        StoredProfile.read(tmp_path / "p.json")
    (tmp_path / "p.json").write_bytes(_edited())
    assert StoredProfile.read(tmp_path / "p.json").profile == PROFILE


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[1]",
        b"null",
        b'{"contract": 1, "profile": {}}',
        b'{"contract": {"name": "a", "version": "1", "sha256": "b"}, "profile": {}, "nonce": ""}',
        b"\xff\xfe",
        b"[" * 100_000,
    ],
)
def test_what_is_no_profile_is_bad_input(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "p.json").write_bytes(content)
    with pytest.raises(InputError, match=r"p\.json: not a profile"):
        StoredProfile.read(tmp_path / "p.json")
    with pytest.raises(InputError, match="cannot be read"):
        StoredProfile.read(tmp_path / "absent.json")
