"""Every clause of a contract: in the schema, where TFDV enforces it, or in the list of the rest."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import schema_pb2

from components.contract.contract import Contract
from components.stacks.tfx_stack.contract_to_tfmd import (
    CompiledSchema,
    compared_columns,
    compile_drift,
    compile_inputs,
    compile_schema,
)
from components.stacks.tfx_stack.data_gate_findings import schema_findings
from components.stacks.tfx_stack.example_columns import contract_columns, drift_feature, to_lists
from tests import clinic

_TYPES = {"person": pa.string(), "year": pa.int64(), "age": pa.float64(), "sex": pa.string(),
          "ward": pa.string(), "cost": pa.float64(), "smoker": pa.bool_(),
          "under_40": pa.bool_(), "note": pa.string(), "readmitted": pa.int64()}  # fmt: skip
_ROW: dict[str, Any] = {"person": "p", "year": 2001, "age": 50.0, "sex": "f", "ward": "A",
                        "cost": 1.5, "smoker": True, "under_40": False, "note": "n",
                        "readmitted": 0}  # fmt: skip


def _rule(metric: str, **fields: Any) -> list[clinic.Document]:
    return [{"metric": metric, **fields}]


def _strict(document: clinic.Document) -> None:
    column = clinic.column_of
    column(document, "cost")["logicalTypeOptions"] = {"minimum": 0, "maximum": 10}
    column(document, "year")["logicalTypeOptions"] = {"minimum": 2000, "maximum": 2010}
    column(document, "age")["quality"] = _rule("nullValues", mustBeLessOrEqualTo=25, unit="percent")
    column(document, "ward")["quality"] = _rule(
        "invalidValues", mustBe=0, arguments={"validValues": ["A", "B"]}
    )
    column(document, "readmitted")["quality"] = _rule(
        "invalidValues", mustBe=0, arguments={"validValues": [0, 1]}
    )


@pytest.fixture
def strict(tmp_path: Path) -> Contract:
    """A contract with every clause that TFMD has words for."""
    return clinic.contract(tmp_path, _strict)


def _compiled(contract: Contract, change: clinic.Change | None = None) -> CompiledSchema:
    policy = clinic.policy(contract.path.parent, contract, change)
    return compile_schema(contract, policy)


def _broken(contract: Contract, compiled: CompiledSchema, **cells: list[Any]) -> set[str]:
    """Columns that TFDV finds wrong in eight rows, some of whose cells are changed."""
    rows = {name: [value] * 8 for name, value in _ROW.items()} | cells
    batch = pa.RecordBatch.from_arrays(
        [pa.array(rows[c.name], _TYPES[c.name]) for c in contract.columns],
        names=[c.name for c in contract.columns],
    )
    schema = schema_pb2.Schema()
    schema.CopyFrom(compiled.schema)
    options = tfdv.StatsOptions(schema=schema)
    lists = to_lists(batch, contract_columns(contract))
    statistics = stats_impl.generate_statistics_in_memory(lists, options)
    findings = schema_findings(tfdv.validate_statistics(statistics, schema), "current")
    return {f.rule.rpartition(":")[2] for f in findings if f.status != "PASS"}


def test_rows_that_keep_to_the_contract_break_nothing(strict: Contract) -> None:
    compiled = _compiled(strict)
    assert _broken(strict, compiled) == set()
    assert compiled.not_expressed == ()


@pytest.mark.parametrize(
    ("column", "cells"),
    [
        ("cost", [10.5, *[1.0] * 7]),
        ("cost", [-0.5, *[1.0] * 7]),
        ("year", [2011, *[2001] * 7]),
        ("year", [1999, *[2001] * 7]),
        ("year", [None, *[2001] * 7]),
        ("person", [None, *["p"] * 7]),
        ("age", [None, None, None, *[50.0] * 5]),
        ("ward", ["C", *["A"] * 7]),
        ("readmitted", [2, *[0] * 7]),
    ],
)
def test_each_clause_is_enforced(strict: Contract, column: str, cells: list[Any]) -> None:
    assert _broken(strict, _compiled(strict), **{column: cells}) == {column}


def test_the_allowed_share_of_nulls_is_allowed(strict: Contract) -> None:
    cells = [None, None, *[50.0] * 6]
    assert _broken(strict, _compiled(strict), age=cells) == set()


def test_a_column_of_the_wrong_kind_is_found(strict: Contract) -> None:
    compiled = _compiled(strict)
    rows = pa.RecordBatch.from_pydict({"cost": pa.array([[b"x"]] * 8)})
    statistics = stats_impl.generate_statistics_in_memory(rows, tfdv.StatsOptions())
    findings = schema_findings(tfdv.validate_statistics(statistics, compiled.schema), "current")
    assert any(f.rule == "schema:current:cost" for f in findings)


def _without_words(document: clinic.Document) -> None:
    column = clinic.column_of
    column(document, "note")["logicalTypeOptions"] = {"pattern": "n.*"}
    column(document, "note")["unique"] = True
    column(document, "year")["quality"] = _rule(
        "invalidValues", mustBe=0, arguments={"validValues": [2001, 2003]}
    )
    column(document, "cost")["quality"] = _rule(
        "invalidValues", mustBe=0, arguments={"validValues": [1.0, 2.0]}
    )
    clinic.table_of(document)["quality"] = [
        {"metric": "rowCount", "mustBeBetween": [1, 99]},
        {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": ["person", "year"]}},
    ]


def test_what_tfmd_has_no_words_for_is_listed(tmp_path: Path) -> None:
    contract = clinic.contract(tmp_path, _without_words)

    def psi(document: clinic.Document) -> None:
        document["data_gate"]["drift"]["columns"] = {"cost": {"statistic": "psi", "at_most": 0.2}}

    clauses = {c.partition(": ")[0] for c in _compiled(contract, psi).not_expressed}
    assert clauses == {
        "values:note", "unique:note", "values:year", "values:cost", "unique:person+year",
        "row_count", "drift:cost",
    }  # fmt: skip


def test_each_drift_limit_becomes_its_comparator(tmp_path: Path) -> None:
    def limits(document: clinic.Document) -> None:
        document["data_gate"]["drift"]["columns"] = {
            "ward": {"statistic": "l_infinity", "at_most": 0.3},
            "cost": {"statistic": "psi", "at_most": 0.2},
        }

    contract = clinic.contract(tmp_path)
    policy = clinic.policy(tmp_path, contract, limits)
    found = {
        entry.path.step[0]: entry.distribution_comparator
        for entry in compile_drift(contract, policy).default_slice_config.feature
    }
    assert found[drift_feature("ward")].infinity_norm.threshold == 0.3
    assert found[drift_feature("age")].jensen_shannon_divergence.threshold == 0.1
    assert drift_feature("cost") not in found
    assert set(found) == {drift_feature(c) for c in compared_columns(contract, policy)}


def test_a_model_is_shown_its_inputs_and_nothing_else(tmp_path: Path) -> None:
    contract = clinic.contract(tmp_path)
    policy = clinic.policy(tmp_path, contract)
    shown = {
        name: [f.name for f in compile_inputs(contract, policy.candidates[name]).feature]
        for name in ("plain", "fair")
    }
    assert shown["plain"] == ["age", "sex", "ward", "cost", "smoker", "under_40"]
    assert shown["fair"] == ["ward", "cost", "smoker"]
