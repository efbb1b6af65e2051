"""What every stack must do: one suite, both real stacks, no stand-ins."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.compare.parity import parity
from components.contract.stages import GATES, Stage
from components.datasets.canonical import ROW_COLUMN, Dataset, rows_root
from components.lineage.evidence import chain_of
from components.release.records import read_releases
from components.release.run_summary import NOT_RUN, RunSummary
from components.stacks.stages import REQUIRED_OUTPUTS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
STACKS = ("tfx", "pytorch")
both_stacks = pytest.mark.parametrize("stack", STACKS)


def bodies(run: RunSummary) -> dict[str, dict]:
    """The bodies of a run's records, by stage; reading them checks the chain."""
    chain = chain_of(run.directory)
    return {r.stage: r.body for r in chain.records()}


def status(run: RunSummary, stage: Stage) -> str:
    """The verdict of one stage of a run."""
    return next(s.status for s in run.stages if s.stage == stage)


@both_stacks
def test_a_released_run_passed_every_stage(demo, stack: str) -> None:
    run = demo.run(stack, "mitigated", "rand_hie_pilot")
    assert run.outcome == "released"
    assert [s.status for s in run.stages] == ["PASS"] * len(Stage)
    for gate in GATES:
        record = bodies(run)[gate]
        assert record["native"]["status"] == record["referee"]["status"] == "PASS"
        assert record["native"]["findings"]
        assert record["referee"]["findings"]


@both_stacks
def test_every_stage_left_what_it_must(demo, stack: str) -> None:
    run = demo.run(stack, "mitigated", "rand_hie_pilot")
    records = bodies(run)
    for stage in Stage:
        body = records[stage]
        assert REQUIRED_OUTPUTS[stage] <= set(body["outputs"])
        assert body["tools"]
        assert body["inputs"]["rowsRoot"] == run.rows_root
        assert all(re.fullmatch("[0-9a-f]{64}", o["sha256"]) for o in body["outputs"].values())


@both_stacks
def test_the_stack_read_the_rows_of_the_manifest(demo, stack: str) -> None:
    run = demo.run(stack, "plain", "rand_hie")
    findings = {f["rule"]: f["status"] for f in bodies(run)["ingest"]["referee"]["findings"]}
    assert findings == {
        "rows:train": "PASS", "rows:validation": "PASS", "rows:evaluation": "PASS"
    }  # fmt: skip


@both_stacks
def test_a_model_that_breaks_a_limit_is_blocked_by_both_sides(demo, stack: str) -> None:
    run = demo.run(stack, "plain", "rand_hie")
    assert run.outcome == "blocked"
    gate = bodies(run)["release_gate"]
    assert gate["native"]["status"] == gate["referee"]["status"] == "FAIL"
    for side in ("native", "referee"):
        failed = {f["rule"] for f in gate[side]["findings"] if f["status"] == "FAIL"}
        assert any("female" in rule for rule in failed), failed
    assert status(run, Stage.PUSH) == status(run, Stage.SCORE) == NOT_RUN
    assert bodies(run)["close"]["notRun"] == ["push", "score"]


@both_stacks
def test_native_and_referee_agree(demo, stack: str) -> None:
    for run in demo.runs:
        if run.stack != stack:
            continue
        findings = bodies(run)["release_gate"]["referee"]["findings"]
        agreed = {f["rule"]: f["status"] for f in findings if f["rule"].startswith("agreement")}
        assert "agreement:roc_auc:overall" in agreed
        for column in run.contract.protected:
            assert f"agreement:tpr_difference:{column.name}" in agreed
        assert set(agreed.values()) == {"PASS"}


@both_stacks
def test_only_released_runs_are_in_the_release_history(demo, stack: str) -> None:
    releases = read_releases(demo.home, "rand_hie", stack)
    released = [r for r in demo.runs if r.stack == stack and r.outcome == "released"]
    assert [r.run for r in releases] == [r.run_id for r in released]
    pushed = bodies(released[-1])["push"]["outputs"]["serving_model"]["sha256"]
    assert releases[-1].model == pushed == bodies(released[-1])["score"]["facts"]["model"]


