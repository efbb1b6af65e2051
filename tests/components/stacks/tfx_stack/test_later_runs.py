"""Real runs of the clinic, one after the other: a champion, a challenger, and a way back."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow.parquet as pq
import pytest
from ml_metadata.metadata_store import MetadataStore
from tfx.dsl.compiler import compiler
from tfx.types import standard_artifacts

from components.checks.measurement import Measurement, Status
from components.contract.errors import EvidenceError
from components.datasets.canonical import ROW_COLUMN
from components.lineage.digests import sha256_tree
from components.lineage.model_signature import ModelSignatureError
from components.release.records import read_releases
from components.stacks.model_signing import beside, signature_file
from components.stacks.process import ReleaseProcess
from components.stacks.stages import CHAMPION_PREDICTIONS, PREDICTIONS, Stage
from components.stacks.tfx_stack import (
    native_records,
    recorded_artifacts,
    release_stage,
    scoring_nodes,
    serving,
    verified_evaluator,
)
from pipelines import tfx_pipeline
from pipelines.launch import prepare_release
from pipelines.tfx_release_pipeline import build_release_pipeline
from tests import clinic
from tests.components.stacks.tfx_stack.conftest import learnable_rows
from tests.components.stacks.tfx_stack.tfma_cases import GROUNDS, limit
from tests.plain_stack import start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def _lenient(document: clinic.Document) -> None:
    """Limits that any model of the clinic keeps that has learned something."""
    document["data_gate"]["drift"]["default"]["at_most"] = 0.9
    document["training"].update(epochs=3)
    document["candidates"]["fair"].update(
        mitigation="opportunity_penalty", penalty_strength=1.0, mitigate_by=["sex", "age"]
    )
    document["release_gate"]["limits"] = [
        limit("auc", "roc_auc", at_least=0.51),
        limit("tpr", "tpr_difference", slice="sex", at_most=0.999),
        limit("tpr-age", "tpr_difference", slice="age", at_most=0.999),
        limit(
            "drop", "roc_auc", at_least=-0.999,
            champion={"change": "absolute", "none_yet": GROUNDS},
        ),
    ]  # fmt: skip


@dataclass(frozen=True)
class History:
    """Three runs in one home: the first release, the challenger, and the first model again."""

    home: Path
    first: ReleaseProcess
    second: ReleaseProcess
    again: ReleaseProcess
    begin: Callable[[str], ReleaseProcess]


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """The runs, of two candidates that see different columns."""
    folder = tmp_path_factory.mktemp("history")
    contract = clinic.contract(folder)
    policy = clinic.policy(folder, contract, _lenient)
    data = folder / "clinic.csv"
    # So many that the change of a ranking tells of no small group, and is told.
    data.write_text(clinic.csv_text(learnable_rows(people=600)), encoding="utf-8")

    def begin(candidate: str) -> ReleaseProcess:
        return start(
            folder / "home", candidate, policy=policy.path, contract=contract.path, data=data
        )

    first = begin("plain")
    tfx_pipeline.run(first)
    assert first.close() == "released", first.chain.records()[-1].body["reason"]
    second = begin("fair")
    tfx_pipeline.run(second)
    assert second.close() == "released", second.chain.records()[-1].body["reason"]
    again = ReleaseProcess(prepare_release(first.spec.directory, "a test"))
    tfx_pipeline.release(again)
    assert again.close() == "released", again.chain.records()[-1].body["reason"]
    return History(folder / "home", first, second, again, begin)


def gate(process: ReleaseProcess) -> dict[str, Any]:
    """The body of a run's release gate."""
    return next(r for r in process.chain.records() if r.stage == Stage.RELEASE_GATE).body


def scores(process: ReleaseProcess, name: str) -> dict[bytes, float]:
    """Scores that a run kept, by row."""
    table = pq.read_table(process.artifacts / f"{name}.parquet")
    return dict(zip(table[ROW_COLUMN].to_pylist(), table["score"].to_pylist(), strict=True))


def served(history: History) -> list[Path]:
    """Models that were pushed, oldest first; the signature of each lies beside it."""
    folder = history.home / "serving" / "clinic" / "tfx"
    models = sorted(p for p in folder.iterdir() if p.is_dir())
    assert set(folder.iterdir()) == {*models, *map(beside, models)}
    return models


