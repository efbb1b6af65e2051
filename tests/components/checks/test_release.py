"""What the referee measures of stored scores, and whether a native tool agrees with it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from components.checks.limits import release_gate
from components.checks.measurement import Measurement, Status
from components.checks.release import (
    Scored,
    agreement,
    finite_scores,
    release_measurements,
    slices_measured,
)
from components.checks.tallies import Groups
from components.contract.errors import ProcessError
from components.contract.policy import COMPARISONS, RATES, Change, Metric, Policy, Pool
from tests.components.checks.samples import GROUNDS, Labels, limit, measured, sample, with_limits

_EVERYBODY = (
    Metric.ROC_AUC,
    Metric.AVERAGE_PRECISION,
    Metric.BRIER,
    Metric.CALIBRATION_ERROR,
    Metric.CALIBRATION_BIAS,
    *RATES,
)
_OF_A_GROUP = (*RATES, Metric.CALIBRATION_BIAS, Metric.CALIBRATION_ERROR)
AUC = limit(Metric.ROC_AUC, at_least=0.6, min_n=10)
GAP = limit(Metric.TPR_DIFFERENCE, "sex", at_most=0.1, tested_on="worst_bound", min_n=10)


def _scored(scores: list[float], groups: Labels | None = None) -> Scored:
    """Every other row is a positive; two women, two men, and so on."""
    labels = np.array([True, False] * (len(scores) // 2))
    held = groups or ["f", "f", "m", "m"] * (len(scores) // 4)
    return Scored(labels, np.array(scores), {"sex": Groups.of(held)})


@pytest.mark.parametrize(
    ("attributes", "slices"),
    [
        ([], []),
        (["a"], [("a",)]),
        (
            ["c", "a", "b"],
            [("c",), ("a",), ("b",), ("c", "a"), ("c", "b"), ("a", "b")],
        ),
    ],
)
def test_columns_and_pairs_are_measured_in_the_contracts_order(
    attributes: list[str], slices: list[tuple[str, ...]]
) -> None:
    assert slices_measured(attributes) == slices


def test_everything_is_measured_of_everybody_and_of_every_group(rules: Policy) -> None:
    found = measured(sample(1, 200, sex=2, age=3), with_limits(rules))
    expected = {(str(m), "overall") for m in _EVERYBODY}
    groups = {
        "sex": ["sex=sex0", "sex=sex1"],
        "age": ["age=age0", "age=age1", "age=age2"],
        "sex*age": [f"sex=sex{i}*age=age{j}" for i in range(2) for j in range(3)],
    }
    for where, names in groups.items():
        expected |= {(str(m), n) for m in _OF_A_GROUP for n in names}
        expected |= {(str(m), where) for m in COMPARISONS}
    assert set(found) == expected
    assert {m.slice for m in found.values() if m.of == "sex*age"} == set(groups["sex*age"])


@pytest.mark.parametrize("metric", [Metric.ROC_AUC, Metric.AVERAGE_PRECISION, Metric.BRIER])
@pytest.mark.parametrize("where", [("sex",), ("sex", "age")])
def test_a_limit_has_its_figure_measured_of_its_groups(
    rules: Policy, metric: Metric, where: tuple[str, ...]
) -> None:
    rows = sample(1, 200, sex=2, age=3)
    plain = measured(rows, with_limits(rules))
    asked = with_limits(rules, limit(metric, *where, at_least=0.0))
    more = {k: m for k, m in measured(rows, asked).items() if k not in plain}
    assert {name for name, _ in more} == {str(metric)}
    assert {m.of for m in more.values()} == {"*".join(where)}
    assert len(more) == (2 if where == ("sex",) else 6)


@pytest.mark.parametrize("metric", [Metric.ROC_AUC, Metric.AVERAGE_PRECISION, Metric.BRIER])
def test_a_pools_figure_is_that_of_its_rows(rules: Policy, metric: Metric) -> None:
    rows = sample(2, 300, sex=2, age=4)
    gate = replace(
        rules.release_gate,
        limits=(limit(metric, "age", at_least=0.0), limit(metric, "sex", "age", at_least=0.0)),
        pools=(
            Pool(("age",), (("age0",), ("age3",)), "ends", GROUNDS),
            Pool(("sex", "age"), (("sex0", "ends"), ("sex1", "age1")), "rest", GROUNDS),
        ),
    )
    found = measured(rows, replace(rules, release_gate=gate))
    age, sex = (np.array(rows.groups[a]) for a in ("age", "sex"))
    ends = np.isin(age, ["age0", "age3"])
    rest = (sex == "sex0") & ends | (sex == "sex1") & (age == "age1")
    for name, held in (("age=ends", ends), ("sex*age=rest", rest), ("age=age1", age == "age1")):
        chosen = replace(rows, groups={}).taken(np.flatnonzero(held))
        alone = measured(chosen, with_limits(rules))
        for m in (*_OF_A_GROUP, metric):
            mine, own = found[str(m), name], alone[str(m), "overall"]
            assert (mine.value, mine.n) == (pytest.approx(own.value, abs=1e-12), own.n)
            assert (mine.low, mine.high) == pytest.approx((own.low, own.high), abs=1e-12)
    assert ("tpr", "age=age0") not in found
    assert found["tpr_difference", "age"].n == min(
        found["tpr", f"age={g}"].n for g in ("age1", "age2", "ends")
    )


def test_a_declared_group_without_rows_closes_whatever_is_asked_of_it(rules: Policy) -> None:
    scored = replace(
        _scored([0.9, 0.1] * 40), groups={"sex": Groups.of(["f", "f", "m", "m"] * 20, ("x",))}
    )
    for held in (
        GAP,
        limit(Metric.TPR_RATIO, "sex", at_least=0.1),
        limit(Metric.CALIBRATION_BIAS_DIFFERENCE, "sex", at_most=1.0),
        *(limit(m, "sex", at_least=0.0) for m in (Metric.TPR, Metric.ROC_AUC, Metric.BRIER)),
    ):
        policy = with_limits(rules, replace(held, min_n=1))
        verdict = release_gate(release_measurements(scored, policy), policy)
        assert verdict.status is Status.INCONCLUSIVE, held
        assert "sex=x" in verdict.reason


def test_rows_without_a_label_are_a_group(rules: Policy) -> None:
    scored = _scored([0.9, 0.1, 0.9, 0.1, 0.1, 0.9] * 20, ["f", "f", "m", "m", None, None] * 20)
    policy = with_limits(rules, limit(Metric.TPR, "sex", at_least=0.5))
    verdict = release_gate(release_measurements(scored, policy), policy)
    assert verdict.reason == "tpr of sex=(missing) 0, at least 0.5 required"
    assert len(verdict.findings) == 3


def test_a_sound_model_opens_the_gate_and_an_unequal_one_does_not(rules: Policy) -> None:
    policy = with_limits(rules, AUC, GAP)
    equal = _scored([0.9, 0.1, 0.8, 0.2] * 100)
    assert release_gate(release_measurements(equal, policy), policy).is_open
    unequal = _scored([0.9, 0.1, 0.4, 0.2] * 100)
    verdict = release_gate(release_measurements(unequal, policy), policy)
    assert verdict.status is Status.FAIL
    assert "tpr_difference of sex 1, at most 0.1 required" in verdict.reason


@pytest.mark.parametrize(
    "groups", [["f"] * 40, ["f", "f", "m", "m"] * 9 + ["m", "m", "x", "x"]], ids=["one", "small"]
)
def test_a_group_alone_or_too_small_closes(rules: Policy, groups: list[str | None]) -> None:
    policy = with_limits(rules, AUC, GAP)
    verdict = release_gate(release_measurements(_scored([0.9, 0.1] * 20, groups), policy), policy)
    assert verdict.status is Status.INCONCLUSIVE
    assert "tpr_difference of sex" in verdict.reason


def test_a_group_without_positives_closes(rules: Policy) -> None:
    labels = np.array([True, False, False, False] * 20)
    scored = Scored(
        labels, np.where(labels, 0.9, 0.1), {"sex": Groups.of(["f", "f", "m", "m"] * 20)}
    )
    policy = with_limits(rules, GAP)
    verdict = release_gate(release_measurements(scored, policy), policy)
    assert verdict.status is Status.INCONCLUSIVE
    assert verdict.reason == (
        "tpr_difference of sex leaves too few cases in sex=m (0), 10 required in each group"
    )


@pytest.mark.parametrize("metric", Metric)
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, -0.01, 1.01])
def test_one_broken_score_closes_a_limit_on_any_metric(
    rules: Policy, metric: Metric, bad: float
) -> None:
    of = {"at_most": 2.0} if metric.is_difference else {"at_least": -1.0}
    slices: list[tuple[str, ...]] = [("sex",)] if metric.compares_groups else [(), ("sex",)]
    policy = with_limits(rules, *(limit(metric, *s, **of) for s in slices))
    scores = [0.9, 0.1, 0.8, 0.6, 0.4, 0.7, 0.3, 0.2] * 50
    assert release_gate(release_measurements(_scored(scores), policy), policy).is_open
    scores[5] = bad
    verdict = release_gate(release_measurements(_scored(scores), policy), policy)
    assert verdict.status is Status.INCONCLUSIVE
    closed = {f.rule for f in verdict.findings if f.status is not Status.PASS}
    name = f"limit:{metric}".replace("_", "-")
    assert closed == ({name} if metric.compares_groups else {name, f"{name}:sex=f"})


def test_scores_are_numbers_from_0_to_1() -> None:
    assert finite_scores(np.array([0.0, -0.0, 1.0])).status is Status.PASS
    for bad in (-0.01, 1.01, math.nan, math.inf, -math.inf):
        found = finite_scores(np.array([0.5, bad, bad]))
        assert found.status is Status.INCONCLUSIVE
        assert found.reason == "2 scores are no number in [0, 1]"
        assert (found.measurement.value, found.measurement.n) == (2.0, 3)


# Agreement


def _figure(name: str, value: float, where: str = "overall", n: int = 50) -> Measurement:
    of = where.partition("=")[0] if "=" in where else ""
    return Measurement(name, value, n, slice=where, of=of)


def _auc(value: float) -> Measurement:
    return _figure("roc_auc", value)


@pytest.mark.parametrize(
    ("native", "status"),
    [
        (0.71, Status.PASS),
        (0.69, Status.PASS),
        (0.715, Status.PASS),
        (0.7151, Status.FAIL),
        (0.73, Status.FAIL),
        (0.67, Status.FAIL),
        (math.nan, Status.INCONCLUSIVE),
        (math.inf, Status.INCONCLUSIVE),
        (-math.inf, Status.INCONCLUSIVE),
    ],
)
def test_agreement_is_within_the_tolerance_either_way(native: float, status: Status) -> None:
    (found,) = agreement([_auc(native)], [_auc(0.7)], 0.015 + 1e-12)
    assert found.status is status
    (turned,) = agreement([_auc(0.7)], [_auc(native)], 0.015 + 1e-12)
    assert turned.status is status


def test_every_figure_in_common_is_held_against_its_own() -> None:
    referee = [_auc(0.7), _figure("tpr_difference", 0.05, "sex")]
    found = agreement([_auc(0.7), _figure("tpr_difference", 0.3, "sex")], referee, 0.02)
    assert [(f.rule, f.status) for f in found] == [
        ("agreement:roc_auc:overall", Status.PASS),
        ("agreement:tpr_difference:sex", Status.FAIL),
    ]
    assert found[1].measurement.value == pytest.approx(0.25)
    assert "tpr_difference of sex 0.25, at most 0.02 required" in found[1].reason
    # A figure that only one side has is no disagreement; nobody has a limit on it.
    more = agreement([_auc(0.7), _figure("f1", 0.3)], [*referee, _figure("tpr", 0.3)], 0.02)
    assert [f.rule for f in more] == ["agreement:roc_auc:overall"]


def test_nothing_in_common_is_not_agreement() -> None:
    gap = _figure("tpr_difference", 0.1, "sex")
    for native, referee in (
        ([], [_auc(0.7)]),
        ([_auc(0.7)], []),
        ([], []),
        ([_auc(0.7)], [gap]),
        ([replace(gap, slice="age")], [gap]),
        ([_auc(math.nan)], [_auc(math.nan)]),
    ):
        (found,) = agreement(native, referee, 1.0)
        assert (found.rule, found.status) == ("agreement", Status.INCONCLUSIVE)


def test_what_neither_side_can_count_is_no_disagreement() -> None:
    """A group of one row has no calibration, and nobody's rate has no ratio; a limit on either is
    closed by itself."""
    referee = [_auc(0.7), _figure("calibration_bias", math.nan, "sex=f", n=1)]
    for native_n in (0, 1, 7):
        native = [_auc(0.7), _figure("calibration_bias", math.nan, "sex=f", n=native_n)]
        (found,) = agreement(native, referee, 0.01)
        assert found.status is Status.PASS
    for one_sided in (0.0, math.inf):
        native = [_auc(0.7), _figure("calibration_bias", one_sided, "sex=f", n=1)]
        assert agreement(native, referee, 0.01)[1].status is Status.INCONCLUSIVE


def test_a_model_without_false_positives_agrees_with_itself(rules: Policy) -> None:
    found = release_measurements(_scored([0.9, 0.1] * 40), rules)
    by_name = {m.name: m for m in found if m.slice == "sex"}
    assert math.isnan(by_name["fpr_ratio"].value)
    assert {f.status for f in agreement(found, found, 0.01, rules.release_gate.limits)} == {
        Status.PASS,
        Status.INCONCLUSIVE,  # the policy's limit on the groups of age, which nobody measured
    }
    held = with_limits(rules, AUC, GAP).release_gate.limits
    assert {f.status for f in agreement(found, found, 0.01, held)} == {Status.PASS}


@pytest.mark.parametrize("lacking", [0, 1, 2, 3])
def test_a_limit_whose_figure_the_native_tools_lack_is_inconclusive(lacking: int) -> None:
    held = [
        limit(Metric.ROC_AUC, at_least=0.5),
        limit(Metric.TPR, "sex", at_least=0.5),
        limit(Metric.TPR_RATIO, "sex", at_least=0.5),
        limit(Metric.BRIER, at_most=0.5, change=Change.ABSOLUTE),
    ]
    figures = [
        _auc(0.7),
        _figure("tpr", 0.5, "sex=f"),
        _figure("tpr", 0.5, "sex=m"),
        _figure("tpr_ratio", 0.9, "sex"),
    ]
    assert {f.status for f in agreement(figures, figures, 0.01, held)} == {Status.PASS}
    native = [m for i, m in enumerate(figures) if i != lacking]
    found = agreement(native, figures, 0.01, held)
    closed = [f for f in found if f.status is not Status.PASS]
    gone = figures[lacking]
    assert [f.rule for f in closed] == [f"agreement:{gone.name}:{gone.slice}"]
    assert closed[0].reason == f"native tools have no figure of {gone.name} of {gone.slice}"
    assert closed[0].status is Status.INCONCLUSIVE


def test_a_limit_that_neither_side_measured_is_asked_for_once() -> None:
    held = [limit(Metric.TPR, "sex", groups=("f",), at_least=0.5), *[GAP] * 2]
    found = agreement([_auc(0.7)], [_auc(0.7)], 0.01, held)
    assert [f.rule for f in found] == [
        "agreement:tpr:sex=f",
        "agreement:tpr_difference:sex",
        "agreement:roc_auc:overall",
    ]


def test_the_shipped_limits_are_asked_of_the_native_tools(rand_hie_policy: Policy) -> None:
    found = agreement([_auc(0.7)], [_auc(0.7)], 0.02, rand_hie_policy.release_gate.limits)
    lacking = {f.rule for f in found if f.status is Status.INCONCLUSIVE}
    assert {f"agreement:tpr_difference:{c}" for c in ("black", "female", "xage")} <= lacking
    assert "agreement:roc_auc:overall" not in lacking


@pytest.mark.parametrize("side", [0, 1])
def test_a_figure_that_was_measured_twice_is_a_malfunction(side: int) -> None:
    sides = [[_auc(0.7)], [_auc(0.7)]]
    sides[side] = sides[side] * 2
    with pytest.raises(ProcessError, match="roc_auc of overall was measured twice"):
        agreement(*sides, 0.01)
