"""`assay bundle`, `assay verify` and `assay import`, on real runs of the tiny stack."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.audit import verify_bundle
from components.audit.access_log import read_access
from components.contract.errors import InputError
from components.lineage.keys import new_key, public_text
from components.release.records import read_releases
from components.release.run_evidence import read_evidence
from components.release.waiver_requests import Asked, request_waiver
from components.stacks.run_spec import RunSpec
from pipelines.cli import app
from pipelines.evidence_commands import BrokenEvidenceError
from tests import seeded
from tests.plain_stack import PlainStack, start
from tests.recorded_store import recorded_store, sign_receipts

RUNNER = CliRunner()
PATHS = dict.fromkeys(("home", "contract_path", "policy_path", "dataset_path"), "")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one released run."""
    path = tmp_path_factory.mktemp("bundled")
    contract, policy = seeded.write_documents(path / "documents", lambda _: None)
    data = seeded.write_rows(path / "rows.csv", None)
    process = start(path, "plain", policy=policy, contract=contract, data=data)
    assert PlainStack(process).run() == "released"
    return path


def run_of(home: Path) -> str:
    """The one run of a home."""
    (found,) = (home / "runs").iterdir()
    return found.name


def files_but_the_log(home: Path) -> dict[Path, bytes]:
    """Every file of a home but its access log, which each look adds to."""
    found = (p for p in home.rglob("*") if p.is_file() and home / "access" not in p.parents)
    return {p: p.read_bytes() for p in found}


