"""TFMA's figures and the native verdict: what is missing never opens the gate."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tensorflow_model_analysis.proto import validation_result_pb2

from components.checks.gates import Scored, release_measurements
from components.checks.measurement import Status, Verdict
from components.contract.contract import Contract
from components.contract.policy import Policy
from components.stacks.tfx_stack import evaluation_results as results
from components.stacks.tfx_stack.evaluation_config import AUC, COUNT, MATRIX, compile_evaluation
from components.stacks.tfx_stack.evaluation_results import SliceFigures
from tests import clinic

_GROUPS = {"assay_group_sex": {"f", "m"}, "assay_group_age": {"young", "old"}}


@pytest.fixture
def contract(tmp_path: Path) -> Contract:
    """The clinic's contract."""
    return clinic.contract(tmp_path)


@pytest.fixture
def policy(tmp_path: Path, contract: Contract) -> Policy:
    """Limits that the slices below keep to, on the point."""

    def change(document: clinic.Document) -> None:
        auc, *gaps = document["release_gate"]["limits"]
        for gap in gaps:
            gap.update(tested_on="point", at_most=0.1 if gap["attribute"] == "sex" else 0.2)
        auc["at_least"] = 0.6

    return clinic.policy(tmp_path, contract, change)


def _matrix(tp: int, fn: int, fp: int, tn: int) -> dict[str, Any]:
    matrix = {"truePositives": tp, "falseNegatives": fn, "falsePositives": fp,
              "trueNegatives": tn}  # fmt: skip
    return {MATRIX: matrix, COUNT: float(tp + fn + fp + tn)}


def _slices(**changes: dict[str, Any]) -> list[SliceFigures]:
    overall = {**_matrix(20, 20, 40, 120), AUC: 0.7}
    found = {
        "overall": SliceFigures("", "", overall),
        "f": SliceFigures("assay_group_sex", "f", _matrix(10, 10, 20, 60)),
        "m": SliceFigures("assay_group_sex", "m", _matrix(10, 10, 20, 60)),
        "young": SliceFigures("assay_group_age", "young", _matrix(11, 9, 20, 60)),
        "old": SliceFigures("assay_group_age", "old", _matrix(9, 11, 20, 60)),
    }
    for name, change in changes.items():
        old = found[name]
        found[name] = SliceFigures(old.attribute, old.group, {**old.metrics, **change})
    return list(found.values())


def _validation(**fields: Any) -> Any:
    result = validation_result_pb2.ValidationResult(**{"validation_ok": True, **fields})
    result.validation_details.slicing_details.add()
    return result


def _verdict(
    slices: list[SliceFigures], contract: Contract, policy: Policy, validation: Any = None
) -> Verdict:
    found = results.measurements(slices, contract, policy)
    checked = _validation() if validation is None else validation
    return results.native_verdict(found, slices, _GROUPS, checked, policy)


def test_all_limits_kept_is_open(contract: Contract, policy: Policy) -> None:
    assert _verdict(_slices(), contract, policy).status is Status.PASS


def test_figures_from_counts_are_the_referees(contract: Contract, policy: Policy) -> None:
    chance = np.random.default_rng(1)
    labels, scores = chance.random(600) < 0.3, chance.random(600)
    sexes, ages = chance.choice(["f", "m"], 600), chance.choice(["young", "old"], 600)

    def figures(attribute: str, group: str, held: np.ndarray) -> SliceFigures:
        y, s = labels[held], scores[held] >= policy.decision_threshold
        counts = ((y & s).sum(), (y & ~s).sum(), (~y & s).sum(), (~y & ~s).sum())
        return SliceFigures(attribute, group, _matrix(*map(int, counts)))

    slices = [figures("assay_group_sex", g, sexes == g) for g in ("f", "m")] + [
        figures("assay_group_age", g, ages == g) for g in ("young", "old")
    ]
    groups: dict[str, list[str | None]] = {"sex": sexes.tolist(), "age": ages.tolist()}
    referee = {
        (m.name, m.slice): m for m in release_measurements(Scored(labels, scores, groups), policy)
    }
    native = results.measurements(slices, contract, policy)
    assert len(native) == 18
    for mine in native:
        theirs = referee[mine.name, mine.slice]
        assert (mine.value, mine.n, mine.low) == pytest.approx((theirs.value, theirs.n, theirs.low))


