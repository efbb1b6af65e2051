"""The peers of the check benchmark, each at the best documented setting that was found for it.

One peer, one process:

    python -m benchmarks.check_peers NAME FOLDER

prints one JSON line: seconds of importing, seconds of the work alone, and what the peer judged,
so that a run that answered another question shows. The work starts from the files and ends with a
verdict; reading Parquet is part of it.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.check_data import (
    BASELINE,
    COLUMNS,
    COMPARED,
    CONTRACT,
    CURRENT,
    DRIFT_LIMIT,
    POLICY,
    row_bounds,
)
from benchmarks.harness import run_peer

TEXTS = [c.name for c in COLUMNS if c.kind == "string"]


@dataclass(frozen=True, slots=True)
class Judged:
    """What a peer did.

    ``verdict`` is PASS or FAIL, or None of a peer that judges nothing. ``compared`` are the
    columns whose drift was judged, ``drifted`` those beyond their limit; ``read`` the columns
    that were looked at; ``clauses`` the number of the contract's clauses that were judged, drift
    apart, and ``broken`` the subjects of those that do not hold.
    """

    verdict: str | None
    read: list[str]
    compared: list[str]
    drifted: list[str]
    clauses: int
    broken: list[str]


Work = Callable[[], Judged]


def assay(folder: Path) -> Work:
    """`assay check`, through its own command line, modules loaded beforehand."""
    import duckdb  # noqa: F401
    import numpy  # noqa: F401
    import rich.console  # noqa: F401

    import components.contract.contract_loader
    import components.contract.policy_loader  # noqa: F401
    import pipelines.check
    import pipelines.check_output  # noqa: F401
    from pipelines.cli import app

    def work() -> Judged:
        printed = io.StringIO()
        with redirect_stdout(printed):
            app(assay_arguments(folder), standalone_mode=False)
        return judged_by_assay(printed.getvalue())

    return work


def assay_arguments(folder: Path) -> list[str]:
    """The command line after ``assay``."""
    given = {
        "--contract": CONTRACT,
        "--data": CURRENT,
        "--reference": BASELINE,
        "--policy": POLICY,
    }
    return [
        "check",
        *(x for option, name in given.items() for x in (option, str(folder / name))),
    ] + ["--json"]


def judged_by_assay(printed: str) -> Judged:
    """What the JSON of `assay check` says."""
    found = json.loads(printed)["verdict"]
    status = {f["rule"]: f["status"] for f in found["findings"]}
    drift = {r.partition(":")[2]: s for r, s in status.items() if r.startswith("drift:")}
    schema = {r: s for r, s in status.items() if ":" in r and not r.startswith("drift:")}
    return Judged(
        found["status"],
        [r.partition(":")[2] for r in schema if r.startswith("type:")],
        list(drift),
        [name for name, s in drift.items() if s != "PASS"],
        len(schema),
        [r for r, s in schema.items() if s != "PASS"],
    )


def tfdv_dataframe(folder: Path) -> Work:
    """TFDV: statistics of both files as data frames, in one process, and their validation."""
    tfdv = _import_tfdv()
    import pandas as pd

    def statistics(name: str) -> Any:
        return tfdv.generate_statistics_from_dataframe(pd.read_parquet(folder / name))

    return lambda: _tfdv_judged(tfdv, statistics(BASELINE), statistics(CURRENT))


def tfdv_two_processes(folder: Path) -> Work:
    """The same with ``n_jobs=2``: two worker processes, which import TFDV once more."""
    tfdv = _import_tfdv()
    import pandas as pd
    from joblib import parallel_config

    from components.stacks.tfx_stack.portable_lane import supply_missing_module

    def statistics(name: str) -> Any:
        # The initializer only repairs the portable lane's import in the workers.
        with parallel_config("loky", initializer=supply_missing_module):
            frame = pd.read_parquet(folder / name)
            return tfdv.generate_statistics_from_dataframe(frame, n_jobs=2)

    return lambda: _tfdv_judged(tfdv, statistics(BASELINE), statistics(CURRENT))


def tfdv_beam(folder: Path) -> Work:
    """TFDV: both files' statistics in Beam pipelines in this process, large Parquet batches."""
    tfdv = _import_tfdv()
    import tempfile

    import apache_beam as beam
    import pyarrow.parquet
    from apache_beam.options.pipeline_options import PipelineOptions

    options = PipelineOptions(
        ["--runner=FnApiRunner", "--direct_running_mode=in_memory", "--direct_num_workers=1"]
    )

    def statistics(name: str) -> Any:
        with tempfile.TemporaryDirectory(prefix="assay-bench-") as scratch:
            written = str(Path(scratch) / "statistics.pb")
            with beam.Pipeline(options=options) as pipeline:
                _ = (
                    pipeline
                    | "File" >> beam.Create([str(folder / name)])
                    | "Batches" >> beam.FlatMap(_batches, pyarrow.parquet)
                    | "Statistics" >> tfdv.GenerateStatistics()
                    | "Write" >> tfdv.WriteStatisticsToBinaryFile(written)
                )
            return tfdv.load_stats_binary(written)

    return lambda: _tfdv_judged(tfdv, statistics(BASELINE), statistics(CURRENT))


