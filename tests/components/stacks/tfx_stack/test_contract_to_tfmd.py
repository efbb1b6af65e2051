"""Every clause of contract and policy: enforced by TFDV under its rule, or listed as not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics import stats_impl
from tensorflow_metadata.proto.v0 import schema_pb2

from components.contract.clauses import ClauseKind, claimed
from components.contract.contract import Contract
from components.profile.edges import quantile_edges
from components.stacks.tfx_stack.contract_to_tfmd import (
    SERVING,
    TRAINING,
    CompiledSchema,
    all_clauses,
    claimed_clauses,
    compared_columns,
    compile_drift,
    compile_inputs,
    compile_schema,
)
from components.stacks.tfx_stack.example_columns import drift_feature, statistics_columns, to_lists
from components.stacks.tfx_stack.schema_anomalies import schema_findings
from components.stacks.tfx_stack.statistics_options import statistics_options
from tests import clinic

_TYPES = {"person": pa.string(), "year": pa.int64(), "age": pa.float64(), "sex": pa.string(),
          "ward": pa.string(), "cost": pa.float64(), "smoker": pa.bool_(),
          "under_40": pa.bool_(), "note": pa.string(), "readmitted": pa.int64()}  # fmt: skip
_ROW: dict[str, Any] = {"person": "p", "year": 2001, "age": 50.0, "sex": "f", "ward": "A",
                        "cost": 1.5, "smoker": True, "under_40": False, "note": "n",
                        "readmitted": 0}  # fmt: skip


def _rule(metric: str, **fields: Any) -> list[clinic.Document]:
    return [{"metric": metric, **fields}]


def _listed(*values: Any) -> list[clinic.Document]:
    return _rule("invalidValues", mustBe=0, arguments={"validValues": list(values)})


def _strict(document: clinic.Document) -> None:
    column = clinic.column_of
    column(document, "cost")["logicalTypeOptions"] = {"minimum": 0, "maximum": 10}
    column(document, "year")["logicalTypeOptions"] = {"minimum": 2000, "maximum": 2010}
    column(document, "age")["quality"] = _rule("nullValues", mustBeLessOrEqualTo=25, unit="percent")
    column(document, "ward")["quality"] = _listed("A", "B")
    column(document, "readmitted")["quality"] = _listed(0, 1)


@pytest.fixture
def strict(tmp_path: Path) -> Contract:
    """A contract with every clause on columns that TFMD has words for."""
    return clinic.contract(tmp_path, _strict)


def _compiled(contract: Contract, change: clinic.Change | None = None) -> CompiledSchema:
    policy = clinic.policy(contract.path.parent, contract, change)
    return compile_schema(contract, policy)


def _statistics(
    contract: Contract, change: clinic.Change | None = None, without: str = "", **cells: list[Any]
) -> Any:
    """TFDV's statistics of eight rows or more, some of whose cells are changed."""
    count = max([8, *(len(c) for c in cells.values())])
    rows = {name: [value] * count for name, value in _ROW.items()} | cells
    names = [c.name for c in contract.columns]
    batch = pa.RecordBatch.from_arrays(
        [pa.array(rows[name], _TYPES[name]) for name in names], names=names
    )
    policy = clinic.policy(contract.path.parent, contract, change)
    options = statistics_options(contract, policy)
    options.schema = compile_schema(contract, policy).schema
    edges = quantile_edges([], contract, 2)
    shown = statistics_columns(contract, edges)
    columns = [c for c in shown if c.name == c.source != without]
    return stats_impl.generate_statistics_in_memory(to_lists(batch, columns), options)


def _schema_without_drift(contract: Contract, change: clinic.Change | None = None) -> Any:
    """The compiled schema, for rows that drift features were not made of."""
    schema = schema_pb2.Schema()
    schema.CopyFrom(_compiled(contract, change).schema)
    kept = [f for f in schema.feature if not f.name.startswith("assay_drift_")]
    del schema.feature[:]
    schema.feature.extend(kept)
    return schema


