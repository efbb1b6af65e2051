"""The command line as a person or a script meets it: exit codes and one line for bad input."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ASSAY = Path(sys.executable).parent / "assay"


def assay(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """The installed command, in a directory of its own."""
    return subprocess.run(
        [ASSAY, *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
        env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def test_help_lists_the_commands(tmp_path: Path) -> None:
    done = assay("--help", cwd=tmp_path)
    assert done.returncode == 0
    assert {"run", "demo", "report", "doctor"} <= set(done.stdout.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "no_such_data"], "schemas/: no 'no_such_data'; expected one of"),
        (["run", "../../etc/passwd"], "expected one of"),
        (["run", "rand_hie", "--stack", "spark"], "unknown stack 'spark'; expected tfx, pytorch"),
        (["run", "rand_hie", "--candidate", "best"], "unknown candidate 'best'; expected one of"),
        (["run", "rand_hie", "--policy", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["run", "rand_hie", "--data", "nowhere.csv"], "nowhere.csv: no such file"),
        (["run", "rand_hie", "--home", "/dev/null/home"], "cannot be written"),
        (["report", "nowhere"], "holds no evidence"),
        (["run"], "Missing parameter"),
        (["run", "rand_hie", "--no-such-option"], "No such option"),
        (["no_such_command"], "No such command"),
        ([], "Missing command"),
    ],
)
def test_bad_input_is_told_in_one_line(tmp_path: Path, arguments: list[str], says: str) -> None:
    done = assay(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    line = done.stderr.strip().splitlines()[-1]
    assert says in line
    assert line.startswith("assay: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def _data(tmp_path: Path, lines: list[str]) -> Path:
    path = tmp_path / "people.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _people(classes: tuple[int, ...]) -> list[str]:
    rows = [f"p{i},{20 + i % 50},{'ab'[i % 2]},{classes[i % len(classes)]}" for i in range(400)]
    return ["person,age,sex,ill", *rows]


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        (_people((0,)), "label ill has 1 class"),
        (["person,age,sex", "p1,20,a"], "column ill of the contract is not in the data"),
        ([*_people((0, 1)), "p9,30"], "cannot be read as CSV"),
        (["person,age,sex,ill,ill", "p1,20,a,1,1"], "header line with each column once"),
    ],
)
def test_bad_data_leaves_nothing_behind(
    tmp_path: Path, own_data: Path, lines: list[str], says: str
) -> None:
    home = tmp_path / "home"
    done = assay("run", "people", "--data", _data(tmp_path, lines), "--home", home, cwd=own_data)
    assert done.returncode == 2, done.stderr
    assert says in done.stderr.strip().splitlines()[-1]
    assert not (home / "runs").exists()
    left = [p for p in (home / "datasets").rglob("*") if p.is_file()] if home.exists() else []
    assert left == []


def test_a_missing_extra_is_named(tmp_path: Path) -> None:
    hidden = tmp_path / "sitecustomize.py"
    hidden.write_text(
        "import importlib.util as u\n"
        "real = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'tfx' else real(name, *a)\n"
    )
    done = assay("run", "rand_hie", cwd=tmp_path, PYTHONPATH=str(tmp_path))
    assert done.returncode == 2
    assert "extra tfx is not installed" in done.stderr
    assert "make setup EXTRAS=tfx" in done.stderr
    assert not (tmp_path / ".assay").exists()


def test_doctor_for_machines(tmp_path: Path) -> None:
    done = assay("doctor", "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert document["schemaVersion"] == "assay-cli/v1"
    assert document["assayVersion"]
    checks = {c["name"]: c["status"] for c in document["checks"]}
    assert checks["python"] == checks["home"] == checks["telemetry"] == "ok"
    assert done.returncode == (1 if "bad" in checks.values() else 0)


def test_doctor_finds_an_unwritable_home_and_a_broken_store(tmp_path: Path) -> None:
    done = assay("doctor", "--home", "/dev/null/home", "--json", cwd=tmp_path)
    assert done.returncode == 1
    checks = {c["name"]: c["status"] for c in json.loads(done.stdout)["checks"]}
    assert checks["home"] == "bad"
    store = tmp_path / ".assay" / "stores" / "mlmd.sqlite"
    store.parent.mkdir(parents=True)
    store.write_bytes(b"not a database" * 100)
    done = assay("doctor", "--json", cwd=tmp_path)
    checks = {c["name"]: c["status"] for c in json.loads(done.stdout)["checks"]}
    assert checks["store mlmd"] == "bad"
    assert done.returncode == 1


def test_shell_completion_can_be_had(tmp_path: Path) -> None:
    done = assay("--help", cwd=tmp_path)
    assert "--install-completion" in done.stdout
    completed = assay(
        cwd=tmp_path, _ASSAY_COMPLETE="complete_bash", COMP_WORDS="assay do", COMP_CWORD="1"
    )
    assert "doctor" in completed.stdout
