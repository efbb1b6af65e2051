"""What a check says becomes of a batch."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.checks.measurement import Finding, Status, conclude
from components.contract.policy import DecisionPolicy, OnDrift
from components.decisions.batch_logs import begin_log, find_log, route_of


def _verdict(**found: Status) -> object:
    return conclude(Finding(k.replace("__", ":"), v, "a reason") for k, v in found.items())


@pytest.mark.parametrize(
    ("found", "refuse", "review"),
    [
        ({"type__a": Status.PASS, "drift__a": Status.PASS}, "decide", "decide"),
        ({"type__a": Status.PASS, "drift__a": Status.FAIL}, "refuse", "review"),
        ({"type__a": Status.PASS, "drift__a": Status.INCONCLUSIVE}, "refuse", "review"),
        ({"type__a": Status.FAIL, "drift__a": Status.FAIL}, "refuse", "refuse"),
        ({"type__a": Status.FAIL, "drift__a": Status.PASS}, "refuse", "refuse"),
        ({}, "refuse", "refuse"),
    ],
)
def test_drift_alone_may_be_left_to_a_person(found: dict, refuse: str, review: str) -> None:
    assert route_of(_verdict(**found), DecisionPolicy()) == refuse
    assert route_of(_verdict(**found), DecisionPolicy(on_drift=OnDrift.REVIEW)) == review


def test_a_refusal_is_a_whole_log_and_no_batch_goes_on_in_it(tmp_path: Path) -> None:
    about = {"stack": "pytorch", "releaseDigest": "r", "batch": "b"}
    bad, good = _verdict(type__a=Status.FAIL), _verdict(type__a=Status.PASS)
    refused = begin_log(tmp_path, about, DecisionPolicy(), bad)
    assert (refused.closed, refused.rows) == (True, 0)
    assert [f["rule"] for f in refused.header["check"]["findings"]] == ["type:a"]
    assert find_log(tmp_path, "r", "b") is None
    begun = begin_log(
        tmp_path, about, DecisionPolicy(adverse="selected", reasons={"a": "An a."}), good
    )
    found = find_log(tmp_path, "r", "b")
    assert found is not None
    assert (found.log_id, found.closed) == (begun.log_id, False)
    assert "qualified person" in found.header["review"]
    assert find_log(tmp_path, "r", "another") is find_log(tmp_path, "another", "b") is None
