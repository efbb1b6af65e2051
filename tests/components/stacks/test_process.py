"""The process: every common check, each with a stack that breaks it."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.checks.measurement import Finding, Status, conclude
from components.contract.errors import EvidenceError, ProcessError
from components.contract.stages import Stage
from components.datasets.canonical import ROW_COLUMN
from components.release.records import read_releases
from components.stacks.process import ReleaseProcess
from components.stacks.stages import REQUIRED_OUTPUTS, StageResult
from tests.plain_stack import (
    PILOT,
    PRODUCTION,
    Change,
    PlainStack,
    changed_outputs,
    start,
    without,
)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home that the module's runs share, and with it the ingested data."""
    path = tmp_path_factory.mktemp("home")
    yield path
    shutil.rmtree(path)


@pytest.fixture(scope="module")
def lenient(home: Path) -> Path:
    """The pilot policy with fairness limits that the plain stack's model keeps."""
    path = home / "lenient.yaml"
    path.write_text(PILOT.read_text().replace("at_most: 0.2", "at_most: 0.9"))
    return path


def record(process: ReleaseProcess, stage: str) -> dict:
    """The body of a stage's record."""
    return next(r.body for r in process.chain.records() if r.stage == stage)


def test_a_run_whose_gates_open_is_released(home: Path, lenient: Path) -> None:
    process = start(home, "mitigated", policy=lenient)
    stack = PlainStack(process)
    assert stack.run() == "released"
    assert stack.called == list(Stage)
    records = process.chain.records()
    assert [r.stage for r in records] == [*map(str, Stage), "close"]
    assert records[-1].body["notRun"] == []
    (release,) = read_releases(home, "rand_hie", "tfx")
    assert release.run == process.spec.run_id
    assert release.model == record(process, "push")["outputs"]["serving_model"]["sha256"]
    decisions = pq.read_table(process.artifacts / "decisions.parquet")
    assert decisions.num_rows == process.dataset.rows("evaluation")


def test_every_record_binds_contract_policy_data_code_and_environment(
    home: Path, lenient: Path
) -> None:
    process = start(home, "mitigated", policy=lenient)
    PlainStack(process).run()
    bound = {
        "contract": process.contract.digest,
        "policy": process.policy.digest,
        "dataset": "rand_hie",
        "datasetVersion": process.dataset.version,
        "rowsRoot": process.dataset.manifest["root"],
        "code": "code",
        "environment": "environment",
        "lock": "none",
        "sbom": "none",
        "image": "none",
        "seed": str(process.policy.training.seed),
    }
    assert all(r.body["inputs"] == bound for r in process.chain.records())


def test_a_closed_gate_stops_the_run_and_nothing_later_is_called(home: Path) -> None:
    process = start(home, "plain", policy=PRODUCTION)
    stack = PlainStack(process)
    assert stack.run() == "blocked"
    assert stack.called[-1] is Stage.RELEASE_GATE
    closing = process.chain.records()[-1].body
    assert closing["notRun"] == ["push", "score"]
    assert "equal" not in closing["reason"]
    assert "tpr_difference of female" in closing["reason"]
    assert not (home / "releases" / "rand_hie" / "pytorch").exists()


def _native(status: Status) -> Change:
    def change(_: PlainStack, result: StageResult) -> StageResult:
        return replace(result, native=conclude([Finding("bad", status, "seeded")]))

    return change


def _nan_scores(stack: PlainStack, result: StageResult) -> StageResult:
    scores = stack.scores()
    scores[0] = np.nan
    return changed_outputs(result, predictions=stack.predictions(scores, "bad.parquet"))


def _constant_scores(stack: PlainStack, result: StageResult) -> StageResult:
    bad = stack.predictions(np.full(stack.rows, 0.5), "bad.parquet")
    return replace(changed_outputs(result, predictions=bad), measurements=())


def _disagreeing(_: PlainStack, result: StageResult) -> StageResult:
    shifted = tuple(
        replace(m, value=m.value + 0.05) if m.name == "roc_auc" else m for m in result.measurements
    )
    return replace(result, measurements=shifted)


def _nan_native(_: PlainStack, result: StageResult) -> StageResult:
    broken = tuple(
        replace(m, value=float("nan")) if m.name == "roc_auc" else m for m in result.measurements
    )
    return replace(result, measurements=broken)


def _silent(_: PlainStack, result: StageResult) -> StageResult:
    return replace(result, measurements=())


