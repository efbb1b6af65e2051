"""`assay compare`: which runs it takes, what it refuses, and what it writes and records."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from components.audit.access_log import read_access
from components.compare.fault_matrix import save_cell
from components.contract.errors import InputError
from pipelines.cli import app
from pipelines.evidence_commands import BrokenEvidenceError
from tests import seeded
from tests.compared import matrix, table
from tests.plain_stack import PlainStack, start

ASSAY = Path(sys.executable).parent / "assay"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A home and its runs by what they are called: two that fit, and newer ones that do not."""
    home = tmp_path_factory.mktemp("compared")
    contract, policy = seeded.write_documents(home / "documents")
    _, other = seeded.write_documents(
        home / "other", lambda p: p.update(purpose="Another purpose, and so another policy.")
    )
    good = seeded.write_rows(home / "good.csv")
    leaked = seeded.write_rows(home / "leaked.csv", seeded.leaked)
    runs = {"home": str(home)}
    for name, stack, rules, rows, outcome in (
        ("pytorch", "pytorch", policy, good, "released"),
        ("tfx", "tfx", policy, good, "released"),
        ("other", "tfx", other, good, "released"),
        ("stopped", "tfx", policy, leaked, "blocked"),
    ):
        process = start(home, "plain", policy=rules, contract=contract, data=rows, stack=stack)
        assert PlainStack(process).run() == outcome
        runs[name] = process.spec.run_id
    return runs


@pytest.fixture
def home(made: dict[str, str], tmp_path: Path) -> Path:
    """The home, in another place, to be changed there."""
    target = tmp_path / "home"
    shutil.copytree(made["home"], target)
    return target


def compare(home: Path, *arguments: str) -> dict[str, Any]:
    """What the command prints as JSON, which went well."""
    result = CliRunner().invoke(
        app, ["compare", *arguments, "--home", str(home), "-o", str(home / "report"), "--json"]
    )
    assert result.exit_code == 0, result.exception
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def refused(home: Path, *arguments: str) -> str:
    """The line with which the command refuses."""
    result = CliRunner().invoke(
        app, ["compare", *arguments, "--home", str(home), "-o", str(home / "report")]
    )
    assert isinstance(result.exception, InputError), result.output
    assert not (home / "report" / "index.html").exists()
    return str(result.exception)


def test_the_latest_two_that_fit_are_taken(home: Path, made: dict[str, str]) -> None:
    found = compare(home)
    assert found["runs"] == [made["tfx"], made["pytorch"]]
    assert found["notComparable"] == []
    assert Path(found["files"][0]).name == "index.html"
    assert all(Path(f).is_file() for f in found["files"])
    tables = {p.stem for p in (home / "report" / "tables").glob("*.csv")}
    assert {"parity", "agreement", "audit-score", "cost-glue", "fairness", "questions"} <= tables
    (access,) = read_access(home)
    assert (access.command, list(access.subjects)) == ("compare", found["runs"])


def test_faults_and_measurements_come_in(home: Path) -> None:
    for cell in matrix().cells:
        save_cell(home / "faults", cell)
    (home / "bench.json").write_text(json.dumps([table("install").to_json()]))
    found = compare(home, "--faults", str(home / "faults"), "--measured", str(home / "bench.json"))
    page = Path(found["files"][0]).read_text()
    assert "with referee and evidence on" in found["verdict"]
    assert 'href="../faults/cells/span_twice-tfx-assay.json"' in page
    assert (home / "report" / "tables" / "install.csv").is_file()


def test_other_policies_are_refused_with_both_digests(home: Path, made: dict[str, str]) -> None:
    line = refused(home, made["other"], made["pytorch"])
    digests = [
        json.loads((home / "runs" / made[n] / "run.json").read_text())["policy"][:16]
        for n in ("other", "pytorch")
    ]
    assert f"not comparable: policy {digests[0]} and {digests[1]}" in line
    assert "--force" in line
    assert "\n" not in line
    assert read_access(home) == []


