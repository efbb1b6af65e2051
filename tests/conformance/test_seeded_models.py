"""Every way for a model to fail, in both stacks: stopped, and for the right reason."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from components.contract.stages import Stage
from components.datasets.canonical import Dataset
from components.lineage.evidence import chain_of
from components.release.judging import judge_again
from components.release.recomputation import dataset_directory
from components.release.records import read_releases
from components.release.run_evidence import read_evidence
from components.release.run_summary import NOT_RUN, RunSummary
from tests.conformance.conftest import ASSAY, GOOD, PENALISED, STACKS, Insurer
from tests.seeded import FAULTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
both_stacks = pytest.mark.parametrize("stack", STACKS)


def bodies(run: RunSummary) -> dict[str, dict]:
    """The bodies of a run's records, by stage."""
    chain = chain_of(run.directory)
    return {r.stage: r.body for r in chain.records()}


def closed(side: dict | None) -> dict[str, str]:
    """Rules that one side does not pass, with their status."""
    return {f["rule"]: f["status"] for f in (side or {"findings": []})["findings"]
            if f["status"] != "PASS"}  # fmt: skip


def true_gap(run: RunSummary) -> float:
    """The gap between the sexes, from the scores that the run stored: records hide small cells."""
    evidence = read_evidence(run.directory)
    home = run.directory.parent.parent
    dataset = Dataset.open(dataset_directory(home / "datasets", evidence.inputs))
    gate = evidence.own[Stage.RELEASE_GATE]
    artifacts = run.directory / "artifacts"
    _, judged = judge_again(dataset, run.contract, run.policy, artifacts, gate)
    (gap,) = [
        m.value for m in judged.measurements if (m.name, m.slice) == ("tpr_difference", "sex")
    ]
    return gap


@both_stacks
@pytest.mark.parametrize("name", FAULTS)
def test_a_bad_model_is_stopped_for_the_right_reason(
    insurer: Insurer, name: str, stack: str
) -> None:
    fault, run = FAULTS[name], insurer.runs[name, stack]
    assert run.outcome == "blocked"
    body = bodies(run)[fault.stage]
    assert body["verdict"]["status"] == fault.status
    for side in ("native", "referee"):
        # At a stage that is no gate only one side has a check.
        if body[side] is not None and body[side]["status"] != "PASS":
            assert set(closed(body[side])) == fault.rules, side
            assert set(closed(body[side]).values()) == {fault.status}, side
    if fault.stage == Stage.RELEASE_GATE:
        assert body["native"]["status"] == body["referee"]["status"] == fault.status
    later = list(Stage)[list(Stage).index(Stage(fault.stage)) + 1 :]
    assert {s.status for s in run.stages if s.stage in later} == {NOT_RUN}


@both_stacks
def test_the_small_group_is_named(insurer: Insurer, stack: str) -> None:
    body = bodies(insurer.runs["degenerate", stack])["release_gate"]
    for side in ("native", "referee"):
        assert "sex=x (" in body[side]["reason"]


@both_stacks
def test_an_honest_model_is_released(insurer: Insurer, stack: str) -> None:
    run = insurer.runs[GOOD, stack]
    assert run.outcome == "released", run.reason
    agreed = {
        f["rule"]: f["status"]
        for f in bodies(run)["release_gate"]["referee"]["findings"]
        if f["rule"].startswith("agreement:")
    }
    measured = {m["name"] for m in bodies(run)["release_gate"]["measurements"]}
    assert measured <= {rule.split(":")[1] for rule in agreed}
    assert set(agreed.values()) == {"PASS"}


@both_stacks
def test_the_penalty_narrows_the_gap_without_the_attribute(insurer: Insurer, stack: str) -> None:
    before, after = (true_gap(insurer.runs[name, stack]) for name in ("biased", PENALISED))
    assert after < before - 0.05
    facts = bodies(insurer.runs[PENALISED, stack])["train"]
    assert facts["candidate"] == "penalised"


@both_stacks
def test_two_people_may_excuse_a_closed_gate(insurer: Insurer, stack: str) -> None:
    # Judged against the model that stands: one that never met it could not be released.
    blocked = insurer.runs[PENALISED, stack]
    day = f"{datetime.now(UTC) + timedelta(days=7):%Y-%m-%d}"
    command = [ASSAY, "waive", blocked.run_id, "--gate", "release_gate", "--reason", "a trial"]
    command += ["--expires", day, "--signer", insurer.signer, "--cosigner", insurer.cosigner]
    done = subprocess.run(
        [*command, "--home", insurer.home], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    released = subprocess.run(
        [ASSAY, "release", blocked.run_id, "--reason", "a trial", "--home", insurer.home, "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert released.returncode == 0, released.stderr + released.stdout
    run = json.loads(released.stdout)["run"]["run"]
    record = read_releases(insurer.home, "insurer", stack)[-1]
    assert (record.run, record.kind, record.continues) == (run, "waived", blocked.run_id)
    assert record.model == bodies(blocked)["train"]["outputs"]["model"]["sha256"]
    assert dict(record.verdicts)["release_gate"] == "FAIL"
