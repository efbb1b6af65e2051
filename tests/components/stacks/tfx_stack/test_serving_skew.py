"""What the exported model computes, held against what training computed of the same rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from components.checks.measurement import Finding, Status
from components.checks.serving_skew import compare
from components.datasets.canonical import ROW_COLUMN
from components.stacks.process import ReleaseProcess
from components.stacks.stages import REQUIRED_OUTPUTS, Stage
from components.stacks.tfx_stack import serving, stage_hooks, training
from components.stacks.tfx_stack.preprocessing import input_columns
from components.stacks.tfx_stack.release_stage import evaluation_config
from components.stacks.tfx_stack.serving import (
    FEATURES_SIGNATURE,
    SIGNATURE,
    ServingModel,
    export,
    write_features,
    write_served_features,
    write_served_scores,
)
from tests import clinic
from tests.components.stacks.tfx_stack.conftest import learnable_rows


class ShiftedFeatures(tf.Module):
    """A transform whose means are a hundredth of a standard deviation away from training's."""

    def __init__(self, right: Any) -> None:
        super().__init__()
        self._right = right

    def __call__(self, examples: tf.Tensor) -> tf.Tensor:
        """The right features, shifted."""
        return self._right(examples) + 0.01


@dataclass(frozen=True, slots=True)
class Trained:
    """What Trainer is given and leaves, and the address of the raw rows."""

    graph: str
    examples: str
    arguments: SimpleNamespace

    def skew(self, process: ReleaseProcess, directory: Path) -> dict[str, Finding]:
        """Training's features and scores against those of the exported model."""
        model, columns = self.arguments.serving_model_dir, input_columns(process)
        before = {
            "features": write_features(
                self.graph, columns, self.examples, "evaluation", directory / "a.parquet"
            ),
            "score": Path(self.arguments.model_run_dir) / training.TRAINED_SCORES,
        }
        after = {
            "features": write_served_features(
                model, self.examples, "evaluation", directory / "b.parquet"
            ),
            "score": write_served_scores(
                model, self.examples, "evaluation", directory / "c.parquet"
            ),
        }
        return {
            name: compare(name, before[name], after[name], at_most=1e-5, unit="1")
            for name in before
        }


@pytest.fixture
def train(
    process: ReleaseProcess, examples_uri: str, graph: str, tmp_path: Path
) -> Callable[[], Trained]:
    """Trains and exports as Trainer does."""

    native = process.spec.directory / "native" / tmp_path.name

    def run() -> Trained:
        arguments = SimpleNamespace(
            custom_config={"run_directory": str(process.spec.directory)},
            transform_graph_path=graph,
            train_files=[f"{examples_uri}/Split-train/*"],
            eval_files=[f"{examples_uri}/Split-validation/*"],
            model_run_dir=str(native / "model_run"),
            serving_model_dir=str(native / "model" / "Format-Serving"),
        )
        training.run_fn(arguments)
        return Trained(graph, examples_uri, arguments)

    return run


def test_a_right_export_computes_what_training_computed(
    process: ReleaseProcess, train: Callable[[], Trained], tmp_path: Path
) -> None:
    trained = train()
    found = trained.skew(process, tmp_path)
    assert {f.status for f in found.values()} == {Status.PASS}
    assert all(f.measurement and f.measurement.n > 10 for f in found.values())
    scores = pq.read_table(Path(trained.arguments.model_run_dir) / training.TRAINED_SCORES)
    assert scores.schema.field(ROW_COLUMN).type.byte_width == 32
    assert str(scores.schema.field("score").type) == "double"
    assert len(set(scores["score"].to_pylist())) > 10, "one score for all would prove too little"


