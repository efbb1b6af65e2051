"""Exports and the bridge as tables that `assay compare --measured` reads back."""

from __future__ import annotations

import json

import pytest

from components.compare.comparison import parse_tables
from components.contract.errors import InputError
from components.stacks.exports import Export
from components.stacks.keras_bridge import BridgeResult, CarriedWeights, TrainedBackend
from pipelines.compare_models import bridge_tables, exports_table, main


def export(stack: str, form: str, difference: float | None = 1e-7) -> Export:
    """An export that is alike, or is no number."""
    within = difference is not None
    return Export(stack, form, f"model.{form}", 1234, "a" * 64, difference, within, 0.1, 0.002,
                  5000.0, "takes floats")  # fmt: skip


RESULT = BridgeResult(
    run="r", keras="3.15.1", training_rows=100, evaluation_rows=50, features=7,
    trained=(TrainedBackend("tensorflow", "2.21", 0.66, 1.5),
             TrainedBackend("torch", "2.13", None, 2.5)),
    carried=(CarriedWeights("tensorflow", "torch", 1e-7, True),
             CarriedWeights("torch", "tensorflow", None, False)),
    absent=("jax",), tolerance=1e-5, seconds=9.0,
)  # fmt: skip


def test_a_format_that_one_stack_lacks_is_told_apart_from_one_that_was_not_measured() -> None:
    made = exports_table(
        {"tfx": [export("tfx", "onnx"), export("tfx", "litert")],
         "pytorch": [export("pytorch", "onnx", None)]}
    )  # fmt: skip
    lines = {line.name: line for line in made.lines}
    assert lines["onnx: size"].values == {"tfx": 1234, "pytorch": 1234}
    assert lines["litert: size"].values == {"tfx": 1234, "pytorch": None}
    assert "pytorch: has no litert of its own" in lines["litert: size"].note
    difference = lines["onnx: largest difference of a score"]
    assert difference.values == {"tfx": 1e-7, "pytorch": None}
    assert difference.note == "pytorch: beyond the limit of policies/compare.yaml"
    assert "a" * 64 in difference.evidence


def test_the_bridge_is_told_by_backend() -> None:
    trained, carried = bridge_tables(RESULT)
    assert trained.columns == ("tensorflow", "torch")
    lines = {line.name: line for line in trained.lines}
    assert lines["version"].note == "not installed: jax"
    assert lines["ROC AUC"].values == {"tensorflow": 0.66, "torch": None}
    assert lines["ROC AUC"].note
    by = {line.name: line for line in carried.lines}
    assert by["trained by tensorflow, scored by"].values == {"torch": 1e-7}
    assert by["trained by torch, scored by"].note == "tensorflow: beyond the limit"


def test_they_are_read_back_as_they_were_written() -> None:
    made = (exports_table({"tfx": [export("tfx", "onnx")]}), *bridge_tables(RESULT))
    text = json.dumps([t.to_json() for t in made], allow_nan=False)
    assert parse_tables(text.encode(), "tables.json") == made


def test_a_run_that_is_none_is_refused(tmp_path: object) -> None:
    with pytest.raises(InputError, match="holds no evidence"):
        main([f"{tmp_path}/a", f"{tmp_path}/b", "-o", f"{tmp_path}/out"])
