"""`assay check` on files alone: verdicts, exit codes, and what it prints for whom."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.checks.measurement import Status
from components.contract.clauses import schema_clauses
from components.contract.json_schema import ROOT
from components.datasets.sources import open_source
from components.profile.stored import StoredProfile
from pipelines.check import Checked, check, check_schema
from tests import clinic as documents
from tests.pipelines.test_cli import ASSAY, assay

Lines = list[dict[str, str]]


def _no_watch(_: str) -> None:
    return


class Folder:
    """A folder with the clinic's contract, its policy and data files."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contract_change: documents.Change | None = None
        self.policy_change: documents.Change | None = None

    def file(self, name: str, lines: Lines) -> Path:
        path = self.path / name
        path.write_text(documents.csv_text(lines), "utf-8")
        return path

    def check(self, data: Path, reference: Path | None = None) -> Checked:
        contract = documents.contract(self.path, self.contract_change)
        policy = documents.policy(self.path, contract, self.policy_change)
        return check(contract, policy, open_source(contract, data), reference, _no_watch)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def _stored(made: Checked) -> bytes:
    assert made.policy
    return StoredProfile.of(made.contract, made.policy.data_gate, made.profile).to_bytes()


def _closed(checked: Checked) -> dict[str, Status]:
    return {f.rule: f.status for f in checked.verdict.findings if f.status is not Status.PASS}


def test_the_spans_of_one_file_are_its_sides(folder: Folder) -> None:
    checked = folder.check(folder.file("d.csv", documents.rows(200)))
    assert checked.verdict.status is Status.PASS, checked.verdict.reason
    assert checked.rows == 400
    assert {r.clause.rule for r in checked.covered} == {c.rule for c in checked.clauses}
    assert all(r.by_engine == {"referee": Status.PASS} for r in checked.covered)


def test_a_reference_is_the_baseline(folder: Folder) -> None:
    lines = documents.rows(200)
    before = folder.file("before.csv", lines)
    assert _closed(folder.check(before, before)) == {}
    dearer = [{**r, "cost": f"{float(r['cost']) * 100:.2f}"} for r in lines]
    after = folder.file("after.csv", dearer)
    assert _closed(folder.check(after, before)) == {"drift:cost": Status.FAIL}


def test_a_saved_profile_is_a_baseline_too(folder: Folder) -> None:
    before = folder.file("before.csv", documents.rows(200))
    stored = folder.path / "baseline.json"
    made = folder.check(before, before)
    stored.write_bytes(_stored(made))
    after = folder.file("after.csv", documents.rows(150, seed=2))
    assert (
        folder.check(after, stored).verdict.findings == folder.check(after, before).verdict.findings
    )


def test_a_baseline_of_another_contract_version_is_inconclusive(folder: Folder) -> None:
    before = folder.file("before.csv", documents.rows(200))
    stored = folder.path / "baseline.json"
    made = folder.check(before, before)
    stored.write_bytes(_stored(made))
    folder.contract_change = lambda d: d.update(version="1.1.0")
    checked = folder.check(before, stored)
    drift = {r for r in _closed(checked) if r.startswith("drift:")}
    assert set(_closed(checked).values()) == {Status.INCONCLUSIVE}
    assert set(_closed(checked)) == drift
    assert len(drift) == 6
    assert "contract clinic 1.0.0" in checked.verdict.reason
    assert "this is clinic 1.1.0" in checked.verdict.reason


def test_no_baseline_is_inconclusive_unless_a_first_release_is_declared(folder: Folder) -> None:
    lines = [r for r in documents.rows(200) if r["year"] == "2002"]
    data = folder.file("d.csv", lines)
    closed = _closed(folder.check(data))
    assert set(closed.values()) == {Status.INCONCLUSIVE}
    assert {"drift:cost", "span:2001"} <= set(closed)
    folder.policy_change = documents.first_release
    checked = folder.check(data)
    assert _closed(checked) == {}
    drift = next(f for f in checked.verdict.findings if f.rule == "drift:cost")
    assert "the policy declares a first release" in drift.reason


