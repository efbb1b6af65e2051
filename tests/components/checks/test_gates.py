"""The referee's verdict on the data gate, on the real data."""

from __future__ import annotations

from dataclasses import replace

import pytest

from components.checks.gates import data_gate
from components.checks.measurement import Status
from components.contract.contract import Contract
from components.contract.policy import Policy
from components.datasets.canonical import Dataset
from components.profile.compute import profile_files
from components.profile.edges import quantile_edges
from components.profile.profile import Profile

SPANS = ("1", "2", "3", "4")


@pytest.fixture(scope="module")
def profiles(
    rand_hie: Dataset, rand_hie_contract: Contract, rand_hie_policy: Policy
) -> dict[str, Profile]:
    gate = rand_hie_policy.data_gate
    files = {
        "everything": rand_hie.files(),
        "baseline": rand_hie.files(spans=gate.baseline_spans),
        "current": rand_hie.files(spans=gate.current_spans),
    }
    edges = quantile_edges(files["baseline"], rand_hie_contract, gate.bins)
    return {
        name: profile_files(f, rand_hie_contract, edges, max_categories=gate.max_categories)
        for name, f in files.items()
    }


def test_the_real_data_passes_its_gate(
    profiles: dict[str, Profile], rand_hie_contract: Contract, rand_hie_policy: Policy
) -> None:
    verdict = data_gate(**profiles, contract=rand_hie_contract, policy=rand_hie_policy, spans=SPANS)
    assert verdict.status is Status.PASS, verdict.reason


def test_a_profile_of_the_parts_is_the_profile_of_the_whole(
    profiles: dict[str, Profile], rand_hie: Dataset, rand_hie_contract: Contract
) -> None:
    whole = profiles["everything"]
    edges = {n: c.edges for n, c in whole.columns.items()}
    parts = [
        profile_files([f], rand_hie_contract, edges, max_categories=1000)
        for f in rand_hie.files(split="train")
    ]
    train = profile_files(
        rand_hie.files(split="train"), rand_hie_contract, edges, max_categories=1000
    )
    merged = parts[0]
    for part in parts[1:]:
        merged = part + merged
    assert merged == replace(train, duplicates=None)


def test_a_profile_that_is_absent_closes_the_data_gate(
    profiles: dict[str, Profile], rand_hie_contract: Contract, rand_hie_policy: Policy
) -> None:
    for absent in profiles:
        given = {**profiles, absent: None}
        verdict = data_gate(
            **given, contract=rand_hie_contract, policy=rand_hie_policy, spans=SPANS
        )
        assert verdict.status is Status.INCONCLUSIVE
    merged = replace(profiles["everything"], duplicates=None)
    verdict = data_gate(
        merged,
        profiles["current"],
        profiles["baseline"],
        rand_hie_contract,
        rand_hie_policy,
        SPANS,
    )
    assert verdict.status is Status.INCONCLUSIVE
    assert verdict.reason == "duplicates of zper+year were not counted over all rows"


@pytest.mark.parametrize(
    ("spans", "says"),
    [
        (("1", "2", "3"), "span 4 of the policy has no rows"),
        (("1", "2", "3", "4", "5"), "1 spans of the data are neither baseline nor current"),
    ],
)
def test_rows_that_no_drift_check_has_seen_close_the_data_gate(
    profiles: dict[str, Profile],
    rand_hie_contract: Contract,
    rand_hie_policy: Policy,
    spans: tuple[str, ...],
    says: str,
) -> None:
    verdict = data_gate(**profiles, contract=rand_hie_contract, policy=rand_hie_policy, spans=spans)
    assert verdict.status is Status.INCONCLUSIVE
    assert says in verdict.reason
