from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import jsonschema
import open_data_contract_standard
import pytest
import yaml

from components.contract.contract import Bands, Contract, LogicalType, Role
from components.contract.contract_loader import load_contract
from components.contract.errors import InputError
from components.contract.json_schema import ROOT
from tests.clinic import Change, Document, column_of, contract, contract_document, table_of, write

_ODCS: dict[str, Any] = json.loads(
    Path(open_data_contract_standard.__file__).with_name("schema.json").read_text()
)


def refusal(tmp_path: Path, change: Change) -> str:
    with pytest.raises(InputError) as caught:
        contract(tmp_path, change)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message.startswith(str(tmp_path / "clinic.yaml"))
    assert "; expected " in message
    return message


def put(column: str, **fields: Any) -> Change:
    """Set fields of a column."""
    return lambda d: column_of(d, column).update(fields)


def ours(name: str, **properties: Any) -> Change:
    """Set assay properties of a column; None takes one away."""

    def change(document: Document) -> None:
        column = column_of(document, name)
        kept = [p for p in column["customProperties"] if p["property"] not in properties]
        column["customProperties"] = kept + [
            {"property": k, "value": v, "vendor": "assay"}
            for k, v in properties.items()
            if v is not None
        ]

    return change


def table_rule(**rule: Any) -> Change:
    return lambda d: table_of(d).update(quality=[rule])


def rule(name: str, *rules: Document) -> Change:
    return lambda d: column_of(d, name).update(quality=list(rules))


# The contracts that ship


@pytest.mark.parametrize("path", sorted((ROOT / "schemas").glob("*.yaml")), ids=lambda p: p.stem)
def test_a_shipped_contract_is_plain_odcs(path: Path) -> None:
    jsonschema.Draft201909Validator(_ODCS).validate(yaml.safe_load(path.read_text()))


@pytest.mark.parametrize(
    "path",
    [p for d in ("schemas", "policies") for p in sorted((ROOT / d).glob("*.yaml"))],
    ids=lambda p: f"{p.parent.name}/{p.stem}",
)
def test_an_editor_finds_the_schema_that_a_file_names(path: Path) -> None:
    first = path.read_text("utf-8").splitlines()[0]
    prefix = "# yaml-language-server: $schema="
    assert first.startswith(prefix)
    assert (path.parent / first.removeprefix(prefix)).resolve().is_file()


def test_rand_hie_says_what_the_study_holds(rand_hie_contract: Contract) -> None:
    loaded = rand_hie_contract
    assert len(loaded.columns) == 46
    assert loaded.label.name == "admitted_next_year"
    assert loaded.label.positive == 1
    assert loaded.entity.name == "zper"
    assert loaded.span is not None
    assert loaded.span.name == "year"
    assert [c.name for c in loaded.protected] == ["black", "xage", "female"]
    assert loaded.column("xage").bands == Bands((18.0, 40.0), ("0-17", "18-39", "40+"))
    assert loaded.unique_together == (("zper", "year"),)
    assert (loaded.min_rows, loaded.max_rows) == (1000, 1_000_000)
    assert loaded.column("educdec").max_null_fraction == 0.01
    assert loaded.column("plan").categorical
    assert not loaded.column("mdvis").categorical
    assert loaded.digest == hashlib.sha256(loaded.path.read_bytes()).hexdigest()
    with pytest.raises(KeyError):
        loaded.column("nobody")


def test_rand_hie_excludes_every_copy_of_an_outcome(rand_hie_contract: Contract) -> None:
    excluded = {c.name for c in rand_hie_contract.with_role(Role.EXCLUDED)}
    assert {"lnmeddol", "binexp"} <= excluded


# The clinic


