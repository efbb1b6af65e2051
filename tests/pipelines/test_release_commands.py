"""`assay releases`, `assay release` and `assay recompute`, as a user calls them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from components.audit.access_log import read_access
from components.contract.errors import InputError
from components.contract.stages import Stage
from components.stacks.process import ReleaseProcess
from pipelines.catalogue import run_directory
from pipelines.launch import prepare_release
from tests import seeded
from tests.plain_stack import PlainStack, start

ASSAY = Path(sys.executable).parent / "assay"


@dataclass(frozen=True)
class Home:
    """A home with two releases, a rollback to the first, and a run that leaks."""

    path: Path
    first: ReleaseProcess
    second: ReleaseProcess
    back: ReleaseProcess
    leaked: ReleaseProcess


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    folder = tmp_path_factory.mktemp("home")
    contract, policy = seeded.write_documents(folder / "documents")

    def run(name: str, **spoilt: object) -> ReleaseProcess:
        data = seeded.write_rows(folder / f"{name}.csv", **spoilt)
        process = start(folder, "plain", policy=policy, contract=contract, data=data)
        PlainStack(process).run()
        return process

    first, second, leaked = run("a"), run("b", seed=2), run("c", fault=seeded.leaked)
    back = ReleaseProcess(prepare_release(first.spec.directory, "the second one misled nurses"))
    PlainStack(back).release()
    return Home(folder, first, second, back, leaked)


def assay(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Call the command."""
    return subprocess.run(
        [ASSAY, *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_the_history_says_what_stood_since_when_and_by_whom(home: Home) -> None:
    done = assay("releases", "--home", home.path)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    heads = [line for line in lines if line.startswith("insurer tfx")]
    assert [h.split(",")[0] for h in heads] == [
        "insurer tfx 1: release", "insurer tfx 2: release", "insurer tfx 3: rollback"
    ]  # fmt: skip
    assert [h.endswith(", by tester") for h in heads[:2]] == [True, True]
    assert heads[-1].count(" to now") == 1
    assert f"  of     {home.first.spec.run_id}" in lines
    assert "  why    the second one misled nurses" in lines
    assert lines.count("  gates  data gate PASS, release gate PASS") == 3


def test_the_history_for_machines(home: Home) -> None:
    document = json.loads(assay("releases", "insurer", "--home", home.path, "--json").stdout)
    one, two, three = document["releases"]
    assert one["model"] == three["model"] != two["model"]
    assert (one["until"], two["until"], three["until"]) == (two["since"], three["since"], None)
    assert three["verdicts"] == dict.fromkeys(map(str, Stage), "PASS")
    moment = json.loads(
        assay("releases", "--home", home.path, "--json", "--as-of", two["since"]).stdout
    )
    assert [r["release"] for r in moment["releases"]] == [2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("releases", "nobody"), "no release of nobody in any stack; expected one of insurer in"),
        (("releases", "--stack", "jax"), "no release of any dataset in jax"),
        (("releases", "--as-of", "soon"), "'soon' is no date"),
        (("releases", "--as-of", "9000-01-01"), "9000-01-01 is yet to come"),
        (("release", "no-such-run", "--reason", "r"), "no run 'no-such-run'"),
        (("recompute", "no-such-run"), "no run 'no-such-run'"),
    ],
)
def test_bad_input_is_one_line(home: Home, arguments: tuple[str, ...], words: str) -> None:
    done = assay(*arguments, "--home", home.path)
    assert done.returncode == 2
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""


def test_a_release_needs_a_reason_and_a_judged_model(home: Home) -> None:
    known = set((home.path / "runs").iterdir())
    for run, reason, words in (
        (home.first, "  ", "--reason: cannot stand in a record"),
        (home.first, "turned \u202e round", "--reason: cannot stand in a record"),
        (home.leaked, "r", "no release gate has judged a model there"),
    ):
        done = assay("release", run.spec.run_id, "--reason", reason, "--home", home.path)
        assert done.returncode == 2
        assert words in done.stderr
    assert set((home.path / "runs").iterdir()) == known


def test_a_rollback_of_a_rollback_goes_back_to_the_run_that_trained(home: Home) -> None:
    second = ReleaseProcess(prepare_release(home.second.spec.directory, "once more"))
    PlainStack(second).release()
    spec = prepare_release(home.back.spec.directory, "again")
    assert spec.continues == home.first.spec.run_id


def test_figures_come_out_again(home: Home) -> None:
    for run in (home.first, home.second, home.back):
        done = assay("recompute", run.spec.run_id, "--home", home.path)
        assert done.returncode == 0, done.stdout
        same, of = done.stdout.split()[0], done.stdout.split()[2]
        last = read_access(home.path)[-1]
        assert (last.command, last.subjects) == ("recompute", (run.spec.run_id,))
        assert same == of
        assert int(of) > 60


def test_changed_scores_are_evidence_that_does_not_hold(home: Home) -> None:
    path = home.second.artifacts / "predictions.parquet"
    kept = path.read_bytes()
    try:
        pq.write_table(pq.read_table(path).slice(1), path)
        done = assay("recompute", home.second.spec.run_id, "--home", home.path)
    finally:
        path.write_bytes(kept)
    assert done.returncode == 1
    assert done.stderr.startswith("assay: tampered with or broken: ")
    assert "predictions.parquet is not what stage release_gate recorded" in done.stderr


def test_a_run_is_found_by_path_or_id(home: Home, tmp_path: Path) -> None:
    directory = home.first.spec.directory
    assert run_directory(directory.name, home.path) == directory.resolve()
    assert run_directory(str(directory), tmp_path) == directory.resolve()
    for wrong in ("", "..", "documents"):
        with pytest.raises(InputError, match="no run"):
            run_directory(wrong, home.path)


def test_releases_of_what_is_no_home_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    for name, words in (
        ("none", "is no directory"),
        ("file", "is no directory"),
        ("empty", "is no home"),
    ):
        done = assay("releases", "--home", tmp_path / name)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert words in done.stderr
    assert list((tmp_path / "empty").iterdir()) == []