def test_a_first_model_has_no_champion(history: History) -> None:
    assert history.first.champion_run is None
    body = gate(history.first)
    assert CHAMPION_PREDICTIONS not in body["outputs"]
    assert body["facts"]["notExpressible"] == 2
    (drop,) = [f for f in body["native"]["findings"] if f["rule"] == "limit:drop"]
    assert "no champion yet" in drop["reason"]


def test_the_champion_scores_the_challengers_rows(history: History) -> None:
    mine = scores(history.second, CHAMPION_PREDICTIONS)
    theirs = scores(history.first, PREDICTIONS)
    assert mine == pytest.approx(theirs, abs=1e-6)
    assert mine != pytest.approx(scores(history.second, PREDICTIONS), abs=1e-3)


def test_tfma_compares_with_the_champion_as_the_referee_does(history: History) -> None:
    body = gate(history.second)
    name = "absolute change of roc_auc"
    native, referee = (
        next(m for m in map(Measurement.from_json, body[key]) if m.name == name)
        for key in ("nativeMeasurements", "measurements")
    )
    assert math.isfinite(referee.value)
    assert native.value == pytest.approx(referee.value, abs=2e-3)
    assert (native.n, native.source[:4]) == (referee.n, "tfma")
    agreed = {f["rule"]: f["status"] for f in body["referee"]["findings"]}
    assert agreed[f"agreement:{name}:overall"] == "PASS"
    (drop,) = [f for f in body["native"]["findings"] if f["rule"] == "limit:drop"]
    assert drop["status"] == "PASS"
    assert drop["measurement"]["value"] != "0.0"
    assert {f["status"] for f in body["native"]["findings"]} == {"PASS"}


def test_the_pipeline_compares_with_the_champion(history: History) -> None:
    compiled = compiler.Compiler().compile(tfx_pipeline.build_pipeline(history.second))
    nodes = {n.pipeline_node.node_info.id: n.pipeline_node for n in compiled.nodes}

    def producer(node: str, key: str) -> str:
        (channel,) = nodes[node].inputs.inputs[key].channels
        return str(channel.producer_node_query.id)

    assert producer("Evaluator", "baseline_model") == "ChampionModel"
    assert producer("ReleaseGate", "champion") == "ChampionModel"


def test_the_first_model_stands_again(history: History) -> None:
    one, two, three = read_releases(history.home, "clinic", "tfx")
    assert (three.run, three.kind, three.continues) == (
        history.again.spec.run_id, "rollback", one.run,
    )  # fmt: skip
    assert three.model == one.model != two.model
    assert [sha256_tree(p) for p in served(history)] == [one.model, two.model, three.model]
    assert [r.stage for r in history.again.chain.records()] == [
        "release_gate", "push", "score", "close",
    ]  # fmt: skip


def test_the_store_says_whose_model_it_is(history: History) -> None:
    store = MetadataStore(native_records.connection(history.home))
    origin, run = history.first.spec.run_id, history.again.spec.run_id
    context = store.get_context_by_type_and_name("pipeline_run", run)
    held = {
        store.get_artifact_types_by_id([a.type_id])[0].name: a.custom_properties
        for a in store.get_artifacts_by_context(context.id)
    }
    assert {k: v["assay_run"].string_value for k, v in held.items()} == {
        "Model": origin, "Examples": origin, "ModelBlessing": run, "PushedModel": run,
        "AssayStageRecord": run, "InferenceResult": run,
    }  # fmt: skip
    trained = next(r for r in history.first.chain.records() if r.stage == Stage.TRAIN)
    assert held["Model"]["assay_sha256"].string_value
    assert (
        held["PushedModel"]["assay_sha256"].string_value
        == (trained.body["outputs"]["model"]["sha256"])
    )


