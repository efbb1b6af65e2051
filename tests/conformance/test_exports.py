"""The released models of both stacks in other formats: the same scores, or the run is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.contract.errors import EvidenceError, InputError
from components.contract.json_schema import ROOT
from components.lineage.model_signature import ModelSignatureError
from components.release.records import read_releases
from components.stacks import exports, room_process
from components.stacks.export_measures import Built
from components.stacks.exports import Export, export_all
from components.stacks.keras_training import read_weights, write_weights
from components.stacks.process import ReleaseProcess
from components.stacks.referee import digest
from tests.conformance.conftest import STACKS, Demo

FORMATS = {
    "tfx": ["saved_model", "litert", "onnx"],
    "pytorch": ["onnx", "torch_export"],
}
AS_SERVED = {"tfx": "saved_model", "pytorch": "onnx"}


@dataclass(frozen=True)
class Exported:
    """What both stacks' releases were exported to, and one export whose weight was altered."""

    folder: Path
    by_stack: dict[str, tuple[Export, ...]]
    altered: Export


def _released(home: Path, stack: str) -> Path:
    return home / "runs" / read_releases(home, "rand_hie", stack)[-1].run


@pytest.fixture(scope="module")
def exported(demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """Between the two rooms a second copy of the TFX stack's weights is made, one of them wrong."""
    folder, in_room = tmp_path_factory.mktemp("exports"), exports._in_room
    wrong, found = folder / "wrong", []

    def also_altered(module: str, arguments: list[str], own: Path, **more: Any) -> list[Built]:
        weights = own / "weights.npz"
        if weights.exists():
            wrong.mkdir()
            altered = read_weights(weights)
            altered[0][0, 0] += 0.5
            write_weights(wrong / weights.name, altered)
            found.extend(in_room(module, [arguments[0], str(wrong)], wrong))
        return in_room(module, arguments, own, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exports, "_in_room", also_altered)
        by_stack = {s: export_all(_released(demo.home, s), folder / s) for s in STACKS}
    judged = exports._judged(ReleaseProcess.open(_released(demo.home, "tfx")))
    (folder / "altered").mkdir()
    altered = exports._finished("tfx", found[0], wrong, folder / "altered", judged)
    return Exported(folder, by_stack, altered)


@pytest.mark.parametrize("stack", STACKS)
def test_every_format_scores_as_the_release_was_judged(exported: Exported, stack: str) -> None:
    found = exported.by_stack[stack]
    assert [e.format for e in found] == FORMATS[stack]
    for export in found:
        assert export.largest_difference is not None, export.format
        assert export.largest_difference <= 1e-5, export.format
        assert export.within
        assert export.stack == stack


@pytest.mark.parametrize("stack", STACKS)
def test_what_is_served_is_measured_as_it_was_released(
    exported: Exported, demo: Demo, stack: str
) -> None:
    (served,) = [e for e in exported.by_stack[stack] if e.format == AS_SERVED[stack]]
    assert served.sha256 == read_releases(demo.home, "rand_hie", stack)[-1].model
    assert served.largest_difference == 0


@pytest.mark.parametrize("stack", STACKS)
def test_files_are_what_is_said_of_them(exported: Exported, stack: str) -> None:
    folder = exported.folder / stack
    assert sorted(p.name for p in folder.iterdir()) == sorted(
        e.file for e in exported.by_stack[stack]
    )
    for export in exported.by_stack[stack]:
        assert export.sha256 == digest(folder / export.file)
        whole = [folder / export.file, *(folder / export.file).rglob("*")]
        assert export.bytes == sum(p.stat().st_size for p in whole if p.is_file())
        json.dumps(export.to_json(), allow_nan=False)


def test_a_written_format_names_no_path_of_the_machine(exported: Exported, demo: Demo) -> None:
    for name in ("tfx/model.tflite", "tfx/model.onnx", "pytorch/model.pt2"):
        content = (exported.folder / name).read_bytes()
        for path in (ROOT, demo.home, exported.folder, Path(np.__file__).parent.parent):
            assert str(path).encode() not in content, name


def test_a_weight_that_was_altered_is_not_within(exported: Exported) -> None:
    assert exported.altered.format == "onnx"
    assert exported.altered.largest_difference is not None
    assert exported.altered.largest_difference > 1e-5
    assert not exported.altered.within


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _pushed(run: Path) -> Path:
    push = next(r for r in ReleaseProcess.open(run).chain.records() if r.stage == "push")
    return run.parent.parent / push.body["facts"]["location"]


def _unsigned(run: Path) -> None:
    (run / "artifacts" / "model.sig").unlink()


NATIVE = "artifacts/native"
TAMPERED: dict[str, tuple[str, Callable[[Path], object]]] = {
    "served ONNX": ("pytorch", lambda r: _flip(r / NATIVE / "serving" / "model.onnx")),
    "no served ONNX": ("pytorch", lambda r: (r / NATIVE / "serving" / "model.onnx").unlink()),
    "weights": ("pytorch", lambda r: _flip(r / NATIVE / "weights.safetensors")),
    "vocabulary": ("pytorch", lambda r: _flip(r / NATIVE / "transform" / "inputs.json")),
    "judged scores": ("pytorch", lambda r: _flip(r / "artifacts" / "predictions.parquet")),
    "no signature": ("pytorch", _unsigned),
    "served graph": ("tfx", lambda r: _flip(_pushed(r) / "saved_model.pb")),
    "no served graph": ("tfx", lambda r: shutil.rmtree(_pushed(r))),
    "a link in it": ("tfx", lambda r: (_pushed(r) / "more").symlink_to("/")),
    "no TFX signature": ("tfx", _unsigned),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_a_release_that_was_tampered_with_is_not_loaded(
    demo: Demo, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stack, tamper = TAMPERED[what]
    run = _released(demo.home, stack)
    home = tmp_path / "home"
    for part in ("datasets", "keys", "releases", "serving", f"runs/{run.name}"):
        shutil.copytree(demo.home / part, home / part)
    tamper(home / "runs" / run.name)
    monkeypatch.setattr(exports, "started", lambda *_: pytest.fail("a room was started"))
    with pytest.raises(ModelSignatureError if tamper is _unsigned else EvidenceError):
        export_all(home / "runs" / run.name, tmp_path / "target")
    assert not list((tmp_path / "target").iterdir())


def test_a_run_that_released_nothing_is_refused(demo: Demo, tmp_path: Path) -> None:
    blocked = next(r for r in demo.runs if r.outcome != "released")
    with pytest.raises(InputError, match="released no model"):
        export_all(demo.home / "runs" / blocked.run_id, tmp_path / "target")
    assert not (tmp_path / "target").exists()


def test_a_stack_that_is_not_installed_is_named(
    demo: Demo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room_process, "find_spec", lambda n: None if n == "torch" else n)
    for stack in STACKS:
        with pytest.raises(InputError, match="torch not installed"):
            export_all(_released(demo.home, stack), tmp_path)


def test_a_folder_with_something_in_it_is_refused(demo: Demo, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"mine")
    with pytest.raises(InputError, match="is not empty"):
        export_all(_released(demo.home, "pytorch"), tmp_path)
    assert (tmp_path / "model.onnx").read_bytes() == b"mine"
