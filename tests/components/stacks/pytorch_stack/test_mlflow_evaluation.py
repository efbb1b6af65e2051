"""MLflow's own evaluation of stored scores: what it says, what it writes, when it is believed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from components.checks.measurement import Measurement, Status
from components.stacks.pytorch_stack import artifacts, mlflow_evaluation
from components.stacks.pytorch_stack.mlflow_store import TrackedRun
from components.stacks.pytorch_stack.release_measurements import EvaluationRows, measure

PREFIX = mlflow_evaluation.CANDIDATE
ROWS = 400


@pytest.fixture(scope="module")
def process(make_process, tmp_path_factory: pytest.TempPathFactory):
    """A run in a home of its own."""
    return make_process("fair", home=tmp_path_factory.mktemp("evaluation_home"))


@pytest.fixture(scope="module")
def run(process) -> TrackedRun:
    """Its MLflow run."""
    return TrackedRun.start(process)


def generated() -> tuple[np.ndarray, np.ndarray]:
    """Labels and scores."""
    chance = np.random.default_rng(4)
    labels = (chance.random(ROWS) < 0.3).astype(np.int64)
    return labels, np.clip(chance.normal(0.3, 0.2, ROWS) + 0.2 * labels, 0, 1)


def evaluated(process, run: TrackedRun, labels, scores) -> dict[str, float]:
    """MLflow's figures."""
    rows = pa.array([i.to_bytes(32, "big") for i in range(ROWS)], pa.binary(32))
    path = artifacts.save_scores(artifacts.native_path(process, "evaluated.parquet"), rows, scores)
    return mlflow_evaluation.evaluate(process, run, labels, scores, path, PREFIX)


def measured(process, labels, scores) -> tuple[Measurement, ...]:
    """The native figures of everybody."""
    return measure(EvaluationRows(labels, {}, {}), scores, process.policy)


def status(process, run: TrackedRun, labels, scores) -> Status:
    """What an evaluation of some rows comes to."""
    given = evaluated(process, run, labels, scores)
    return mlflow_evaluation.finding(given, measured(process, labels, scores), 1e-9).status


def test_mlflow_gives_the_figures_that_were_measured(process, run: TrackedRun) -> None:
    labels, scores = generated()
    found = mlflow_evaluation.finding(
        evaluated(process, run, labels, scores), measured(process, labels, scores), 1e-9
    )
    assert found.status is Status.PASS
    assert "the same 7 figures" in found.reason
    logged = run.client.get_run(run.run_id)
    assert logged.data.metrics["evaluation_roc_auc"] > 0.5
    assert logged.data.metrics["evaluation_example_count"] == ROWS


def test_the_run_goes_on_after_an_evaluation(process, run: TrackedRun) -> None:
    evaluated(process, run, *generated())
    assert run.client.get_run(run.run_id).info.status == "RUNNING"


def test_mlflow_writes_one_image_and_no_row(process, run: TrackedRun) -> None:
    evaluated(process, run, *generated())
    written = [a.path for a in run.client.list_artifacts(run.run_id)]
    assert written == ["evaluation_confusion_matrix.png"]
    (described,) = run.client.get_run(run.run_id).inputs.dataset_inputs
    assert described.dataset.profile == f'{{"num_rows": {ROWS}, "num_elements": {3 * ROWS}}}'


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_of_labels_and_decisions_does_not_stop_it(
    process, run: TrackedRun, label: int
) -> None:
    labels, scores = generated()
    labels[:], scores = label, 0.9 * label + 0.1 * scores
    assert status(process, run, labels, scores) is Status.PASS


def test_scores_that_are_no_numbers_leave_nothing_to_believe(process, run: TrackedRun) -> None:
    labels, scores = generated()
    scores[0] = math.nan
    assert status(process, run, labels, scores) is Status.INCONCLUSIVE


@pytest.mark.parametrize("value", [0.1, math.nan, None])
def test_another_or_a_missing_figure_of_mlflow_is_not_believed(process, value) -> None:
    labels, scores = generated()
    own = measured(process, labels, scores)
    given = {
        name: next(m.value for m in own if m.name == metric)
        for name, metric in mlflow_evaluation._SAME.items()
    }
    assert mlflow_evaluation.finding(given, own, 1e-9).status is Status.PASS
    given["recall_score"] = value
    if value is None:
        del given["recall_score"]
    found = mlflow_evaluation.finding(given, own, 1e-9)
    assert found.status is Status.INCONCLUSIVE
    assert "recall_score" in found.reason


def test_an_evaluation_that_breaks_off_leaves_a_failed_run(process, make_process) -> None:
    broken = TrackedRun.start(make_process("fair", home=Path(process.spec.home)))
    with pytest.raises(KeyboardInterrupt), broken.active():
        raise KeyboardInterrupt
    assert broken.client.get_run(broken.run_id).info.status == "FAILED"
