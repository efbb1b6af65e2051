"""Whole runs on the clinic, and what an auditor then finds in MLflow with MLflow's own client."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import onnx
import pandas as pd
import pyarrow.parquet as pq
import pytest
from onnx import numpy_helper

from components.checks.measurement import Measurement
from components.contract.clauses import drift_clauses, drifting_columns, schema_clauses
from components.contract.features import model_inputs
from components.lineage.digests import sha256_file
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack import model_stages, registry
from components.stacks.pytorch_stack.metric_names import metric_name
from components.stacks.pytorch_stack.onnx_scoring import OnnxScorer, feeds
from components.stacks.pytorch_stack.tensors import read_rows, read_split
from pipelines import pytorch_pipeline
from tests import clinic
from tests.components.stacks.pytorch_stack.conftest import lenient
from tests.components.stacks.pytorch_stack.runs import NAME, body_of, end, mlflow_run, store

PICKLES = {".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".joblib", ".npy"}


def features_of(process: ReleaseProcess) -> int:
    """Number of features, as the transform stage recorded it."""
    (facts,) = [r.body["facts"] for r in process.chain.records() if r.stage == "transform"]
    return int(facts["features"])


def strict_auc(document: clinic.Document) -> None:
    """A policy that no honest model can pass."""
    document["data_gate"]["drift"]["default"]["at_most"] = 0.9
    document["training"]["epochs"] = 1
    document["release_gate"]["limits"][0].update(at_least=0.99, min_n=1)
    for gap in document["release_gate"]["limits"][1:]:
        gap.update(at_most=0.99, min_n=1)


def no_drift_allowed(document: clinic.Document) -> None:
    """A policy whose drift limit is below what sampling alone gives."""
    document["data_gate"]["drift"]["default"]["at_most"] = 0.0001


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory):
    """A working directory that must stay empty."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        yield folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of these runs' own."""
    return tmp_path_factory.mktemp("runs_home")


@pytest.fixture(scope="module")
def released(make_process, home: Path, elsewhere: Path) -> ReleaseProcess:
    """A run that was released."""
    process = make_process("fair", home=home)
    assert end(process) == "released"
    return process


@pytest.fixture(scope="module")
def blocked(make_process, home: Path, released: ReleaseProcess) -> ReleaseProcess:
    """A later run in the same home that the release gate blocked."""
    process = make_process("plain", strict_auc, home)
    assert end(process) == "blocked"
    return process


def test_a_released_run_is_the_champion(released: ReleaseProcess) -> None:
    client, run = store(released), mlflow_run(released)
    version = client.get_model_version_by_alias(NAME, "champion")
    tags = version.tags
    assert (tags["assay.run_id"], tags["assay.outcome"]) == (released.spec.run_id, "released")
    assert tags["assay.contract"] == released.contract.digest
    assert tags["assay.policy"] == released.policy.digest
    assert tags["assay.dataset_version"] == released.dataset.version
    by_stage = {r.stage: r.body for r in released.chain.records()}
    assert tags["assay.sha256"] == by_stage["push"]["outputs"]["serving_model"]["sha256"]
    assert tags["assay.sha256"] == by_stage["train"]["outputs"]["model"]["sha256"]
    assert tags["assay.sha256"] == by_stage["score"]["facts"]["model"]
    assert run.info.status == "FINISHED"
    assert run.data.tags["assay.outcome"] == "released"
    assert run.data.params["epochs"] == "2"


def test_the_run_names_its_data_by_all_of_its_content(released: ReleaseProcess) -> None:
    inputs = {i.dataset.name: i for i in mlflow_run(released).inputs.dataset_inputs}
    splits = {f"clinic-{s}" for s in ("train", "validation", "evaluation")}
    assert set(inputs) == splits | {"clinic-evaluation_scores"}
    judged = sha256_file(released.artifacts / "native" / "predictions.parquet")
    assert judged.startswith(inputs["clinic-evaluation_scores"].dataset.digest)
    for split in ("train", "validation", "evaluation"):
        found = inputs[f"clinic-{split}"]
        tags = {t.key: t.value for t in found.tags}
        assert tags["assay.rows_root"] == released.dataset.root(split)
        assert tags["assay.dataset_version"] == released.dataset.version
        assert released.dataset.root(split).startswith(found.dataset.digest)
        assert len(found.dataset.digest) == 36
        assert found.dataset.profile is None


def test_losses_are_logged_by_epoch_and_figures_by_slice(released: ReleaseProcess) -> None:
    client, run = store(released), mlflow_run(released)
    history = client.get_metric_history(run.info.run_id, "validation_loss")
    assert [m.step for m in history] == [1, 2]
    wanted = {"roc_auc", "brier", "selection_rate/sex/f", "selection_rate_difference/sex"}
    assert wanted <= set(run.data.metrics)