def _findings(
    contract: Contract, change: clinic.Change | None = None, **cells: list[Any]
) -> dict[str, str]:
    """Each rule's status, as TFDV finds it in eight rows, some of whose cells are changed."""
    statistics = _statistics(contract, change, **cells)
    anomalies = tfdv.validate_statistics(statistics, _schema_without_drift(contract, change))
    policy = clinic.policy(contract.path.parent, contract, change)
    comparing = (ClauseKind.DRIFT, ClauseKind.ROW_RATIO)
    clauses = [c for c in claimed_clauses(contract, policy) if c.kind not in comparing]
    return {f.rule: str(f.status) for f in schema_findings({"current": anomalies}, clauses)}


def _broken(
    contract: Contract, change: clinic.Change | None = None, **cells: list[Any]
) -> set[str]:
    found = _findings(contract, change, **cells)
    return {rule for rule, status in found.items() if status != "PASS"}


def test_rows_that_keep_to_the_contract_pass_every_claimed_rule(strict: Contract) -> None:
    assert _findings(strict) == dict.fromkeys(
        ["nulls:year", "range:year", "nulls:age", "domain:ward", "range:cost",
         "nulls:readmitted", "domain:readmitted"], "PASS",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("rule", "cells"),
    [
        ("range:cost", [10.5, *[1.0] * 7]),
        ("range:cost", [-0.5, *[1.0] * 7]),
        ("range:year", [2011, *[2001] * 7]),
        ("range:year", [1999, *[2001] * 7]),
        ("nulls:year", [None, *[2001] * 7]),
        ("nulls:year", [None] * 8),
        ("nulls:readmitted", [None] * 8),
        ("nulls:age", [None, None, None, *[50.0] * 5]),
        ("domain:ward", ["C", *["A"] * 7]),
        ("domain:readmitted", [2, *[0] * 7]),
        ("domain:readmitted", [-1, *[0] * 7]),
    ],
)
def test_a_breach_breaks_its_own_rule_and_no_other(
    strict: Contract, rule: str, cells: list[Any]
) -> None:
    assert _broken(strict, **{rule.partition(":")[2]: cells}) == {rule}


def test_two_breaches_of_one_column_are_both_found(strict: Contract) -> None:
    cells = [None, None, *[3000] * 6]
    assert _broken(strict, year=cells) == {"nulls:year", "range:year"}


@pytest.mark.parametrize(("percent", "nulls", "rows"), [(25, 2, 8), (18, 9, 50)])
def test_exactly_the_allowed_share_of_nulls_is_allowed(
    tmp_path: Path, percent: int, nulls: int, rows: int
) -> None:
    """``1 - 0.18`` as a double lies above what TFDV computes of 41 rows in 50."""

    def share(document: clinic.Document) -> None:
        clinic.column_of(document, "age")["quality"] = _rule(
            "nullValues", mustBeLessOrEqualTo=percent, unit="percent"
        )

    contract = clinic.contract(tmp_path, share)
    cells = [None] * nulls + [50.0] * (rows - nulls)
    assert _findings(contract, age=cells)["nulls:age"] == "PASS"
    assert _findings(contract, age=[*cells[:-1], None])["nulls:age"] == "FAIL"


def test_a_foreign_value_cannot_hide_behind_frequent_ones(tmp_path: Path) -> None:
    """TFDV looks at the most frequent values only; ours lists one more than the domain has."""
    wards = [f"w{i}" for i in range(60)]  # more than the policy's 50 categories
    contract = clinic.contract(
        tmp_path, lambda d: clinic.column_of(d, "ward").update(quality=_listed(*wards))
    )
    assert _broken(contract, ward=wards * 2) == set()
    assert _broken(contract, ward=[*wards * 2, "foreign"]) == {"domain:ward"}