BATCH_ROWS = 100_000
"""With batches of 1,000 rows the pipeline takes twice as long; with 500,000 no less."""


def _batches(path: str, parquet: Any) -> Iterator[Any]:
    """Record batches as TFDV wants them: each cell a list of one value."""
    import numpy as np
    import pyarrow as pa

    for batch in parquet.ParquetFile(path).iter_batches(BATCH_ROWS):
        ends = pa.array(np.arange(len(batch) + 1, dtype=np.int32))
        cells = [c.cast(pa.binary()) if pa.types.is_string(c.type) else c for c in batch.columns]
        lists = [pa.ListArray.from_arrays(ends, c) for c in cells]
        yield pa.RecordBatch.from_arrays(lists, names=batch.schema.names)


def _import_tfdv() -> Any:
    from components.stacks.tfx_stack import portable_lane  # noqa: F401 - repairs TFDV's import

    import tensorflow_data_validation as tfdv  # isort: skip

    return tfdv


def _tfdv_judged(tfdv: Any, baseline: Any, current: Any) -> Judged:
    """Validation against schema and drift comparators, the baseline's statistics supplied."""
    rows = max(d.num_examples for d in baseline.datasets)
    schema, clauses = _tfmd_schema(rows)
    found = tfdv.validate_statistics(current, schema, previous_statistics=baseline)
    broken, drifted = [], []
    for name, info in found.anomaly_info.items():
        kinds = {type(info).Type.Name(r.type) for r in info.reason}
        (drifted if any("COMPARATOR" in k for k in kinds) else broken).append(name)
    # The distances that validation computed: one for each comparator that it did judge.
    compared = [s.path.step[0] for s in found.drift_skew_info if s.drift_measurements]
    broken += ["dataset"] if found.HasField("dataset_anomaly_info") else []
    read = [f.path.step[0] for d in current.datasets for f in d.features]
    return Judged(_verdict(broken, drifted), read, compared, drifted, clauses, broken)


def _tfmd_schema(rows: int) -> tuple[Any, int]:
    """The contract for TFDV, and how many of its clauses that is: all but the unique person."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    kinds = {"string": schema_pb2.BYTES, "number": schema_pb2.FLOAT, "integer": schema_pb2.INT}
    schema = schema_pb2.Schema()
    fewest, most = row_bounds(rows)
    schema.dataset_constraints.min_examples_count = fewest
    schema.dataset_constraints.max_examples_count = most
    clauses = 2
    for column in COLUMNS:
        feature = schema.feature.add(name=column.name, type=kinds[column.kind])
        feature.value_count.min = feature.value_count.max = 1
        feature.presence.min_fraction, feature.presence.min_count = 1.0, 1
        clauses += 2 + bool(column.values) + bool(column.maximum)
        if column.values:
            feature.string_domain.value.extend(column.domain)
        elif column.maximum and column.kind == "integer":
            feature.int_domain.min, feature.int_domain.max = 0, int(column.maximum)
        elif column.maximum:
            feature.float_domain.min, feature.float_domain.max = 0.0, column.maximum
        if column.name in COMPARED:
            feature.drift_comparator.jensen_shannon_divergence.threshold = DRIFT_LIMIT
    return schema, clauses


def evidently_pinned(folder: Path) -> Work:
    """Evidently: Jensen-Shannon of every compared column, method and threshold pinned."""
    from evidently.metrics import ValueDrift

    # Evidently's figure is the square root of the divergence in nats.
    limit = math.sqrt(DRIFT_LIMIT * math.log(2))
    metrics = [ValueDrift(column=n, method="jensenshannon", threshold=limit) for n in COMPARED]
    return _evidently(folder, metrics)


def evidently_preset(folder: Path) -> Work:
    """Evidently's DataDriftPreset as it comes: methods and thresholds of its own choice."""
    from evidently.presets import DataDriftPreset

    return _evidently(folder, [DataDriftPreset()])


