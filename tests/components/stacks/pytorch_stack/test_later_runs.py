"""What comes after a first release: a challenger beside the champion, and a way back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import onnx
import pytest

from components.contract.errors import EvidenceError
from components.lineage.keys import KeyPair, new_key, public_text
from components.lineage.model_signature import ModelSignatureError
from components.release.waiver_requests import Asked, request_waiver
from components.release.waiver_terms import Waiver
from components.stacks.model_signing import signature_file
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack import (
    frameworks,
    model_stages,
    onnx_scoring,
    registry,
    release_stage,
    serving_stages,
)
from components.stacks.pytorch_stack.mlflow_store import TrackedRun
from components.stacks.pytorch_stack.tensors import read_rows
from pipelines import pytorch_pipeline
from tests import clinic
from tests.components.stacks.pytorch_stack.conftest import lenient
from tests.components.stacks.pytorch_stack.runs import (
    NAME,
    body_of,
    end,
    mlflow_run,
    mlflow_runs,
    store,
)


def against_the_champion(document: clinic.Document) -> None:
    """Lenient limits on changes: one that MLflow cannot say, one relative, one of one group."""
    lenient(document)
    common = {"min_n": 1, "tested_on": "point", "grounds": "long enough to be grounds"}
    none_yet = "long enough to be grounds"
    document["release_gate"]["limits"] += [
        {
            **common, "id": "no-worse", "metric": "roc_auc", "at_least": -0.9,
            "tested_on": "worst_bound", "champion": {"change": "absolute", "none_yet": none_yet},
        },
        {
            **common, "id": "brier-share", "metric": "brier", "at_most": 5.0,
            "champion": {"change": "relative", "none_yet": none_yet},
        },
        {
            **common, "id": "women", "metric": "selection_rate", "slice": {"sex": "f"},
            "at_least": -1.0, "champion": {"change": "absolute", "none_yet": none_yet},
        },
    ]  # fmt: skip


def more_is_asked(document: clinic.Document) -> None:
    """An improvement that no model can show, and that MLflow can say."""
    against_the_champion(document)
    del document["release_gate"]["limits"][3:]
    document["release_gate"]["limits"].append(
        {
            "id": "better", "metric": "roc_auc", "at_least": 0.5, "min_n": 1, "tested_on": "point",
            "grounds": "long enough to be grounds", "champion": {"change": "absolute"},
        }
    )  # fmt: skip


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home of these runs' own."""
    return tmp_path_factory.mktemp("later_home")


@pytest.fixture(scope="module")
def keys(home: Path) -> dict[str, KeyPair]:
    """The keys of the two people who may excuse a closed gate."""
    return {name: new_key(home / "people", name) for name in ("ana", "bo")}


@pytest.fixture(scope="module")
def first(make_process, home: Path) -> ReleaseProcess:
    """The first release."""
    process = make_process("fair", against_the_champion, home)
    assert end(process) == "released"
    return process


@pytest.fixture(scope="module")
def training() -> dict[str, Any]:
    """What the challenger's training was told."""
    return {}


@pytest.fixture(scope="module")
def challenger(
    make_process, home: Path, first: ReleaseProcess, training: dict[str, Any]
) -> ReleaseProcess:
    """A second release, of a model trained with the penalty, which was held against the first."""
    honest = model_stages.train

    def watched(build, examples, validation, *arguments, **settings):
        training.update(settings, members=examples.members, unseen=validation.members)
        return honest(build, examples, validation, *arguments, **settings)

    process = make_process("penalised", against_the_champion, home)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(model_stages, "train", watched)
        assert end(process) == "released"
    return process


@pytest.fixture(scope="module")
def excusable(keys: dict[str, KeyPair]) -> clinic.Change:
    """The policy that asks for more, with the two people in it."""
    ana, bo = ({name: public_text(pair.raw)} for name, pair in keys.items())

    def change(document: clinic.Document) -> None:
        more_is_asked(document)
        document["waivers"] = {"max_days": 30, "signers": ana, "cosigners": bo}

    return change


@pytest.fixture(scope="module")
def beaten(make_process, home: Path, challenger, excusable: clinic.Change) -> ReleaseProcess:
    """A run that is not better than the champion, though asked to be."""
    process = make_process("plain", excusable, home)
    assert end(process) == "blocked"
    return process


@pytest.fixture(scope="module")
def refused(make_process, home: Path, beaten: ReleaseProcess, excusable) -> ReleaseProcess:
    """A run that would release the beaten model although nobody has excused it."""

    def started() -> None:
        raise AssertionError("a framework was started")

    process = make_process("plain", excusable, home, continues=beaten)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frameworks, "start", started)
        assert end(process) == "blocked"
    return process