def test_a_range_of_a_categorical_integer_is_held_whatever_is_frequent(tmp_path: Path) -> None:
    def coded(document: clinic.Document) -> None:
        code = clinic.column_of(document, "year")
        code["logicalTypeOptions"] = {"minimum": 0, "maximum": 5000}
        code["customProperties"] += [
            {"property": "assayKind", "value": "categorical", "vendor": "assay"}
        ]

    contract = clinic.contract(tmp_path, coded)
    assert _broken(contract, year=[*range(100), *range(100), 5001]) == {"range:year"}


@pytest.mark.parametrize(
    ("cell", "is_broken"), [(10.0, False), (10.0000001, False), (10.000002, True)]
)
def test_the_band_around_a_float_bound(strict: Contract, cell: float, is_broken: bool) -> None:
    """Closer than 32 bits can tell, a breach is not seen; nothing inside is ever refused."""
    assert (_broken(strict, cost=[cell] * 8) == {"range:cost"}) is is_broken


def test_an_anomaly_of_no_clause_is_kept_under_its_column(strict: Contract) -> None:
    rows = pa.RecordBatch.from_pydict({"cost": pa.array([[b"x"]] * 8)})
    statistics = stats_impl.generate_statistics_in_memory(rows, tfdv.StatsOptions())
    anomalies = tfdv.validate_statistics(statistics, _schema_without_drift(strict))
    policy = clinic.policy(strict.path.parent, strict)
    mine = [c for c in claimed_clauses(strict, policy) if c.kind is not ClauseKind.DRIFT]
    found = {f.rule: f for f in schema_findings({"current": anomalies}, mine)}
    assert found["schema:cost"].status == "FAIL"
    assert found["schema:cost"].reason.endswith(
        "(float_type_string_not_float, unexpected_data_type)"
    )
    assert found["nulls:year"].status == "FAIL", "a required column that is not there"


