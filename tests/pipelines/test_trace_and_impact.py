"""`assay trace` and `assay impact`, as a user calls them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from components.audit.access_log import read_access
from components.stacks.process import ReleaseProcess
from tests import seeded
from tests.decided import decide, rows_of
from tests.plain_stack import PlainStack, start

ASSAY = Path(sys.executable).parent / "assay"
HEAVY = (
    "tensorflow", "torch", "mlflow", "tfx", "onnxruntime", "evidently",
    "duckdb", "pandas", "pyarrow.dataset", "jsonschema", "open_data_contract_standard",
)  # fmt: skip
"""No framework, and nothing else that takes longer to load than a question has time."""


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> ReleaseProcess:
    """A released run with a log, and another log that names another model."""
    folder = tmp_path_factory.mktemp("home")
    contract, policy = seeded.write_documents(folder / "documents")
    data = seeded.write_rows(folder / "a.csv")
    made = start(folder, "plain", policy=policy, contract=contract, data=data)
    assert PlainStack(made).run() == "released"
    decide(made, "a-log", rows_of(made, "evaluation"))
    decide(made, "forged", rows_of(made, "evaluation"), model="f" * 64)
    return made


def _assay(process: ReleaseProcess, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [ASSAY, *map(str, arguments), "--home", process.spec.home]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_trace_as_tree_page_and_json(process, tmp_path: Path) -> None:
    page = tmp_path / "trace.html"
    done = _assay(process, "trace", "a-log.0000000001", "--html", page)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "decision a-log.0000000001"
    assert process.dataset.root("train") in done.stdout
    assert "every link holds" in done.stdout
    assert process.dataset.root("train") in page.read_text()
    told = json.loads(_assay(process, "trace", "a-log.0000000001", "--json").stdout)
    assert told["training"]["case"]["kind"] == "absence"
    assert read_access(Path(process.spec.home))[-1].subjects == ("a-log.0000000001",)


def test_a_log_about_another_model_is_a_closed_verdict(process) -> None:
    done = _assay(process, "trace", "forged.0000000001")
    assert done.returncode == 1
    assert "DIFFERS: the log names model ffff" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        ("trace", "a-log.0000000050"),
        ("trace", "no-log.0000000001"),
        ("trace", "a-log"),
        ("trace", "a-log.0000000001", "--html", "HOME/decisions/a-log/log/00000001.json"),
        ("trace", "a-log.0000000001", "--html", "ELSEWHERE"),
        ("trace", "a-log.0000000001", "--html", "ELSEWHERE/none/trace.html"),
        ("trace", "a-log.0000000001", "--html", "ELSEWHERE/pipe"),
        ("impact",),
        ("impact", "--span", "1", "--file", "a.csv"),
        ("impact", "--member", "\udcff"),
    ],
)
def test_bad_input_is_told_in_one_line(process, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    before = len(read_access(Path(process.spec.home)))
    os.mkfifo(tmp_path / "pipe")
    folders = {"HOME": process.spec.home, "ELSEWHERE": str(tmp_path)}
    for name, folder in folders.items():
        arguments = tuple(a.replace(name, folder) for a in arguments)
    done = _assay(process, *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert len(read_access(Path(process.spec.home))) == before


def test_no_home_is_bad_input(process, tmp_path: Path) -> None:
    for command in (["trace", "a-log.0000000001"], ["impact", "--span", "1"]):
        done = subprocess.run(
            [ASSAY, *command, "--home", tmp_path], capture_output=True, text=True, check=False
        )
        assert (done.returncode, len(done.stderr.splitlines())) == (2, 1)
    assert list(tmp_path.iterdir()) == []


def test_an_impact_tells_a_member_without_naming_them(process) -> None:
    member = str(rows_of(process, "evaluation")[process.contract.entity.name].to_pylist()[0])
    done = _assay(process, "impact", "--member", member)
    assert (done.returncode, done.stderr) == (0, "")
    assert "log a-log, by release 1 of insurer in tfx" in done.stdout
    told = json.loads(_assay(process, "impact", "--member", "nobody", "--json").stdout)
    assert told["decisions"] == []
    accessed = [a for a in read_access(Path(process.spec.home)) if a.command == "impact"]
    assert {a.subjects for a in accessed} == {("member",)}


def test_what_is_not_known_here_is_said_and_what_is_known_is_named(process) -> None:
    for option, name, known in (("--span", "1900", "'2001', '2002'"), ("--file", "c.csv", "a.csv")):
        done = _assay(process, "impact", option, name)
        assert (done.returncode, done.stderr) == (0, "")
        first, last = done.stdout.splitlines()
        assert first.startswith(f"no dataset version that is in this home holds that {option[2:]}")
        assert known in first
        assert last == f"{option[2:]}: 0 datasets, 0 runs, 0 releases, 0 decisions"
    done = _assay(process, "impact", "--member", "nobody")
    assert done.stdout.splitlines()[0].endswith("holds that member")
    assert "was trained on it" in _assay(process, "impact", "--file", "/elsewhere/a.csv").stdout


def test_what_is_missing_leaves_the_question_open(process, tmp_path: Path) -> None:
    home = shutil.copytree(process.spec.home, tmp_path / "home")
    shutil.rmtree(home / "datasets")
    for arguments in (["--span", "1900"], ["--member", "nobody"], ["--file", "c.csv"]):
        command = [ASSAY, "impact", *arguments, "--home", home]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (1, "")
        assert done.stdout.startswith(f"dataset {process.dataset.version}: what it held is missing")
        assert done.stdout.splitlines()[-1].endswith("1 sources are missing, so there may be more")


@pytest.mark.parametrize(
    "call",
    [
        "trace(home, 'a-log.0000000001')",
        "impact(home, Target(span='2001'))",
        "impact(home, Target(member='1'))",
    ],
)
def test_nothing_heavy_is_loaded(process, call: str) -> None:
    code = (
        "import sys; from pathlib import Path; from components.audit.trace import trace; "
        "from components.audit.impact import Target, impact; home = Path(sys.argv[1]); "
        f"{call}; print(sorted(set(sys.modules) & set({HEAVY!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, process.spec.home], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