def test_the_clinic_loads_as_it_is_written(tmp_path: Path) -> None:
    loaded = contract(tmp_path)
    assert [c.logical_type for c in loaded.columns if c.role is Role.FEATURE] == [
        LogicalType.STRING,
        LogicalType.NUMBER,
        LogicalType.BOOLEAN,
        LogicalType.BOOLEAN,
    ]
    assert loaded.missing_markers == ("?", "-9")
    assert (loaded.min_rows, loaded.max_rows) == (1, math.inf)
    assert loaded.source.path == "clinic.csv"
    assert loaded.column("under_40").proxy_of == ("age",)
    assert loaded.column("ward").max_null_fraction == 1.0
    assert loaded.column("age").group_column == "assay_group_age"
    assert loaded.span is not None
    no_span = contract(tmp_path, ours("year", assayRole="excluded"))
    assert no_span.span is None


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda d: d.update(colour="red"), id="contract"),
        pytest.param(lambda d: d.update(descripton={"purpose": "x"}), id="contract, misspelt"),
        pytest.param(lambda d: d["servers"][0].update(pathh="x"), id="server"),
        pytest.param(lambda d: table_of(d).update(qualty=[]), id="table"),
        pytest.param(put("cost", requierd=True), id="column"),
        pytest.param(put("cost", required="yes"), id="column, wrong type"),
        pytest.param(put("cost", logicalTypeOptions={"minium": 0}), id="type option"),
        pytest.param(put("cost", logicalTypeOptions={"minimum": "0"}), id="option, wrong type"),
        pytest.param(rule("cost", {"metric": "nullValues", "mustBee": 0}), id="quality rule"),
        pytest.param(rule("cost", {"metric": "nullValue", "mustBe": 0}), id="metric"),
        pytest.param(rule("cost", {"metric": "nullValues"}), id="no operator"),
        pytest.param(
            rule("cost", {"metric": "nullValues", "mustBe": 0, "mustBeLessThan": 5}),
            id="two operators",
        ),
        pytest.param(put("sex", enum=[{"value": "f", "lable": "x"}]), id="enum"),
        pytest.param(put("sex", logicalType="text"), id="unknown type"),
        pytest.param(put("sex", logicalType="date"), id="a type that Assay lacks"),
        pytest.param(lambda d: d.update(kind="Contract"), id="kind"),
        pytest.param(lambda d: d.update(apiVersion="v2.2.2"), id="version of the standard"),
        pytest.param(lambda d: d.update(name="Clinic 1"), id="name"),
        pytest.param(lambda d: d.pop("name"), id="no name"),
        pytest.param(lambda d: d.pop("schema"), id="no schema"),
        pytest.param(lambda d: d["schema"].append(d["schema"][0]), id="two tables"),
        pytest.param(lambda d: d["servers"].append(d["servers"][0]), id="two servers"),
        pytest.param(lambda d: d["servers"][0].update(type="postgres"), id="server type"),
        pytest.param(lambda d: d["servers"][0].update(format="json"), id="format"),
        pytest.param(lambda d: d["servers"][0].update(delimiter=";"), id="delimiter"),
        pytest.param(lambda d: column_of(d, "cost").pop("customProperties"), id="no role"),
        pytest.param(ours("cost", assayRole=None, assayKind="numeric"), id="no role, but a kind"),
        pytest.param(ours("cost", assayRole="fature"), id="unknown role"),
        pytest.param(ours("cost", assayRolle="feature"), id="our key misspelt"),
        pytest.param(ours("cost", assayKind="ordinal"), id="unknown kind"),
        pytest.param(ours("age", assayBands={"edges": [40], "lables": ["a", "b"]}), id="band key"),
        pytest.param(
            ours("age", assayBands={"edges": ["40"], "labels": ["a", "b"]}), id="band edge is text"
        ),
        pytest.param(
            ours("age", assayBands={"edges": [40], "labels": ["a", "a"]}), id="bands alike"
        ),
        pytest.param(ours("under_40", assayProxyOf="age"), id="proxy is no list"),
        pytest.param(ours("readmitted", assayPositive=[1]), id="positive is a list"),
    ],
)
def test_what_the_schema_does_not_know_is_refused_before_parsing(
    tmp_path: Path, change: Change
) -> None:
    assert ", field " in refusal(tmp_path, change)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (ours("cost", assayRole="label"), "2 columns have the role label; expected exactly 1"),
        (ours("cost", assayRole="span"), "2 columns have the role span; expected at most 1"),
        (
            ours("person", assayRole="excluded"),
            "0 columns have the role entity; expected exactly 1",
        ),
        (
            ours("readmitted", assayRole="excluded", assayPositive=None),
            "0 columns have the role label",
        ),
        (ours("readmitted", assayPositive=None), "does not say which of its values is positive"),
        (ours("readmitted", assayPositive=True), "value True is not of the column's type"),
        (ours("readmitted", assayPositive="1"), "value '1' is not of the column's type"),
        (put("readmitted", enum=[{"value": 0}, {"value": 2}]), "which of its values is positive"),
        (put("readmitted", required=False), "the label may be null; expected required: true"),
        (put("person", required=False), "the entity may be null; expected required: true"),
        (ours("under_40", assayProxyOf=["ward"]), "expected the name of a protected column"),
        (ours("under_40", assayProxyOf=["nobody"]), "expected the name of a protected column"),
        (ours("sex", assayProxyOf=["age"]), "assayProxyOf on a column with the role protected"),
        (ours("cost", assayPositive=1), "assayPositive on a column with the role feature"),
        (
            ours("cost", assayBands={"edges": [1], "labels": ["a", "b"]}),
            "assayBands on a column with the role feature",
        ),
        (ours("ward", assayKind="numeric"), "assayKind numeric on text"),
        (ours("smoker", assayKind="numeric"), "assayKind numeric on text"),
        (
            ours("sex", assayBands={"edges": [1], "labels": ["a", "b"]}),
            "bands on text; expected bands on numbers only",
        ),
        (
            ours("age", assayBands={"edges": [65, 40], "labels": ["a", "b", "c"]}),
            "expected strictly rising edges",
        ),
        (
            ours("age", assayBands={"edges": [40, 40], "labels": ["a", "b", "c"]}),
            "expected strictly rising edges",
        ),
        (
            ours("age", assayBands={"edges": [40], "labels": ["a", "b", "c"]}),
            "one label more than edges",
        ),
    ],
)
def test_roles_that_do_not_fit_are_refused(tmp_path: Path, change: Change, shown: str) -> None:
    assert shown in refusal(tmp_path, change)


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (
            lambda d: column_of(d, "cost")["customProperties"].append(
                {"property": "assayKind", "value": "numeric"}
            ),
            "assayKind without its vendor; expected vendor: assay",
        ),
        (
            lambda d: column_of(d, "cost")["customProperties"].append(
                {"property": "AssayKind", "value": "numeric", "vendor": "Assay"}
            ),
            "AssayKind without its vendor; expected vendor: assay",
        ),
        (
            lambda d: column_of(d, "cost")["customProperties"].append(
                {"property": "assayRole", "value": "excluded", "vendor": "assay"}
            ),
            "assayRole appears twice",
        ),
        (
            lambda d: d.update(
                customProperties=[
                    {"property": "assayMissingMarkers", "value": ["x"], "vendor": "assay"}
                ]
            ),
            "field customProperties: assayMissingMarkers is read by nobody",
        ),
        (
            rule(
                "cost",
                {
                    "metric": "nullValues",
                    "mustBe": 0,
                    "customProperties": [{"property": "assayLimit", "value": 1, "vendor": "assay"}],
                },
            ),
            "assayLimit is read by nobody",
        ),
        (
            lambda d: d["servers"][0].update(
                customProperties=[{"property": "assaySource", "value": "x", "vendor": "assay"}]
            ),
            "type: local without",
        ),
        (
            lambda d: d["servers"][0].update(type="custom"),
            "expected type: custom with an assay property assaySource",
        ),
    ],
)
def test_an_assay_property_that_nobody_would_read_is_refused(
    tmp_path: Path, change: Change, shown: str
) -> None:
    assert shown in refusal(tmp_path, change)


