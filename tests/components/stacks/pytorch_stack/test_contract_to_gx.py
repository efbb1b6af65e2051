"""Each clause of a contract as an expectation that can fail, or on the list of what GX lacks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.checks.measurement import Status
from components.checks.schema import schema_findings
from components.contract.clauses import claimed, schema_clauses
from components.contract.contract import Contract, LogicalType
from components.profile.compute import profile_files
from components.stacks.pytorch_stack import gx_validation
from components.stacks.pytorch_stack.contract_to_gx import RULE, CompiledSuite, compile_to_gx
from components.stacks.pytorch_stack.frames import read_frame
from tests import clinic

CANARY = "canary-7f3a"
BIG = 2**62 + 1

ARROW = {
    LogicalType.STRING: pa.string(),
    LogicalType.INTEGER: pa.int64(),
    LogicalType.NUMBER: pa.float64(),
    LogicalType.BOOLEAN: pa.bool_(),
}


def strict(document: clinic.Document) -> None:
    """The clinic with every kind of clause and every severity."""
    columns = {c["name"]: c for c in clinic.table_of(document)["properties"]}
    columns["person"]["unique"] = True
    columns["cost"]["logicalTypeOptions"] = {"minimum": 0, "maximum": 100}
    columns["ward"]["logicalTypeOptions"] = {"pattern": "^(ward [a-z]|unit [a-z])$"}
    columns["sex"]["quality"] = [
        {
            "metric": "invalidValues",
            "mustBe": 0,
            "arguments": {"validValues": ["f", "m"]},
            "severity": "info",
        }
    ]
    columns["smoker"]["quality"] = [
        {
            "metric": "nullValues",
            "mustBeLessOrEqualTo": 25,
            "unit": "percent",
            "severity": "warning",
        }
    ]
    clinic.table_of(document)["quality"] = [
        {"metric": "rowCount", "mustBeBetween": [2, 4], "severity": "error"},
        {
            "metric": "duplicateValues",
            "mustBe": 0,
            "arguments": {"properties": ["age", "year"]},
            "severity": "warning",
        },
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


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Contract:
    """The strict clinic."""
    return clinic.contract(tmp_path_factory.mktemp("strict"), strict)


@pytest.fixture(scope="module")
def suite(contract: Contract) -> CompiledSuite:
    """The strict clinic, compiled."""
    return compile_to_gx(contract)


def parquet(folder: Path, contract: Contract, cells: dict[str, list]) -> Path:
    """Cells as the canonical writer types them."""
    types = {c.name: ARROW[c.logical_type] for c in contract.columns}
    path = folder / "rows.parquet"
    pq.write_table(pa.table({k: pa.array(v, types[k]) for k, v in cells.items()}), path)
    return path


def statuses(folder: Path, contract: Contract, cells: dict[str, list]) -> dict[str, Status]:
    """GX's status of each clause it claims, once it is the referee's of the same file."""
    file, compiled = parquet(folder, contract, cells), compile_to_gx(contract)
    rows = read_frame([file], list(cells))
    found = gx_validation.findings(gx_validation.validate(compiled, rows))
    mine = {f.rule: f.status for f in found}
    profile = profile_files([file], contract, {}, max_categories=50)
    theirs = {f.rule: f.status for f in schema_findings(profile, contract)}
    assert mine == {rule: theirs[rule] for rule in mine}
    clauses = claimed(schema_clauses(contract), compiled.unexpressed)
    assert sorted(mine) == sorted(c.rule for c in clauses)
    return mine


def failing(folder: Path, contract: Contract, cells: dict[str, list]) -> dict[str, Status]:
    """Rules that do not pass, with either engine."""
    found = statuses(folder, contract, cells)
    return {rule: status for rule, status in found.items() if status is not Status.PASS}


def test_nothing_is_lost_between_suite_and_list(contract: Contract, suite: CompiledSuite) -> None:
    in_suite = [e.meta["rule"] for e in suite.suite.expectations]
    assert sorted(in_suite) == sorted({
        "row_count:least", "row_count:most", "nulls:person", "nulls:year", "nulls:readmitted",
        "nulls:smoker", "range:cost", "pattern:ward", "domain:sex", "unique:person",
        "unique:age+year",
    })  # fmt: skip
    listed = [u.rule for u in suite.unexpressed]
    assert sorted(listed) == sorted(f"type:{c}" for c in clinic.COLUMNS)
    assert sorted(in_suite + listed) == sorted(c.rule for c in schema_clauses(contract))
    assert {u.engine for u in suite.unexpressed} == {"great-expectations"}


def test_severities_are_in_the_suite(suite: CompiledSuite) -> None:
    of_rule = {e.meta["rule"]: str(e.severity.value) for e in suite.suite.expectations}
    assert of_rule["domain:sex"] == "info"
    assert of_rule["nulls:smoker"] == "warning"
    assert of_rule["unique:age+year"] == "warning"
    assert of_rule["row_count:least"] == of_rule["row_count:most"] == "critical"
    assert of_rule["range:cost"] == "critical"
    told = {c["meta"]["rule"]: c["severity"] for c in suite.suite.to_json_dict()["expectations"]}
    assert told == of_rule


def test_a_guess_that_nobody_confirmed_is_listed(tmp_path: Path) -> None:
    def guessed(document: clinic.Document) -> None:
        ours = clinic.column_of(document, "cost")["customProperties"]
        ours.append({"property": "assayConfirm", "value": "the unit", "vendor": "assay"})

    listed = {u.rule for u in compile_to_gx(clinic.contract(tmp_path, guessed)).unexpressed}
    assert "confirmed:cost" in listed


def test_rows_that_keep_the_contract_pass_every_rule(tmp_path: Path, contract: Contract) -> None:
    assert failing(tmp_path, contract, good()) == {}


@pytest.mark.parametrize(
    ("rule", "column", "cells"),
    [
        ("nulls:readmitted", "readmitted", [0, None, 0, 1]),
        ("nulls:smoker", "smoker", [True, None, None, True]),
        ("range:cost", "cost", [-0.5, 100.0, None, 5.0]),
        ("range:cost", "cost", [0.0, 100.5, None, 5.0]),
        ("range:cost", "cost", [0.0, float("inf"), None, 5.0]),
        ("domain:sex", "sex", ["f", "F", None, "m"]),
        ("pattern:ward", "ward", ["ward a", "unit bb", None, "ward c"]),
        ("pattern:ward", "ward", ["ward a", "my unit b", None, "ward c"]),
        ("pattern:ward", "ward", ["ward a", "unit b\n", None, "ward c"]),
        ("unique:person", "person", ["a", "b", "a", "d"]),
        ("unique:age+year", "age", [30.0, 30.0, 30.0, None]),
        ("unique:age+year", "age", [0.0, -0.0, 30.0, None]),
    ],
)
def test_a_broken_clause_fails_its_rule_and_no_other(
    tmp_path: Path, contract: Contract, rule: str, column: str, cells: list
) -> None:
    assert failing(tmp_path, contract, good() | {column: cells}) == {rule: Status.FAIL}


@pytest.mark.parametrize("column", ["age", "sex", "ward", "cost", "under_40", "note"])
def test_a_column_without_values_breaks_nothing_but_its_null_limit(
    tmp_path: Path, contract: Contract, column: str
) -> None:
    assert failing(tmp_path, contract, good() | {column: [None] * 4}) == {}


@pytest.mark.parametrize("column", ["person", "year", "smoker", "readmitted"])
def test_a_required_column_without_values_fails(
    tmp_path: Path, contract: Contract, column: str
) -> None:
    found = failing(tmp_path, contract, good() | {column: [None] * 4})
    assert found == {f"nulls:{column}": Status.FAIL}


@pytest.mark.parametrize(("rows", "rule"), [(1, "row_count:least"), (5, "row_count:most")])
def test_too_few_and_too_many_rows_fail_one_rule_each(
    tmp_path: Path, contract: Contract, rows: int, rule: str
) -> None:
    fifth = {k: "e" if k == "person" else v[0] for k, v in good().items()} | {"age": 31.0}
    cells = {k: [*v, fifth[k]][:rows] for k, v in good().items()}
    assert failing(tmp_path, contract, cells) == {rule: Status.FAIL}


def test_no_rows_prove_nothing(tmp_path: Path, contract: Contract) -> None:
    found = failing(tmp_path, contract, {k: [] for k in good()})
    assert found.pop("row_count:least") is Status.FAIL
    suited = {str(e.meta[RULE]) for e in compile_to_gx(contract).suite.expectations}
    rules = {r for r in suited if not r.startswith("row_count:")}
    assert found == dict.fromkeys(rules, Status.INCONCLUSIVE)


@pytest.mark.parametrize(
    ("percent", "rows"),
    [(10, 30), (90, 10), (90, 30), (70, 10), (33, 100), (0.1, 1000), (99.9, 1000), (29, 100)],
)
def test_a_null_limit_is_inclusive_to_the_row(tmp_path: Path, percent: float, rows: int) -> None:
    def limited(document: clinic.Document) -> None:
        clinic.column_of(document, "note")["quality"] = [
            {"metric": "nullValues", "mustBeLessOrEqualTo": percent, "unit": "percent"}
        ]

    contract = clinic.contract(tmp_path, limited)
    at_limit = round(percent * rows / 100)
    whole = {k: [v[0]] * rows for k, v in good().items()}
    for nulls, status in ((at_limit, Status.PASS), (at_limit + 1, Status.FAIL)):
        cells = whole | {"note": [None] * nulls + ["x"] * (rows - nulls)}
        assert statuses(tmp_path, contract, cells)["nulls:note"] is status


def test_the_null_limit_agrees_with_the_referees_rule_for_every_count() -> None:
    """GX's own arithmetic, at and beside the limit, for percentages of up to two decimals."""
    from components.contract.contract import Column, Role
    from components.stacks.pytorch_stack.contract_to_gx import _nulls

    plain = 0
    for hundredths in range(1, 10_000, 7):
        fraction = hundredths / 10_000
        column = Column("c", Role.FEATURE, LogicalType.STRING, False, max_null_fraction=fraction)
        mostly = _nulls(column, {}).mostly
        for rows in (3, 7, 10, 30, 100, 1000, 9973, 1_000_000, 99_999_989):
            middle = round(fraction * rows)
            for nulls in range(max(0, middle - 1), min(rows, middle + 1) + 1):
                ratio, allowed = (rows - nulls) / rows, nulls / rows <= fraction
                assert (ratio >= mostly) == allowed, (fraction, rows, nulls)
                plain += (ratio >= 1.0 - fraction) != allowed
    assert plain > 0, "1 - fraction would do"