@pytest.fixture(scope="module")
def waived(
    make_process, home: Path, keys: dict[str, KeyPair], beaten, excusable, refused
) -> ReleaseProcess:
    """The release of the beaten model once two people have excused it."""
    now = datetime.now(UTC)
    asked = Asked(
        gate="release_gate",
        reason="a test",
        expires=str(now.date() + timedelta(days=7)),
        signer_key=keys["ana"].private,
        cosigner_key=keys["bo"].private,
        actor="test",
        at=now,
    )
    assert isinstance(request_waiver(beaten.spec.directory, asked).result, Waiver)
    process = make_process("plain", excusable, home, continues=beaten)
    assert end(process) == "released"
    return process


@pytest.fixture(scope="module")
def back(make_process, home: Path, first: ReleaseProcess, waived: ReleaseProcess) -> ReleaseProcess:
    """The way back to the first model, by a run that trains nothing."""
    process = make_process("fair", against_the_champion, home, continues=first)
    assert end(process) == "released"
    return process


def versions(process: ReleaseProcess) -> dict[str, Any]:
    """Every registered version, by the run that pushed it."""
    found = store(process).search_model_versions(f"name='{NAME}'")
    return {v.tags["assay.run_id"]: v for v in found}


def native_findings(process: ReleaseProcess) -> dict[str, dict[str, Any]]:
    """What the native tools found at the release gate, by rule."""
    return {f["rule"]: f for f in body_of(process, "release_gate")["native"]["findings"]}


def figures(measurements: list[dict[str, Any]]) -> dict[tuple[str, str], float]:
    """Values of recorded measurements that are numbers."""
    return {
        (m["name"], m["slice"]): float(m["value"]) for m in measurements if m["value"] is not None
    }


def test_a_first_model_passes_on_declared_grounds_and_nothing_is_compared(first) -> None:
    assert native_findings(first)["limit:no-worse"]["status"] == "PASS"
    assert "champion_predictions" not in body_of(first, "release_gate")["outputs"]
    assert "champion_roc_auc" not in mlflow_run(first).data.metrics


def test_the_champion_is_scored_and_compared(first, challenger) -> None:
    body = body_of(challenger, "release_gate")
    assert body["champion"]["run"] == first.spec.run_id
    assert "champion_predictions" in body["outputs"]
    native, referee = figures(body["nativeMeasurements"]), figures(body["measurements"])
    changed = {
        ("absolute change of roc_auc", "overall"),
        ("relative change of brier", "overall"),
        ("absolute change of selection_rate", "sex=f"),
    }
    assert changed <= set(native)
    assert native == pytest.approx(referee, abs=1e-9, nan_ok=True)
    before = figures(body_of(first, "release_gate")["nativeMeasurements"])
    assert native["absolute change of roc_auc", "overall"] == pytest.approx(
        native["roc_auc", "overall"] - before["roc_auc", "overall"]
    )
    assert native["absolute change of roc_auc", "overall"] != 0.0
    metrics = mlflow_run(challenger).data.metrics
    assert metrics["champion_roc_auc"] == pytest.approx(before["roc_auc", "overall"])
    report = json.loads((challenger.artifacts / "native" / "release-gate.json").read_bytes())
    shown = figures(report["champion"])
    assert len(shown) > 20
    assert shown == pytest.approx({key: before[key] for key in shown})


def test_the_penalty_is_trained_with_and_its_groups_never_reach_the_model(
    challenger, training: dict[str, Any]
) -> None:
    assert training["penalty_strength"] == 5.0
    women, men, *ages = training["members"].T.tolist()
    assert [sum(row) for row in zip(women, men, strict=True)] == [1.0] * len(women)
    assert [sum(row) for row in zip(*ages, strict=True)] == [1.0] * len(women)
    assert len(ages) == 3
    assert training["unseen"].shape[1] == 0
    graph = onnx.load(challenger.artifacts / "native" / "model.onnx").graph
    assert not {"sex", "age", "under_40"} & {i.name for i in graph.input}
    assert mlflow_run(challenger).data.params["penalty_strength"] == "5.0"


def test_a_model_that_is_not_better_is_blocked(beaten) -> None:
    found = native_findings(beaten)
    assert {r for r, f in found.items() if f["status"] != "PASS"} == {"limit:better"}
    assert found["limit:better"]["status"] == "FAIL"
    assert beaten.spec.run_id not in versions(beaten)


def test_a_closed_gate_stays_closed_and_comes_to_no_framework(refused) -> None:
    assert [r.stage for r in refused.chain.records()] == ["release_gate", "close"]
    assert mlflow_runs(refused) == []


def test_a_waived_model_says_so_in_the_registry(beaten, waived) -> None:
    version = versions(waived)[waived.spec.run_id]
    assert version.tags["assay.continues"] == beaten.spec.run_id
    assert (version.tags["assay.kind"], version.tags["assay.release"]) == ("waived", "3")
    assert len(version.tags["assay.waiver"]) == 64


def test_another_file_than_the_champions_is_not_scored(make_process, home: Path, beaten) -> None:
    process = make_process("fair", against_the_champion, home)
    champion = process.champion_run
    model = champion.spec.origin / "artifacts" / "native" / "model.onnx"
    content = model.read_bytes()
    try:
        model.write_bytes(content + b"\x00")
        with pytest.raises(EvidenceError, match="is not the model that was signed"):
            release_stage._champion(process)
        model.unlink()
        with pytest.raises(EvidenceError, match="is not there"):
            release_stage._champion(process)
    finally:
        model.write_bytes(content)


