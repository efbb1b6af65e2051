"""One Keras 3 definition on the backends of both stacks, and its weights carried across.

Every backend trains the definition on the referee's features of a run's training split, with the
policy's settings and the candidate's row weights; then each scores the evaluation split by the
weights of every other. The opportunity penalty, which is a loss of each stack's own, is left out.
Keras keeps one backend for a process's life, so each backend is a process.
"""

from __future__ import annotations

import json
import math
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.checks import preprocessing
from components.checks.performance import Ranked
from components.contract.compare_policy import load_compare_policy
from components.contract.features import model_inputs
from components.release.judging import flags, split_rows
from components.stacks import keras_training as half
from components.stacks.mitigation import group_columns, training_groups
from components.stacks.process import ReleaseProcess
from components.stacks.room_process import await_end, require_installed, started

_NEEDED = {
    "tensorflow": "components.stacks.tfx_stack.keras_tensorflow",
    "torch": "components.stacks.pytorch_stack.keras_torch",
}
_OPTIONAL = {"jax": "components.stacks.tfx_stack.keras_jax"}
_POLL_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class TrainedBackend:
    """What one backend trained.

    ``auc`` is the area under the ROC curve on the evaluation rows, in [0, 1], None where it is not
    defined; ``seconds`` are those of training alone.
    """

    backend: str
    version: str
    auc: float | None
    seconds: float


@dataclass(frozen=True, slots=True)
class CarriedWeights:
    """One backend's weights in another one.

    ``largest_difference`` is the largest absolute difference, over the evaluation rows, between the
    two backends' scores by these weights; None where a score is no number, which is not ``within``.
    """

    trained_by: str
    scored_by: str
    largest_difference: float | None
    within: bool


@dataclass(frozen=True, slots=True)
class BridgeResult:
    """What the bridge came to. ``absent`` names backends of Keras that are not installed.

    ``tolerance`` is inclusive. ``seconds`` are those of everything, processes included.
    """

    run: str
    keras: str
    training_rows: int
    evaluation_rows: int
    features: int
    trained: tuple[TrainedBackend, ...]
    carried: tuple[CarriedWeights, ...]
    absent: tuple[str, ...]
    tolerance: float
    seconds: float

    @property
    def within(self) -> bool:
        """Whether every backend's weights give the same scores everywhere."""
        return bool(self.carried) and all(c.within for c in self.carried)

    def to_json(self) -> dict[str, Any]:
        """The result as a JSON object; it holds no row."""
        return {**asdict(self), "within": self.within}


def bridge(run_directory: Path) -> BridgeResult:
    """Train the definition on every backend that is installed, and carry the weights across.

    Args:
        run_directory: a run; its data, policy and candidate are used, its model is not.

    Raises:
        InputError: TensorFlow and torch are not both installed.
        EvidenceError: contract, policy or data are not those of the run.
        AssayError: a backend's process broke down.
    """
    began = time.perf_counter()
    require_installed("keras", *_NEEDED)
    absent = tuple(b for b in _OPTIONAL if find_spec(b) is None)
    modules = {b: m for b, m in {**_NEEDED, **_OPTIONAL}.items() if b not in absent}
    process = ReleaseProcess.open(run_directory)
    # What lies here was made of people's rows: readable by nobody else, and gone at the end.
    with tempfile.TemporaryDirectory(prefix="assay-") as scratch:
        folder = Path(scratch)
        rows = _write_rows(process, folder)
        _run_backends(modules, folder)
        trained = tuple(_trained(process, folder, backend) for backend in modules)
        tolerance = load_compare_policy().bridge.prediction_difference_at_most
        carried = tuple(
            _carried(folder, trained_by, scored_by, tolerance)
            for trained_by in modules
            for scored_by in modules
            if trained_by != scored_by
        )
    return BridgeResult(
        run=process.spec.run_id,
        keras=metadata.version("keras"),
        training_rows=len(rows[half.TRAIN]),
        evaluation_rows=len(rows[half.EVALUATION]),
        features=rows[half.TRAIN].shape[1],
        trained=trained,
        carried=carried,
        absent=absent,
        tolerance=tolerance,
        seconds=time.perf_counter() - began,
    )


def _write_rows(process: ReleaseProcess, folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    """The referee's features, labels and row weights, where every backend finds them."""
    training, contract = process.policy.training, process.contract
    inputs = model_inputs(contract, process.candidate)
    groups = group_columns(contract, process.candidate)
    columns = list(dict.fromkeys([*(i.name for i in inputs), contract.label.name, *groups]))
    train = split_rows(process.dataset, "train", columns)
    evaluation = split_rows(process.dataset, "evaluation", columns)
    fitted = preprocessing.fit(
        process.dataset.files(split="train"), inputs, training.min_category_count
    )
    labels = flags(train[contract.label.name], contract.label.positive)
    found = training_groups(process.dataset, contract, process.candidate)
    weights = found.row_weights({g: train[g].to_pylist() for g in groups}, labels.tolist())
    rows = {
        half.TRAIN: preprocessing.features(train, fitted).astype(np.float32),
        half.LABELS: labels.astype(np.float32),
        half.WEIGHTS: weights,
        half.EVALUATION: preprocessing.features(evaluation, fitted).astype(np.float32),
    }
    half.write_arrays(folder / half.ROWS, rows)
    (folder / half.TRAINING).write_text(json.dumps(asdict(training)))
    return rows


def _run_backends(modules: dict[str, str], folder: Path) -> None:
    """All train at once; when all have, each is told whose weights to score by."""
    logs = {b: folder / f"{b}.log" for b in modules}
    with ExitStack() as stack:
        rooms = {
            b: stack.enter_context(started(module, [str(folder)], logs[b], backend=b))
            for b, module in modules.items()
        }
        while any(not half.trained_file(folder, b).exists() for b in rooms):
            for backend, room in rooms.items():
                if room.poll() is not None:
                    await_end(room, modules[backend], logs[backend])
            time.sleep(_POLL_SECONDS)
        for backend, room in rooms.items():
            room.communicate("".join(f"{b}\n" for b in rooms if b != backend))
            await_end(room, modules[backend], logs[backend])


def _trained(process: ReleaseProcess, folder: Path, backend: str) -> TrainedBackend:
    label = process.contract.label
    positive = flags(
        split_rows(process.dataset, "evaluation", [label.name])[label.name], label.positive
    )
    with np.load(half.trained_file(folder, backend), allow_pickle=False) as held:
        area, seconds = Ranked.of(positive, held[half.SCORES]).area, float(held[half.SECONDS])
    return TrainedBackend(
        backend, metadata.version(backend), area if math.isfinite(area) else None, seconds
    )


def _carried(folder: Path, trained_by: str, scored_by: str, tolerance: float) -> CarriedWeights:
    with np.load(half.trained_file(folder, trained_by), allow_pickle=False) as held:
        own = held[half.SCORES]
    other = np.load(half.carried_file(folder, trained_by, scored_by), allow_pickle=False)
    worst = largest_difference(own, other)
    return CarriedWeights(trained_by, scored_by, worst, worst is not None and worst <= tolerance)


def largest_difference(
    before: npt.NDArray[np.float64], after: npt.NDArray[np.float64]
) -> float | None:
    """Largest absolute difference of two arrays of scores; None unless all are numbers of one row
    each, and there are some.
    """
    if before.shape != after.shape or not before.size:
        return None
    worst = float(np.max(np.abs(before - after)))
    return worst if math.isfinite(worst) else None
