"""Summaries say what the evidence says, and refuse evidence that does not hold together."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

import pytest

from components.contract.errors import EvidenceError, InputError
from components.lineage.digests import canonical_json
from components.release.run_summary import NOT_RUN, RunSummary, as_json, summarise
from tests import seeded
from tests.carded_runs import Cards
from tests.copied_runs import copied_run


def test_a_blocked_and_a_released_run(runs: list[RunSummary]) -> None:
    blocked, released = runs[0], runs[1]
    assert (blocked.outcome, released.outcome) == ("blocked", "released")
    assert [s.status for s in blocked.stages] == ["PASS"] * 5 + ["FAIL", NOT_RUN, NOT_RUN]
    assert {s.status for s in released.stages} == {"PASS"}


def test_figures_and_the_worst_gap(runs: list[RunSummary]) -> None:
    auc = runs[0].figure("roc_auc")
    assert auc is not None
    assert auc.low is not None
    assert auc.high is not None
    assert 0.65 < auc.low < auc.value < auc.high < 0.78
    protected = {c.name for c in runs[0].contract.protected}
    gaps = {
        f.slice: f for f in runs[0].figures if f.name == "tpr_difference" and f.slice in protected
    }
    told = {where: f.value for where, f in gaps.items() if f.n is not None}
    assert len(told) > 1
    assert set(gaps) - set(told) == {"xage"}
    # A gap that is hidden may be the worst, and is never passed over for one that is told.
    assert runs[0].worst_gap == gaps["xage"]
    assert str(gaps["xage"]) == "not shown"
    without = replace(runs[0], figures=tuple(gaps[where] for where in told))
    assert without.worst_gap is not None
    assert without.worst_gap.value == max(told.values())


def test_json_is_what_the_summary_says(runs: list[RunSummary]) -> None:
    document = as_json(runs[0])
    assert document["outcome"] == "blocked"
    assert [s["stage"] for s in document["stages"]][-1] == "score"
    gap = document["worstGap"]
    assert (gap["slice"], gap["value"], gap["n"]) == ("xage", None, None)


def test_a_directory_without_evidence_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no evidence"):
        summarise(tmp_path)


@pytest.mark.parametrize("name", ["contract.yaml", "policy.yaml"])
def test_another_contract_or_policy_beside_the_evidence(
    runs: list[RunSummary], tmp_path: Path, name: str
) -> None:
    copy = copied_run(runs[0].directory, tmp_path)
    (copy / name).write_text((copy / name).read_text() + "# changed\n")
    with pytest.raises(EvidenceError, match="is not the one the run was bound to"):
        summarise(copy)


def test_an_edited_record_is_found(runs: list[RunSummary], tmp_path: Path) -> None:
    copy = copied_run(runs[0].directory, tmp_path)
    path = copy / "evidence" / "0006-release_gate.json"
    envelope = json.loads(path.read_bytes())
    payload = base64.b64decode(envelope["payload"]).replace(b'"FAIL"', b'"PASS"')
    path.write_bytes(canonical_json({**envelope, "payload": base64.b64encode(payload).decode()}))
    with pytest.raises(EvidenceError, match="0006-release_gate.json: the signature of evidence"):
        summarise(copy)


def test_a_waived_release_takes_over_the_stages_of_the_run_that_trained(tmp_path: Path) -> None:
    cards = Cards(tmp_path)
    blocked = cards.run(seeded.biased)
    cards.waive(blocked, "Men are called by a nurse meanwhile.")
    summary = summarise(cards.again(blocked, seeded.biased).spec.directory)
    assert (summary.outcome, summary.waived) == ("released", True)
    assert summary.continues == blocked.spec.run_id
    runs = {s.stage: s.run for s in summary.stages}
    assert (runs["train"], runs["release_gate"]) == (blocked.spec.run_id, "")
    own = [s.seconds for s in summary.stages if not s.run]
    assert len(own) == 3
    assert summary.seconds == sum(own)
    document = as_json(summary)
    assert (document["waived"], document["continues"]) == (True, blocked.spec.run_id)