@pytest.fixture
def unparsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No framework may parse a model."""

    def parse(*_: Any, **__: Any) -> None:
        raise AssertionError("a framework parsed a model")

    monkeypatch.setattr(onnx_scoring.onnxruntime, "InferenceSession", parse)
    monkeypatch.setattr(registry.onnx, "load_model_from_string", parse)


def test_without_its_signature_no_model_is_parsed(
    make_process, home: Path, first, back, unparsed
) -> None:
    signature = signature_file(first.spec)
    content = signature.read_bytes()
    challenger = make_process("fair", against_the_champion, home)
    assert challenger.champion_run.spec.run_id == back.spec.run_id
    signature.unlink()
    try:
        for look in (
            lambda: release_stage._candidate(first, read_rows(first, "evaluation")),
            lambda: release_stage._champion(challenger),
            lambda: serving_stages.push(back),
            lambda: serving_stages.score(first),
            lambda: serving_stages.score(back),
        ):
            with pytest.raises(ModelSignatureError, match="has no signature"):
                look()
    finally:
        signature.write_bytes(content)


def test_a_model_that_changed_after_it_was_looked_at_is_not_registered(
    first, back, unparsed, tmp_path: Path
) -> None:
    model = tmp_path / "model.onnx"
    content = (first.artifacts / "native" / "model.onnx").read_bytes()
    at = len(content) // 2
    model.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    before = versions(back)
    for process in (first, back):
        run = TrackedRun.of(process)
        with pytest.raises(ModelSignatureError, match="is not the model that was signed"):
            registry.push(process, run, model, (), tmp_path / "serving")
    assert versions(back) == before


def test_one_changed_byte_in_the_registry_is_not_parsed(home: Path, first, back, unparsed) -> None:
    held = {p: p.read_bytes() for p in (home / "stores" / "mlartifacts").rglob("model.onnx")}
    try:
        for path, content in held.items():
            at = len(content) // 2
            path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        for process in (first, back):
            with pytest.raises(ModelSignatureError, match="is not the model that was signed"):
                serving_stages.score(process)
    finally:
        for path, content in held.items():
            path.write_bytes(content)


def test_the_signature_goes_into_the_store_with_the_model(home: Path, first, back) -> None:
    for process in (first, back):
        run = mlflow_run(process).info.run_id
        (kept,) = store(process).list_artifacts(run, "model_signature")
        copy = Path(store(process).download_artifacts(run, kept.path))
        assert copy.read_bytes() == signature_file(first.spec).read_bytes()


def test_a_way_back_is_a_version_of_its_own_and_the_champion(first, back) -> None:
    version = store(back).get_model_version_by_alias(NAME, "champion")
    assert version.tags["assay.run_id"] == back.spec.run_id
    assert len(versions(back)) == 4
    original = versions(back)[first.spec.run_id]
    assert version.version != original.version
    assert version.tags["assay.sha256"] == original.tags["assay.sha256"]
    assert version.tags["assay.continues"] == first.spec.run_id
    assert (version.tags["assay.kind"], version.tags["assay.release"]) == ("rollback", "4")
    assert original.tags["assay.kind"] == "release"
    run = mlflow_run(back)
    assert run.info.run_id != mlflow_run(first).info.run_id
    assert run.data.tags["assay.continues"] == first.spec.run_id
    assert (run.info.status, run.data.tags["assay.outcome"]) == ("FINISHED", "released")


def test_a_way_back_is_served_and_judged_as_it_was(first, back) -> None:
    assert [r.stage for r in back.chain.records()] == ["release_gate", "push", "score", "close"]
    pushed, trained = body_of(back, "push"), body_of(first, "train")
    assert pushed["outputs"]["serving_model"]["sha256"] == trained["outputs"]["model"]["sha256"]
    assert body_of(back, "score")["verdict"]["status"] == "PASS"
    before = body_of(first, "release_gate")["nativeMeasurements"]
    assert body_of(back, "release_gate")["nativeMeasurements"] == before


@pytest.mark.parametrize("name", ["model.onnx", "transform/inputs.json"])
def test_what_training_left_must_be_there_unchanged(
    make_process, home: Path, first, back, name: str
) -> None:
    process = make_process("fair", against_the_champion, home, continues=first)
    path = first.artifacts / "native" / name
    content = path.read_bytes()
    try:
        path.write_bytes(content + b"\n")
        with pytest.raises(EvidenceError, match=f"is not what stage .* of {first.spec.run_id}"):
            pytorch_pipeline.release(process)
    finally:
        path.write_bytes(content)
    run = mlflow_run(process)
    assert (run.info.status, run.data.tags["assay.outcome"]) == ("FAILED", "interrupted")
    champion = store(process).get_model_version_by_alias(NAME, "champion")
    assert champion.tags["assay.run_id"] == back.spec.run_id
