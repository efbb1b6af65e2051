"""A released model in other formats, each held against the scores that the release was judged by.

The formats: of the TFX stack SavedModel (as served), LiteRT and ONNX; of the PyTorch stack ONNX
(as served) and ``torch.export``. Every model is loaded in a process of its own stack's room, from a
copy that only this process can write to, after digest and signature were verified.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.contract.compare_policy import load_compare_policy
from components.contract.errors import EvidenceError, InputError
from components.contract.stages import PREDICTIONS
from components.datasets.canonical import ROW_COLUMN
from components.lineage.durable import writable_directory
from components.lineage.evidence import EvidenceChain
from components.release.judging import aligned_scores, split_rows
from components.stacks.export_measures import EXPORTS, Built, read_built
from components.stacks.keras_bridge import largest_difference
from components.stacks.model_signing import verified_model
from components.stacks.process import ReleaseProcess
from components.stacks.referee import digest
from components.stacks.room_process import await_end, require_installed, started
from components.stacks.stages import Stage

_TFX = "components.stacks.tfx_stack.edge_export"
_PYTORCH = "components.stacks.pytorch_stack.edge_export"
_NEEDED = {"tfx": ("tensorflow", "keras", "tfx_bsl", "torch", "onnx"), "pytorch": ("torch", "onnx")}
"""What each stack's formats are made with: ONNX of a TFX release is written by the other room."""

_SERVING = "serving/model.onnx"
_OF_TRAINING = (
    (Stage.TRAIN, "weights", "weights.safetensors"),
    (Stage.TRANSFORM, "transform", "transform"),
)


@dataclass(frozen=True, slots=True)
class Export:
    """One format of a released model, as it was measured on the evaluation rows.

    ``file`` lies in the folder that was named. ``largest_difference`` is the largest absolute
    difference between a score of it and the score that the release was judged by, None where one
    is no number; ``within`` holds it against the policy's limit, inclusive. ``load_seconds`` go
    from bytes to a model that can be called; ``latency_seconds`` is the median of a call with one
    row, ``rows_per_second`` that of calls with 1024 rows, both on one thread. ``note`` says what
    the format takes, and what it cannot hold.
    """

    stack: str
    format: str
    file: str
    bytes: int
    sha256: str
    largest_difference: float | None
    within: bool
    load_seconds: float
    latency_seconds: float
    rows_per_second: float
    note: str

    def to_json(self) -> dict[str, Any]:
        """The export as a JSON object; it holds no row."""
        return asdict(self)


def export_all(run_directory: Path, target: Path) -> tuple[Export, ...]:
    """Export a run's released model into every format of its stack.

    Args:
        run_directory: a run that was released.
        target: a folder that is new or empty; it gets one file or directory a format.

    Raises:
        InputError: the run was not released, a framework is not installed, or the folder holds
            something.
        ModelSignatureError: the model is not what the run trained and signed.
        EvidenceError: something else of the run is not what it recorded.
        AssayError: a room's process broke down.
    """
    process = ReleaseProcess.open(run_directory)
    _require_released(process)
    require_installed(*_NEEDED[process.spec.stack])
    writable_directory(target)
    if any(target.iterdir()):
        raise InputError("is not empty", where=str(target), expected="a new folder")
    judged = _judged(process)
    with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
        folder = Path(scratch)
        if process.spec.stack == "tfx":
            built = _build_tfx(process, folder)
        else:
            built = _build_pytorch(process, folder)
        return tuple(_finished(process.spec.stack, b, folder, target, judged) for b in built)


def _require_released(process: ReleaseProcess) -> None:
    records = process.chain.records()
    if not records or records[-1].body.get("outcome") != "released":
        raise InputError(
            "it released no model", where=process.spec.run_id, expected="a run that was released"
        )


def _judged(process: ReleaseProcess) -> npt.NDArray[np.float64]:
    """The scores that the release gate judged, in the dataset's order."""
    path = process.artifacts / f"{PREDICTIONS}.parquet"
    _require_recorded(process.chain, Stage.RELEASE_GATE, PREDICTIONS, path)
    rows = split_rows(process.dataset, "evaluation", [ROW_COLUMN])[ROW_COLUMN]
    return aligned_scores(path, rows)


def _build_tfx(process: ReleaseProcess, folder: Path) -> list[Built]:
    """Both rooms, one after the other: the second writes ONNX by weights that the first left."""
    pushed = next(r for r in process.chain.records() if r.stage == Stage.PUSH)
    location = Path(process.spec.home) / str(pushed.body["facts"]["location"])
    model = _verified(process, location, folder)
    run = str(process.spec.directory)
    built = _in_room(_TFX, [run, str(model), str(folder)], folder, backend="tensorflow")
    return built + _in_room(_PYTORCH, [run, str(folder)], folder)


def _build_pytorch(process: ReleaseProcess, folder: Path) -> list[Built]:
    native = process.spec.origin / "artifacts" / "native"
    _verified(process, process.artifacts / "native" / _SERVING, folder)
    for stage, output, name in _OF_TRAINING:
        copy = _copied(native / name, folder)
        _require_recorded(process.origin, stage, output, copy)
    return _in_room(_PYTORCH, [str(process.spec.directory), str(folder)], folder)


def _verified(process: ReleaseProcess, served: Path, folder: Path) -> Path:
    """A copy of the model that was pushed, once it is known to be that and to be signed."""
    copy = _copied(served, folder)
    _require_recorded(process.chain, Stage.PUSH, "serving_model", copy)
    return verified_model(process.spec, copy)


def _copied(path: Path, folder: Path) -> Path:
    target = folder / path.name
    try:
        if path.is_dir():
            shutil.copytree(path, target, symlinks=True)
        else:
            shutil.copyfile(path, target)
    except OSError as error:
        raise EvidenceError(f"{path.name} of the run is not there") from error
    return target


def _require_recorded(chain: EvidenceChain, stage: Stage, output: str, path: Path) -> None:
    record = next(r for r in chain.records() if r.stage == stage)
    recorded = record.body["outputs"].get(output, {}).get("sha256")
    if not path.exists() or digest(path) != recorded:
        raise EvidenceError(f"{path.name} is not what stage {stage} recorded as {output}")


def _in_room(module: str, arguments: Sequence[str], folder: Path, backend: str = "") -> list[Built]:
    log = folder / "room.log"
    with started(module, arguments, log, backend) as room:
        await_end(room, module, log)
    built = read_built(folder)
    (folder / EXPORTS).unlink()
    return built


def _finished(
    stack: str, built: Built, folder: Path, target: Path, judged: npt.NDArray[np.float64]
) -> Export:
    """Hold an export's scores against those that were judged, and hand its file over."""
    scores = np.load(folder / f"{built.format}.npy", allow_pickle=False)
    worst = largest_difference(judged, scores)
    limit = load_compare_policy().exports.prediction_difference_at_most
    whole = target / (built.format if (folder / built.file).is_dir() else built.file)
    shutil.move(folder / built.file, whole)
    files = [p for p in whole.rglob("*") if p.is_file()] if whole.is_dir() else [whole]
    return Export(
        stack=stack,
        format=built.format,
        file=whole.name,
        bytes=sum(p.stat().st_size for p in files),
        sha256=digest(whole),
        largest_difference=worst,
        within=worst is not None and worst <= limit,
        load_seconds=built.load_seconds,
        latency_seconds=built.latency_seconds,
        rows_per_second=built.rows_per_second,
        note=built.note,
    )