def whole_numbers(**changes: Any):
    """A change of the contract: options and domain of ``readmitted``."""

    def change(document: clinic.Document) -> None:
        column = clinic.column_of(document, "readmitted")
        allowed = changes.pop("allowed", None)
        if changes:
            column["logicalTypeOptions"] = dict(changes)
        if allowed:
            column["quality"] = [
                {"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": allowed}}
            ]

    return change


@pytest.mark.parametrize(
    ("values", "limits", "status"),
    [
        ([0, 5, None, 10], {"minimum": 0, "maximum": 10}, Status.PASS),
        ([0, 5, None, 11], {"minimum": 0, "maximum": 10}, Status.FAIL),
        ([-1, 5, None, 1], {"minimum": 0}, Status.FAIL),
        ([0, 5, None, BIG], {"maximum": 2**53 - 1}, Status.FAIL),
        ([0, 5, None, 2**53 - 1], {"maximum": 2**53 - 1}, Status.PASS),
        ([0, 5, None, 2**53], {"maximum": 2**53 - 1}, Status.FAIL),
        ([1, 1, None, 0], {"minimum": 0.5}, Status.FAIL),
    ],
)
def test_whole_numbers_with_nulls_keep_their_range(
    tmp_path: Path, values: list, limits: dict, status: Status
) -> None:
    contract = clinic.contract(tmp_path, whole_numbers(**limits))
    found = statuses(tmp_path, contract, good() | {"readmitted": values})
    assert found["range:readmitted"] is status