@pytest.mark.parametrize("compared", ["with nothing", "with another model"])
def test_a_champion_that_tfma_did_not_compare_with_closes_the_gate(
    history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, compared: str
) -> None:
    """Another run was released while TFMA was at work."""
    before = history.first if compared == "with nothing" else history.second
    process = ReleaseProcess(before.spec)
    assert process.champion is not None
    assert process.champion.number == 3
    native = before.spec.directory / "native"
    (evaluation,) = (native / "Evaluator" / "evaluation").iterdir()
    (examples,) = (native / "ParquetExampleGen" / "examples").iterdir()
    model = recorded_artifacts.serving_directory(str(recorded_artifacts.model_of_origin(process)))
    monkeypatch.setattr(release_stage, "native_file", lambda _, name: tmp_path / name)
    judged = release_stage.Judged(
        str(evaluation), str(examples), tmp_path, tmp_path,
        compared=None if compared == "with nothing" else model,
    )  # fmt: skip
    result = release_stage.release_gate_result(process, judged)
    assert result.native is not None
    assert {f.rule: f.status for f in result.native.findings if f.status is not Status.PASS} == {
        "limit:drop": Status.INCONCLUSIVE
    }
    table = pq.read_table(result.outputs[CHAMPION_PREDICTIONS])
    stands = dict(zip(table[ROW_COLUMN].to_pylist(), table["score"].to_pylist(), strict=True))
    assert stands == pytest.approx(scores(history.first, PREDICTIONS), abs=1e-6)


@contextmanager
def tampered(directory: Path) -> Iterator[None]:
    """One more byte in one of its files, for a while."""
    path = next(p for p in sorted(directory.rglob("*")) if p.is_file())
    before = path.read_bytes()
    path.write_bytes(before + b"\0")
    try:
        yield
    finally:
        path.write_bytes(before)


def test_another_model_than_was_judged_is_not_pushed(history: History) -> None:
    process = ReleaseProcess(prepare_release(history.second.spec.directory, "a test"))
    model = recorded_artifacts.model_of_origin(process)
    with tampered(model), pytest.raises(EvidenceError, match="another content"):
        tfx_pipeline.release(process)
    assert [r.stage for r in process.chain.records()] == ["release_gate"]
    assert len(served(history)) == 3


def test_other_examples_than_were_read_are_not_scored(history: History) -> None:
    examples = recorded_artifacts.examples_of_origin(history.again)
    with tampered(examples), pytest.raises(EvidenceError, match="another content"):
        build_release_pipeline(history.again)
    away = examples.rename(examples.with_name("away"))
    with pytest.raises(EvidenceError, match="is not there"):
        build_release_pipeline(history.again)
    away.rename(examples)


def test_a_champion_that_is_another_model_is_not_compared_with(
    history: History, tmp_path: Path
) -> None:
    process = history.begin("fair")
    champion = process.champion_run
    assert champion is not None
    assert champion.release.number == 3
    recorded_artifacts.fetch_champion(history.home, champion, tmp_path / "right")
    assert sha256_tree(tmp_path / "right") == champion.release.model
    record = next(r for r in history.again.chain.records() if r.stage == Stage.PUSH)
    pushed = history.home / record.body["facts"]["location"]
    with tampered(pushed), pytest.raises(EvidenceError, match="another content"):
        recorded_artifacts.fetch_champion(history.home, champion, tmp_path / "wrong")
    away = pushed.rename(pushed.with_name("away"))
    with pytest.raises(EvidenceError, match="release 3 is not where it was pushed"):
        recorded_artifacts.fetch_champion(history.home, champion, tmp_path / "gone")
    away.rename(pushed)