@pytest.mark.parametrize("field", ["path", "format", "delimiter"])
def test_a_built_in_source_stands_alone(tmp_path: Path, field: str) -> None:
    source = [{"property": "assaySource", "value": "rand_hie", "vendor": "assay"}]
    server = {"server": "s", "type": "custom", "customProperties": source}
    assert contract(tmp_path, lambda d: d.update(servers=[server])).source.builtin == "rand_hie"
    more = {**server, field: "csv"}
    assert f"{field} beside assaySource" in refusal(tmp_path, lambda d: d.update(servers=[more]))


def test_other_vendors_may_write_what_they_like(tmp_path: Path) -> None:
    def change(document: Document) -> None:
        theirs = [{"property": "role", "value": {"a": [1]}, "vendor": "soda"}]
        for node in (document, table_of(document), document["servers"][0]):
            node["customProperties"] = [*node.get("customProperties", []), *theirs]
        column_of(document, "cost")["customProperties"] += theirs

    assert contract(tmp_path, change).column("cost").role is Role.FEATURE


# Quality rules: enforced or refused

_OPERATORS: list[Document] = [
    {"mustBe": 0},
    {"mustBe": 5},
    {"mustNotBe": 0},
    {"mustBeGreaterThan": 5},
    {"mustBeGreaterOrEqualTo": 5},
    {"mustBeLessThan": 5},
    {"mustBeLessOrEqualTo": 5},
    {"mustBeLessOrEqualTo": 5, "unit": "percent"},
    {"mustBeBetween": [1, 5]},
    {"mustNotBeBetween": [1, 5]},
]
_METRICS: list[Document] = [
    {"metric": "nullValues"},
    {"metric": "missingValues", "arguments": {"missingValues": ["", "N/A"]}},
    {"metric": "invalidValues", "arguments": {"validValues": ["A", "B"]}},
    {"metric": "duplicateValues", "arguments": {"properties": ["person", "year"]}},
    {"metric": "rowCount"},
]
_ON_TABLE = {
    ("duplicateValues", "mustBe"),
    ("rowCount", "mustBeGreaterThan"),
    ("rowCount", "mustBeGreaterOrEqualTo"),
    ("rowCount", "mustBeBetween"),
}
_ON_COLUMN = {
    ("nullValues", "mustBe"),
    ("nullValues", "mustBeLessOrEqualTo percent"),
    ("invalidValues", "mustBe"),
}