def test_too_few_rows_are_inconclusive(folder: Folder) -> None:
    before = folder.file("before.csv", documents.rows(200))
    after = folder.file("after.csv", documents.rows(4))
    closed = _closed(folder.check(after, before))
    assert closed == {f"drift:{c}": Status.INCONCLUSIVE for c in
                      ("age", "sex", "ward", "cost", "smoker", "under_40")}  # fmt: skip


def test_a_column_that_the_baseline_lacks_is_inconclusive(folder: Folder) -> None:
    lines = documents.rows(200)
    after = folder.file("after.csv", lines)
    before = folder.path / "before.csv"
    columns = [c for c in documents.COLUMNS if c != "cost"]
    before.write_text(documents.csv_text(lines, columns), "utf-8")
    checked = folder.check(after, before)
    assert _closed(checked) == {"drift:cost": Status.INCONCLUSIVE}
    assert checked.verdict.reason == "drift of cost unknown: one side lacks the column"


def test_a_column_that_the_data_lack_fails(folder: Folder) -> None:
    lines = documents.rows(200)
    before = folder.file("before.csv", lines)
    after = folder.path / "after.csv"
    columns = [c for c in documents.COLUMNS if c not in ("cost", "year")]
    after.write_text(documents.csv_text(lines, columns), "utf-8")
    closed = _closed(folder.check(after, before))
    assert closed["type:cost"] is closed["type:year"] is Status.FAIL
    assert closed["drift:cost"] is closed["nulls:year"] is Status.INCONCLUSIVE
    alone = folder.check(after)
    assert "span column" in next(f.reason for f in alone.verdict.findings if f.rule == "drift:ward")


def _strict(document: documents.Document) -> None:
    documents.column_of(document, "cost")["logicalTypeOptions"] = {"minimum": 0, "maximum": 10_000}
    documents.column_of(document, "ward")["quality"] = [
        {"metric": "invalidValues", "mustBe": 0, "severity": "warning",
         "arguments": {"validValues": ["A", "B", 'C "west", upper', "Ä\nÖ"]}},
        {"metric": "nullValues", "mustBeLessOrEqualTo": 30, "unit": "percent"},
    ]  # fmt: skip
    documents.column_of(document, "person")["logicalTypeOptions"] = {"pattern": "^p[0-9]+$"}
    documents.column_of(document, "note")["unique"] = True
    documents.table_of(document)["quality"] = [
        {"metric": "rowCount", "mustBeBetween": [100, 1000]},
        {"metric": "duplicateValues", "mustBe": 0, "arguments": {"properties": ["person", "year"]}},
    ]


def _set(column: str, cell: str) -> Callable[[Lines], Lines]:
    return lambda lines: [{**lines[0], column: cell}, *lines[1:]]


@pytest.mark.parametrize(
    ("damage", "rule"),
    [
        (_set("cost", "-0.01"), "range:cost"),
        (_set("cost", "10000.01"), "range:cost"),
        (_set("cost", "inf"), "type:cost"),
        (_set("cost", "1e400"), "type:cost"),
        (_set("cost", "cheap"), "type:cost"),
        (_set("year", "2001.5"), "type:year"),
        (_set("ward", "D"), "domain:ward"),
        (_set("ward", "a"), "domain:ward"),
        (_set("person", "q1"), "pattern:person"),
        (_set("person", "p1\n"), "pattern:person"),
        (lambda lines: [*lines, {**lines[0], "note": "new"}], "unique:person+year"),
        (lambda lines: [*lines[:-1], {**lines[-1], "note": lines[0]["note"]}], "unique:note"),
        (lambda lines: lines[:98], "row_count:least"),
        (lambda lines: [{**r, "ward": ""} if i % 3 else r for i, r in enumerate(lines)],
         "nulls:ward"),
        (_set("readmitted", ""), "nulls:readmitted"),
        (_set("smoker", "maybe"), "type:smoker"),
    ],
)  # fmt: skip
def test_each_breach_fails_its_clause_and_no_other(
    folder: Folder, damage: Callable[[Lines], Lines], rule: str
) -> None:
    folder.contract_change = _strict
    contract = documents.contract(folder.path, _strict)
    good = documents.rows(200)

    def closed(lines: Lines) -> dict[str, Status]:
        source = open_source(contract, folder.file("d.csv", lines))
        return _closed(check_schema(contract, source, _no_watch))

    assert closed(good) == {}
    found = closed(damage(good))
    column = rule.split(":")[1]
    assert found[rule] is Status.FAIL
    # A cell that is no longer read is null: the column's null limit may close as well.
    assert set(found) <= {rule, f"nulls:{column}"}


