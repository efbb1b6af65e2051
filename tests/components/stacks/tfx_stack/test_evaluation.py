"""TFMA's figures against the referee's: the same of every metric, group, comparison and change."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from components.checks.measurement import Status
from components.checks.release import agreement
from components.contract.contract import Contract
from components.contract.policy import Metric, Policy
from components.stacks.tfx_stack.evaluation_sums import EVERYBODY
from tests import clinic
from tests.components.stacks.tfx_stack.tfma_cases import (
    Case,
    Measured,
    by_key,
    everything,
    measure,
    of_single_attributes,
    pooled,
)

_RANKINGS = ("roc_auc", "average_precision")
_OTHER_INTERVALS = (*_RANKINGS, "brier")
"""Intervals that TFMA's sums give by another formula than the referee's."""

Setup = tuple[Contract, Policy]


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """The clinic's contract."""
    return clinic.contract(tmp_path_factory.mktemp("contract"))


@pytest.fixture(scope="module")
def plain(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Rows under a policy without pools."""
    folder = tmp_path_factory.mktemp("plain")
    return measure(Case(), contract, clinic.policy(folder, contract, everything))


@pytest.fixture(scope="module")
def pools(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Other rows under a policy with pools."""
    folder = tmp_path_factory.mktemp("pools")
    return measure(Case(seed=1), contract, clinic.policy(folder, contract, pooled))


def assert_same(found: Measured) -> None:
    """Native and referee have the same figures of the same cases, rankings of pools apart."""
    mine, theirs = by_key(found.figures()), found.referee
    pool = ("age=from 40", "age*sex=below 40", "age=from 40*sex")
    assert set(theirs) - set(mine) == {
        (name, where) for name, where in theirs if name in _RANKINGS and where.startswith(pool)
    }
    assert set(mine) <= set(theirs)
    for key, measured in mine.items():
        expected = theirs[key]
        assert (measured.n, measured.of) == (expected.n, expected.of), key
        assert measured.value == pytest.approx(expected.value, abs=1e-6, nan_ok=True), key
        assert measured.source.startswith("tfma 0."), key


def test_figures_are_the_referees(plain: Measured) -> None:
    assert_same(plain)
    assert {m.name for m in plain.figures()} >= {str(m) for m in Metric}


def test_figures_of_pools_are_the_referees(pools: Measured) -> None:
    assert_same(pools)
    found = by_key(pools.figures())
    assert {m.slice for m in found.values() if m.of == "age"} == {"age=young", "age=from 40"}
    assert found["brier", "age*sex=below 40"].n > 10
    assert ("roc_auc", "age=young") in found
    assert ("roc_auc", "age=from 40") not in found


@pytest.mark.parametrize("which", ["plain", "pools"])
def test_intervals_from_sums_are_the_referees(which: str, request: pytest.FixtureRequest) -> None:
    found: Measured = request.getfixturevalue(which)
    theirs = found.referee
    compared = 0
    for key, measured in by_key(found.figures()).items():
        expected = theirs[key]
        if key[0].startswith(("absolute", "relative")):
            assert measured.low is None, "TFMA knows of no change from row to row"
        elif key[0] not in _OTHER_INTERVALS:
            low, high = (
                None if b is None else pytest.approx(b, abs=1e-6)
                for b in (expected.low, expected.high)
            )
            assert (measured.low, measured.high) == (low, high), key
            compared += measured.low is not None
    assert compared > 100


def test_other_intervals_hold_the_referees_or_come_close(plain: Measured) -> None:
    mine, theirs = by_key(plain.figures()), plain.referee
    brier, exact = mine["brier", "overall"], theirs["brier", "overall"]
    assert brier.low < exact.low < exact.high < brier.high, "from squares instead of fourth powers"
    auc, delong = mine["roc_auc", "overall"], theirs["roc_auc", "overall"]
    assert auc.low == pytest.approx(delong.low, abs=0.01)
    assert auc.high == pytest.approx(delong.high, abs=0.01)
    precision, boyd = mine["average_precision", "overall"], theirs["average_precision", "overall"]
    assert (precision.low, precision.high) == pytest.approx((boyd.low, boyd.high), abs=1e-6)


def test_no_limit_lacks_a_native_figure(plain: Measured, pools: Measured) -> None:
    def closed(found: Measured) -> set[str]:
        limits = found.policy.release_gate.limits
        referee = list(found.referee.values())
        return {
            f.rule
            for f in agreement(found.figures(), referee, 1e-6, limits)
            if f.status is not Status.PASS
        }

    assert closed(plain) == set()
    # Rankings of pools are all that TFMA has no figure for, and the referee says so.
    assert closed(pools) == {
        f"agreement:{name}:{where}"
        for name, where in pools.referee
        if name in _RANKINGS and ("from 40" in where or "below 40" in where)
    }
    assert {x.metric for x in pools.limits.untested} == {Metric.ROC_AUC, Metric.AVERAGE_PRECISION}


def test_tfma_takes_the_differences_itself(plain: Measured) -> None:
    """A pair that TFMA found further apart counts, whatever its counts say."""
    assert ("age", "sex") in plain.limits.compared
    pair = ((("sex",), ("1",)), (("sex",), ("f",)))
    further = {**plain.candidate.differences[pair], "tpr": -0.9}
    differences = {**plain.candidate.differences, pair: further}
    found = by_key(plain.figures(replace(plain.candidate, differences=differences)))
    assert found["tpr_difference", "sex"].value == 0.9


@pytest.mark.parametrize("breakage", ["one class", "none selected", "edges"])
def test_what_cannot_be_measured_is_closed_on_both_sides(
    contract: Contract, tmp_path_factory: pytest.TempPathFactory, breakage: str
) -> None:
    case = Case(9 if breakage == "none selected" else 60, seed=2)
    if breakage == "one class":
        case.labels[:] = False
        case.sex = ["f"] * 60
        case.age = ["old" if g == "young" else g for g in case.age]  # declared, and not there
        unknown = [("roc_auc", "overall"), ("average_precision", "overall"), ("tpr", "sex=f"),
                   ("tpr_difference", "sex"), ("calibration_bias_difference", "sex"),
                   ("selection_rate", "age=young"), ("fpr_difference", "age")]  # fmt: skip
    elif breakage == "none selected":
        case.scores[:] = 0.0
        unknown = [("ppv", "overall"), ("ppv_difference", "sex"), ("selection_rate_ratio", "sex"),
                   ("calibration_bias_difference", "age*sex")]  # fmt: skip
    else:
        case.scores[:] = np.float32([0.0, 0.1, 0.3, 0.5, 0.7, 1.0] * 10)
        unknown = []
    policy = clinic.policy(tmp_path_factory.mktemp("policy"), contract, of_single_attributes)
    found = measure(case, contract, policy, with_champion=False)
    assert_same(found)
    keyed = by_key(found.figures())
    assert all(math.isnan(keyed[key].value) for key in unknown)


def test_a_slice_that_does_not_add_up_has_no_sums(plain: Measured) -> None:
    from components.stacks.tfx_stack import evaluation_sums

    assert set(plain.candidate.sums) == set(plain.candidate.figures)
    everybody = plain.candidate.sums[EVERYBODY]
    assert everybody.rows == 300
    numbers = plain.candidate.figures[EVERYBODY]
    matrices, buckets = _parts(plain)
    assert evaluation_sums.tally(numbers, matrices, buckets) is not None
    for lost in (
        ({**numbers, "example_count": 299.0}, matrices, buckets),
        ({k: v for k, v in numbers.items() if k != "example_count"}, matrices, buckets),
        ({**numbers, "brier": math.nan}, matrices, buckets),
        ({k: v for k, v in numbers.items() if k != "brier"}, matrices, buckets),
        (numbers, [], buckets),
        (numbers, matrices * 2, buckets),
        (numbers, matrices, []),
        (numbers, matrices, buckets[:5]),
    ):
        assert evaluation_sums.tally(*lost) is None
    buckets[3].num_weighted_examples.value += 1
    assert evaluation_sums.tally(numbers, matrices, buckets) is None
    buckets[3].num_weighted_examples.value -= 1
    assert evaluation_sums.tally(numbers, matrices, buckets) is not None
    buckets[3].total_weighted_label.value += 1
    assert evaluation_sums.tally(numbers, matrices, buckets) is None


def _parts(found: Measured) -> tuple[list, list]:
    """TFMA's confusion matrix and calibration plot of everybody."""
    import tensorflow_model_analysis as tfma

    (matrices,) = (
        pair.value.confusion_matrix_at_thresholds.matrices
        for record in tfma.load_metrics(found.uri)
        if record.HasField("slice_key") and not record.slice_key.single_slice_keys
        for pair in record.metric_keys_and_values
        if (pair.key.name, pair.key.model_name) == ("confusion_matrix", "candidate")
        and not pair.key.is_diff
    )
    (buckets,) = (
        pair.value.calibration_histogram_buckets.buckets
        for record in tfma.load_plots(found.uri)
        if not record.slice_key.single_slice_keys
        for pair in record.plot_keys_and_values
        if pair.key.model_name == "candidate"
    )
    return list(matrices), list(buckets)