@pytest.fixture
def bundle(home: Path, tmp_path: Path) -> Path:
    """Its bundle, with a report."""
    report, path = tmp_path / "report.html", tmp_path / "bundle.zip"
    report.write_text("<p>all is well</p>")
    given = ["bundle", run_of(home), "-o", str(path), "--home", str(home)]
    done = RUNNER.invoke(app, [*given, "--report", str(report)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return path


def key(home: Path) -> list[str]:
    """The option that names a home's key."""
    return ["--key", str(home / "keys" / "evidence.pub")]


def test_a_bundle_verifies_and_says_what_was_checked(home: Path, bundle: Path) -> None:
    done = RUNNER.invoke(app, ["verify", str(bundle), *key(home)])
    assert done.exit_code == 0
    assert done.output.splitlines()[-1] == "sound"
    assert "release: number 1 of insurer in tfx" in done.output
    said = json.loads(RUNNER.invoke(app, ["verify", str(bundle), *key(home), "--json"]).output)
    assert (said["sound"], said["problems"], len(said["checks"])) == (True, [], 8)


def test_it_holds_no_data_and_no_path_of_this_machine(home: Path, bundle: Path) -> None:
    raw = bundle.read_bytes()
    assert b"parquet" not in raw.split(b"PK\1\2", 1)[1]
    assert str(home).encode() not in raw


def test_a_tampered_bundle_exits_1_and_names_the_entry(home: Path, bundle: Path) -> None:
    bundle.write_bytes(bundle.read_bytes().replace(b"all is well", b"all is hell"))
    done = RUNNER.invoke(app, ["verify", str(bundle), *key(home)])
    assert done.exit_code == 1
    assert "TAMPERED  reports/report.html: its SHA-256" in done.output


def test_an_import_brings_the_run_and_is_idempotent(
    home: Path, bundle: Path, tmp_path: Path
) -> None:
    other, run = tmp_path / "other", run_of(home)
    given = ["import", str(bundle), *key(home), "--home", str(other)]
    assert RUNNER.invoke(app, given, catch_exceptions=False).exit_code == 0
    here, there = (read_evidence(h / "runs" / run) for h in (home, other))
    assert [r.digest for r in here.own.values()] == [r.digest for r in there.own.values()]
    assert (there.outcome, there.inputs) == ("released", here.inputs)
    assert read_releases(other, "insurer", "tfx") == read_releases(home, "insurer", "tfx")
    moved = replace(RunSpec.load(home / "runs" / run), **PATHS)
    assert replace(RunSpec.load(other / "runs" / run), **PATHS) == moved
    before = files_but_the_log(other)
    again = RUNNER.invoke(app, given)
    assert (again.exit_code, "was there already, the same" in again.output) == (0, True)
    assert before == files_but_the_log(other)


def test_what_an_import_brought_can_be_bundled_again(
    home: Path, bundle: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    RUNNER.invoke(app, ["import", str(bundle), *key(home), "--home", str(other)])
    path = tmp_path / "again.zip"
    given = ["bundle", run_of(home), "-o", str(path), "--home", str(other)]
    # Its manifest is signed by the importing home, its records by the one that ran.
    assert RUNNER.invoke(app, given, catch_exceptions=False).exit_code == 0
    with pytest.raises(InputError, match="signed by a key that is not trusted"):
        RUNNER.invoke(app, ["verify", str(path), *key(home)], catch_exceptions=False)


@pytest.mark.parametrize("name", ["evidence/0009-close.json", "policy.yaml"])
def test_a_run_that_is_there_with_other_content_is_refused(
    home: Path, bundle: Path, tmp_path: Path, name: str
) -> None:
    other, run = tmp_path / "other", run_of(home)
    shutil.copytree(home / "runs" / run, other / "runs" / run)
    (other / "runs" / run / name).write_bytes(b"other")
    before = sorted(other.rglob("*"))
    with pytest.raises(InputError, match="in the home already, with other content"):
        RUNNER.invoke(
            app,
            ["import", str(bundle), *key(home), "--home", str(other)],
            catch_exceptions=False,
        )
    assert sorted(other.rglob("*")) == before


def test_a_tampered_bundle_is_not_imported(home: Path, bundle: Path, tmp_path: Path) -> None:
    bundle.write_bytes(bundle.read_bytes().replace(b"all is well", b"all is hell"))
    other = tmp_path / "other"
    done = RUNNER.invoke(app, ["import", str(bundle), *key(home), "--home", str(other)])
    assert (done.exit_code, other.exists()) == (1, False)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        (["verify", "nowhere.zip", "--key", "nowhere.pub"], "nowhere.pub: cannot be read"),
        (["verify", "nowhere.zip"], "Missing parameter: key"),
        (["bundle", "no-run", "-o", "b.zip"], "no run 'no-run'"),
    ],
)
def test_bad_input_is_one_line_and_exit_2(
    arguments: list[str], wanted: str, tmp_path: Path
) -> None:
    command = Path(sys.executable).parent / "assay"
    done = subprocess.run([command, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert wanted in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_verify_loads_no_framework_and_no_table_library(home: Path, bundle: Path) -> None:
    code = (
        "import sys\nsys.argv = ['assay', *sys.argv[1:]]\nimport pipelines.cli as c\n"
        "try:\n    c.main()\nexcept SystemExit as e:\n"
        "    print(e.code, sorted({'numpy', 'pandas', 'pyarrow', 'duckdb', 'torch', 'mlflow',"
        " 'tensorflow', 'tfx'} & {m.partition('.')[0] for m in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "verify", bundle, *key(home)], capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "0 []"


def test_a_waived_run_is_imported_with_what_it_continues(tmp_path: Path) -> None:
    home, other, path = tmp_path / "home", tmp_path / "other", tmp_path / "bundle.zip"
    keys = {name: new_key(home / "people", name) for name in ("ana", "bo")}
    ana, bo = ({n: public_text(pair.raw)} for n, pair in keys.items())
    rules = {"max_days": 30, "signers": ana, "cosigners": bo}
    contract, policy = seeded.write_documents(home / "documents", lambda d: d.update(waivers=rules))
    data = seeded.write_rows(home / "rows.csv", seeded.biased)
    process = start(home, "plain", policy=policy, contract=contract, data=data)
    assert PlainStack(process).run() == "blocked"
    now = datetime.now(UTC)
    asked = Asked(
        "release_gate", "Nurses call everybody until then.", str(now.date() + timedelta(days=7)),
        keys["ana"].private, keys["bo"].private, "tester", now,
    )  # fmt: skip
    request_waiver(process.spec.directory, asked)
    again = start(home, "plain", continues=process)
    assert PlainStack(again).release() == "released"
    run = again.spec.run_id
    for given in (
        ["bundle", run, "-o", str(path), "--home", str(home)],
        ["import", str(path), *key(home), "--home", str(other)],
        ["bundle", run, "-o", str(tmp_path / "again.zip"), "--home", str(other)],
    ):
        done = RUNNER.invoke(app, given, catch_exceptions=False)
        assert done.exit_code == 0, done.output
    imported = read_evidence(other / "runs" / run)
    assert (imported.continues, imported.outcome) == (process.spec.run_id, "released")
    assert RunSpec.load(other / "runs" / run).reason == "a test"
    problems = verify_bundle.verify_bundle(
        path.read_bytes(), verify_bundle.load_key(home / "keys" / "evidence.pub")
    )[1]
    assert problems == []


def test_a_home_whose_history_is_another_refuses(home: Path, bundle: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    folder = other / "releases" / "insurer" / "tfx"
    folder.mkdir(parents=True)
    (folder / "000001.json").write_bytes(b"another")
    with pytest.raises(InputError, match="in the home already, with other content"):
        RUNNER.invoke(
            app,
            ["import", str(bundle), *key(home), "--home", str(other)],
            catch_exceptions=False,
        )
    assert list((other / "runs").iterdir()) == []


def test_a_bundle_without_a_receipt_says_what_it_does_not_prove(
    home: Path, bundle: Path, tmp_path: Path
) -> None:
    told = f"what the native store held: the bundle has no receipt of {run_of(home)}"
    bare = RUNNER.invoke(app, ["verify", str(bundle), *key(home)])
    assert (bare.exit_code, f"not seen  {told}" in bare.output.splitlines()) == (0, True)
    other, path = tmp_path / "home", tmp_path / "with.zip"
    shutil.copytree(home, other)
    sign_receipts(other, recorded_store(other))
    RUNNER.invoke(app, ["bundle", run_of(other), "-o", str(path), "--home", str(other)])
    done = RUNNER.invoke(app, ["verify", str(path), *key(home), "--json"])
    assert done.exit_code == 0
    assert told not in json.loads(done.output)["notChecked"]
    assert any(line.startswith("receipt: ") for line in json.loads(done.output)["checks"])


def test_what_is_handed_out_or_brought_in_is_on_record(
    home: Path, bundle: Path, tmp_path: Path
) -> None:
    assert (read_access(home)[-1].command, read_access(home)[-1].subjects) == (
        "bundle", (run_of(home),),
    )  # fmt: skip
    into = tmp_path / "into"
    for told in ("imported", "was there already, the same"):
        done = RUNNER.invoke(app, ["import", str(bundle), *key(home), "--home", str(into)])
        assert done.exit_code == 0, done.output
        last = read_access(into)[-1]
        assert (last.command, last.subjects, last.result) == ("import", (run_of(home),), told)


def test_a_bundle_that_cannot_be_put_on_record_is_not_handed_out(
    home: Path, tmp_path: Path
) -> None:
    other, path = tmp_path / "home", tmp_path / "bundle.zip"
    shutil.copytree(home, other, ignore=shutil.ignore_patterns("access"))
    (other / "access").write_text("")
    done = RUNNER.invoke(app, ["bundle", run_of(other), "-o", str(path), "--home", str(other)])
    assert isinstance(done.exception, BrokenEvidenceError)
    assert not path.exists()