def test_figures_of_fewer_than_eleven_stay_out_of_mlflow(released: ReleaseProcess) -> None:
    measured = [
        Measurement.from_json(m) for m in body_of(released, "release_gate")["nativeMeasurements"]
    ]
    small = {metric_name(m) for m in measured if m.n < 11}
    logged = set(mlflow_run(released).data.metrics)
    assert {metric_name(m) for m in measured} - small <= logged
    assert len(small) > 5
    assert not small & logged
    report = json.loads((released.artifacts / "native" / "release-gate.json").read_bytes())
    assert all(m["n"] is None or m["n"] >= 11 for m in report["measurements"])


def test_mlflow_itself_can_serve_the_model(released: ReleaseProcess) -> None:
    source = store(released).get_model_version_by_alias(NAME, "champion").source
    model = mlflow.pyfunc.load_model(source)
    assert model.metadata.saved_input_example_info is None
    inputs = model_inputs(released.contract, released.candidate)
    assert model.metadata.get_input_schema().input_names() == [i.name for i in inputs]
    raw = read_split(released.dataset, "evaluation", released.contract, inputs)
    given = model.predict(pd.DataFrame(feeds(raw)))
    assert set(given) == {"assay_score", "assay_features"}
    assert given["assay_features"].shape == (len(raw), features_of(released))
    served = given["assay_score"]
    judged = pq.read_table(released.artifacts / "predictions.parquet").to_pydict()
    expected = dict(zip(judged["assay_row"], judged["score"], strict=True))
    assert served == pytest.approx([expected[r] for r in raw.rows.to_pylist()], abs=1e-6)


def test_a_blocked_run_says_why_and_leaves_the_champion(
    released: ReleaseProcess, blocked: ReleaseProcess
) -> None:
    run = mlflow_run(blocked)
    assert run.info.status == "FINISHED"
    assert run.data.tags["assay.outcome"] == "blocked"
    assert run.data.tags["assay.last_stage"] == "release_gate"
    assert run.data.tags["assay.verdict"] == "FAIL"
    assert "0.99 required" in run.data.tags["assay.reason"]
    assert run.data.tags["assay.evidence_head"] == blocked.chain.records()[-1].digest
    champion = store(blocked).get_model_version_by_alias(NAME, "champion")
    assert champion.tags["assay.run_id"] == released.spec.run_id


def test_a_closed_data_gate_stops_everything(make_process, home: Path, released) -> None:
    process = make_process("plain", no_drift_allowed, home)
    assert end(process) == "blocked"
    assert [r.stage for r in process.chain.records()] == [
        "ingest", "statistics", "data_gate", "close",
    ]  # fmt: skip
    assert mlflow_run(process).data.tags["assay.last_stage"] == "data_gate"
    assert not (process.artifacts / "native" / "model.onnx").exists()


def first_release(document: clinic.Document) -> None:
    """A policy that the rows can pass and that declares that there is no baseline."""
    lenient(document)
    clinic.first_release(document)


def data_gate_report(process: ReleaseProcess) -> dict[str, Any]:
    """What the native tools of the data gate said."""
    return json.loads((process.artifacts / "native" / "data-gate.json").read_bytes())


def test_the_data_gate_answers_every_clause_or_lists_it(released: ReleaseProcess) -> None:
    report, body = data_gate_report(released), body_of(released, "data_gate")
    clauses = {
        c.rule
        for c in (
            *schema_clauses(released.contract),
            *drift_clauses(released.contract, released.policy.data_gate),
        )
    }
    judged = {f["rule"]: f["status"] for f in body["native"]["findings"]}
    listed = {u["rule"] for u in report["notExpressible"]}
    assert set(judged) | listed == clauses
    assert not set(judged) & listed
    assert {r["rule"] for r in report["great-expectations"] + report["evidently"]} == set(judged)
    assert set(report["notExpressible"][0]) == {"rule", "engine", "why"}
    drifted = {m["slice"]: float(m["value"]) for m in body["nativeMeasurements"]}
    theirs = {
        f["rule"].removeprefix("drift:"): float(f["measurement"]["value"])
        for f in body["referee"]["findings"]
        if f["rule"].startswith("drift:")
    }
    assert drifted == pytest.approx(theirs, rel=1e-9)
    assert max(drifted.values()) > 0.001


def test_a_first_release_is_judged_without_a_baseline(make_process, tmp_path: Path) -> None:
    process = make_process("fair", first_release, home=tmp_path)
    assert end(process) == "released"
    report, native = data_gate_report(process), body_of(process, "data_gate")["native"]
    assert report["evidently"] == []
    drifted = [f for f in native["findings"] if f["rule"].startswith("drift:")]
    assert [f["rule"] for f in drifted] == [
        f"drift:{c}" for c in drifting_columns(process.contract)
    ]
    assert all("declares a first release" in f["reason"] for f in drifted)
    summary = json.loads((process.artifacts / "native" / "statistics.json").read_bytes())
    assert set(summary) == {"current"}
    assert summary["current"]["rows"] == sum(
        process.dataset.rows(s) for s in ("train", "validation", "evaluation")
    )