def _fewer_rows(stack: PlainStack, result: StageResult) -> StageResult:
    rows = pq.read_table(result.outputs["rows"])
    return changed_outputs(result, rows=stack.write("bad.parquet", rows.slice(1)))


def _row_in_another_split(stack: PlainStack, result: StageResult) -> StageResult:
    rows = pq.read_table(result.outputs["rows"]).to_pydict()
    rows["split"][0] = "evaluation"
    table = pa.table(
        {"split": rows["split"], ROW_COLUMN: pa.array(rows[ROW_COLUMN], pa.binary(32))}
    )
    return changed_outputs(result, rows=stack.write("bad.parquet", table))


def _skewed_features(stack: PlainStack, result: StageResult) -> StageResult:
    table = pq.read_table(result.outputs["features"])
    matrix = np.array(table["features"].to_pylist())
    matrix[3, 2] += 0.01
    bad = pa.table({ROW_COLUMN: table[ROW_COLUMN], "features": pa.array(list(matrix))})
    return changed_outputs(result, features=stack.write("bad.parquet", bad))


def _missing_feature(stack: PlainStack, result: StageResult) -> StageResult:
    table = pq.read_table(result.outputs["features"])
    matrix = np.array(table["features"].to_pylist())[:, 1:]
    bad = pa.table({ROW_COLUMN: table[ROW_COLUMN], "features": pa.array(list(matrix))})
    return changed_outputs(result, features=stack.write("bad.parquet", bad))


def _another_model(stack: PlainStack, result: StageResult) -> StageResult:
    path = stack.out / "other.json"
    path.write_text((stack.out / "model.json").read_text() + " ")
    return changed_outputs(result, serving_model=path)


def _skewed_export(stack: PlainStack, result: StageResult) -> StageResult:
    return changed_outputs(result, features=stack.features("bad.parquet", shift=0.01))


def _other_network(stack: PlainStack, result: StageResult) -> StageResult:
    bad = stack.predictions(np.clip(stack.scores() + 0.001, 0, 1), "bad.parquet")
    return changed_outputs(result, scores=bad)


def _other_scores(stack: PlainStack, result: StageResult) -> StageResult:
    bad = stack.predictions(np.clip(stack.scores() + 0.001, 0, 1), "bad.parquet")
    return changed_outputs(result, predictions=bad)


@pytest.mark.parametrize(
    ("stage", "change", "status", "says"),
    [
        (Stage.INGEST, _fewer_rows, "FAIL", "rows of train are not those of the manifest"),
        (Stage.INGEST, _row_in_another_split, "FAIL", "are not those of the manifest"),
        (Stage.DATA_GATE, _native(Status.FAIL), "FAIL", "native: seeded"),
        (Stage.DATA_GATE, _native(Status.INCONCLUSIVE), "INCONCLUSIVE", "native: seeded"),
        (Stage.TRANSFORM, _skewed_features, "FAIL", "largest feature difference 0.01"),
        (Stage.TRANSFORM, _missing_feature, "FAIL", "was expected"),
        (Stage.RELEASE_GATE, _native(Status.FAIL), "FAIL", "native: seeded"),
        (Stage.RELEASE_GATE, _native(Status.INCONCLUSIVE), "INCONCLUSIVE", "native: seeded"),
        (Stage.RELEASE_GATE, _nan_scores, "INCONCLUSIVE", "1 scores are no number"),
        (Stage.RELEASE_GATE, _constant_scores, "FAIL", "roc_auc 0.5, at least 0.6 required"),
        (Stage.RELEASE_GATE, _disagreeing, "FAIL", "native minus referee roc_auc 0.05"),
        (
            Stage.RELEASE_GATE,
            _nan_native,
            "INCONCLUSIVE",
            "native minus referee roc_auc is not a number",
        ),
        (Stage.RELEASE_GATE, _silent, "INCONCLUSIVE", "no figure of roc_auc"),
        (
            Stage.RELEASE_GATE,
            _skewed_export,
            "FAIL",
            "largest difference of features between training and serving 0.01",
        ),
        (Stage.PUSH, _another_model, "FAIL", "is not the model that was judged"),
        (Stage.SCORE, _other_scores, "FAIL", "largest score difference at serving 0.001"),
    ],
)
def test_seeded_bad_stage_closes_the_run(
    home: Path, lenient: Path, stage: Stage, change: Change, status: str, says: str
) -> None:
    process = start(home, "mitigated", policy=lenient)
    stack = PlainStack(process, {stage: change})
    assert stack.run() == "blocked"
    assert stack.called[-1] is stage
    verdict = record(process, stage)["verdict"]
    assert verdict["status"] == status
    assert says in verdict["reason"]
    assert not (process.artifacts / "decisions.parquet").exists()