def _evidently(folder: Path, metrics: list[Any]) -> Work:
    import pandas as pd
    from evidently import DataDefinition, Dataset, Report

    definition = DataDefinition(
        numerical_columns=[n for n in COMPARED if n not in TEXTS],
        categorical_columns=TEXTS,
    )

    def dataset(name: str) -> Any:
        frame = pd.read_parquet(folder / name, columns=list(COMPARED))
        # pandas' own categories: the same figures in less than half the time and less memory.
        frame = frame.astype(dict.fromkeys(TEXTS, "category"))
        return Dataset.from_pandas(frame, data_definition=definition)

    def work() -> Judged:
        found = Report(metrics).run(dataset(CURRENT), dataset(BASELINE)).dict()["metrics"]
        # Of more than 1,000 rows the preset, too, takes distances: above the limit is drift.
        by_column = {
            m["config"]["column"]: (float(m["value"]), float(m["config"]["threshold"]))
            for m in found
            if "ValueDrift" in m["config"]["type"]
        }
        drifted = [n for n, (value, limit) in by_column.items() if value > limit]
        compared = list(by_column)
        return Judged(_verdict([], drifted), compared, compared, drifted, 0, [])

    return work


def great_expectations(folder: Path) -> Work:
    """Great Expectations on pandas, BOOLEAN_ONLY: the contract's clauses; it knows no drift."""
    import great_expectations as gx
    import pandas as pd

    def work() -> Judged:
        frame = pd.read_parquet(folder / CURRENT)
        fewest, most = row_bounds(len(frame))
        expectations = list(_gx_expectations(fewest, most))
        context = gx.get_context(mode="ephemeral")
        context.variables.progress_bars = {"globally": False}
        asset = context.data_sources.add_pandas("bench").add_dataframe_asset("rows")
        batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": frame})
        suite = gx.ExpectationSuite("bench", expectations=expectations)
        found = batch.validate(suite, result_format="BOOLEAN_ONLY").results
        broken = [str(r.expectation_config.type) for r in found if not r.success]
        return Judged(_verdict(broken, []), list(frame), [], [], len(found), broken)

    return work


def _gx_expectations(fewest: int, most: int) -> Iterator[Any]:
    from great_expectations import expectations as gxe

    types = {"string": "str", "number": "float64", "integer": "int64"}
    yield gxe.ExpectTableRowCountToBeBetween(min_value=fewest)
    yield gxe.ExpectTableRowCountToBeBetween(max_value=most)
    for column in COLUMNS:
        name = column.name
        yield gxe.ExpectColumnValuesToBeOfType(column=name, type_=types[column.kind])
        yield gxe.ExpectColumnValuesToNotBeNull(column=name)
        if column.values:
            yield gxe.ExpectColumnValuesToBeInSet(column=name, value_set=column.domain)
        if column.maximum:
            yield gxe.ExpectColumnValuesToBeBetween(
                column=name, min_value=0, max_value=column.maximum
            )
        if column.role == "entity":
            yield gxe.ExpectColumnValuesToBeUnique(column=name)


def duckdb_scan(folder: Path) -> Work:
    """The floor: DuckDB reads and hashes every cell of both files, and judges nothing."""
    import duckdb

    def work() -> Judged:
        hashes = ", ".join(f"bit_xor(hash({c.name}))" for c in COLUMNS)
        with duckdb.connect() as database:
            for name in (BASELINE, CURRENT):
                database.execute(f"SELECT {hashes} FROM '{folder / name}'").fetchall()  # noqa: S608
        return Judged(None, [c.name for c in COLUMNS], [], [], 0, [])

    return work


def _verdict(*found: Iterable[str]) -> str:
    return "FAIL" if any(list(f) for f in found) else "PASS"


PEERS: dict[str, Callable[[Path], Work]] = {
    "assay": assay,
    "duckdb-scan": duckdb_scan,
    "great-expectations": great_expectations,
    "tfdv-dataframe": tfdv_dataframe,
    "tfdv-beam": tfdv_beam,
    "tfdv-two-processes": tfdv_two_processes,
    "evidently": evidently_pinned,
    "evidently-preset": evidently_preset,
}


if __name__ == "__main__":
    run_peer(PEERS)
