from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from components.checks.gates import (
    Scored,
    agreement,
    data_gate,
    finite_scores,
    limit_finding,
    release_gate,
    release_measurements,
)
from components.checks.measurement import Measurement, Status
from components.contract.contract import Contract
from components.contract.policy import Limit, Metric, Policy
from components.datasets.canonical import Dataset
from components.profile.compute import profile_files
from components.profile.edges import quantile_edges
from components.profile.profile import Profile

SPANS = ("1", "2", "3", "4")
GROUNDS = "long enough to be grounds"
AUC = Limit("auc", Metric.ROC_AUC, None, 0.6, None, "point", 10, GROUNDS)
GAP = Limit("gap", Metric.TPR_DIFFERENCE, "sex", None, 0.1, "worst_bound", 10, GROUNDS)


@pytest.fixture
def rules(rules: Policy) -> Policy:
    """The clinic's policy with one limit on accuracy and one on a gap."""
    gate = rules.release_gate
    return replace(rules, release_gate=replace(gate, limits=gate.limits[:2]))


def _auc(
    value: float, n: int = 50, low: float | None = 0.5, high: float | None = 0.9
) -> Measurement:
    return Measurement("roc_auc", value, n, low=low, high=high)


def _gap(
    value: float, n: int = 50, low: float | None = 0.0, high: float | None = 0.2
) -> Measurement:
    return Measurement("tpr_difference", value, n, slice="sex", low=low, high=high)


def _status(limit: Limit, measurement: Measurement | None) -> Status:
    return limit_finding(limit, measurement).status


def test_a_point_limit_looks_at_the_point() -> None:
    assert _status(AUC, _auc(0.6)) is Status.PASS
    assert _status(AUC, _auc(0.59)) is Status.FAIL


def test_a_worst_bound_limit_looks_at_the_worse_end() -> None:
    assert _status(GAP, _gap(0.05, high=0.1)) is Status.PASS
    assert _status(GAP, _gap(0.05, high=0.11)) is Status.FAIL
    floor = replace(AUC, tested_on="worst_bound")
    assert _status(floor, _auc(0.7, low=0.6)) is Status.PASS
    assert _status(floor, _auc(0.7, low=0.59)) is Status.FAIL
    ceiling = replace(floor, at_least=None, at_most=0.9)
    assert _status(ceiling, _auc(0.7, high=0.9)) is Status.PASS
    assert _status(ceiling, _auc(0.7, high=0.91)) is Status.FAIL


@pytest.mark.parametrize("bound", [None, math.nan, math.inf])
def test_without_its_bound_a_worst_bound_limit_is_inconclusive(bound: float | None) -> None:
    assert _status(GAP, _gap(0.05, high=bound)) is Status.INCONCLUSIVE


def test_too_few_cases_are_inconclusive_whatever_they_say() -> None:
    assert _status(AUC, _auc(0.9, n=9)) is Status.INCONCLUSIVE
    assert _status(AUC, _auc(0.1, n=9)) is Status.INCONCLUSIVE
    assert _status(AUC, _auc(0.9, n=10)) is Status.PASS
    assert limit_finding(GAP, _gap(0.0, n=3)).reason == (
        "tpr_difference of sex rests on 3 cases, 10 required"
    )


@pytest.mark.parametrize("limit", [AUC, GAP, replace(AUC, tested_on="worst_bound")])
def test_a_missing_or_broken_figure_is_inconclusive(limit: Limit) -> None:
    assert _status(limit, None) is Status.INCONCLUSIVE
    broken = Measurement(str(limit.metric), math.nan, 50, low=0.9, high=0.0)
    assert _status(limit, broken) is Status.INCONCLUSIVE


def test_every_limit_of_the_policy_is_held_against_its_own_figure(rules: Policy) -> None:
    good = [_auc(0.7), _gap(0.01, high=0.05)]
    assert release_gate(good, rules).is_open
    for measurements in (
        [],
        good[:1],
        good[1:],
        [good[0], replace(good[1], slice="age")],
        [good[0], replace(good[1], slice="overall")],
        [replace(good[0], slice="sex"), good[1]],
    ):
        assert release_gate(measurements, rules).status is Status.INCONCLUSIVE
    assert release_gate([_auc(0.5), good[1]], rules).status is Status.FAIL