@pytest.mark.parametrize("lines", [[], documents.rows(1)[:1]], ids=["no rows", "one row"])
def test_next_to_no_rows_are_closed(folder: Folder, lines: Lines) -> None:
    before = folder.file("before.csv", documents.rows(200))
    checked = folder.check(folder.file("after.csv", lines), before)
    assert not checked.verdict.is_open
    drift = {r: s for r, s in _closed(checked).items() if r.startswith("drift:")}
    assert len(drift) == 6
    assert set(drift.values()) == {Status.INCONCLUSIVE}


def test_a_pattern_that_would_run_for_ever_elsewhere_does_not(folder: Folder) -> None:
    def hostile(document: documents.Document) -> None:
        documents.column_of(document, "note")["logicalTypeOptions"] = {"pattern": "^(a+)+$"}

    contract = documents.contract(folder.path, hostile)
    lines = [{**r, "note": "a" * 50_000 + "b"} for r in documents.rows(20)]
    source = open_source(contract, folder.file("d.csv", lines))
    began = time.monotonic()
    closed = _closed(check_schema(contract, source, _no_watch))
    assert closed == {"pattern:note": Status.FAIL}
    assert time.monotonic() - began < 30


# The command


@pytest.fixture
def project(folder: Folder) -> Path:
    documents.contract(folder.path, _strict)
    documents.policy(folder.path, documents.contract(folder.path, _strict))
    folder.file("good.csv", documents.rows(200))
    lines = documents.rows(200)
    folder.file("bad.csv", _set("ward", "SECRET-CELL")(lines))
    return folder.path


def _run(project: Path, *arguments: str | Path) -> subprocess.CompletedProcess:
    return assay(
        "check", "--contract", "clinic.yaml", "--policy", "clinic_policy.yaml", *arguments,
        cwd=project,
    )  # fmt: skip


def test_people_see_a_table_that_ends_with_the_verdict(project: Path) -> None:
    done = _run(project, "--data", "good.csv")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.strip().splitlines()
    assert lines[-1].startswith("PASS ")
    contract = documents.contract(project, _strict)
    for clause in schema_clauses(contract):
        assert sum(clause.rule in line and "referee" in line for line in lines) == 1
    assert any("domain:ward" in line and "warning" in line for line in lines)


def test_a_breach_exits_1_and_quotes_no_cell(project: Path) -> None:
    done = _run(project, "--data", "bad.csv", "--junit", "j.xml")
    assert done.returncode == 1
    assert "domain:ward" in done.stdout
    assert done.stdout.strip().splitlines()[-1].startswith("FAIL ")
    assert "SECRET-CELL" not in done.stdout + done.stderr + (project / "j.xml").read_text()


