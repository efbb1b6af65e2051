"""The native verdict: TFMA's own word under the limits' rules, and closed where TFMA is not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import tensorflow_model_analysis as tfma
from tensorflow_model_analysis.proto import config_pb2, validation_result_pb2

from components.checks.measurement import Finding, Status, Verdict
from components.contract.contract import Contract
from components.contract.policy import Policy
from components.stacks.tfx_stack.evaluation_config import compile_evaluation
from components.stacks.tfx_stack.evaluation_sums import EVERYBODY, Evaluation
from components.stacks.tfx_stack.evaluation_thresholds import compile_limits
from components.stacks.tfx_stack.evaluation_verdict import (
    native_verdict,
    slice_findings,
    validation_findings,
)
from tests import clinic
from tests.components.stacks.tfx_stack.tfma_cases import Case, Measured, limit, measure, run_tfma

_ABSOLUTE = {"change": "absolute"}
_PASSING = [
    limit("auc", "roc_auc", at_least=0.51),
    limit("tpr", "tpr_difference", slice="sex", at_most=0.999),
    limit("tpr-age", "tpr_difference", slice="age", at_most=0.999),
    limit("each-ppv", "ppv", slice="sex", at_least=0.001),
    limit("drop", "roc_auc", at_least=-0.999, champion=_ABSOLUTE),
    limit("rise", "brier", at_most=0.999, champion=_ABSOLUTE, tested_on="worst_bound"),
]
_FAILING = [
    limit("ap", "average_precision", at_least=0.99),
    limit("each", "tpr", slice="age", at_least=0.99),
    limit("each-again", "tpr", slice="age", at_least=0.99),
    limit("one", "fpr", slice={"age": "old"}, at_most=0.001),
    limit("gain", "roc_auc", at_least=0.9, champion=_ABSOLUTE),
    limit("share", "brier", at_most=-0.9, champion={"change": "relative"}),
    limit("few", "tpr", slice={"age": "young"}, at_least=0.99, min_n=1000),
]


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """The clinic's contract."""
    return clinic.contract(tmp_path_factory.mktemp("contract"))


def policy_of(contract: Contract, folder: Any, limits: list[clinic.Document]) -> Policy:
    """A policy of just these limits."""

    def change(document: clinic.Document) -> None:
        document["release_gate"]["limits"] = limits

    return clinic.policy(folder, contract, change)