def test_a_stage_that_is_not_due_is_refused(home: Path) -> None:
    process = start(home, "mitigated")
    with pytest.raises(ProcessError, match="stage statistics is not due"):
        process.run_stage(Stage.STATISTICS, lambda: PlainStack(process).hook(Stage.STATISTICS))
    assert process.chain.records() == []


@pytest.mark.parametrize("stage", [Stage.INGEST, Stage.STATISTICS, Stage.DATA_GATE])
def test_a_stage_that_leaves_less_than_it_must_is_a_malfunction(home: Path, stage: Stage) -> None:
    name = min(REQUIRED_OUTPUTS[stage])
    process = start(home, "mitigated")
    stack = PlainStack(process, {stage: lambda _, result: without(result, name)})
    with pytest.raises(ProcessError, match=f"stage {stage} left no {name}"):
        stack.run()
    assert stage not in {r.stage for r in process.chain.records()}


def test_an_output_that_does_not_exist_is_a_malfunction(home: Path) -> None:
    process = start(home, "mitigated")
    absent = {Stage.INGEST: lambda _, r: changed_outputs(r, rows=Path("/nowhere/rows.parquet"))}
    with pytest.raises(ProcessError, match="output rows does not exist"):
        PlainStack(process, absent).run()


def test_a_gate_without_a_native_verdict_is_a_malfunction(home: Path) -> None:
    process = start(home, "mitigated")
    mute = {Stage.DATA_GATE: lambda _, result: replace(result, native=None)}
    with pytest.raises(ProcessError, match="no native verdict"):
        PlainStack(process, mute).run()


def test_scores_of_other_rows_are_a_malfunction(home: Path, lenient: Path) -> None:
    def half(stack: PlainStack, result: StageResult) -> StageResult:
        table = pq.read_table(result.outputs["predictions"]).slice(0, 10)
        return changed_outputs(result, predictions=stack.write("half.parquet", table))

    process = start(home, "mitigated", policy=lenient)
    with pytest.raises(ProcessError, match="other rows than the evaluation split"):
        PlainStack(process, {Stage.RELEASE_GATE: half}).run()


def test_a_run_that_misses_a_stage_cannot_be_closed_as_complete(home: Path) -> None:
    process = start(home, "mitigated")
    stack = PlainStack(process)
    process.run_stage(Stage.INGEST, lambda: stack.hook(Stage.INGEST))
    with pytest.raises(ProcessError, match="did not run statistics, data_gate"):
        process.close()
    assert process.close(interrupted="stopped by hand") == "interrupted"
    assert process.next_stage() is None


def test_another_process_can_take_a_run_on_from_its_directory(home: Path, lenient: Path) -> None:
    process = start(home, "mitigated", policy=lenient)
    stack = PlainStack(process)
    for stage in Stage:
        taken_on = ReleaseProcess.open(process.spec.directory)
        assert taken_on.run_stage(stage, lambda s=stage: stack.hook(s))
    assert ReleaseProcess.open(process.spec.directory).close() == "released"


@pytest.mark.parametrize("name", ["contract", "policy"])
def test_a_run_is_bound_to_its_contract_and_policy(home: Path, name: str) -> None:
    process = start(home, "mitigated")
    path = process.spec.directory / f"{name}.yaml"
    path.write_text(path.read_text() + "\n")
    with pytest.raises(EvidenceError, match=f"was started with another {name}"):
        ReleaseProcess.open(process.spec.directory)


def test_waiting_for_another_run_does_not_count(home: Path) -> None:
    process = start(home, "mitigated")
    before = process.spec.started
    process.begin()
    assert ReleaseProcess.open(process.spec.directory).spec.started > before
    stack = PlainStack(process)
    process.run_stage(Stage.INGEST, lambda: stack.hook(Stage.INGEST))
    with pytest.raises(ProcessError, match="has begun already"):
        process.begin()


