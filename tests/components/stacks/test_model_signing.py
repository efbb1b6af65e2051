"""Runs sign what they train; what is not what they signed is never loaded."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.contract.errors import InputError
from components.contract.stages import Stage
from components.lineage.digests import sha256_file
from components.lineage.model_keys import KEY_VARIABLE, ModelKeys
from components.lineage.model_signature import ModelSignatureError, sign_model
from components.stacks import model_signing
from components.stacks.model_signing import (
    MODEL_SIGNATURE,
    beside,
    sign_trained,
    signature_file,
    verified_content,
    verified_model,
)
from components.stacks.process import ReleaseProcess
from components.stacks.run_spec import RunSpec
from components.stacks.stages import StageResult
from pipelines.launch import Order, prepare, prepare_release
from tests import seeded
from tests.plain_stack import PlainStack, changed_outputs, start


@dataclass(frozen=True)
class Runs:
    """Two released runs of one home, and one that releases the first one's model again."""

    home: Path
    first: ReleaseProcess
    second: ReleaseProcess
    back: ReleaseProcess


def _begin(folder: Path, seed: int) -> ReleaseProcess:
    contract, policy = seeded.write_documents(folder / "documents")
    data = seeded.write_rows(folder / f"rows-{seed}.csv", seed=seed)
    return start(folder, "plain", policy=policy, contract=contract, data=data)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The runs; tests put back what they change."""
    folder = tmp_path_factory.mktemp("signed")
    first, second = _begin(folder, 1), _begin(folder, 2)
    for process in (first, second):
        assert PlainStack(process).run() == "released"
    back = ReleaseProcess(prepare_release(first.spec.directory, "a test"))
    assert PlainStack(back).release() == "released"
    return Runs(folder, first, second, back)


def _model(process: ReleaseProcess) -> Path:
    return process.spec.origin / "artifacts" / "plain" / "model.json"


def _pushed(process: ReleaseProcess) -> Path:
    return process.artifacts / "plain" / "pushed.json"


def _output(process: ReleaseProcess, stage: Stage, name: str) -> dict[str, str]:
    record = next(r for r in process.chain.records() if r.stage == stage)
    return dict(record.body["outputs"][name])


def test_the_signature_is_evidence_of_the_training(runs: Runs) -> None:
    signature = runs.first.artifacts / "model.sig"
    assert _output(runs.first, Stage.TRAIN, MODEL_SIGNATURE) == {
        "name": "model.sig", "kind": "file", "sha256": sha256_file(signature),
    }  # fmt: skip
    trained = _output(runs.first, Stage.TRAIN, "model")["sha256"]
    assert sha256_file(_model(runs.first)) == trained, "the model is as it was"


def test_the_signature_lies_beside_what_was_pushed(runs: Runs) -> None:
    for process in (runs.first, runs.back):
        carried = beside(_pushed(process))
        assert carried.name == "pushed.json.sig"
        assert carried.read_bytes() == signature_file(runs.first.spec).read_bytes()
        assert _output(process, Stage.PUSH, MODEL_SIGNATURE)["sha256"] == sha256_file(carried)


def test_what_was_trained_and_what_was_pushed_may_be_loaded(runs: Runs) -> None:
    assert verified_model(runs.first.spec, _model(runs.first)) == _model(runs.first)
    for process in (runs.first, runs.back):
        assert verified_model(process.spec, _pushed(process)) == _pushed(process)


def test_a_changed_model_may_not(runs: Runs, tmp_path: Path) -> None:
    copy = tmp_path / "model.json"
    copy.write_bytes(_model(runs.first).read_bytes() + b" ")
    for process in (runs.first, runs.back):
        with pytest.raises(ModelSignatureError, match="model.json is not the model that was sign"):
            verified_model(process.spec, copy)
    copy.unlink()
    with pytest.raises(ModelSignatureError, match="model.json is not there"):
        verified_model(runs.first.spec, copy)


def test_the_bytes_that_are_handed_over_are_those_that_were_verified(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tmp_path / "model.json"
    signed = _model(runs.first).read_bytes()
    model.write_bytes(signed)

    def changed_after(spec: RunSpec, path: Path) -> Path:
        verified_model(spec, path)
        model.write_bytes(signed + b" ")
        return path

    monkeypatch.setattr(model_signing, "verified_model", changed_after)
    assert verified_content(runs.first.spec, model) == signed
    with pytest.raises(ModelSignatureError, match="model.json is not the model that was signed"):
        verified_content(runs.first.spec, model)
    model.unlink()
    with pytest.raises(ModelSignatureError, match="model.json is not there"):
        verified_content(runs.first.spec, model)


def test_another_runs_model_does_not_come_in_with_its_signature(runs: Runs) -> None:
    """One key signs both, so the signature fits; but it is not the one that was recorded."""
    signature = signature_file(runs.first.spec)
    mine = signature.read_bytes()
    try:
        shutil.copy(signature_file(runs.second.spec), signature)
        with pytest.raises(ModelSignatureError, match=f"of run {runs.first.spec.run_id} is not wh"):
            verified_model(runs.first.spec, _model(runs.second))
        with pytest.raises(ModelSignatureError, match="is not what it recorded"):
            verified_model(runs.back.spec, _model(runs.first))
    finally:
        signature.write_bytes(mine)


def test_a_signature_that_was_made_anew_is_not_the_recorded_one(runs: Runs) -> None:
    signature, mine = signature_file(runs.first.spec), signature_file(runs.first.spec).read_bytes()
    try:
        sign_model(_model(runs.first), signature, ModelKeys(runs.home))
        with pytest.raises(ModelSignatureError, match="is not what it recorded"):
            verified_model(runs.first.spec, _model(runs.first))
        for i in range(0, len(mine), 40):
            signature.write_bytes(mine[:i] + bytes([mine[i] ^ 1]) + mine[i + 1 :])
            with pytest.raises(ModelSignatureError, match="is not what it recorded"):
                verified_model(runs.first.spec, _model(runs.first))
        signature.unlink()
        with pytest.raises(ModelSignatureError, match="has no signature"):
            verified_model(runs.first.spec, _model(runs.first))
    finally:
        signature.write_bytes(mine)


def test_another_key_in_the_home_does_not_count(runs: Runs, tmp_path: Path) -> None:
    public = runs.home / "keys" / "model.pub"
    mine = public.read_bytes()
    ModelKeys(tmp_path).signer()
    try:
        shutil.copy(tmp_path / "keys" / "model.pub", public)
        with pytest.raises(ModelSignatureError, match="a key that does not count in this home"):
            verified_model(runs.first.spec, _model(runs.first))
    finally:
        public.write_bytes(mine)


def test_a_continued_run_whose_signature_is_gone_pushes_nothing(runs: Runs) -> None:
    process = ReleaseProcess(prepare_release(runs.second.spec.directory, "a test"))
    signature, mine = (
        signature_file(runs.second.spec),
        signature_file(runs.second.spec).read_bytes(),
    )
    signature.unlink()
    try:
        with pytest.raises(ModelSignatureError, match="has no signature"):
            PlainStack(process).release()
    finally:
        signature.write_bytes(mine)
    assert [r.stage for r in process.chain.records()] == ["release_gate"]


def _signed_too_early(stack: PlainStack, result: StageResult) -> StageResult:
    """A stack that signs its model itself, and then has another one."""
    model = result.outputs["model"]
    signature = sign_trained(stack.process.spec, model)
    model.write_text(model.read_text() + " ")
    return changed_outputs(result, **{MODEL_SIGNATURE: signature})


def _signed_in_time(stack: PlainStack, result: StageResult) -> StageResult:
    signature = sign_trained(stack.process.spec, result.outputs["model"])
    verified_model(stack.process.spec, result.outputs["model"])  # before there is a record
    return changed_outputs(result, **{MODEL_SIGNATURE: signature})


def test_a_model_that_a_stack_signed_itself_is_verified_when_it_is_recorded(
    tmp_path: Path,
) -> None:
    process = _begin(tmp_path, 1)
    stack = PlainStack(process, {Stage.TRAIN: _signed_too_early})
    with pytest.raises(ModelSignatureError, match="model.json is not the model that was signed"):
        stack.run()
    assert process.next_stage() is Stage.TRAIN
    stack.changes[Stage.TRAIN] = _signed_in_time
    assert process.run_stage(Stage.TRAIN, lambda: stack.hook(Stage.TRAIN))
    held = _output(process, Stage.TRAIN, MODEL_SIGNATURE)
    assert held["sha256"] == sha256_file(signature_file(process.spec))


def test_a_key_that_cannot_sign_is_refused_before_a_run_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contract, policy = seeded.write_documents(tmp_path / "documents")
    data = seeded.write_rows(tmp_path / "rows.csv")
    monkeypatch.setenv(KEY_VARIABLE, str(tmp_path / "none.key"))
    with pytest.raises(InputError, match="none.key: cannot be read"):
        prepare(contract, [Order("pytorch", "plain", policy)], tmp_path / "home", data)
    assert not (tmp_path / "home" / "runs").exists()


def test_the_library_is_not_imported_before_it_is_needed() -> None:
    code = "import sys, components.stacks.process; sys.exit('model_signing' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
