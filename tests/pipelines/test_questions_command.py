"""`assay audit questions`: what it prints, writes and records, and what it refuses."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.audit.access_log import read_access
from components.contract.errors import InputError
from components.lineage.graph import GraphBuilder, NodeKind, StoreReading
from pipelines import lineage_stores
from pipelines.cli import app
from tests import seeded
from tests.plain_stack import PlainStack, start

ASSAY = Path(sys.executable).parent / "assay"


class StockStore:
    """A native store as it is by itself: it knows that there was a run, and little of it."""

    name = "mlmd"

    def read(self, runs: Collection[str] | None = None) -> StoreReading:
        """One run."""
        built = GraphBuilder()
        built.node(NodeKind.RUN, "r", actor="ana", started="2026-11-24T12:00:00.000000+00:00")
        return StoreReading(built.build(), {}, 5)


@pytest.fixture(scope="module")
def one_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one run, which was stopped before training: it is the quickest to make."""
    home = tmp_path_factory.mktemp("asked")
    contract, policy = seeded.write_documents(home / "documents")
    data = seeded.write_rows(home / "rows.csv", seeded.leaked)
    process = start(home, "plain", policy=policy, contract=contract, data=data)
    assert PlainStack(process).run() == "blocked"
    return home


@pytest.fixture
def home(one_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same, to write to, with a native store that holds next to nothing."""
    monkeypatch.setattr(lineage_stores, "native_store", lambda stack, home: StockStore())
    return Path(shutil.copytree(one_run, tmp_path / "home"))


def ask(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and output of the command, in this process."""
    result = CliRunner().invoke(app, ["audit", "questions", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def test_it_shows_each_store_beside_the_evidence(home: Path) -> None:
    code, output = ask("--home", home)
    assert code == 0
    assert "tfx, mlmd alone: 1 answered, 1 partial, 40 impossible; 5 queries, read in" in output
    assert "tfx with evidence: " in output
    assert "files, read in" in output
    assert "Counsel decides" in output


def test_json_has_every_answer_and_the_access_is_recorded_first(home: Path) -> None:
    code, output = ask("--home", home, "--stack", "tfx", "--json")
    assert code == 0
    document = json.loads(output)
    native, evidence = document["readings"]
    assert (native["store"], evidence["store"]) == ("mlmd", "evidence")
    assert native["queries"] == 5
    assert len(native["answers"]) == len(document["questions"]) >= 30
    by_id = {a["question"]: a["status"] for a in evidence["answers"]}
    assert by_id["B10"] == "answered"
    (access,) = read_access(home)
    assert (access.command, access.subjects) == ("audit questions", ("tfx",))
    assert access.result.startswith("tfx, mlmd alone: 1 of ")


def test_the_answers_go_into_files(home: Path, tmp_path: Path) -> None:
    wanted = ("--format", "html", "--format", "xlsx", "--format", "pdf", "--format", "html")
    code, _ = ask("--home", home, "-o", tmp_path / "out", *wanted)
    assert code == 0
    found = {p.name: p.read_bytes()[:5] for p in (tmp_path / "out").iterdir()}
    assert found == {
        "audit-questions.html": b"<!doc",
        "audit-questions.xlsx": b"PK\x03\x04\x14",
        "audit-questions.pdf": b"%PDF-",
    }


def test_an_access_that_cannot_be_recorded_shows_nothing(home: Path, tmp_path: Path) -> None:
    (home / "keys" / "evidence.key").unlink()
    with pytest.raises(InputError):
        ask("--home", home, "-o", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--stack", "jax"], "--stack: no stack 'jax'; expected tfx, pytorch or both"),
        (["--stack", "pytorch"], "no run of pytorch; expected the runs"),
        (["--home", "nowhere"], "nowhere: is no directory; expected a home"),
        (["--format", "csv", "-o", "out"], "--format: no format 'csv'; expected html, xlsx or pdf"),
        (["--format", "pdf"], "--format: has nowhere to go; expected a directory as well"),
    ],
)
def test_bad_input_is_told_in_one_line_and_leaves_nothing(
    one_run: Path, tmp_path: Path, arguments: list[str], says: str
) -> None:
    done = subprocess.run(
        [ASSAY, "audit", "questions", "--home", one_run, *arguments],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert not (one_run / "access").exists()


def test_a_home_without_runs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no run of tfx or pytorch"):
        ask("--home", tmp_path)


def test_neither_help_nor_a_refusal_loads_a_framework(tmp_path: Path) -> None:
    program = (
        "import sys; sys.argv = ['assay', 'audit', 'questions', '--stack', 'jax']\n"
        "from pipelines.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'tensorflow', 'torch', 'mlflow', 'tfx', 'ml_metadata', 'openpyxl', 'typst'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_a_broken_access_log_is_told_after_the_answers(home: Path) -> None:
    assert ask("--home", home)[0] == 0
    (home / "access" / "00000001.json").write_text("garbage")
    code, output = ask("--home", home)
    assert code == 1
    assert "tfx with evidence: " in output
    assert "the access log is broken: 00000001.json: " in output.splitlines()[-1]
    code, output = ask("--home", home, "--json")
    assert (code, json.loads(output)["accessLogBroken"][:13]) == (1, "00000001.json")


def test_a_home_without_its_native_store_answers_from_evidence(
    one_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Path(shutil.copytree(one_run, tmp_path / "home"))
    missing = InputError("is not there", where="mlmd.sqlite", expected="a home of tfx")

    def native(stack: str, home: Path) -> StockStore:
        raise missing

    monkeypatch.setattr(lineage_stores, "native_store", native)
    monkeypatch.delenv("ASSAY_MLMD_URI", raising=False)
    code, output = ask("--home", home, "--json")
    assert code == 0
    absent, evidence = json.loads(output)["readings"]
    assert (absent["store"], absent["impossible"]) == ("mlmd", len(absent["answers"]))
    assert "mlmd.sqlite is not there" in absent["note"]
    assert (evidence["note"], evidence["answered"] > 0) == ("", True)
    (home / "stores").mkdir(exist_ok=True)
    (home / "stores" / "mlmd.sqlite").write_bytes(b"")
    with pytest.raises(InputError, match="is not there"):  # a store that cannot be read stays so
        ask("--home", home)