def _combinations() -> list[Any]:
    return [
        pytest.param(metric["metric"], {**metric, **operator}, id=f"{metric['metric']} {operator}")
        for metric in _METRICS
        for operator in _OPERATORS
    ]


def _is_enforced(enforced: set[tuple[str, str]], metric: str, whole: Document) -> bool:
    operator = next(k for k in whole if k.startswith("must"))
    if operator == "mustBe" and whole["mustBe"] != 0:
        return False
    if whole.get("unit") == "percent":
        operator += " percent"
    return (metric, operator) in enforced


@pytest.mark.parametrize(("metric", "whole"), _combinations())
def test_a_column_rule_is_enforced_or_refused(tmp_path: Path, metric: str, whole: Document) -> None:
    if metric == "nullValues":
        whole = {**whole, "unit": "percent"} if whole.get("unit") else whole
    if not _is_enforced(_ON_COLUMN, metric, whole):
        assert "expected" in refusal(tmp_path, rule("ward", whole))
        return
    ward = contract(tmp_path, rule("ward", whole)).column("ward")
    if metric == "invalidValues":
        assert ward.allowed == ("A", "B")
    else:
        assert ward.max_null_fraction == (0.05 if whole.get("unit") == "percent" else 0.0)


@pytest.mark.parametrize(("metric", "whole"), _combinations())
def test_a_table_rule_is_enforced_or_refused(tmp_path: Path, metric: str, whole: Document) -> None:
    if not _is_enforced(_ON_TABLE, metric, whole):
        assert "expected" in refusal(tmp_path, table_rule(**whole))
        return
    loaded = contract(tmp_path, table_rule(**whole))
    if metric == "duplicateValues":
        assert loaded.unique_together == (("person", "year"),)
    else:
        least = {"mustBeGreaterThan": 6, "mustBeGreaterOrEqualTo": 5, "mustBeBetween": 1}
        operator = next(k for k in whole if k.startswith("must"))
        assert loaded.min_rows == least[operator]
        assert loaded.max_rows == (5 if operator == "mustBeBetween" else math.inf)


