"""Nulls over both sides, and people whom TFDV never sees."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.checks.measurement import Status
from components.contract.clauses import Clause, ClauseKind
from components.contract.contract import Contract
from components.profile.edges import quantile_edges
from components.stacks.process import ReleaseProcess
from components.stacks.tfx_stack.contract_to_tfmd import compile_schema
from components.stacks.tfx_stack.example_columns import statistics_columns, to_lists
from components.stacks.tfx_stack.null_counts import null_findings
from tests import clinic

_AGE = [Clause(ClauseKind.NULLS, "age")]


def _statistics(**cells: list[Any]) -> Any:
    rows = pa.RecordBatch.from_pydict(
        {n: pa.array([None if c is None else [c] for c in v]) for n, v in cells.items()}
    )
    return stats_impl.generate_statistics_in_memory(rows)


def _limited(document: clinic.Document) -> None:
    clinic.column_of(document, "age")["quality"] = [
        {"metric": "nullValues", "mustBeLessOrEqualTo": 25, "unit": "percent"}
    ]


def test_a_limit_is_on_all_rows_and_not_on_each_side(tmp_path: Any) -> None:
    contract = clinic.contract(tmp_path, _limited)
    full, half = _statistics(age=[1.0] * 10), _statistics(age=[1.0] * 5 + [None] * 5)
    (found,) = null_findings([full, half], _AGE, contract)
    assert found.status is Status.PASS
    assert found.measurement
    assert (found.measurement.value, found.measurement.n) == (0.25, 20)
    (alone,) = null_findings([half], _AGE, contract)
    assert alone.status is Status.FAIL
    (more,) = null_findings([full, _statistics(age=[1.0] * 4 + [None] * 6)], _AGE, contract)
    assert more.status is Status.FAIL


def test_a_column_that_no_row_holds_is_all_null(tmp_path: Any) -> None:
    contract = clinic.contract(tmp_path, _limited)
    for absent in (_statistics(age=[None] * 4), _statistics(other=[1] * 4)):
        (found,) = null_findings([absent], _AGE, contract)
        assert found.status is Status.FAIL
        assert found.measurement
        assert found.measurement.value == 1.0


def test_no_rows_are_inconclusive(clinic: Contract) -> None:
    empty = statistics_pb2.DatasetFeatureStatisticsList()
    for sides in ([], [empty], [empty, empty]):
        (found,) = null_findings(sides, _AGE, clinic)
        assert found.status is Status.INCONCLUSIVE


def test_nobody_is_named_in_statistics_or_schema(process: ReleaseProcess) -> None:
    files = process.dataset.files()
    edges = quantile_edges(files, process.contract, 5)
    columns = statistics_columns(process.contract, edges)
    assert "person" not in {c.source for c in columns}
    assert "note" in {c.source for c in columns}
    (batch,) = pa.concat_tables(pq.read_table(f) for f in files).combine_chunks().to_batches()
    found = stats_impl.generate_statistics_in_memory(to_lists(batch, columns))
    people = {f"p{i:04d}" for i in range(120)}
    assert people & {str(p) for p in batch.column("person").to_pylist()} == people
    assert not any(p.encode() in found.SerializeToString() for p in people)
    compiled = compile_schema(process.contract, process.policy)
    assert "person" not in {f.name for f in compiled.schema.feature}
    why = {u.rule: u.why for u in compiled.unexpressed}
    assert "names people" in why["nulls:person"]