def _without_words(document: clinic.Document) -> None:
    column = clinic.column_of
    column(document, "note")["logicalTypeOptions"] = {"pattern": "n.*"}
    column(document, "note")["unique"] = True
    column(document, "ward")["quality"] = _listed("w" * 1025)
    column(document, "year")["quality"] = _listed(2001, 2003)
    column(document, "cost")["quality"] = _listed(1.0, 2.0)
    column(document, "readmitted")["quality"] = _listed(0, 1)
    column(document, "readmitted")["logicalTypeOptions"] = {"minimum": 0, "maximum": 9}
    column(document, "age")["logicalTypeOptions"] = {"minimum": 0, "maximum": 10**39}
    clinic.table_of(document)["quality"] = [
        {"metric": "rowCount", "mustBeBetween": [1, 99]},
        {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": ["person", "year"]}},
    ]


def _psi(document: clinic.Document) -> None:
    document["data_gate"]["drift"]["columns"] = {"cost": {"statistic": "psi", "at_most": 0.2}}
    document["data_gate"]["row_ratio"] = {"at_least": 0.5, "at_most": 2}


def test_what_tfdv_does_not_enforce_is_listed_and_the_rest_is_claimed(tmp_path: Path) -> None:
    contract = clinic.contract(tmp_path, _without_words)
    compiled = _compiled(contract, _psi)
    left_out = {u.rule for u in compiled.unexpressed}
    types = {f"type:{c.name}" for c in contract.columns}
    assert left_out - types == {
        "pattern:note", "unique:note", "domain:ward", "domain:year", "domain:cost", "range:age",
        "range:readmitted", "unique:person+year", "row_count:least", "row_count:most",
        "drift:cost", "nulls:person",
    }  # fmt: skip
    assert types <= left_out
    assert {u.engine for u in compiled.unexpressed} == {"tfdv"}
    policy = clinic.policy(tmp_path, contract, _psi)
    mine = {c.rule for c in claimed(all_clauses(contract, policy), compiled.unexpressed)}
    assert mine == {
        "nulls:year", "nulls:readmitted", "domain:readmitted",
        "row_ratio:least", "row_ratio:most", "drift:age", "drift:sex", "drift:ward",
        "drift:smoker", "drift:under_40",
    }  # fmt: skip
    assert "unique:note, unique:person+year: TFMD limits" in compiled.not_expressed


def test_a_part_of_an_unclaimed_list_is_held_under_the_column(tmp_path: Path) -> None:
    """A list with gaps is not claimed; a value beyond its ends is an anomaly all the same."""
    contract = clinic.contract(tmp_path, _without_words)
    good = {"ward": [None] * 8, "year": [2001, 2003] * 4}
    assert _broken(contract, **good) == set()
    assert _broken(contract, **good | {"year": [2002] * 8}) == set()
    assert _broken(contract, **good | {"year": [2004] * 8}) == {"schema:year"}


@pytest.mark.parametrize(
    ("bound", "is_claimed"), [(2**53, True), (2**53 + 2, False), (2**80, False)]
)
def test_a_bound_that_doubles_do_not_hold_is_not_claimed(
    tmp_path: Path, bound: int, is_claimed: bool
) -> None:
    contract = clinic.contract(
        tmp_path,
        lambda d: clinic.column_of(d, "year").update(logicalTypeOptions={"maximum": bound}),
    )
    left_out = {u.rule for u in _compiled(contract).unexpressed}
    assert ("range:year" not in left_out) is is_claimed
    if is_claimed:
        assert _broken(contract, year=[bound + 2, *[2001] * 7]) == {"range:year"}


@pytest.mark.parametrize(("least", "most", "broken"), [
    (1, 8, set()), (9, 20, {"row_count:least"}), (1, 7, {"row_count:most"}),
])  # fmt: skip
def test_the_number_of_rows_is_claimed_where_one_side_holds_them_all(
    tmp_path: Path, least: int, most: int, broken: set[str]
) -> None:
    def counted(document: clinic.Document) -> None:
        clinic.table_of(document)["quality"] = [
            {"metric": "rowCount", "mustBeBetween": [least, most]}
        ]

    contract = clinic.contract(tmp_path, counted)
    assert _broken(contract, clinic.first_release) == broken
    assert "row_count:least" in _findings(contract, clinic.first_release)
    assert not any(rule.startswith("row_count") for rule in _findings(contract))


def test_at_serving_the_label_may_be_missing_and_in_training_it_may_not(strict: Contract) -> None:
    schema = _schema_without_drift(strict)
    assert list(schema.default_environment) == [TRAINING, SERVING]
    unlabelled = _statistics(strict, without="readmitted")
    found = {
        environment: set(
            tfdv.validate_statistics(unlabelled, schema, environment=environment).anomaly_info
        )
        for environment in (TRAINING, SERVING)
    }
    assert found == {TRAINING: {"readmitted"}, SERVING: set()}


def _wards(share_of_a: float, schema: Any, name: str) -> Any:
    count = int(100 * share_of_a)
    rows = pa.RecordBatch.from_pydict({name: [[b"A"]] * count + [[b"B"]] * (100 - count)})
    return stats_impl.generate_statistics_in_memory(rows, tfdv.StatsOptions(schema=schema))


@pytest.mark.parametrize("statistic", ["jensen_shannon", "l_infinity"])
def test_training_and_serving_are_compared_on_the_drift_features(
    tmp_path: Path, statistic: str
) -> None:
    def limit(document: clinic.Document) -> None:
        document["data_gate"]["drift"]["columns"] = {
            "ward": {"statistic": statistic, "at_most": 0.1}
        }

    name = drift_feature("ward")
    schema = _compiled(clinic.contract(tmp_path), limit).schema
    kept = [f for f in schema.feature if f.name == name]
    del schema.feature[:]
    schema.feature.extend(kept)
    training = _wards(0.5, schema, name)
    for share, anomalous in ((0.52, set()), (0.95, {name})):
        serving = _wards(share, schema, name)
        found = tfdv.validate_statistics(training, schema, serving_statistics=serving)
        assert set(found.anomaly_info) == anomalous
        assert [i.path.step[0] for i in found.drift_skew_info] == [name]


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
