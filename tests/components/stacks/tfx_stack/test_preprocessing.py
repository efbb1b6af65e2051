"""Transform's graph gives the referee's features: nulls, rare values, line breaks and all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow_transform as tft

from components.checks import preprocessing as referee
from components.contract.features import model_inputs
from components.datasets.canonical import ROW_COLUMN
from components.stacks.process import ReleaseProcess
from components.stacks.tfx_stack.preprocessing import (
    feature_layout,
    input_columns,
)
from components.stacks.tfx_stack.serving import write_features


def _referees(process: ReleaseProcess, rows: pa.Table) -> np.ndarray:
    fitted = referee.fit(
        process.dataset.files(split="train"),
        model_inputs(process.contract, process.candidate),
        process.policy.training.min_category_count,
    )
    return referee.features(rows, fitted)


def test_features_are_the_referees(
    process: ReleaseProcess, examples_uri: str, graph: str, tmp_path: Path
) -> None:
    target = tmp_path / "features.parquet"
    written = write_features(graph, input_columns(process), examples_uri, "evaluation", target)
    found = pq.read_table(written)
    rows = pa.concat_tables(pq.read_table(f) for f in process.dataset.files(split="evaluation"))
    assert found[ROW_COLUMN].to_pylist() == rows[ROW_COLUMN].to_pylist()
    mine, theirs = np.array(found["features"].to_pylist()), _referees(process, rows)
    assert mine.shape == theirs.shape
    assert np.abs(mine - theirs).max() < 1e-5
    still = (theirs.std(axis=0) == 0).sum()
    assert still == 1, "every feature but the constant must vary, or this proves too little"


def test_the_vocabulary_holds_line_breaks_and_leaves_rare_values_out(
    process: ReleaseProcess, graph: str
) -> None:
    entries = tft.TFTransformOutput(graph).vocabulary_by_name("categories")
    texts = {e.decode().partition(" ward=")[2] for e in entries if b" ward=" in e}
    assert {"Ä\\nÖ", "A", "B", 'C "west", upper', "back\\\\slash\\\\n"} == texts


def test_a_layout_without_any_category() -> None:
    class NoOutput:
        def vocabulary_by_name(self, _: str) -> list[bytes]:
            return [b"49d0cd50-04bb-48c0-bc6f-5b575dce351a"]

    from components.stacks.tfx_stack.preprocessing import InputColumn

    columns = [InputColumn("c", True, "text", 0), InputColumn("n", False, "float", 1)]
    assert feature_layout(NoOutput(), columns).order == (0,)