@pytest.mark.parametrize(
    "whole",
    [
        {"type": "sql", "query": "SELECT 1", "mustBe": 1},
        {"type": "sql", "query": "SELECT 1", "mustBe": 0, "metric": "nullValues"},
        {"type": "custom", "engine": "soda", "implementation": "x"},
        {
            "type": "custom",
            "engine": "soda",
            "implementation": "x",
            "metric": "nullValues",
            "mustBe": 0,
        },
        {"type": "text", "description": "should be plausible"},
        {"description": "neither type nor metric"},
        {"metric": "nullValues", "rule": "rowCount", "mustBe": 0},
        {"metric": "nullValues", "mustBe": False},
        {"metric": "nullValues", "mustBe": "0"},
        {"metric": "nullValues", "mustBe": 0, "unit": "hectares"},
        {"metric": "nullValues", "mustBe": 0, "arguments": {"where": "year = 1"}},
        {"metric": "nullValues", "mustBeLessOrEqualTo": 150, "unit": "percent"},
        {"metric": "nullValues", "mustBeLessOrEqualTo": -1, "unit": "percent"},
        {"metric": "invalidValues", "mustBe": 0},
        {"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": []}},
        {"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": "AB"}},
        {"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": 5}},
        {"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": ["A", None]}},
        {"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": ["A", 5]}},
        {"metric": "invalidValues", "mustBe": 0, "arguments": {"pattern": "^A$"}},
        {
            "metric": "invalidValues",
            "mustBe": 0,
            "arguments": {"validValues": ["A"], "pattern": "^A$"},
        },
    ],
    ids=str,
)
def test_a_column_rule_that_says_more_than_we_read_is_refused(
    tmp_path: Path, whole: Document
) -> None:
    refusal(tmp_path, rule("ward", whole))


