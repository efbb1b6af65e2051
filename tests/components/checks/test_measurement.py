from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.checks.measurement import (
    Finding,
    Measurement,
    Status,
    Verdict,
    conclude,
    within,
)
from components.lineage.digests import canonical_json

NOT_A_NUMBER: list[Any] = [math.nan, math.inf, -math.inf, None, "0.5", True, np.float64("nan")]


def _finding(status: Status, reason: str = "r") -> Finding:
    return Finding("rule", status, reason)


def test_limits_are_inclusive_and_directed() -> None:
    def status(value: float, **limit: float) -> Status:
        return within("r", Measurement("m", value, 5), **limit).status

    assert status(0.5, at_least=0.5) is Status.PASS
    assert status(0.5, at_most=0.5) is Status.PASS
    assert status(math.nextafter(0.5, 0), at_least=0.5) is Status.FAIL
    assert status(math.nextafter(0.5, 1), at_most=0.5) is Status.FAIL
    assert status(np.float32(0.25), at_most=0.5) is Status.PASS
    assert status(0, at_most=0.0) is Status.PASS


@pytest.mark.parametrize("value", NOT_A_NUMBER, ids=repr)
@pytest.mark.parametrize("direction", ["at_least", "at_most"])
def test_what_is_no_finite_number_is_inconclusive(value: Any, direction: str) -> None:
    finding = within("r", Measurement("m", value, 5), **{direction: 0.0})
    assert finding.status is Status.INCONCLUSIVE
    assert finding.reason == "m is not a number"


@pytest.mark.parametrize("tested", [math.nan, math.inf, -math.inf])
def test_a_bound_that_is_no_number_is_inconclusive(tested: float) -> None:
    for limit in ({"at_least": 0.0}, {"at_most": 0.0}):
        finding = within("r", Measurement("m", 0.0, 5), tested=tested, **limit)
        assert finding.status is Status.INCONCLUSIVE


def test_a_bound_of_a_figure_that_is_no_number_is_inconclusive() -> None:
    finding = within("r", Measurement("m", math.nan, 5), tested=0.1, at_most=0.5)
    assert finding.status is Status.INCONCLUSIVE


@pytest.mark.parametrize(
    "limits",
    [{}, {"at_least": 0.0, "at_most": 1.0}, {"at_least": math.nan}, {"at_most": math.inf}],
)
def test_a_rule_without_exactly_one_finite_limit_is_a_mistake(limits: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="exactly one finite limit"):
        within("r", Measurement("m", 0.5, 5), **limits)


def test_the_reason_can_be_read_alone() -> None:
    finding = within("r", Measurement("gap", 0.25, 5, slice="sex"), at_most=0.1)
    assert finding.reason == "gap of sex 0.25, at most 0.1 required"
    assert within("r", Measurement("auc", 0.7, 5), at_least=0.65).reason == (
        "auc 0.7, at least 0.65 required"
    )


def test_nothing_checked_proves_nothing() -> None:
    verdict = conclude([])
    assert verdict.status is Status.INCONCLUSIVE
    assert not verdict.is_open
    assert verdict.reason == "nothing was checked"


@given(st.lists(st.sampled_from(list(Status)), min_size=1, max_size=8))
def test_one_closed_finding_closes(statuses: list[Status]) -> None:
    verdict = conclude(_finding(s) for s in statuses)
    assert verdict.is_open == (set(statuses) == {Status.PASS})
    assert (verdict.status is Status.FAIL) == (Status.FAIL in statuses)
    assert len(verdict.findings) == len(statuses)


def test_the_reason_is_that_of_the_worst() -> None:
    failures = [_finding(Status.FAIL, f"f{i}") for i in range(5)]
    others = [_finding(Status.INCONCLUSIVE, "i"), _finding(Status.PASS, "p")]
    assert conclude([*others, *failures]).reason == "f0; f1; f2; and 2 more"
    assert conclude(others).reason == "i"
    assert conclude(others[1:]).reason == "all 1 rules hold"


def test_only_pass_is_open() -> None:
    assert [Verdict(s, "").is_open for s in Status] == [True, False, False]


def test_numbers_are_decimal_strings_in_json() -> None:
    verdict = conclude(
        [within("r", Measurement("m", math.nan, 3, low=0.1, high=None), at_most=0.5)]
    )
    document = json.loads(canonical_json(verdict.to_json()))
    assert document["status"] == "INCONCLUSIVE"
    measured = document["findings"][0]["measurement"]
    assert (measured["value"], measured["low"], measured["high"]) == ("NaN", "0.1", None)
    assert measured["n"] == 3
    assert _finding(Status.PASS).to_json()["measurement"] is None


numbers = st.floats(allow_nan=False)
measurements = st.builds(
    Measurement,
    name=st.sampled_from(["tpr", "roc_auc"]),
    value=numbers,
    n=st.integers(0, 2**53 - 1),
    slice=st.sampled_from(["overall", "sex=f", "sex=f*age=old"]),
    unit=st.sampled_from(["1", "rows"]),
    low=st.none() | numbers,
    high=st.none() | numbers,
    source=st.just("tool 1.2"),
    of=st.sampled_from(["", "sex", "sex*age"]),
)
findings = st.builds(
    Finding,
    rule=st.text(max_size=5),
    status=st.sampled_from(list(Status)),
    reason=st.text(max_size=5),
    measurement=st.none() | measurements,
)


@given(st.lists(findings, max_size=4))
def test_a_verdict_is_read_back_to_the_last_digit(found: list[Finding]) -> None:
    verdict = conclude(found)
    assert Verdict.from_json(json.loads(canonical_json(verdict.to_json()))) == verdict


def test_a_figure_that_is_no_number_is_read_back_as_none_at_all() -> None:
    written = Measurement("m", math.nan, 3, low=math.inf, high=None).to_json()
    again = Measurement.from_json(written)
    assert math.isnan(again.value)
    assert (again.low, again.high) == (math.inf, None)
    assert math.isnan(Measurement.from_json({**written, "value": None}).value)


def test_a_figure_of_the_first_records_belongs_to_no_groups() -> None:
    written = Measurement("tpr", 0.5, 3, slice="sex=f", of="sex").to_json()
    del written["of"]
    assert Measurement.from_json(written) == Measurement("tpr", 0.5, 3, slice="sex=f")