@pytest.fixture
def unparsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorFlow may parse no model."""

    def parse(*_: Any, **__: Any) -> None:
        raise AssertionError("TensorFlow parsed a model")

    monkeypatch.setattr(serving.tf.saved_model, "load", parse)


def trained_model(process: ReleaseProcess) -> Path:
    """The Model artifact that Trainer left."""
    (model,) = (process.spec.directory / "native" / "Trainer" / "model").iterdir()
    return Path(model)


def score_trained(process: ReleaseProcess, tmp_path: Path) -> None:
    """What the node does that scores a model just exported."""
    scoring_nodes.TrainedModelScores.test_call(
        model=SimpleNamespace(uri=str(trained_model(process))),
        examples=SimpleNamespace(uri="nowhere"),
        scores=SimpleNamespace(uri=str(tmp_path)),
        run_directory=str(process.spec.directory),
    )


def score_pushed(process: ReleaseProcess, tmp_path: Path) -> None:
    """What the node does that scores a pushed model."""
    record = next(r for r in process.chain.records() if r.stage == Stage.PUSH)
    pushed = str(Path(process.spec.home) / record.body["facts"]["location"])
    scoring_nodes.PushedModelScores.test_call(
        pushed_model=SimpleNamespace(get_string_custom_property=lambda _: pushed),
        examples=SimpleNamespace(uri="nowhere"),
        scores=SimpleNamespace(uri=str(tmp_path)),
        run_directory=str(process.spec.directory),
    )


@contextmanager
def one_byte_changed(model: Path) -> Iterator[None]:
    """In the middle of its graph, for a while."""
    path = model / "saved_model.pb"
    before = path.read_bytes()
    at = len(before) // 2
    path.write_bytes(before[:at] + bytes([before[at] ^ 1]) + before[at + 1 :])
    try:
        yield
    finally:
        path.write_bytes(before)


def test_one_changed_byte_of_a_saved_model_is_not_parsed(
    history: History, tmp_path: Path, unparsed: None
) -> None:
    exported = recorded_artifacts.serving_directory(str(trained_model(history.first)))
    with one_byte_changed(exported), pytest.raises(ModelSignatureError, match="saved_model.pb"):
        score_trained(history.first, tmp_path)
    for process, model in zip((history.first, history.again), served(history)[::2], strict=True):
        with one_byte_changed(model), pytest.raises(ModelSignatureError, match="saved_model.pb"):
            score_pushed(process, tmp_path)


def evaluate(process: ReleaseProcess) -> None:
    """What the node does that has TFMA evaluate a challenger beside the champion."""
    models = {}
    for key, node in (("model", "Trainer"), ("baseline_model", "ChampionModel")):
        (folder,) = (process.spec.directory / "native" / node / "model").iterdir()
        models[key] = [standard_artifacts.Model()]
        models[key][0].uri = str(folder)
    properties = {"run_directory": str(process.spec.directory)}
    verified_evaluator.Executor().Do(models, {}, properties)


class TfmaReached(Exception):
    """TFX's own Evaluator was asked, and would load the models."""


def test_a_byte_changed_since_training_does_not_come_to_tfma(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: Any) -> None:
        raise TfmaReached

    monkeypatch.setattr(verified_evaluator.stock.Executor, "Do", load)
    native = history.second.spec.directory / "native"
    with pytest.raises(TfmaReached):
        evaluate(history.second)
    candidate = recorded_artifacts.serving_directory(str(trained_model(history.second)))
    with one_byte_changed(candidate), pytest.raises(ModelSignatureError, match="saved_model.pb"):
        evaluate(history.second)
    (folder,) = (native / "ChampionModel" / "model").iterdir()
    baseline = recorded_artifacts.serving_directory(str(folder))
    with one_byte_changed(baseline), pytest.raises(ModelSignatureError, match="of no release"):
        evaluate(history.second)
    signature = signature_file(history.first.spec)
    away = signature.rename(signature.with_name("away"))
    try:
        with pytest.raises(ModelSignatureError, match="has no signature"):
            evaluate(history.second)
    finally:
        away.rename(signature)


def test_without_its_signature_no_saved_model_is_parsed(
    history: History, tmp_path: Path, unparsed: None
) -> None:
    champion = history.begin("fair").champion_run
    assert champion is not None
    signature = signature_file(history.first.spec)
    away = signature.rename(signature.with_name("away"))
    try:
        for look in (
            lambda: score_trained(history.first, tmp_path),
            lambda: score_pushed(history.first, tmp_path),
            lambda: score_pushed(history.again, tmp_path),
            lambda: recorded_artifacts.model_of_origin(history.again),
            lambda: recorded_artifacts.fetch_champion(history.home, champion, tmp_path / "copy"),
        ):
            with pytest.raises(ModelSignatureError, match="has no signature"):
                look()
    finally:
        away.rename(signature)


def test_a_continued_run_that_is_not_released_is_withdrawn(history: History) -> None:
    record = next(r for r in history.again.chain.records() if r.stage == Stage.PUSH)
    pushed = history.home / record.body["facts"]["location"]
    tfx_pipeline.settle(history.again, "released")
    assert pushed.is_dir()
    tfx_pipeline.settle(history.again, "interrupted")
    assert not pushed.exists()
    assert not beside(pushed).exists()
    withdrawn = history.again.spec.directory / "native" / "withdrawn"
    shutil.move(withdrawn, pushed)
    shutil.move(beside(withdrawn), beside(pushed))


def test_a_gate_that_stays_closed_starts_nothing() -> None:
    closed: Any = SimpleNamespace(rejudge=lambda: False)
    tfx_pipeline.release(closed)