@pytest.mark.parametrize("wrong", ["transform", "network"])
def test_a_wrong_export_is_seen(
    process: ReleaseProcess,
    train: Callable[[], Trained],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    wrong: str,
) -> None:
    def mismatched(to_features: Any, network: keras.Model) -> ServingModel:
        if wrong == "transform":
            return ServingModel(ShiftedFeatures(to_features), network)
        other = training.build_network(network.input_shape[1], process.policy.training)
        other.set_weights([w * 1.01 for w in network.get_weights()])
        return ServingModel(to_features, other)

    monkeypatch.setattr(training, "ServingModel", mismatched)
    found = train().skew(process, tmp_path)
    assert found["score"].status is Status.FAIL
    expected = Status.FAIL if wrong == "transform" else Status.PASS
    assert found["features"].status is expected, "only the transform is wrong in one of the two"


def test_features_are_a_second_signature_that_no_one_gets_unasked(
    process: ReleaseProcess, train: Callable[[], Trained]
) -> None:
    model = tf.saved_model.load(train().arguments.serving_model_dir)
    assert set(model.signatures) == {SIGNATURE, FEATURES_SIGNATURE}
    assert set(model.signatures[SIGNATURE].structured_outputs) == {"score"}
    (spec,) = evaluation_config(process).model_specs
    assert spec.signature_name == SIGNATURE == "serving_default"


def test_the_stages_hand_over_what_skew_is_measured_on(
    process: ReleaseProcess, train: Callable[[], Trained], tmp_path: Path
) -> None:
    trained = train()
    model = str(Path(trained.arguments.serving_model_dir).parent)
    predictions = write_served_scores(
        trained.arguments.serving_model_dir, trained.examples, "evaluation", tmp_path / "p.parquet"
    )
    result = stage_hooks.train_result(process, model, trained.arguments.model_run_dir, predictions)
    assert REQUIRED_OUTPUTS[Stage.TRAIN] <= set(result.outputs)
    assert all(path.exists() for path in result.outputs.values())
    assert result.outputs["scores"] != predictions
    assert Path(process.spec.home) / str(result.facts["location"]) == Path(model)


def test_export_alone_needs_no_training(tmp_path: Path) -> None:
    """A stand-in transform shows that the signature gives the module's features, not a copy."""

    class Lengths(tf.Module):
        def __call__(self, examples: tf.Tensor) -> tf.Tensor:
            return tf.cast(tf.strings.length(examples), tf.float32)[:, None]

    network = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1, "sigmoid")])
    export(ServingModel(Lengths(), network), str(tmp_path))
    signature = tf.saved_model.load(str(tmp_path)).signatures[FEATURES_SIGNATURE]
    found = signature(examples=tf.constant([b"a", b"abc"]))["features"].numpy()
    assert found.tolist() == [[1.0], [3.0]]


def _lenient(document: clinic.Document) -> None:
    """Limits that any model of the clinic's few rows keeps, so that skew alone can close a gate."""
    clinic.first_release(document)
    document["training"]["epochs"] = 3
    document["release_gate"]["limits"] = [
        {**limit, "min_n": 1, "tested_on": "point", **limit_of}
        for limit in document["release_gate"]["limits"]
        for limit_of in [{"at_least": 0.51} if "at_least" in limit else {"at_most": 0.999}]
    ]


@pytest.mark.slow
def test_the_gate_catches_a_mismatched_export_in_a_whole_run(
    make_process: Callable[..., ReleaseProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pipelines import tfx_pipeline

    def mismatched(to_features: Any, network: keras.Model) -> ServingModel:
        return ServingModel(ShiftedFeatures(to_features), network)

    # TFX loads the trainer's module anew, so what it takes from elsewhere is what can be changed.
    monkeypatch.setattr(serving, "ServingModel", mismatched)
    process = make_process(policy_change=_lenient, rows=learnable_rows())
    tfx_pipeline.run(process)
    assert process.close() == "blocked"
    gate = process.chain.records()[-2]
    assert gate.stage == "release_gate"
    failed = {f["rule"] for f in gate.body["referee"]["findings"] if f["status"] == "FAIL"}
    assert "skew:features" in failed
    assert failed <= {"skew:features", "skew:score"}