def test_an_export_that_computes_something_else_is_blocked(
    make_process, home: Path, released: ReleaseProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = model_stages.export_onnx

    def shifted(model) -> onnx.ModelProto:
        exported = honest(model)
        (mean,) = [i for i in exported.graph.initializer if i.name.endswith("preprocessing.mean")]
        mean.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(mean) + 300.0, mean.name))
        return exported

    monkeypatch.setattr(model_stages, "export_onnx", shifted)
    process = make_process("fair", home=home)
    assert end(process) == "blocked"
    findings = body_of(process, "release_gate")["referee"]["findings"]
    failed = {f["rule"] for f in findings if f["status"] == "FAIL"}
    assert failed == {"skew:features", "skew:score"}


def test_scores_that_change_at_serving_never_get_the_alias(
    make_process, home: Path, released: ReleaseProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest, calls = OnnxScorer.score, []

    def other_at_serving(self: OnnxScorer, raw) -> np.ndarray:
        calls.append(raw.name)
        return honest(self, raw) * (1.0 if len(calls) == 1 else 0.5)

    monkeypatch.setattr(OnnxScorer, "score", other_at_serving)
    process = make_process("fair", home=home)
    assert end(process) == "blocked"
    client = store(process)
    version = mlflow_run(process).data.tags["assay.model_version"]
    assert client.get_model_version(NAME, version).tags["assay.outcome"] == "blocked"
    champion = client.get_model_version_by_alias(NAME, "champion")
    assert champion.tags["assay.run_id"] == released.spec.run_id


def test_a_first_model_that_is_withdrawn_leaves_no_champion(
    make_process, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "components.stacks.pytorch_stack.registry.fetch",
        lambda *_: (_ for _ in ()).throw(OSError("disk")),
    )
    process = make_process("fair", home=tmp_path)
    with pytest.raises(OSError, match="disk"):
        pytorch_pipeline.run(process)
    assert registry.champion(store(process), NAME) is None
    run = mlflow_run(process)
    assert (run.info.status, run.data.tags["assay.outcome"]) == ("FAILED", "interrupted")
    assert run.data.tags["assay.reason"] == "broken off after release_gate"


def test_a_malfunction_never_looks_like_a_rejection(
    make_process, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(model_stages, "train", broken)
    process = make_process("plain", home=home)
    with pytest.raises(KeyboardInterrupt):
        pytorch_pipeline.run(process)
    run = mlflow_run(process)
    assert (run.info.status, run.data.tags["assay.outcome"]) == ("FAILED", "interrupted")
    assert run.data.tags["assay.last_stage"] == "transform"
    pytorch_pipeline.settle(process, process.close(interrupted="told to stop"))
    run = mlflow_run(process)
    assert (run.info.status, run.data.tags["assay.outcome"]) == ("FAILED", "interrupted")
    assert run.data.tags["assay.reason"] == "told to stop"
    assert run.data.tags["assay.evidence_head"] == process.chain.records()[-1].digest


def test_training_that_diverges_is_inconclusive(make_process, home: Path) -> None:
    def diverging(document: clinic.Document) -> None:
        strict_auc(document)
        document["training"]["learning_rate"] = 1.5e30

    process = make_process("plain", diverging, home)
    assert end(process) == "blocked"
    record = process.chain.records()[-2]
    assert record.stage == "train"
    assert record.body["verdict"]["status"] == "INCONCLUSIVE"


def test_nothing_pickled_and_nothing_outside_the_home(
    released: ReleaseProcess, blocked: ReleaseProcess, home: Path, elsewhere: Path
) -> None:
    files = [p for p in home.rglob("*") if p.is_file()]
    assert len(files) > 50
    assert [p for p in files if p.suffix in PICKLES] == []
    for path in files:
        assert path.read_bytes()[:2] not in (b"\x80\x02", b"\x80\x04", b"\x80\x05"), path
    assert list(elsewhere.iterdir()) == []


def test_no_row_is_in_records_or_mlflow(released: ReleaseProcess, home: Path) -> None:
    """Neither the clinic's notes, which are all different, nor commitments, scores or features."""
    rows = read_rows(released, "evaluation")
    scores = pq.read_table(released.artifacts / "predictions.parquet")["score"].to_pylist()
    canaries = [b"note-0.", *(repr(s)[:9].encode() for s in scores if len(repr(s)) > 9)]
    for commitment in rows.rows.to_pylist():
        canaries += [commitment, commitment.hex().encode()]
    assert len(canaries) > 100
    for path in [p for p in home.rglob("*") if p.is_file()]:
        inside = path.relative_to(home).parts
        content = path.read_bytes()
        if inside[0] == "stores":
            assert not [c for c in canaries if c in content], path
        elif inside[0] != "datasets" and not path.name.startswith("profile-"):
            assert canaries[0] not in content, path
    with sqlite3.connect(home / "stores" / "mlflow.sqlite") as database:
        dump = "\n".join(database.iterdump())
    assert not [c for c in canaries if c.isascii() and c.decode() in dump]