def test_machines_get_json(project: Path) -> None:
    done = _run(project, "--data", "bad.csv", "--json")
    assert done.returncode == 1
    assert done.stderr == ""
    document = json.loads(done.stdout)
    assert document["schemaVersion"] == "assay-cli/v1"
    assert document["verdict"]["status"] == "FAIL"
    assert document["data"]["rows"] == 400
    (file,) = document["data"]["files"]
    assert (file["name"], len(file["sha256"])) == ("bad.csv", 64)
    coverage = {c["rule"]: c["engines"] for c in document["coverage"]}
    assert coverage["domain:ward"] == {"referee": "FAIL"}
    assert coverage["drift:cost"] == {"referee": "PASS"}
    assert "SECRET-CELL" not in done.stdout


def test_ci_gets_junit(project: Path) -> None:
    _run(project, "--data", "bad.csv", "--junit", "j.xml")
    suite = ElementTree.parse(project / "j.xml").getroot()[0]  # noqa: S314 - our own file
    cases = suite.findall("testcase")
    assert (suite.get("failures"), suite.get("errors")) == ("1", "0")
    assert int(suite.get("tests", "")) == len(cases)
    (failed,) = [c for c in cases if c.find("failure") is not None]
    assert failed.get("name") == "domain:ward"
    documents.policy(project, documents.contract(project, _strict), documents.first_release)
    few = [r for r in documents.rows(200) if r["year"] == "2002"][:150]
    (project / "few.csv").write_text(documents.csv_text(few), "utf-8")
    documents.policy(project, documents.contract(project, _strict))
    _run(project, "--data", "few.csv", "--junit", "k.xml")
    suite = ElementTree.parse(project / "k.xml").getroot()[0]  # noqa: S314 - our own file
    errors = {c.get("name") for c in suite.findall("testcase") if c.find("error") is not None}
    assert "drift:cost" in errors


def test_a_name_that_xml_cannot_hold_is_still_xml(tmp_path: Path) -> None:
    from pipelines.check_output import _xml_text

    assert _xml_text("a\x0bb\ufffe<&") == "a?b?<&"


def test_a_saved_profile_serves_the_next_check(project: Path) -> None:
    assert _run(project, "--data", "good.csv", "--save-profile", "p.json").returncode == 0
    done = _run(project, "--data", "good.csv", "--reference", "p.json")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--data", "nowhere.csv"], "nowhere.csv: no such file"),
        (["--data", "good.csv", "--reference", "nowhere.json"], "nowhere.json: cannot be read"),
        (["--data", "good.csv", "--junit", "no/where/j.xml"], "cannot be written"),
        (["--data", "good.csv", "--schema-only"], "--schema-only with"),
        (["--data", "clinic.yaml"], "unknown format yaml"),
    ],
)
def test_bad_input_is_one_line(project: Path, arguments: list[str], says: str) -> None:
    done = _run(project, *arguments)
    assert done.returncode == 2
    assert says in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_without_a_policy_drift_is_not_guessed_at(project: Path) -> None:
    alone = ["check", "--contract", "clinic.yaml", "--data", "good.csv"]
    done = assay(*alone, cwd=project)
    assert done.returncode == 2
    assert "no policy for clinic" in done.stderr
    done = assay(*alone, "--schema-only", cwd=project)
    assert done.returncode == 0
    assert "drift" not in done.stdout


def test_parquet_is_checked_like_csv(project: Path) -> None:
    lines = documents.rows(200)
    table = pa.table({n: [r[n] or None for r in lines] for n in documents.COLUMNS})
    pq.write_table(table, project / "good.parquet")
    printed = [
        json.loads(_run(project, "--data", f"good.{kind}", "--json").stdout)
        for kind in ("csv", "parquet")
    ]
    assert printed[0]["verdict"] == printed[1]["verdict"]