def test_no_baseline_makes_the_data_gate_inconclusive(home: Path) -> None:
    policy = home / "no_baseline.yaml"
    policy.write_text(
        PILOT.read_text().replace('baseline_spans: ["1", "2"]', 'baseline_spans: ["9"]')
    )
    process = start(home, "mitigated", policy=policy)
    assert PlainStack(process).run() == "blocked"
    gate = record(process, "data_gate")
    assert gate["verdict"]["status"] == "INCONCLUSIVE"
    reasons = {f["rule"]: f["reason"] for f in gate["referee"]["findings"]}
    assert "there is no baseline" in reasons["drift:income"]
    assert "span 9 of the policy has no rows" in reasons["span:9"]


def test_records_name_no_path_of_this_machine(home: Path, lenient: Path) -> None:
    process = start(home, "mitigated", policy=lenient)
    PlainStack(process).run()
    for path in process.chain.directory.iterdir():
        payload = base64.b64decode(json.loads(path.read_text())["payload"])
        assert str(home).encode() not in payload
        assert json.loads(payload)["predicate"]["run"] == process.spec.run_id


def test_a_release_that_was_not_written_down_is_made_up_for(tmp_path: Path) -> None:
    policy = tmp_path / "lenient.yaml"
    policy.write_text(PILOT.read_text().replace("at_most: 0.2", "at_most: 0.9"))
    process = start(tmp_path, "mitigated", policy=policy)
    assert PlainStack(process).run() == "released"
    shutil.rmtree(tmp_path / "releases")
    for _ in range(2):
        ReleaseProcess.open(process.spec.directory).ensure_release()
    (release,) = read_releases(tmp_path, "rand_hie", "tfx")
    assert release.run == process.spec.run_id


def test_features_of_some_rows_only_are_a_malfunction(home: Path) -> None:
    def one_row(stack: PlainStack, result: StageResult) -> StageResult:
        table = pq.read_table(result.outputs["features"]).slice(0, 1)
        return changed_outputs(result, features=stack.write("one.parquet", table))

    process = start(home, "mitigated")
    with pytest.raises(ProcessError, match="other rows than the evaluation split"):
        PlainStack(process, {Stage.TRANSFORM: one_row}).run()


def test_an_export_that_scores_otherwise_than_training_closes_the_release_gate(
    home: Path, lenient: Path
) -> None:
    process = start(home, "mitigated", policy=lenient)
    assert PlainStack(process, {Stage.TRAIN: _other_network}).run() == "blocked"
    gate = record(process, "release_gate")
    failed = [f for f in gate["referee"]["findings"] if f["status"] == "FAIL"]
    assert [f["rule"] for f in failed] == ["skew:score"]
    assert float(failed[0]["measurement"]["value"]) == pytest.approx(0.001)


@pytest.mark.parametrize("name", ["transform-features", "train-scores"])
def test_what_training_left_cannot_be_changed_before_the_gate(
    home: Path, lenient: Path, name: str
) -> None:
    def tamper(stack: PlainStack, result: StageResult) -> StageResult:
        path = stack.process.artifacts / f"{name}.parquet"
        pq.write_table(pq.read_table(path).slice(1), path)
        return result

    process = start(home, "mitigated", policy=lenient)
    with pytest.raises(EvidenceError, match=f"{name}.parquet is not what stage"):
        PlainStack(process, {Stage.RELEASE_GATE: tamper}).run()


def _first_release(path: Path) -> Path:
    text = PILOT.read_text().replace("at_most: 0.2", "at_most: 0.9")
    spans = [s for s in text.splitlines() if s.strip().startswith(("baseline_spans", "current_sp"))]
    assert len(spans) == 2
    text = text.replace(spans[0], "  first_release: {grounds: this insurer has no earlier data}")
    path.write_text(text.replace(spans[1] + "\n", ""))
    return path


def test_a_declared_first_release_opens_once_and_says_so(tmp_path: Path) -> None:
    policy = _first_release(tmp_path / "first.yaml")
    first = start(tmp_path, "mitigated", policy=policy)
    assert PlainStack(first).run() == "released"
    reasons = {f["rule"]: f["reason"] for f in record(first, "data_gate")["referee"]["findings"]}
    assert reasons["first_release"].endswith("this insurer has no earlier data")
    assert "declares a first release" in reasons["drift:income"]
    assert not (first.artifacts / "profile-baseline.json").exists()
    second = start(tmp_path, "mitigated", policy=policy)
    assert PlainStack(second).run() == "blocked"
    gate = record(second, "data_gate")
    assert gate["verdict"]["status"] == "INCONCLUSIVE"
    assert "a first release, 1 stand already" in gate["verdict"]["reason"]