@pytest.fixture(scope="module")
def found(contract: Contract, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """Rows of which TFMA holds limits that they keep and limits that they break."""
    case = Case(150, seed=3)
    case.sex = [g or "f" for g in case.sex]
    policy = policy_of(contract, tmp_path_factory.mktemp("policy"), _PASSING + _FAILING)
    return measure(case, contract, policy)


def verdict(found: Measured, own_word: list[Finding] | None = None, **changes: Any) -> Verdict:
    """The native verdict, with TFMA's figures changed."""
    candidate = replace(found.candidate, **changes)
    word = own_word
    if word is None:
        word = slice_findings(candidate, found.contract, found.case.held)
        word += validation_findings(found.validation, found.limits, found.contract)
    return native_verdict(
        found.figures(candidate), found.policy, found.limits, word, has_champion=True
    )


@pytest.fixture
def passing(found: Measured, contract: Contract, tmp_path: Any) -> Measured:
    """The same rows under the limits that they keep; TFMA's word of them is made up."""
    policy = policy_of(contract, tmp_path, _PASSING)
    limits = compile_limits(contract, policy, found.case.held)
    return replace(found, policy=policy, limits=limits)


def closed(result: Verdict) -> dict[str, Status]:
    """Rules that do not pass."""
    return {f.rule: f.status for f in result.findings if f.status is not Status.PASS}


_REJECTED = {
    "limit:ap", "limit:one", "limit:gain", "limit:share",
    *(f"limit:{x}:age={g}" for x in ("each", "each-again") for g in ("young", "middle", "old")),
}  # fmt: skip


def test_tfmas_failures_are_the_limits_own(found: Measured) -> None:
    word = validation_findings(found.validation, found.limits, found.contract)
    # TFMA knows nothing of too few cases.
    assert {f.rule for f in word} == {*_REJECTED, "limit:few"}
    assert {f.status for f in word} == {Status.FAIL}
    assert found.validation.missing_slices, "TFMA calls a slice missing that failed twice"


def test_native_and_tfma_reject_the_same(found: Measured) -> None:
    result = closed(verdict(found))
    assert {rule for rule, status in result.items() if status is Status.FAIL} == _REJECTED
    assert result["limit:few"] is Status.INCONCLUSIVE
    assert set(result) == {*_REJECTED, "limit:few"}


def test_what_tfma_rejects_does_not_pass(passing: Measured) -> None:
    reason = "TFMA's validation rejects roc_auc"
    word = [Finding("limit:auc", Status.FAIL, reason)]
    result = verdict(passing, word)
    # The tools disagree about one figure, and that is no limit that anybody could excuse.
    assert closed(result) == {"tfma:limit:auc": Status.FAIL}
    assert reason in result.reason


def _passed(**fields: Any) -> Any:
    result = validation_result_pb2.ValidationResult(**{"validation_ok": True, **fields})
    result.validation_details.slicing_details.add()
    return result


def test_all_limits_kept_is_open(passing: Measured) -> None:
    word = validation_findings(_passed(), passing.limits, passing.contract)
    result = verdict(passing, word)
    assert result.status is Status.PASS
    assert {f.rule for f in result.findings} >= {"tfma", "limit:drop", "limit:each-ppv:sex=f"}


@pytest.mark.parametrize(
    ("validation", "status"),
    [
        (None, Status.INCONCLUSIVE),
        (validation_result_pb2.ValidationResult(validation_ok=True), Status.INCONCLUSIVE),
        (_passed(missing_thresholds=True), Status.INCONCLUSIVE),
        (_passed(rubber_stamp=True), Status.INCONCLUSIVE),
        (_passed(missing_slices=[config_pb2.SlicingSpec()]), Status.INCONCLUSIVE),
        (_passed(validation_ok=False), Status.FAIL),
    ],
)
def test_tfma_saying_yes_to_nothing_is_a_malfunction(
    passing: Measured, validation: Any, status: Status
) -> None:
    word = validation_findings(validation, passing.limits, passing.contract)
    assert closed(verdict(passing, word)) == {"tfma": status}


def _failed(metric: str, at_least: float, *slice_key: tuple[str, str]) -> Any:
    """TFMA's word that one slice breaks one lower bound."""
    validation = _passed(validation_ok=False)
    of_slice = validation.metric_validations_per_slice.add()
    for column, label in slice_key:
        of_slice.slice_key.single_slice_keys.add(column=column, bytes_value=label.encode())
    failure = of_slice.failures.add()
    failure.metric_key.name = metric
    failure.metric_threshold.value_threshold.lower_bound.value = at_least
    return validation


def test_a_failure_is_of_the_limits_on_its_slice_alone(found: Measured) -> None:
    validation = _failed("tpr", 0.99, ("assay_group_age", "old"))
    word = validation_findings(validation, found.limits, found.contract)
    assert {f.rule for f in word} == {"limit:each:age=old", "limit:each-again:age=old"}


def test_a_failure_that_no_limit_accounts_for_is_a_malfunction(passing: Measured) -> None:
    validation = _failed("roc_auc", 0.123)
    validation.MergeFrom(_failed("roc_auc", 0.51))
    word = validation_findings(validation, passing.limits, passing.contract)
    assert [f.rule for f in word] == ["tfma", "limit:auc"]
    assert closed(verdict(passing, word))["tfma"] is Status.FAIL


def _without(found: Evaluation, place: Any) -> dict[str, Any]:
    return {"sums": {k: v for k, v in found.sums.items() if k != place}}


def test_a_group_that_tfma_lost_closes_what_is_of_its_attribute(passing: Measured) -> None:
    lost = _without(passing.candidate, (("sex",), ("1",)))
    candidate = replace(passing.candidate, **lost)
    word = slice_findings(candidate, passing.contract, passing.case.held)
    result = closed(verdict(passing, word, **lost))
    assert result == dict.fromkeys(
        ("limit:tpr", "limit:each-ppv", "slice:sex"), Status.INCONCLUSIVE
    )


def test_everybody_lost_closes_what_is_of_everybody(passing: Measured) -> None:
    result = closed(verdict(passing, [], **_without(passing.candidate, EVERYBODY)))
    rules = ("limit:auc", "limit:drop", "limit:rise")
    assert result == dict.fromkeys(rules, Status.INCONCLUSIVE)


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_figure_that_is_none_closes(passing: Measured, value: float | None) -> None:
    numbers = dict(passing.candidate.figures[EVERYBODY])
    del numbers["roc_auc"]
    if value is not None:
        numbers["roc_auc"] = value
    result = closed(verdict(passing, [], figures={**passing.candidate.figures, EVERYBODY: numbers}))
    assert result == dict.fromkeys(("limit:auc", "limit:drop"), Status.INCONCLUSIVE)


@pytest.mark.parametrize("lost", ["pair", "figure", "nan"])
def test_a_pair_that_tfma_did_not_compare_closes(passing: Measured, lost: str) -> None:
    pair = ((("sex",), ("1",)), (("sex",), ("f",)))
    differences = {k: dict(v) for k, v in passing.candidate.differences.items()}
    if lost == "pair":
        del differences[pair]
    elif lost == "figure":
        del differences[pair]["tpr"]
    else:
        differences[pair]["tpr"] = float("nan")
    assert closed(verdict(passing, [], differences=differences)) == {
        "limit:tpr": Status.INCONCLUSIVE
    }


def test_a_champion_that_tfma_did_not_measure_closes(passing: Measured) -> None:
    nothing = replace(passing, champion=Evaluation({}, {}, {}))
    result = closed(verdict(nothing, []))
    assert result == dict.fromkeys(("limit:drop", "limit:rise"), Status.INCONCLUSIVE)


def test_a_limit_that_tfma_cannot_bear_on_is_not_the_native_verdicts(passing: Measured) -> None:
    (auc,) = [x for x in passing.policy.release_gate.limits if x.id == "auc"]
    limits = replace(passing.limits, untested=(auc,))
    result = verdict(replace(passing, limits=limits), [])
    assert "limit:auc" not in {f.rule for f in result.findings}
    assert result.status is Status.PASS


def test_tfma_calls_every_threshold_between_slices_missing(
    contract: Contract, tmp_path: Any
) -> None:
    """Why there is none: TFMA says no to a difference that is within its bounds."""
    case = Case(60, seed=4)
    policy = policy_of(contract, tmp_path, _PASSING[:3])
    config = compile_evaluation(contract, policy, case.held)
    del config.cross_slicing_specs[1:]
    (tpr,) = [m for m in config.metrics_specs[0].metrics if m.class_name == "Recall"]
    bounds = tpr.cross_slice_thresholds.add(cross_slicing_specs=config.cross_slicing_specs)
    bounds.threshold.value_threshold.lower_bound.value = -2
    validation = tfma.load_validation_result(run_tfma(config, case))
    assert not validation.metric_validations_per_slice, "nothing is out of bounds"
    assert validation.missing_cross_slices
    assert not validation.validation_ok
