"""The clinic as the TFX stack sees it: text with line breaks, flags, codes, numbers and nulls."""

from __future__ import annotations

import importlib.util
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from components.datasets.canonical import ingest
from components.lineage.commitments import load_or_create_row_key
from components.lineage.row_key import row_key_path
from components.stacks.process import ReleaseProcess
from components.stacks.run_spec import RunSpec, new_run_id, utc_now
from components.stacks.tfx_stack.quiet_start import prepare_environment
from tests import clinic

if importlib.util.find_spec("tfx") is None:
    collect_ignore_glob = ["test_*.py"]  # the extra is not installed
else:
    prepare_environment()  # before any test module imports a framework

MakeProcess = Callable[..., ReleaseProcess]


def with_codes(document: clinic.Document) -> None:
    """Numbers that are categories, one with a troublesome name, and a number that never changes."""
    kind = {"property": "assayKind", "value": "categorical", "vendor": "assay"}
    role = {"property": "assayRole", "value": "feature", "vendor": "assay"}
    for name, logical_type, ours in (
        ("plan=code\\n", "integer", [role, kind]),
        ("dose", "number", [role, kind]),
        ("constant", "integer", [role]),
    ):
        clinic.table_of(document)["properties"].append(
            {"name": name, "logicalType": logical_type, "customProperties": ours}
        )


def with_two_rows_a_category(document: clinic.Document) -> None:
    """A vocabulary from which rare values are missing."""
    document["training"]["min_category_count"] = 5


def rows_with_codes(people: int = 120) -> list[dict[str, str]]:
    """The clinic's rows, with a code, a dose, and a category that few rows hold."""
    rows = clinic.rows(people)
    for i, row in enumerate(rows):
        row["plan=code\\n"] = str([1, 2, 10, 20][i % 4]) if i % 9 else ""
        row["dose"] = ["0.1", "2.5", "1e-07"][i % 3]
        row["ward"] = "back\\slash\\n" if i % 12 == 0 else row["ward"]
        row["constant"] = "1234567890123457"  # too long for an exact sum in floats
    rows[0]["ward"] = "seen once"
    return rows


def learnable_rows(people: int = 120) -> list[dict[str, str]]:
    """The clinic's rows with everybody's age, and readmissions that mostly follow from the cost."""
    chance = random.Random(1)
    found = rows_with_codes(people)
    for row in found:
        row["age"] = row["age"] or "50"
        costly = float(row["cost"]) > 70
        row["readmitted"] = str(int(costly == (chance.random() < 0.85)))
    return found


@pytest.fixture(scope="session")
def make_process(tmp_path_factory: pytest.TempPathFactory) -> MakeProcess:
    """Makes a run of the clinic, ready for its first stage."""

    def make(
        candidate: str = "plain",
        contract_change: clinic.Change | None = with_codes,
        policy_change: clinic.Change | None = with_two_rows_a_category,
        rows: list[dict[str, str]] | None = None,
    ) -> ReleaseProcess:
        home: Path = tmp_path_factory.mktemp("home")
        (home / "keys").mkdir()
        contract = clinic.contract(home, contract_change)
        policy = clinic.policy(home, contract, policy_change)
        columns = [c.name for c in contract.columns]
        data = home / "clinic.csv"
        data.write_text(clinic.csv_text(rows or rows_with_codes(), columns), encoding="utf-8")
        key = load_or_create_row_key(row_key_path(home))
        dataset = ingest(contract, policy, home, key, data)
        spec = RunSpec(
            new_run_id("tfx", candidate), "tfx", candidate, str(home), str(contract.path),
            contract.digest, str(policy.path), policy.digest, contract.name,
            str(dataset.directory), dataset.version, "code", "environment", "tester", utc_now(),
        )  # fmt: skip
        spec.save()
        for name in ("contract", "policy"):
            shutil.copyfile(getattr(spec, f"{name}_path"), spec.directory / f"{name}.yaml")
        return ReleaseProcess(RunSpec.load(spec.directory))

    return make


@pytest.fixture(scope="session")
def process(make_process: MakeProcess) -> ReleaseProcess:
    """One run of the clinic that no test takes a step with."""
    return make_process()


@pytest.fixture(scope="session")
def examples_uri(process: ReleaseProcess, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The clinic's records by split, as ParquetExampleGen lays them out."""
    from tfx.types import standard_artifacts

    from components.datasets.canonical import SPLITS
    from components.stacks.tfx_stack.example_columns import example_columns
    from components.stacks.tfx_stack.parquet_example_gen import EncodeFile, prepare_jobs

    artifact = standard_artifacts.Examples()
    artifact.uri = str(tmp_path_factory.mktemp("examples"))
    files = {split: process.dataset.files(split=split) for split in SPLITS}
    encode = EncodeFile(example_columns(process.contract))
    for job in prepare_jobs(artifact, files):
        encode.process(job)
    return artifact.uri


@pytest.fixture(scope="session")
def graph(
    process: ReleaseProcess, examples_uri: str, tmp_path_factory: pytest.TempPathFactory
) -> str:
    """The clinic's transform graph, fitted on the training records as Transform fits it."""
    import apache_beam as beam
    import tensorflow_transform.beam as tft_beam
    from tensorflow_transform.tf_metadata import dataset_metadata, metadata_io
    from tfx_bsl.tfxio import tf_example_record

    from components.stacks.tfx_stack.beam_options import beam_options
    from components.stacks.tfx_stack.contract_to_tfmd import compile_inputs
    from components.stacks.tfx_stack.preprocessing import preprocessing_fn, transform_settings

    target = tmp_path_factory.mktemp("transform") / "graph"
    schema = compile_inputs(process.contract, process.candidate)
    settings = transform_settings(process)
    source = tf_example_record.TFExampleRecord(
        f"{examples_uri}/Split-train/*", schema=schema, telemetry_descriptors=["test"]
    )
    with (
        beam.Pipeline(argv=beam_options(())) as pipeline,
        tft_beam.Context(temp_dir=str(tmp_path_factory.mktemp("beam"))),
    ):
        rows = pipeline | source.BeamSource()
        config = source.TensorAdapterConfig()
        fitted = (rows, config) | tft_beam.AnalyzeDataset(
            lambda inputs: preprocessing_fn(inputs, settings)
        )
        _ = fitted | tft_beam.WriteTransformFn(str(target))
    metadata_io.write_metadata(dataset_metadata.DatasetMetadata(schema), str(target / "metadata"))
    return str(target)