def _scored(scores: np.ndarray, groups: list[str | None] | None = None) -> Scored:
    labels = np.array([True, False] * (len(scores) // 2))
    return Scored(labels, scores, {"sex": groups or ["f", "f", "m", "m"] * (len(scores) // 4)})


def test_a_sound_model_opens_the_gate_and_an_unequal_one_does_not(rules: Policy) -> None:
    equal = np.array([0.9, 0.1, 0.8, 0.2] * 100)
    assert release_gate(release_measurements(_scored(equal), rules), rules).is_open
    unequal = np.array([0.9, 0.1, 0.4, 0.2] * 100)
    verdict = release_gate(release_measurements(_scored(unequal), rules), rules)
    assert verdict.status is Status.FAIL
    assert "tpr_difference of sex 1, at most 0.1 required" in verdict.reason


def test_everything_is_measured_by_group(rules: Policy) -> None:
    found = release_measurements(_scored(np.array([0.9, 0.1, 0.8, 0.2] * 10)), rules)
    assert [(m.name, m.slice) for m in found] == [
        ("roc_auc", "overall"),
        ("brier", "overall"),
        ("selection_rate", "sex=f"),
        ("tpr", "sex=f"),
        ("fpr", "sex=f"),
        ("selection_rate", "sex=m"),
        ("tpr", "sex=m"),
        ("fpr", "sex=m"),
        ("tpr_difference", "sex"),
        ("fpr_difference", "sex"),
        ("selection_rate_difference", "sex"),
    ]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_one_broken_score_closes_every_limit(rules: Policy, bad: float) -> None:
    scores = np.array([0.9, 0.1, 0.8, 0.2] * 100)
    scores[7] = bad
    found = release_measurements(_scored(scores), rules)
    for only in rules.release_gate.limits:
        gate = replace(rules.release_gate, limits=(only,))
        verdict = release_gate(found, replace(rules, release_gate=gate))
        assert verdict.status is Status.INCONCLUSIVE
    assert finite_scores(scores).status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    "groups", [["f"] * 40, ["f", "f", "m", "m"] * 9 + ["m", "m", "x", "x"]], ids=["one", "small"]
)
def test_a_group_alone_or_too_small_closes(rules: Policy, groups: list[str | None]) -> None:
    scored = _scored(np.array([0.9, 0.1] * 20), groups)
    verdict = release_gate(release_measurements(scored, rules), rules)
    assert verdict.status is Status.INCONCLUSIVE
    assert "tpr_difference of sex" in verdict.reason


def test_a_group_without_positives_closes(rules: Policy) -> None:
    labels = np.array([True, False, False, False] * 20)
    scores = np.where(labels, 0.9, 0.1)
    scored = Scored(labels, scores, {"sex": ["f", "f", "m", "m"] * 20})
    verdict = release_gate(release_measurements(scored, rules), rules)
    assert verdict.status is Status.INCONCLUSIVE


def test_scores_are_numbers_from_0_to_1() -> None:
    assert finite_scores(np.array([0.0, 1.0])).status is Status.PASS
    for bad in (-0.01, 1.01, math.nan, math.inf):
        assert finite_scores(np.array([0.5, bad])).status is Status.INCONCLUSIVE


# Agreement


def test_agreement_is_within_the_tolerance_either_way() -> None:
    referee = [_auc(0.7), _gap(0.05)]
    for native, status in (
        ([_auc(0.71)], Status.PASS),
        ([_auc(0.69)], Status.PASS),
        ([_auc(0.73)], Status.FAIL),
        ([_auc(0.67)], Status.FAIL),
        ([_auc(math.nan)], Status.INCONCLUSIVE),
    ):
        (finding,) = agreement(native, referee, 0.015)
        assert finding.status is status
    both = agreement([_auc(0.7), _gap(0.3)], referee, 0.02)
    assert [f.status for f in both] == [Status.PASS, Status.FAIL]
    assert [f.rule for f in both] == ["agreement:roc_auc:overall", "agreement:tpr_difference:sex"]


def test_a_referee_without_a_number_agrees_with_nobody() -> None:
    for native in (0.7, math.nan, math.inf):
        (finding,) = agreement([_auc(native)], [_auc(math.nan)], 0.02)
        assert finding.status is Status.INCONCLUSIVE


def test_nothing_in_common_is_not_agreement() -> None:
    for native, referee in (
        ([], [_auc(0.7)]),
        ([_auc(0.7)], []),
        ([_auc(0.7)], [_gap(0.1)]),
        ([replace(_gap(0.1), slice="age")], [_gap(0.1)]),
    ):
        (finding,) = agreement(native, referee, 1.0)
        assert finding.status is Status.INCONCLUSIVE


# The data gate, on the real data


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


def test_a_limit_whose_figure_the_native_tools_lack_is_inconclusive(
    rand_hie_policy: Policy,
) -> None:
    limits = rand_hie_policy.release_gate.limits
    found = agreement([_auc(0.7)], [_auc(0.7)], 0.02, limits)
    lacking = {f.rule for f in found if f.status is Status.INCONCLUSIVE}
    assert lacking == {f"agreement:tpr_difference:{c}" for c in ("black", "female", "xage")}