@pytest.mark.parametrize(
    "whole",
    [
        {"type": "sql", "query": "SELECT 1", "mustBe": 0},
        {"metric": "rowCount", "mustBeBetween": [10, 1]},
        {"metric": "rowCount", "mustBeGreaterThan": 5, "unit": "percent"},
        {"metric": "rowCount", "mustBeGreaterThan": 5, "arguments": {"where": "year = 1"}},
        {"metric": "duplicateValues", "mustBe": 0},
        {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": []}},
        {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": "person"}},
        {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": ["nobody"]}},
        {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": [["person"]]}},
        {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": ["year", "year"]}},
        {
            "metric": "duplicateValues",
            "mustBe": 0,
            "arguments": {"properties": ["person"], "within": "year"},
        },
    ],
    ids=str,
)
def test_a_table_rule_that_says_more_than_we_read_is_refused(
    tmp_path: Path, whole: Document
) -> None:
    refusal(tmp_path, table_rule(**whole))


def test_a_fraction_of_a_row_is_rounded_to_the_safe_side(tmp_path: Path) -> None:
    def least(**operator: Any) -> int:
        return contract(tmp_path, table_rule(metric="rowCount", **operator)).min_rows

    assert least(mustBeGreaterOrEqualTo=10.5) == 11
    assert least(mustBeGreaterThan=10.5) == 11
    assert least(mustBeBetween=[10.5, 20]) == 11
    assert least(mustBeGreaterOrEqualTo=0) == 1


def test_of_several_rules_the_tightest_holds(tmp_path: Path) -> None:
    percent = {"metric": "nullValues", "mustBeLessOrEqualTo": 40, "unit": "percent"}
    none = {"metric": "nullValues", "mustBe": 0}
    assert contract(tmp_path, rule("ward", none, percent)).column("ward").max_null_fraction == 0

    def required(document: Document) -> None:
        column_of(document, "ward").update(required=True, quality=[percent])

    assert contract(tmp_path, required).column("ward").max_null_fraction == 0
    counts = [
        {"metric": "rowCount", "mustBeBetween": [5, 50]},
        {"metric": "rowCount", "mustBeBetween": [2, 20]},
    ]
    loaded = contract(tmp_path, lambda d: table_of(d).update(quality=counts))
    assert (loaded.min_rows, loaded.max_rows) == (5, 20)


def test_a_domain_is_stated_once(tmp_path: Path) -> None:
    valid = {"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": ["A", "B"]}}
    enum = [{"value": "A"}, {"value": "B", "label": "Ward B"}]
    assert contract(tmp_path, put("ward", enum=enum)).column("ward").allowed == ("A", "B")
    for change in (put("ward", enum=enum, quality=[valid]), rule("ward", valid, valid)):
        assert "the domain is stated twice" in refusal(tmp_path, change)


# Types


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        (put("cost", enum=[{"value": "5"}]), "value '5' is not of the column's type"),
        (put("cost", enum=[{"value": True}]), "value True is not of the column's type"),
        (put("year", enum=[{"value": 1.5}]), "value 1.5 is not of the column's type"),
        (put("ward", enum=[{"value": 5}]), "value 5 is not of the column's type"),
        (put("smoker", enum=[{"value": 1}]), "value 1 is not of the column's type"),
        (put("smoker", logicalTypeOptions={"minimum": 0}), "a range on text"),
        (put("smoker", logicalTypeOptions={"pattern": "x"}), "a pattern on numbers"),
        (put("smoker", logicalTypeOptions={"pattern": 5}), "a pattern on numbers"),
        (put("cost", logicalTypeOptions={"minimum": 5, "maximum": 4}), "minimum is above maximum"),
        (put("ward", logicalTypeOptions={"pattern": "(["}), "not a regular expression"),
        (put("ward", logicalTypeOptions={"pattern": "(?=A)"}), "not within RE2"),
        (put("ward", logicalTypeOptions={"pattern": r"(a)\1"}), "not within RE2"),
    ],
)
def test_values_that_are_not_of_the_type_are_refused(
    tmp_path: Path, change: Change, shown: str
) -> None:
    assert shown in refusal(tmp_path, change)


@pytest.mark.parametrize(
    "change",
    [
        put("ward", logicalTypeOptions={"minimum": 0}),
        put("cost", logicalTypeOptions={"pattern": "x"}),
        put("ward", logicalTypeOptions={"minLength": 1}),
        put("ward", logicalTypeOptions={"maxLength": 1}),
        put("ward", logicalTypeOptions={"format": "email"}),
        put("cost", logicalTypeOptions={"multipleOf": 2}),
        put("cost", logicalTypeOptions={"exclusiveMinimum": 0}),
        put("cost", logicalTypeOptions={"exclusiveMaximum": 9}),
        put("cost", logicalTypeOptions={"format": "f32"}),
        put("year", logicalTypeOptions={"format": "u8"}),
        put("smoker", logicalTypeOptions={"format": "x"}),
        put("ward", relationships=[{"to": "wards.id", "type": "foreignKey"}]),
        lambda d: table_of(d).update(
            relationships=[{"from": "visits.ward", "to": "wards.id", "type": "foreignKey"}]
        ),
        put("ward", properties=[{"name": "inner"}]),
        put("ward", items={"name": "inner"}),
        put("ward", map={"key": {"name": "k"}, "value": {"name": "v"}}),
        put("ward", physicalName="WARD_CD"),
        put("cost", semanticType="measure"),
        lambda d: d["servers"][0].update(encoding="ISO-8859-1"),
    ],
)
def test_every_other_rule_of_the_standard_is_refused(tmp_path: Path, change: Change) -> None:
    refusal(tmp_path, change)


def test_documentation_is_not_a_rule(tmp_path: Path) -> None:
    def change(document: Document) -> None:
        document.update(tags=["x"], domain="health", tenant="t", contractCreatedTs="2024-01-01")
        table_of(document).update(physicalName="t_visits", logicalType="object", tags=["x"])
        column_of(document, "ward").update(
            physicalName="ward",
            physicalType="VARCHAR(2)",
            description="d",
            businessName="b",
            examples=["A"],
            deprecated=False,
            criticalDataElement=True,
            partitioned=True,
            partitionKeyPosition=1,
            encryptedName="ward_enc",
            transformLogic="upper(x)",
            transformSourceObjects=["raw"],
            transformDescription="d",
            classification="phi",
            synonyms=[{"synonym": "unit"}],
            semanticType="dimension",
        )
        document["servers"][0].update(encoding="utf-8", environment="prod", description="d")

    before, after = contract(tmp_path), contract(tmp_path, change)
    assert after.column("ward").classification == "phi"
    assert [c.name for c in after.columns] == [c.name for c in before.columns]
    assert after.column("cost") == before.column("cost")


def test_a_primary_key_is_unique_and_never_null(tmp_path: Path) -> None:
    def key(document: Document) -> None:
        column_of(document, "note").update(primaryKey=True, unique=True)

    loaded = contract(tmp_path, key)
    assert loaded.column("note").unique
    assert loaded.column("note").max_null_fraction == 0
    assert loaded.unique_together == ()

    def pair(document: Document) -> None:
        column_of(document, "person").update(primaryKey=True, primaryKeyPosition=2)
        column_of(document, "year").update(primaryKey=True, primaryKeyPosition=1, required=False)

    loaded = contract(tmp_path, pair)
    assert loaded.unique_together == (("year", "person"),)
    assert loaded.column("year").max_null_fraction == 0
    assert not loaded.column("person").unique


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ward", "the column appears twice"),
        ("WARD", "upper and lower case do not tell columns apart"),
        ("assay_row", "a name that Assay uses"),
        ("Assay_group_age", "a name that Assay uses"),
        ("", "not a name"),
        ("two\nlines", "not a name"),
        ("bell\x07", "not a name"),
    ],
)
def test_column_names_that_engines_could_confuse_are_refused(
    tmp_path: Path, name: str, shown: str
) -> None:
    assert shown in refusal(tmp_path, put("note", name=name))


