"""What a check says becomes of a batch."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.checks.measurement import Finding, Status, conclude
from components.contract.errors import InputError
from components.contract.policy import DecisionPolicy, OnDrift
from components.decisions.batch_logs import begin_log, find_log, route_of, row_key_id
from tests.components.decisions.scored_batch import HEADER


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
    about = {**HEADER, "releaseDigest": "r", "batch": "b"}
    bad, good = _verdict(type__a=Status.FAIL), _verdict(type__a=Status.PASS)
    refused = begin_log(tmp_path, about, DecisionPolicy(), bad)
    assert (refused.closed, refused.rows) == (True, 0)
    assert [f["rule"] for f in refused.header["check"]["findings"]] == ["type:a"]
    key = bytes(32)
    assert find_log(tmp_path, "r", "b", key) is None
    begun = begin_log(
        tmp_path, about, DecisionPolicy(adverse="selected", reasons={"a": "An a."}), good
    )
    found = find_log(tmp_path, "r", "b", key)
    assert found is not None
    assert (found.log_id, found.closed) == (begun.log_id, False)
    assert "qualified person" in found.header["review"]
    assert (
        find_log(tmp_path, "r", "another", key) is find_log(tmp_path, "another", "b", key) is None
    )
    begun.abort("a reason")
    assert find_log(tmp_path, "r", "b", key) is None


def test_a_log_of_another_row_key_is_told_and_not_passed_over(tmp_path: Path) -> None:
    key, other = bytes(32), bytes([1]) * 32
    about = {**HEADER, "releaseDigest": "r", "batch": "b", "rowKey": row_key_id(key)}
    good = _verdict(type__a=Status.PASS)
    begun = begin_log(tmp_path, about, DecisionPolicy(), good)
    assert (find_log(tmp_path, "r", "b", key) or begun).header["rowKey"] == row_key_id(key)
    assert key.hex() not in row_key_id(key)
    with pytest.raises(InputError, match="the row key is not the one"):
        find_log(tmp_path, "r", "under another key", other)
    assert find_log(tmp_path, "another release", "b", other) is None
