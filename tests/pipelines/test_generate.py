"""The command `assay generate`, as a shell sees it."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.contract.json_schema import ROOT


def assay(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-P", "-m", "pipelines.cli", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_generated_data_keep_their_contract(tmp_path: Path) -> None:
    folder = str(tmp_path / "made")
    made = assay("generate", "prior_auth", "--rows", "2000", "--seed", "6", "-o", folder, "--json")
    assert made.returncode == 0, made.stderr
    said = json.loads(made.stdout)
    assert (said["rows"], said["seed"], said["files"], said["kept"]) == (2000, "6", 24, 0)
    assert "Synthetic" in said["synthetic"]
    again = assay("generate", "prior_auth", "--rows", "2000", "--seed", "6", "-o", folder, "--json")
    assert json.loads(again.stdout)["kept"] == 24
    contract = ["--contract", "schemas/prior_auth.yaml", "--data", folder]
    checked = assay("check", *contract, "--schema-only", "--json")
    assert checked.returncode == 0, checked.stdout
    assert json.loads(checked.stdout)["verdict"]["status"] == "PASS"


@pytest.mark.parametrize(
    "arguments",
    [
        ("--rows", "0"),
        ("--rows", "1000000001"),
        ("--rows", "many"),
        ("--rows", "10", "--seed", "-1"),
        ("--rows", "1.5"),
    ],
)
def test_bad_numbers_are_told_in_one_line(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    done = assay("generate", "prior_auth", *arguments, "-o", str(tmp_path / "made"))
    assert done.returncode == 2
    assert done.stderr.startswith("assay: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "made").exists()


def test_other_rows_in_the_same_folder_are_told_in_one_line(tmp_path: Path) -> None:
    assert assay("generate", "prior_auth", "--rows", "50", "-o", str(tmp_path)).returncode == 0
    done = assay("generate", "prior_auth", "--rows", "51", "-o", str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "--rows" in done.stderr


def test_a_file_where_the_folder_should_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "made").touch()
    done = assay("generate", "prior_auth", "--rows", "50", "-o", str(tmp_path / "made"))
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_killed_command_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    arguments = ["generate", "prior_auth", "--rows", "300000", "--seed", "2", "-o"]
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "pipelines.cli", *arguments, str(killed)],
        cwd=ROOT, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None and not (killed / "2024-02.parquet").exists():
        time.sleep(0.005)
    process.kill()
    process.wait()
    assert assay(*arguments, str(killed)).returncode == 0
    assert assay(*arguments, str(whole)).returncode == 0
    held = [{p.name: p.read_bytes() for p in folder.iterdir()} for folder in (killed, whole)]
    assert held[0] == held[1]


def test_help_says_that_it_is_synthetic() -> None:
    assert "synthetic" in assay("generate", "--help").stdout.lower()
    assert "No row is of a real person" in assay("generate", "prior_auth", "--help").stdout