@pytest.mark.parametrize("limit", [2**53, BIG, -BIG, 9.1e15])
def test_a_bound_that_doubles_cannot_hold_apart_is_left_to_the_referee(
    tmp_path: Path, limit: float
) -> None:
    """GX holds a maximum of 2**62 + 1 as 2**62, and fails the value 2**62 + 1."""
    bounds = {"minimum" if limit < 0 else "maximum": limit}
    compiled = compile_to_gx(clinic.contract(tmp_path, whole_numbers(**bounds)))
    assert "range:readmitted" in {u.rule for u in compiled.unexpressed}
    assert "range:readmitted" not in {e.meta["rule"] for e in compiled.suite.expectations}


@pytest.mark.parametrize(
    ("allowed", "status"),
    [([0, 1, BIG], Status.PASS), ([0, 1, BIG - 1], Status.FAIL), ([0, 1, BIG + 1], Status.FAIL)],
)
def test_domains_of_huge_whole_numbers_are_exact(
    tmp_path: Path, allowed: list[int], status: Status
) -> None:
    contract = clinic.contract(tmp_path, whole_numbers(allowed=allowed))
    found = statuses(tmp_path, contract, good() | {"readmitted": [0, 1, None, BIG]})
    assert found["domain:readmitted"] is status


@pytest.mark.parametrize(
    ("column", "allowed", "cells", "status"),
    [
        ("smoker", [True], [True, True, None, True], Status.PASS),
        ("smoker", [True], [True, False, None, True], Status.FAIL),
        ("cost", [1, 2.5], [1.0, 2.5, None, 1.0], Status.PASS),
        ("cost", [0.3], [0.1 + 0.2, 0.3, None, 0.3], Status.FAIL),
        ("cost", [2**53 + 1], [float(2**53), None, None, None], Status.PASS),
        ("note", ["2020-01-01", "1"], ["2020-01-01", "1", None, None], Status.PASS),
        ("note", ["2020-01-01", "1"], ["2020-01-01 00:00:00", "1", None, None], Status.FAIL),
    ],
)
def test_domains_of_every_type(
    tmp_path: Path, column: str, allowed: list, cells: list, status: Status
) -> None:
    def change(document: clinic.Document) -> None:
        clinic.column_of(document, column)["quality"] = [
            {"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": allowed}}
        ]

    contract = clinic.contract(tmp_path, change)
    found = statuses(tmp_path, contract, good() | {column: cells})
    assert found[f"domain:{column}"] is status