@both_stacks
def test_decisions_cover_the_evaluation_rows(demo, stack: str) -> None:
    run = demo.run(stack, "mitigated", "rand_hie_pilot")
    log = pq.read_table(run.directory / "artifacts" / "decisions.parquet")
    spec = json.loads((run.directory / "run.json").read_text())
    dataset = Dataset.open(Path(spec["dataset_path"]))
    assert rows_root(log[ROW_COLUMN].to_pylist()) == dataset.root("evaluation")
    assert set(log["outcome"].to_pylist()) == {"selected", "not_selected"}


@both_stacks
@pytest.mark.parametrize(
    ("fault", "rule"), [("drift", "drift:income"), ("domain", "domain:tookphys")]
)
def test_bad_data_never_reaches_training(
    seeded: Callable, stack: str, fault: str, rule: str
) -> None:
    run = seeded(fault, stack)
    assert run.outcome == "blocked"
    gate = bodies(run)["data_gate"]
    failed = {f["rule"] for f in gate["referee"]["findings"] if f["status"] == "FAIL"}
    assert failed == {rule}
    column = rule.split(":")[1]
    native = {f["rule"] for f in gate["native"]["findings"] if f["status"] == "FAIL"}
    assert native
    assert all(column in found for found in native), native
    later = list(Stage)[list(Stage).index(Stage.DATA_GATE) + 1 :]
    assert {status(run, stage) for stage in later} == {NOT_RUN}
    assert not list(run.directory.rglob("*.safetensors"))
    assert not list(run.directory.rglob("saved_model.pb"))


@both_stacks
def test_a_model_that_diverged_is_never_released(seeded: Callable, stack: str) -> None:
    run = seeded("diverging", stack)
    assert run.outcome == "blocked"
    closed = [s for s in run.stages if s.status not in ("PASS", NOT_RUN)]
    assert [s.status for s in closed] == ["INCONCLUSIVE"]
    assert closed[0].stage in {"train", "release_gate"}
    assert "are no number" in closed[0].reason
    assert status(run, Stage.PUSH) == NOT_RUN


def test_the_stacks_answer_the_same_question_alike(demo) -> None:
    pairs = parity(demo.runs)
    assert len(pairs) == 3
    for pair in pairs:
        assert pair.same_rows
        assert pair.same_budget
        assert pair.intervals_overlap


def test_accuracy_is_where_a_careful_reader_expects_it(demo) -> None:
    for stack in STACKS:
        auc = demo.run(stack, "plain", "rand_hie").figure("roc_auc")
        assert 0.70 <= auc.value <= 0.74


def test_the_demo_shows_a_block_and_a_release_in_both_stacks(demo) -> None:
    for stack in STACKS:
        outcomes = {r.outcome for r in demo.runs if r.stack == stack}
        assert outcomes == {"blocked", "released"}
    page = demo.report.read_text()
    assert all(r.run_id in page for r in demo.runs)


def test_no_connection_leaves_the_machine(demo) -> None:
    inet = re.findall(
        r"AF_INET6?.*?(?:inet_addr\(\"|inet_pton\(AF_INET6, \")([^\"]+)", demo.connections
    )
    beyond = {a for a in inet if not a.startswith("127.") and a not in ("::1", "::")}
    assert beyond == set()
    assert "AF_UNIX" in demo.connections or inet, "the trace saw nothing at all"


def test_no_person_is_named_in_evidence_report_or_logs(demo) -> None:
    dataset = next((demo.home / "datasets" / "rand_hie").glob("*/manifest.json")).parent
    people = {
        str(v)
        for f in dataset.rglob("*.parquet")
        for v in pq.read_table(f, columns=["zper"])["zper"].to_pylist()
    }
    kinds = ("runs/*/artifacts/*.json", "runs/*/evidence/*.json", "runs/*/*.log", "releases/**/*")
    found = (p for kind in kinds for p in demo.home.glob(kind) if p.is_file())
    texts = [demo.report, *found]
    assert len(texts) > 40
    for path in texts:
        numbers = set(
            re.findall(r"(?<![\d.\w])(\d{6})(?:\.0)?(?![\d.\w])", path.read_text(errors="replace"))
        )
        assert not numbers & people, path.name


def test_nothing_pickled_is_written(demo) -> None:
    suffixes = {".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib"}
    assert [p for p in demo.home.rglob("*") if p.suffix in suffixes] == []
