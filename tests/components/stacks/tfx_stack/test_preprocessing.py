"""Transform's graph gives the referee's features: nulls, rare values, line breaks and all."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow_transform as tft
import tensorflow_transform.beam as tft_beam
from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io
from tfx_bsl.tfxio import tf_example_record

from components.checks import preprocessing as referee
from components.contract.features import model_inputs
from components.datasets.canonical import ROW_COLUMN
from components.stacks.process import ReleaseProcess
from components.stacks.tfx_stack.beam_options import beam_options
from components.stacks.tfx_stack.contract_to_tfmd import compile_inputs
from components.stacks.tfx_stack.preprocessing import (
    feature_layout,
    input_columns,
    preprocessing_fn,
    transform_settings,
)
from components.stacks.tfx_stack.serving import write_features

MakeProcess = Callable[..., ReleaseProcess]


def fitted_graph(process: ReleaseProcess, examples_uri: str, target: Path) -> str:
    """The transform graph, fitted on the training records as Transform fits it."""
    schema = compile_inputs(process.contract, process.candidate)
    settings = transform_settings(process)
    source = tf_example_record.TFExampleRecord(
        f"{examples_uri}/Split-train/*", schema=schema, telemetry_descriptors=["test"]
    )
    with (
        beam.Pipeline(argv=beam_options(())) as pipeline,
        tft_beam.Context(temp_dir=tempfile.mkdtemp(dir=target.parent)),
    ):
        rows = pipeline | source.BeamSource()
        config = source.TensorAdapterConfig()
        fitted = (rows, config) | tft_beam.AnalyzeDataset(
            lambda inputs: preprocessing_fn(inputs, settings)
        )
        _ = fitted | tft_beam.WriteTransformFn(str(target))
    metadata_io.write_metadata(dataset_metadata.DatasetMetadata(schema), str(target / "metadata"))
    return str(target)


@pytest.fixture(scope="module")
def graph(
    process: ReleaseProcess, examples_uri: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The clinic's transform graph."""
    return fitted_graph(process, examples_uri, tmp_path_factory.mktemp("tft") / "graph")


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
