"""`assay contract lint | infer | compile`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from components.contract.contract import LogicalType, Role
from components.contract.contract_loader import load_contract
from components.contract.json_schema import ROOT
from tests import clinic as documents
from tests.pipelines.test_cli import assay

EVERY_CLAUSE = ROOT / "tests" / "golden" / "odcs_exporter" / "every_clause.yaml"
INFER = ["contract", "infer", "d.csv", "--name", "clinic", "--label", "readmitted",
         "--positive", "1", "--entity", "person", "--span", "year", "--protected", "sex",
         "--protected", "age", "--missing", "?"]  # fmt: skip


def test_lint_lists_the_clauses(tmp_path: Path) -> None:
    done = assay("contract", "lint", EVERY_CLAUSE, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    by_rule = {c["rule"]: c["severity"] for c in document["clauses"]}
    assert by_rule["row_count:least"] == by_rule["row_count:most"] == "warning"
    assert by_rule["domain:sex"] == "info"
    assert by_rule["nulls:sex"] == "warning"
    assert by_rule["unique:person+year"] == by_rule["range:year"] == "error"
    assert document["toConfirm"] == {}
    assert assay("contract", "lint", EVERY_CLAUSE, cwd=tmp_path).stdout.endswith("fit to use\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: &a [*a]", "anchor or alias"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "anchor or alias"),
        ("[" * 5000, "nested too deeply"),
        ("kind: DataContract", "required"),
        ("kind: DataContract\nkind: DataContract", "appears twice"),
    ],
)
def test_a_hostile_contract_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    done = assay("contract", "lint", "c.yaml", cwd=tmp_path)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert says in line


def test_columns_that_refer_in_a_circle_are_refused(tmp_path: Path) -> None:
    def circle(document: documents.Document) -> None:
        for one, other in (("ward", "cost"), ("cost", "ward")):
            documents.column_of(document, one)["customProperties"].append(
                {"property": "assayProxyOf", "value": [other], "vendor": "assay"}
            )

    document = documents.contract_document()
    circle(document)
    documents.write(tmp_path / "c.yaml", document)
    done = assay("contract", "lint", "c.yaml", cwd=tmp_path)
    assert done.returncode == 2
    assert "expected the name of a protected column" in done.stderr


@pytest.fixture
def inferred(tmp_path: Path) -> Path:
    lines = [{**r, "ward": r["ward"].replace("\n", " ")} for r in documents.rows(200)]
    lines[0]["ward"] = "SEEN-ONCE"
    (tmp_path / "d.csv").write_text(documents.csv_text(lines), "utf-8")
    done = assay(*INFER, "-o", "schemas/clinic.yaml", cwd=_with(tmp_path, "schemas"))
    assert done.returncode == 0, done.stderr
    return tmp_path / "schemas" / "clinic.yaml"


def _with(folder: Path, name: str) -> Path:
    (folder / name).mkdir(exist_ok=True)
    return folder


def test_infer_writes_a_contract_that_the_data_keep_to(inferred: Path) -> None:
    contract = load_contract(inferred)
    columns = {c.name: c for c in contract.columns}
    assert {n: (c.role, c.logical_type) for n, c in columns.items()} == {
        "person": (Role.ENTITY, LogicalType.STRING),
        "year": (Role.SPAN, LogicalType.INTEGER),
        "age": (Role.PROTECTED, LogicalType.INTEGER),
        "sex": (Role.PROTECTED, LogicalType.STRING),
        "ward": (Role.FEATURE, LogicalType.STRING),
        "cost": (Role.FEATURE, LogicalType.NUMBER),
        "smoker": (Role.FEATURE, LogicalType.BOOLEAN),
        "under_40": (Role.FEATURE, LogicalType.BOOLEAN),
        "note": (Role.FEATURE, LogicalType.STRING),
        "readmitted": (Role.LABEL, LogicalType.INTEGER),
    }
    assert columns["sex"].allowed == ("f", "m")
    assert columns["readmitted"].allowed == (0, 1)
    assert columns["readmitted"].minimum is None
    assert columns["note"].unique
    assert columns["person"].classification == "phi-identifier"
    assert columns["person"].required
    assert not columns["age"].required
    assert columns["age"].minimum == 0
    assert columns["cost"].minimum == 0
    assert contract.missing_markers == ("?",)
    checked = assay(
        "check", "--contract", inferred, "--schema-only", "--json", cwd=inferred.parents[1]
    )
    found = json.loads(checked.stdout)["verdict"]["findings"]
    closed = {f["rule"] for f in found if f["status"] != "PASS"}
    assert closed == {f"confirmed:{c}" for c in columns}


def test_nobody_can_be_found_in_an_inferred_contract(inferred: Path) -> None:
    text = inferred.read_text("utf-8")
    assert "SEEN-ONCE" not in text
    assert "p0001" not in text
    cells = [r["cost"] for r in documents.rows(200)]
    assert not any(c in text for c in (min(cells, key=float), max(cells, key=float)))


def test_guesses_wait_for_a_person(inferred: Path) -> None:
    done = assay("contract", "lint", inferred, cwd=inferred.parent)
    assert done.returncode == 1
    assert "to confirm: age: class, type, range guessed from 400 rows" in done.stdout
    document = yaml.safe_load(inferred.read_text("utf-8"))
    for column in document["schema"][0]["properties"]:
        column["customProperties"] = [
            p for p in column["customProperties"] if p["property"] != "assayConfirm"
        ]
    inferred.write_text(yaml.safe_dump(document), "utf-8")
    assert assay("contract", "lint", inferred, cwd=inferred.parent).returncode == 0
    checked = assay("check", "--contract", inferred, "--schema-only", cwd=inferred.parents[1])
    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (["--label", "nothing"], "there is no column nothing"),
        (["--positive", "7"], "no row has that label"),
        (["--delimiter", ";"], "there is no column readmitted"),
        (["-o", "d.csv"], "d.csv: cannot be written (File exists)"),
    ],
)
def test_infer_refuses_in_one_line(tmp_path: Path, change: list[str], says: str) -> None:
    (tmp_path / "d.csv").write_text(documents.csv_text(documents.rows(50)), "utf-8")
    before = (tmp_path / "d.csv").read_bytes()
    done = assay(*INFER, *change, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr.strip().splitlines()[-1]
    assert done.stdout == ""
    assert (tmp_path / "d.csv").read_bytes() == before


@pytest.mark.parametrize("engine", ["tfmd", "gx", "evidently", "referee"])
def test_compile_prints_the_artefact_and_what_it_lacks(tmp_path: Path, engine: str) -> None:
    schema = ROOT / "schemas" / "rand_hie.yaml"
    done = assay("contract", "compile", schema, "--to", engine, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document["artefact"]
    expressed = set(document["expressed"])
    lacking = {u["rule"] for u in document["notExpressed"]}
    assert expressed
    assert not expressed & lacking
    assert all(u["why"] for u in document["notExpressed"])
    everything = json.loads(
        assay("contract", "compile", schema, "--to", "referee", "--json", cwd=tmp_path).stdout
    )["expressed"]
    assert expressed | lacking <= set(everything)
    assert (lacking == set()) == (engine in ("referee", "evidently"))


def test_nothing_is_lost_that_the_well_known_exporter_loses(tmp_path: Path) -> None:
    """datacontract-cli drops row counts, null limits, composite keys and every severity."""
    exported = json.loads(EVERY_CLAUSE.with_name("exported.json").read_text())["expectations"]
    done = assay("contract", "compile", EVERY_CLAUSE, "--to", "gx", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    ours = document["artefact"]["expectations"]
    by_rule = {e["meta"]["rule"]: e for e in ours}
    lost_there = {
        "row_count:least": "expect_table_row_count_to_be_between",
        "row_count:most": "expect_table_row_count_to_be_between",
        "nulls:sex": "expect_column_values_to_not_be_null",
        "unique:person+year": "expect_compound_columns_to_be_unique",
    }
    assert not {e["type"] for e in exported} & {
        "expect_table_row_count_to_be_between",
        "expect_compound_columns_to_be_unique",
    }
    assert not any(
        e["type"] == "expect_column_values_to_not_be_null" and e["kwargs"]["column"] == "sex"
        for e in exported
    )
    assert not any("severity" in e for e in exported)
    assert {rule: by_rule[rule]["type"] for rule in lost_there} == lost_there
    severities = {r: by_rule[r]["severity"] for r in ("row_count:least", "domain:sex", "nulls:ill")}
    assert severities == {
        "row_count:least": "warning", "domain:sex": "info", "nulls:ill": "critical"
    }  # fmt: skip
    # What the exporter does say, ours says too, but for types and columns, which ingest holds.
    held_at_ingest = {"expect_column_values_to_be_of_type", "expect_table_columns_to_match_set"}
    for theirs in exported:
        if theirs["type"] not in held_at_ingest:
            assert any(
                mine["type"] == theirs["type"]
                and mine["kwargs"]["column"] == theirs["kwargs"]["column"]
                for mine in ours
            ), theirs
    clauses = json.loads(assay("contract", "lint", EVERY_CLAUSE, "--json", cwd=tmp_path).stdout)
    listed = {u["rule"] for u in document["notExpressed"]}
    assert {c["rule"] for c in clauses["clauses"]} == set(by_rule) | listed
    assert listed == {f"type:{c}" for c in ("person", "visit", "year", "sex", "code", "ill")}