def test_a_key_may_have_a_plus_sign_in_a_columns_name(tmp_path: Path) -> None:
    def plus(document: clinic.Document) -> None:
        clinic.column_of(document, "note")["name"] = "note+more"
        clinic.column_of(document, "note+more")["unique"] = True

    cells = good()
    cells["note+more"] = cells.pop("note")[:2] + ["x", "x"]
    contract = clinic.contract(tmp_path, plus)
    assert failing(tmp_path, contract, cells) == {"unique:note+more": Status.FAIL}


def test_a_rule_that_raises_is_inconclusive(
    tmp_path: Path, contract: Contract, suite: CompiledSuite
) -> None:
    rows = read_frame([parquet(tmp_path, contract, good())], list(good())).drop(columns="cost")
    found = gx_validation.findings(gx_validation.validate(suite, rows))
    assert [f.rule for f in found if f.status is Status.INCONCLUSIVE] == ["range:cost"]


def test_a_rule_without_a_result_is_inconclusive() -> None:
    lost = gx_validation.RuleResult("range:cost", "none", success=False, raised=True)
    (found,) = gx_validation.findings([lost])
    assert (found.rule, found.status) == ("range:cost", Status.INCONCLUSIVE)


def test_no_cell_leaves_gx(tmp_path: Path, contract: Contract, suite: CompiledSuite) -> None:
    cells = good() | {"sex": [CANARY] * 4, "ward": [CANARY] * 4, "person": [CANARY] * 4}
    rows: pd.DataFrame = read_frame([parquet(tmp_path, contract, cells)], list(cells))
    results = gx_validation.validate(suite, rows)
    found = gx_validation.findings(results)
    failed = {f.rule for f in found if f.status is Status.FAIL}
    assert failed == {"domain:sex", "pattern:ward", "unique:person"}
    told = json.dumps([r.to_json() for r in results] + [f.to_json() for f in found])
    assert CANARY not in told
