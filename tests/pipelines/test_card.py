"""`assay card`: any run, into any folder but the release's own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from components.lineage.digests import sha256_file
from components.stacks.process import ReleaseProcess
from tests import seeded
from tests.carded_runs import Cards

ASSAY = Path(sys.executable).parent / "assay"


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> ReleaseProcess:
    """A run that was stopped before training: it is the quickest to make."""
    return Cards(tmp_path_factory.mktemp("cards")).run(seeded.leaked)


def card(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess:
    """The installed command, in a directory of its own."""
    return subprocess.run(
        [ASSAY, "card", *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False
    )


def test_it_writes_three_files_and_names_them(process: ReleaseProcess, tmp_path: Path) -> None:
    done = card(process.spec.run_id, "--home", process.spec.home, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    names = ["model-card.md", "model-card.html", "model-card.pdf"]
    assert done.stdout.split() == [f"card/{n}" for n in names]
    assert sorted(p.name for p in (tmp_path / "card").iterdir()) == sorted(names)


def test_json_has_the_digests_and_a_profile_adds_to_the_card(
    process: ReleaseProcess, tmp_path: Path
) -> None:
    run, folder = process.spec.directory, tmp_path / "made" / "here"
    done = card(run, "-o", folder, "--profile", "onc", "--json", cwd=tmp_path)
    document = json.loads(done.stdout)
    assert (document["run"], document["status"]) == (run.name, "blocked")
    assert {f["path"]: f["sha256"] for f in document["files"]} == {
        str(p): sha256_file(p) for p in folder.iterdir()
    }
    assert "## 11. Source attributes" in (folder / "model-card.md").read_text()


def test_bad_input_is_told_in_one_line(process: ReleaseProcess, tmp_path: Path) -> None:
    run = process.spec.directory
    for arguments, says in (
        ((run, "-o", run / "card"), "is the card that a release record names"),
        ((run, "--profile", "eu"), "unknown profile 'eu'; expected onc, or none"),
        (("no_such_run",), "no run 'no_such_run'"),
        ((run, "-o", "/dev/null/x"), "cannot be written"),
    ):
        done = card(*arguments, cwd=tmp_path)
        assert done.returncode == 2, done.stderr
        assert says in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_help_comes_at_once(tmp_path: Path) -> None:
    began = time.monotonic()
    assert card("--help", cwd=tmp_path).returncode == 0
    assert time.monotonic() - began < 1.5