def test_two_uniqueness_rules_may_not_read_alike(tmp_path: Path) -> None:
    def change(document: Document) -> None:
        column_of(document, "note").update(name="person+year", unique=True)
        table_of(document)["quality"] = [
            {
                "metric": "duplicateValues",
                "mustBe": 0,
                "arguments": {"properties": ["person", "year"]},
            }
        ]

    assert "two uniqueness rules read alike" in refusal(tmp_path, change)


def test_the_digest_is_that_of_the_bytes(tmp_path: Path) -> None:
    path = write(tmp_path / "a.yaml", contract_document())
    before = load_contract(path).digest
    path.write_text(path.read_text() + "# a comment\n")
    assert load_contract(path).digest != before
    assert load_contract(path).digest == hashlib.sha256(path.read_bytes()).hexdigest()


# Severities, delimiters, banded spans and guesses


def test_severities_are_kept_by_rule(tmp_path: Path) -> None:
    def change(document: Document) -> None:
        table_of(document)["quality"] = [
            {"metric": "rowCount", "mustBeBetween": [1, 9], "severity": "info"},
            {"metric": "rowCount", "mustBeGreaterThan": 0, "severity": "warning"},
            {
                "metric": "duplicateValues",
                "mustBe": 0,
                "arguments": {"properties": ["person", "year"]},
                "severity": "error",
            },
        ]
        column_of(document, "cost")["quality"] = [
            {
                "metric": "nullValues",
                "mustBeLessOrEqualTo": 5,
                "unit": "percent",
                "severity": "info",
            },
            {"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": [1.0]}},
        ]

    assert contract(tmp_path, change).severities == {
        "row_count:least": "warning",
        "row_count:most": "info",
        "unique:person+year": "error",
        "nulls:cost": "info",
    }