def test_a_profile_saved_without_a_usable_baseline_is_a_baseline_all_the_same(
    folder: Folder,
) -> None:
    """Without edges of its own it would find any two numbers alike."""
    lines = documents.rows(200)
    data = folder.file("d.csv", lines)
    stored = folder.path / "v1.json"
    stored.write_bytes(_stored(folder.check(data, data)))
    folder.contract_change = lambda d: d.update(version="2.0.0")
    next_one = folder.path / "v2.json"
    next_one.write_bytes(_stored(folder.check(data, stored)))
    assert _closed(folder.check(data, next_one)) == {}
    dear = [{**r, "cost": f"{float(r['cost']) * 100:.2f}"} for r in lines]
    assert _closed(folder.check(folder.file("dear.csv", dear), next_one)) == {
        "drift:cost": Status.FAIL
    }


def test_a_profile_with_one_bin_for_all_is_no_baseline(folder: Folder) -> None:
    data = folder.file("d.csv", documents.rows(200))
    document = json.loads(_stored(folder.check(data, data)))
    document["profile"]["columns"]["cost"].update(edges=[], bins=[400])
    (folder.path / "p.json").write_text(json.dumps(document))
    closed = _closed(folder.check(data, folder.path / "p.json"))
    assert closed == {"drift:cost": Status.INCONCLUSIVE}


def test_a_span_that_the_policy_does_not_name_is_not_quoted(folder: Folder) -> None:
    def named(document: documents.Document) -> None:
        documents.column_of(document, "year")["logicalType"] = "string"

    folder.contract_change = named
    lines = documents.rows(200)
    lines[0]["year"] = "Jane Doe"
    checked = folder.check(folder.file("d.csv", lines))
    assert _closed(checked) == {"span:unnamed": Status.INCONCLUSIVE}
    assert "Jane Doe" not in str(checked.verdict)
    assert checked.verdict.reason.startswith("1 spans of the data")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_check_that_is_ended_leaves_no_row_behind(
    project: Path, tmp_path: Path, number: signal.Signals
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    lines = documents.rows(200) * 500
    (project / "large.csv").write_text(documents.csv_text(lines), "utf-8")
    command = [ASSAY, "check", "--contract", "clinic.yaml", "--policy", "clinic_policy.yaml"]
    running = subprocess.Popen(
        [*command, "--data", "large.csv"], cwd=project, stderr=subprocess.PIPE, text=True,
        stdout=subprocess.DEVNULL, env={**os.environ, "TMPDIR": str(temporary)},
    )  # fmt: skip
    while not list(temporary.glob("assay-*/rows.parquet")):
        assert running.poll() is None, running.stderr and running.stderr.read()
        time.sleep(0.005)
    running.send_signal(number)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 130
    assert said.strip().startswith("assay: interrupted")
    assert list(temporary.iterdir()) == []


def test_data_that_break_a_rule_become_no_baseline(project: Path) -> None:
    done = _run(project, "--data", "bad.csv", "--save-profile", "p.json")
    assert done.returncode == 1
    assert "p.json was not written" in done.stderr
    assert not (project / "p.json").exists()


@pytest.mark.parametrize("option", ["--junit", "--save-profile"])
@pytest.mark.parametrize("target", ["good.csv", ".", "no/such/file", "clinic.yaml"])
def test_what_would_be_lost_is_not_written(project: Path, option: str, target: str) -> None:
    before = {p.name: p.read_bytes() for p in project.iterdir() if p.is_file()}
    done = _run(project, "--data", "good.csv", option, target)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert {p.name: p.read_bytes() for p in project.iterdir() if p.is_file()} == before


def test_what_nobody_foresaw_is_a_malfunction_without_its_message(project: Path) -> None:
    broken = project / "sitecustomize.py"
    broken.write_text(
        "import pipelines.check as c\n"
        "def fail(*_): raise LookupError('SECRET-CELL')\n"
        "c.find_policy = fail\n"
    )
    done = assay(
        "check", "--contract", "clinic.yaml", "--data", "good.csv", cwd=project,
        PYTHONPATH=f"{project}:{ROOT}",
    )  # fmt: skip
    assert done.returncode == 3
    assert "broke down with LookupError" in done.stderr
    assert "SECRET-CELL" not in done.stderr
