"""Each clause of a contract as an expectation that can fail, and what GX cannot say."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from components.checks.measurement import Status
from components.stacks.pytorch_stack import gx_validation
from components.stacks.pytorch_stack.contract_to_gx import CompiledSuite, compile_to_gx
from tests import clinic

CANARY = "canary-7f3a"


def strict(document: clinic.Document) -> None:
    """The clinic with every kind of clause."""
    columns = {c["name"]: c for c in clinic.table_of(document)["properties"]}
    columns["person"]["unique"] = True
    columns["cost"]["logicalTypeOptions"] = {"minimum": 0, "maximum": 100}
    columns["ward"]["logicalTypeOptions"] = {"pattern": "^(ward [a-z]|unit [a-z])$"}
    columns["sex"]["quality"] = [
        {"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": ["f", "m"]}}
    ]
    columns["smoker"]["quality"] = [
        {"metric": "nullValues", "mustBeLessOrEqualTo": 25, "unit": "percent"}
    ]
    clinic.table_of(document)["quality"] = [
        {"metric": "rowCount", "mustBeBetween": [2, 4]},
        {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": ["age", "year"]}},
    ]


def good() -> dict[str, list]:
    """Four rows that keep every clause, with a null wherever one is allowed."""
    return {
        "person": ["a", "b", "c", "d"],
        "year": [2001, 2001, 2002, 2001],
        "age": [30.0, None, 30.0, None],
        "sex": ["f", "m", None, "f"],
        "ward": ["ward a", "unit b", None, "ward c"],
        "cost": [0.0, 100.0, None, 5.0],
        "smoker": [True, False, None, True],
        "under_40": [True, None, None, False],
        "note": [None, None, "x", "y"],
        "readmitted": [0, 1, 0, 1],
    }


TYPES = {
    "year": "Int64", "readmitted": "Int64", "age": "float64", "cost": "float64",
    "smoker": "boolean", "under_40": "boolean",
}  # fmt: skip


def frame(cells: dict[str, list], **types: str) -> pd.DataFrame:
    """Cells with the types that the canonical reader gives."""
    chosen = {**dict.fromkeys(cells, "string"), **TYPES, **types}
    return pd.DataFrame({k: pd.Series(v, dtype=chosen[k]) for k, v in cells.items()})


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> CompiledSuite:
    """The strict clinic, compiled."""
    return compile_to_gx(clinic.contract(tmp_path_factory.mktemp("strict"), strict))


def failing(suite: CompiledSuite, rows: pd.DataFrame) -> dict[str, Status]:
    """Rules that do not pass."""
    found = gx_validation.findings(gx_validation.validate(suite, rows))
    return {f.rule: f.status for f in found if f.status is not Status.PASS}


def test_rows_that_keep_the_contract_pass_every_rule(suite: CompiledSuite) -> None:
    assert failing(suite, frame(good())) == {}


def test_every_clause_has_its_rule(suite: CompiledSuite) -> None:
    rules = {e.meta["rule"] for e in suite.suite.expectations}
    expected = {f"gx:type:{c}" for c in clinic.COLUMNS} | {
        "gx:row_count:clinic",
        "gx:nulls:person",
        "gx:nulls:year",
        "gx:nulls:readmitted",
        "gx:nulls:smoker",
        "gx:range:cost",
        "gx:pattern:ward",
        "gx:domain:sex",
        "gx:unique:person",
        "gx:unique:age+year",
    }
    assert rules == expected


@pytest.mark.parametrize(
    ("rule", "column", "cells"),
    [
        ("gx:nulls:readmitted", "readmitted", [0, None, 0, 1]),
        ("gx:nulls:smoker", "smoker", [True, None, None, True]),
        ("gx:range:cost", "cost", [-0.5, 100.0, None, 5.0]),
        ("gx:range:cost", "cost", [0.0, 100.5, None, 5.0]),
        ("gx:domain:sex", "sex", ["f", "F", None, "m"]),
        ("gx:pattern:ward", "ward", ["ward a", "unit bb", None, "ward c"]),
        ("gx:pattern:ward", "ward", ["ward a", "my unit b", None, "ward c"]),
        ("gx:unique:person", "person", ["a", "b", "a", "d"]),
        ("gx:unique:age+year", "age", [30.0, 30.0, 30.0, None]),
    ],
)
def test_a_broken_clause_fails_its_rule_and_no_other(
    suite: CompiledSuite, rule: str, column: str, cells: list
) -> None:
    assert failing(suite, frame(good() | {column: cells})) == {rule: Status.FAIL}


@pytest.mark.parametrize(
    ("column", "cells", "dtype"),
    [
        ("year", [2001.5, 2001, 2002, 2002], "float64"),
        ("cost", ["0", "1", "2", "3"], "string"),
        ("smoker", [1, 0, 1, 0], "Int64"),
        ("note", [1, 2, 3, 4], "Int64"),
    ],
)
def test_a_column_of_another_type_fails(
    suite: CompiledSuite, column: str, cells: list, dtype: str
) -> None:
    rows = frame(good() | {column: cells}, **{column: dtype})
    assert failing(suite, rows)[f"gx:type:{column}"] is Status.FAIL


@pytest.mark.parametrize("rows", [1, 5])
def test_too_few_and_too_many_rows_fail(suite: CompiledSuite, rows: int) -> None:
    cells = {k: [*v, None][:rows] for k, v in good().items()}
    assert failing(suite, frame(cells))["gx:row_count:clinic"] is Status.FAIL


def test_a_rule_that_raises_is_inconclusive(suite: CompiledSuite) -> None:
    found = failing(suite, frame(good()).drop(columns="cost"))
    assert found["gx:range:cost"] is Status.INCONCLUSIVE
    assert found["gx:type:cost"] is Status.INCONCLUSIVE


def test_a_rule_without_a_result_is_inconclusive(suite: CompiledSuite) -> None:
    results = gx_validation.validate(suite, frame(good()))
    lost = gx_validation.RuleResult("gx:range:cost", "none", success=False, raised=True)
    assert gx_validation.findings([*results[:1], lost])[-1].status is Status.INCONCLUSIVE


def test_no_cell_leaves_gx(suite: CompiledSuite) -> None:
    cells = good() | {"sex": [CANARY] * 4, "ward": [CANARY] * 4, "person": [CANARY] * 4}
    results = gx_validation.validate(suite, frame(cells))
    found = gx_validation.findings(results)
    assert [f for f in found if f.status is Status.FAIL]
    told = json.dumps([r.to_json() for r in results] + [f.to_json() for f in found])
    assert CANARY not in told


def test_what_gx_cannot_say_is_listed(suite: CompiledSuite) -> None:
    listed = {n.rule for n in suite.not_expressible}
    assert listed == {f"type:{c}" for c in clinic.COLUMNS}
