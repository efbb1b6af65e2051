"""ParquetExampleGen: canonical Parquet to tf.Example records, encoded in C++, over Beam.

Stock ExampleGen reads CSV row by row in Python and names a span by file count, size and time.
This component takes a run, whose dataset is checked against its digests first, and writes one
record file for each Parquet file, so that the same dataset gives the same files in the same order
whatever Beam runs on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow.parquet as pq
from tfx import types
from tfx.components.util import examples_utils
from tfx.dsl.components.base import base_beam_component, base_beam_executor, executor_spec
from tfx.proto import example_gen_pb2
from tfx.types import artifact_utils, standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components.datasets.canonical import SPLITS
from components.profile.edges import quantile_edges
from components.stacks.process import ReleaseProcess
from components.stacks.tfx_stack.example_columns import (
    ExampleColumn,
    example_columns,
    statistics_columns,
    to_lists,
)
from components.stacks.tfx_stack.native_records import note_content

BASELINE, CURRENT = "baseline", "current"
_BATCH_ROWS = 10_000
_COMPRESSION_LEVEL = 1  # records are read a few times and live as long as the run's native files


class ParquetExampleGenSpec(ComponentSpec):
    """What goes in: a run's directory. What comes out: model examples and span examples."""

    PARAMETERS = {"run_directory": ExecutionParameter(type=str)}
    INPUTS: dict[str, ChannelParameter] = {}
    OUTPUTS = {
        "examples": ChannelParameter(type=standard_artifacts.Examples),
        "span_examples": ChannelParameter(type=standard_artifacts.Examples),
    }


class EncodeFile(beam.DoFn):
    """Writes one Parquet file as one compressed file of tf.Examples.

    A repeated attempt writes the same bytes to the same place, so a retry does no harm.
    """

    def __init__(self, columns: Sequence[ExampleColumn]) -> None:
        self._columns = tuple(columns)

    def process(self, job: tuple[list[str], str]) -> None:
        """Encode the Parquet files of a job, in order, into its one target."""
        import tensorflow as tf
        from tfx_bsl.coders.example_coder import RecordBatchToExamplesEncoder

        sources, target = job
        encoder = RecordBatchToExamplesEncoder()
        options = tf.io.TFRecordOptions("GZIP", compression_level=_COMPRESSION_LEVEL)
        with tf.io.TFRecordWriter(target, options) as writer:
            for source in sources:
                for batch in pq.ParquetFile(source).iter_batches(_BATCH_ROWS):
                    for example in encoder.encode(to_lists(batch, self._columns)):
                        writer.write(example)


class Executor(base_beam_executor.BaseBeamExecutor):
    """Writes the examples of a run: by split for the model, by span for the statistics."""

    def Do(
        self,
        input_dict: dict[str, list[types.Artifact]],
        output_dict: dict[str, list[types.Artifact]],
        exec_properties: dict[str, Any],
    ) -> None:
        """Run the Beam pipeline that writes both Examples artifacts."""
        self._log_startup(input_dict, output_dict, exec_properties)
        process = ReleaseProcess.open(Path(exec_properties["run_directory"]))
        dataset, gate = process.dataset, process.policy.data_gate
        by_split = {split: dataset.files(split=split) for split in SPLITS}
        baseline, current = dataset.sides(gate)
        by_span = {BASELINE: baseline, CURRENT: current}
        examples, span_examples = (
            artifact_utils.get_single_instance(output_dict[name])
            for name in ("examples", "span_examples")
        )
        with self._make_beam_pipeline() as pipeline:
            for artifact, files, columns in (
                (examples, by_split, example_columns(process.contract)),
                (span_examples, by_span, span_columns(process, baseline)),
            ):
                jobs = prepare_jobs(artifact, files)
                name = Path(artifact.uri).parent.name
                _ = (
                    pipeline
                    | f"Files[{name}]" >> beam.Create(jobs, reshuffle=True)
                    | f"Encode[{name}]" >> beam.ParDo(EncodeFile(columns))
                )
                note_content(artifact, process)


def span_columns(process: ReleaseProcess, baseline: list[Path]) -> tuple[ExampleColumn, ...]:
    """What TFDV summarises, numbers in the baseline's bins."""
    edges = quantile_edges(baseline, process.contract, process.policy.data_gate.bins)
    return statistics_columns(process.contract, edges)


def prepare_jobs(
    artifact: types.Artifact, files: dict[str, list[Path]]
) -> list[tuple[list[str], str]]:
    """Name the splits on the artifact, make their directories, and say what goes where.

    A split without files becomes one empty file: its readers then find no rows, and say so.
    """
    from tfx.dsl.io import fileio

    artifact.split_names = artifact_utils.encode_split_names(list(files))
    examples_utils.set_payload_format(artifact, example_gen_pb2.PayloadFormat.FORMAT_TF_EXAMPLE)
    examples_utils.set_file_format(artifact, "tfrecords_gzip")
    jobs: list[tuple[list[str], str]] = []
    for split, sources in files.items():
        directory = artifact_utils.get_split_uri([artifact], split)
        fileio.makedirs(directory)
        parts = [[str(s)] for s in sources] or [[]]
        jobs.extend(
            (part, f"{directory}/data_tfrecord-{i:05d}-of-{len(parts):05d}.gz")
            for i, part in enumerate(parts)
        )
    return jobs


class ParquetExampleGen(base_beam_component.BaseBeamComponent):
    """Writes a run's canonical rows as tf.Examples.

    Outputs: ``examples`` with the splits ``train``, ``validation`` and ``evaluation``, holding
    every feature; ``span_examples`` with the splits ``baseline`` and ``current``, holding the
    policy's spans over all splits, with what schema and drift are checked on; ``baseline`` is empty
    where the policy declares a first release.
    """

    SPEC_CLASS = ParquetExampleGenSpec
    EXECUTOR_SPEC = executor_spec.BeamExecutorSpec(Executor)

    def __init__(self, run_directory: str) -> None:
        outputs = {
            name: types.Channel(type=standard_artifacts.Examples)
            for name in ("examples", "span_examples")
        }
        super().__init__(spec=ParquetExampleGenSpec(run_directory=run_directory, **outputs))