def test_an_unknown_severity_is_refused(tmp_path: Path) -> None:
    bad = rule("cost", {"metric": "nullValues", "mustBe": 0, "severity": "critical"})
    assert "severity 'critical' of nullValues; expected one of info, warning, error" in refusal(
        tmp_path, bad
    )


def _delimiter(text: str) -> Change:
    ours = [{"property": "assayDelimiter", "value": text, "vendor": "assay"}]
    return lambda d: d["servers"][0].update(customProperties=ours)


def test_a_delimiter_is_one_plain_character(tmp_path: Path) -> None:
    assert contract(tmp_path).source.delimiter == ","
    for good in (";", "\t", "|"):
        assert contract(tmp_path, _delimiter(good)).source.delimiter == good
    for bad in ("", ";;", '"', "\n", "é"):
        assert "assayDelimiter is not a delimiter" in refusal(tmp_path, _delimiter(bad))


def test_a_span_column_may_have_bands(tmp_path: Path) -> None:
    banded = contract(tmp_path, ours("year", assayBands={"edges": [2002], "labels": ["a", "b"]}))
    assert banded.span_label_column == "assay_group_year"
    assert [c.name for c in banded.grouped] == ["age", "sex", "year"]
    assert contract(tmp_path).span_label_column == "year"
    assert [c.name for c in contract(tmp_path).grouped] == ["age", "sex"]
    bands = {"edges": [1], "labels": ["a", "b"]}
    assert "assayBands on a column with the role feature" in refusal(
        tmp_path, ours("cost", assayBands=bands)
    )


def test_a_guess_is_kept_until_a_person_takes_it_away(tmp_path: Path) -> None:
    guessed = contract(tmp_path, ours("cost", assayConfirm="class guessed"))
    assert guessed.column("cost").to_confirm == "class guessed"
    assert contract(tmp_path).column("cost").to_confirm is None


def test_a_narrowed_contract_has_only_those_columns(tmp_path: Path) -> None:
    def key(document: Document) -> None:
        table_of(document)["quality"] = [
            {
                "metric": "duplicateValues",
                "mustBe": 0,
                "arguments": {"properties": ["person", "year"]},
            }
        ]

    whole = contract(tmp_path, key)
    assert [c.name for c in whole.narrowed({"year", "person"}).columns] == ["person", "year"]
    assert whole.narrowed({"year", "person"}).unique_together == (("person", "year"),)
    assert whole.narrowed({"year"}).unique_together == ()


def test_a_limit_in_per_cent_is_a_decimal(tmp_path: Path) -> None:
    """0.57 / 100 in floats is 0.005699999999999999: 57 nulls in 10,000 rows would be too many."""
    limit = rule("cost", {"metric": "nullValues", "mustBeLessOrEqualTo": 0.57, "unit": "percent"})
    assert contract(tmp_path, limit).column("cost").max_null_fraction == 57 / 10_000
