"""What a policy says of decisions: an adverse outcome goes with reasons, those with a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.contract.contract import Contract
from components.contract.policy import OnDrift
from tests.clinic import contract, policy
from tests.components.contract.policy_changes import put, refusal

SENTENCE = "The cost lowered the estimate."


@pytest.fixture
def clinic(tmp_path: Path) -> Contract:
    return contract(tmp_path)


def _reasons(column: str) -> dict:
    return {"at_most": 2, "columns": {column: SENTENCE}}


def test_a_policy_without_an_adverse_outcome_has_no_reasons(
    tmp_path: Path, clinic: Contract
) -> None:
    found = policy(tmp_path, clinic).decision
    assert (found.adverse, found.reasons, found.on_drift) == (None, {}, OnDrift.REFUSE)


def test_an_adverse_outcome_with_reasons_is_read(tmp_path: Path, clinic: Contract) -> None:
    change = put("decision", adverse="selected", on_drift="review", reasons=_reasons("cost"))
    found = policy(tmp_path, clinic, change).decision
    assert (found.adverse, found.on_drift) == ("selected", OnDrift.REVIEW)
    assert (found.reasons, found.reasons_at_most) == ({"cost": SENTENCE}, 2)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"adverse": "selected"}, "decision: adverse and reasons do not go together"),
        ({"reasons": _reasons("cost")}, "decision: adverse and reasons do not go together"),
        (
            {"adverse": "selected", "reasons": _reasons("colour")},
            "decision.reasons.columns: no candidate's model sees column colour",
        ),
        (
            {"adverse": "selected", "reasons": _reasons("readmitted")},
            "decision.reasons.columns: no candidate's model sees column readmitted",
        ),
        ({"adverse": "all", "reasons": _reasons("cost")}, "decision.adverse: "),
        ({"on_drift": "ignore"}, "decision.on_drift: "),
        ({"threshold": 1.5}, "decision.threshold: "),
        ({"dry_run": True}, "decision"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path, clinic: Contract, fields: dict, told: str
) -> None:
    assert refusal(tmp_path, clinic, put("decision", **fields)).startswith(told)
