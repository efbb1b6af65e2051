"""One Keras definition on TensorFlow and on torch: the same weights give the same scores."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.contract.errors import AssayError, InputError
from components.stacks import keras_bridge, room_process
from components.stacks.keras_bridge import BridgeResult, bridge, largest_difference
from components.stacks.keras_training import SCORES, trained_file, write_arrays
from components.stacks.room_process import Room
from tests import clinic
from tests.plain_stack import start


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that is reweighed and has not begun: the bridge needs its data and policy."""
    folder = tmp_path_factory.mktemp("clinic")
    contract = clinic.write(folder / "clinic.yaml", clinic.contract_document())
    policy = clinic.write(folder / "clinic_policy.yaml", clinic.policy_document())
    (folder / "clinic.csv").write_text(clinic.csv_text(clinic.rows(people=120)))
    return start(
        folder / "home", "fair", contract=contract, policy=policy, data=folder / "clinic.csv"
    ).spec.directory


@pytest.fixture(scope="module")
def bridged(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[BridgeResult, Path]:
    """The bridge's result, and the folder that its backends worked in, kept for once.

    Each backend was also told to score by weights that were altered on the way.
    """
    folder, tell = tmp_path_factory.mktemp("bridge"), Room.communicate

    def also_altered(room: Room, names: str) -> tuple[str, str]:
        held: dict[str, Any] = dict(np.load(trained_file(folder, "tensorflow")))
        held["weight-0"][0, 0] += 0.5
        write_arrays(trained_file(folder, "altered"), held)
        return tell(room, f"{names}altered\n")

    with pytest.MonkeyPatch.context() as patch:
        kept = contextlib.nullcontext(str(folder))
        patch.setattr(keras_bridge.tempfile, "TemporaryDirectory", lambda **_: kept)
        patch.setattr(Room.__origin__, "communicate", also_altered)
        return bridge(run), folder


def test_weights_carried_either_way_give_the_same_scores(
    bridged: tuple[BridgeResult, Path], run: Path
) -> None:
    result, _ = bridged
    assert result.within
    ways = {(c.trained_by, c.scored_by) for c in result.carried}
    assert {("tensorflow", "torch"), ("torch", "tensorflow")} <= ways
    assert all(c.largest_difference is not None for c in result.carried)
    assert [t.backend for t in result.trained][:2] == ["tensorflow", "torch"]
    assert all(t.auc is not None and 0 <= t.auc <= 1 for t in result.trained)
    assert result.run == run.name
    assert result.training_rows + result.evaluation_rows < 240


def test_the_backends_trained_different_weights(bridged: tuple[BridgeResult, Path]) -> None:
    """Else equal scores would say nothing about carrying."""
    _, folder = bridged
    tensorflow, torch = (np.load(trained_file(folder, b))[SCORES] for b in ("tensorflow", "torch"))
    assert np.abs(tensorflow - torch).max() > 1e-3


def test_the_result_is_json_without_rows(bridged: tuple[BridgeResult, Path]) -> None:
    document = json.loads(json.dumps(bridged[0].to_json(), allow_nan=False))
    assert document["within"] is True
    assert document["tolerance"] == 1e-5
    assert document["trained"][1]["version"].startswith("2.")


@pytest.mark.parametrize("backend", ["tensorflow", "torch"])
def test_a_weight_that_was_altered_on_the_way_is_not_within(
    bridged: tuple[BridgeResult, Path], backend: str
) -> None:
    found = keras_bridge._carried(bridged[1], "altered", backend, bridged[0].tolerance)
    assert found.largest_difference is not None
    assert found.largest_difference > bridged[0].tolerance
    assert not found.within


def test_nothing_is_carried_is_not_within(bridged: tuple[BridgeResult, Path]) -> None:
    assert not replace(bridged[0], carried=()).within


def test_a_backend_that_breaks_down_ends_the_bridge(tmp_path: Path) -> None:
    modules = {"tensorflow": "json.tool", "torch": "json.tool"}  # a folder is no document
    with pytest.raises(AssayError, match=r"^tool ended with code \d$"):
        keras_bridge._run_backends(modules, tmp_path)


def test_a_stack_that_is_not_installed_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room_process, "find_spec", lambda n: None if n == "torch" else n)
    with pytest.raises(InputError, match="torch not installed.*EXTRAS=all"):
        bridge(run)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([0.1, 0.5], [0.1, 0.75], 0.25),
        ([0.1, 0.5], [0.1, float("nan")], None),
        ([0.1, 0.5], [0.1], None),
        ([0.1], [[0.1]], None),
        ([], [], None),
    ],
)
def test_the_largest_difference_is_none_unless_every_row_has_a_number(
    before: list[float], after: list[float], expected: float | None
) -> None:
    assert largest_difference(np.array(before), np.array(after)) == expected