def test_what_is_forced_is_marked(home: Path, made: dict[str, str]) -> None:
    found = compare(home, made["other"], made["pytorch"], "--force")
    assert len(found["notComparable"]) == 1
    assert found["verdict"].startswith("NOT COMPARABLE: policy ")
    page = Path(found["files"][0]).read_text()
    assert page.count('<p class="mark">NOT COMPARABLE') == page.count("<section ") + 1
    (access,) = read_access(home)
    assert access.result.startswith("NOT COMPARABLE")


def test_runs_of_two_homes_have_other_rows(
    home: Path, made: dict[str, str], tmp_path: Path
) -> None:
    second = tmp_path / "second"
    contract, policy = seeded.write_documents(second / "documents")
    rows = seeded.write_rows(second / "good.csv")
    process = start(second, "plain", policy=policy, contract=contract, data=rows, stack="tfx")
    assert PlainStack(process).run() == "released"
    line = refused(home, str(process.spec.directory), made["pytorch"])
    assert "not comparable: data " in line
    assert "; rows " in line
    found = compare(home, str(process.spec.directory), made["pytorch"], "--force")
    assert len(found["notComparable"]) == 2
    assert [len(read_access(place)) for place in (home, second)] == [1, 1]


def test_where_no_two_fit_the_latest_are_refused(home: Path, made: dict[str, str]) -> None:
    shutil.rmtree(home / "runs" / made["tfx"])
    assert f"{made['other']} and {made['pytorch']}: not comparable: policy" in refused(home)


def test_named_runs_must_be_one_of_each_stack_and_judged(home: Path, made: dict[str, str]) -> None:
    assert "1 runs are named" in refused(home, made["tfx"])
    assert "no judged run of pytorch" in refused(home, made["tfx"], made["other"])
    assert "did not come to its release gate" in refused(home, made["stopped"], made["pytorch"])
    assert "no run 'nothing'" in refused(home, "nothing", made["pytorch"])


def test_a_home_without_one_of_the_stacks_is_refused(home: Path, made: dict[str, str]) -> None:
    shutil.rmtree(home / "runs" / made["pytorch"])
    assert "no judged run of pytorch" in refused(home)
    shutil.rmtree(home / "runs")
    (home / "runs").mkdir()
    assert "no judged run of tfx or pytorch" in refused(home)
    assert "is no home" in refused(home / "documents")


@pytest.mark.parametrize(
    ("option", "content", "said"),
    [
        ("--measured", None, "cannot be read"),
        ("--measured", "[1]", "is no object"),
        ("--measured", json.dumps([table("parity").to_json()]), "'parity' stands twice"),
        ("--measured", json.dumps([table("faults").to_json()] * 2), "'faults' stands twice"),
        ("--faults", None, "holds no fault matrix"),
    ],
)
def test_files_that_are_none_are_refused(
    home: Path, option: str, content: str | None, said: str
) -> None:
    path = home / "given.json"
    if content is not None:
        path.write_text(content)
    assert said in refused(home, option, str(path))


def test_a_table_that_would_write_over_another_is_refused(home: Path) -> None:
    (home / "given.json").write_text(json.dumps([table("Lineage nodes").to_json()]))
    assert "two tables are called 'lineage-nodes'" in refused(
        home, "--measured", str(home / "given.json")
    )


def test_evidence_that_was_changed_ends_it(home: Path, made: dict[str, str]) -> None:
    path = next((home / "runs" / made["tfx"] / "evidence").glob("*-train.json"))
    path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))
    result = CliRunner().invoke(app, ["compare", "--home", str(home), "-o", str(home / "report")])
    assert isinstance(result.exception, BrokenEvidenceError)
    assert result.exception.exit_code == 1
    assert not (home / "report").exists()


def test_bad_input_is_one_line_and_exit_2(home: Path, made: dict[str, str]) -> None:
    done = subprocess.run(
        [ASSAY, "compare", made["other"], made["pytorch"], "--home", home, "-o", home / "report"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(
    home: Path, made: dict[str, str]
) -> None:
    (home / "file").touch()
    result = CliRunner().invoke(
        app, ["compare", "--home", str(home), "-o", str(home / "file" / "report")]
    )
    assert isinstance(result.exception, InputError)
    assert read_access(home) == []