@pytest.mark.parametrize("change", [{AUC: 0.5}, {AUC: math.nan}])
def test_a_broken_overall_limit_closes(
    contract: Contract, policy: Policy, change: dict[str, Any]
) -> None:
    assert not _verdict(_slices(overall=change), contract, policy).is_open


def test_a_gap_over_the_limit_fails(contract: Contract, policy: Policy) -> None:
    verdict = _verdict(_slices(f=_matrix(18, 2, 20, 60)), contract, policy)
    assert verdict.status is Status.FAIL
    assert "tpr_difference of sex 0.4" in verdict.reason


@pytest.mark.parametrize("dropped", [("assay_group_sex", "m"), ("assay_group_age", "old")])
def test_a_missing_slice_is_inconclusive(
    contract: Contract, policy: Policy, dropped: tuple[str, str]
) -> None:
    slices = [s for s in _slices() if (s.attribute, s.group) != dropped]
    verdict = _verdict(slices, contract, policy)
    assert verdict.status is Status.INCONCLUSIVE
    assert dropped[0] in verdict.reason


@pytest.mark.parametrize("lost", [MATRIX, COUNT])
def test_a_group_without_counts_is_inconclusive(
    contract: Contract, policy: Policy, lost: str
) -> None:
    verdict = _verdict(_slices(m={lost: None}), contract, policy)
    assert verdict.status is Status.INCONCLUSIVE


def test_counts_that_do_not_add_up_are_no_counts(contract: Contract, policy: Policy) -> None:
    assert not _verdict(_slices(m={COUNT: 99.0}), contract, policy).is_open


def test_an_absent_metric_is_inconclusive(contract: Contract, policy: Policy) -> None:
    slices = _slices()
    lost = SliceFigures("", "", {k: v for k, v in slices[0].metrics.items() if k != AUC})
    verdict = _verdict([lost, *slices[1:]], contract, policy)
    assert verdict.status is Status.INCONCLUSIVE
    assert "roc_auc was not measured" in verdict.reason


@pytest.mark.parametrize(
    "validation",
    [
        validation_result_pb2.ValidationResult(validation_ok=True),
        _validation(missing_thresholds=True),
        _validation(rubber_stamp=True),
    ],
)
def test_tfma_saying_yes_to_nothing_is_inconclusive(
    contract: Contract, policy: Policy, validation: Any
) -> None:
    verdict = _verdict(_slices(), contract, policy, validation)
    assert verdict.status is Status.INCONCLUSIVE


def test_no_validation_at_all_is_inconclusive(policy: Policy) -> None:
    (finding,) = results.validation_findings(None, policy)
    assert finding.status is Status.INCONCLUSIVE


def test_tfmas_own_no_fails(contract: Contract, policy: Policy) -> None:
    verdict = _verdict(_slices(), contract, policy, _validation(validation_ok=False))
    assert verdict.status is Status.FAIL


def test_thresholds_are_the_policys_and_about_all_rows(contract: Contract, policy: Policy) -> None:
    config = compile_evaluation(contract, policy)
    (auc,) = [m for m in config.metrics_specs[0].metrics if m.class_name == "AUC"]
    assert not auc.HasField("threshold")
    (overall,) = auc.per_slice_thresholds
    assert [list(s.feature_keys) for s in overall.slicing_specs] == [[]]
    assert overall.threshold.value_threshold.lower_bound.value == 0.6
    assert not overall.threshold.value_threshold.HasField("upper_bound")
    sliced = [list(s.feature_keys) for s in config.slicing_specs]
    assert sliced == [[], ["assay_group_age"], ["assay_group_sex"]]
