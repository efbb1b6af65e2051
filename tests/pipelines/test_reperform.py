"""`assay reperform` as an auditor calls it: a bundle, a folder of data, and a key."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.audit.access_log import read_access
from components.audit.bundle import build_bundle
from components.lineage.keys import new_key
from components.stacks.process import ReleaseProcess
from pipelines.launch import prepare_release
from tests import seeded
from tests.plain_stack import PlainStack, start

ASSAY = Path(sys.executable).parent / "assay"


@dataclass(frozen=True)
class Case:
    """A home where a run was released and, after another one, released again; two bundles."""

    home: Path
    run: str
    bundle: Path
    again: Path
    key: Path


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("case")
    home = folder / "home"
    contract, policy = seeded.write_documents(home / "documents")

    def run(seed: int) -> ReleaseProcess:
        data = seeded.write_rows(home / f"rows-{seed}.csv", seed=seed)
        process = start(home, "plain", policy=policy, contract=contract, data=data)
        assert PlainStack(process).run() == "released"
        return process

    process, _ = run(1), run(2)
    back = ReleaseProcess(prepare_release(process.spec.directory, "a test"))
    assert PlainStack(back).release() == "released"
    one, two = folder / "bundle.zip", folder / "again.zip"
    build_bundle(process.spec.directory, one, [])
    build_bundle(back.spec.directory, two, [])
    key = shutil.copy(home / "keys" / "evidence.pub", folder / "auditor.pub")
    return Case(home, process.spec.run_id, one, two, Path(key))


def assay(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Call the command."""
    return subprocess.run(
        [ASSAY, "reperform", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_everything_holds(case: Case) -> None:
    done = assay(case.bundle, "--data", case.home, "--key", case.key)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == f"run {case.run}"
    assert "rows          4 bit-equal, 1 not checked" in lines
    assert lines[-1] == "everything holds"


def test_a_run_that_continues_another_is_done_again_from_both(case: Case) -> None:
    done = assay(
        case.again, "--data", case.home, "--key", case.key, "--json",
        "--row-key", case.home / "keys" / "row.key",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    document = json.loads(done.stdout)
    assert document["holds"] is True
    assert set(document["parts"]) == {"data", "rows", "profile", "data gate", "release gate"}
    assert {outcome for part in document["parts"].values() for outcome in part} == {"bit-equal"}
    assert {f["outcome"] for f in document["figures"]} == {"bit-equal"}


def test_what_differs_is_told_line_by_line(case: Case, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(case.home / "datasets", data / "datasets")
    shutil.copytree(case.home / "runs" / case.run / "artifacts", data / "artifacts")
    path = data / "artifacts" / "predictions.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    done = assay(case.bundle, "--data", data, "--key", case.key)
    assert done.returncode == 1
    assert "release gate: predictions.parquet different: recorded " in done.stdout
    assert done.stdout.splitlines()[-1] == "2 do not hold"
    assert "data gate     " in done.stdout
    document = json.loads(assay(case.bundle, "--data", data, "--key", case.key, "--json").stdout)
    assert document["holds"] is False
    assert document["parts"]["release gate"] == {"different": 1, "cannot be recomputed": 1}


def test_a_bundle_that_was_tampered_with_is_not_done_again(case: Case, tmp_path: Path) -> None:
    raw = bytearray(case.bundle.read_bytes())
    raw[raw.index(b"contract.yaml") + 200] ^= 1
    other = tmp_path / "other.zip"
    other.write_bytes(raw)
    done = assay(other, "--data", case.home, "--key", case.key)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("assay: ")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "wrong", ["key", "data", "bundle", "row key", "short row key", "home", "no home"]
)
def test_bad_input_is_one_line(case: Case, tmp_path: Path, wrong: str) -> None:
    given = {"bundle": case.bundle, "data": case.home, "key": case.key}
    more: list[object] = []
    if wrong == "key":
        given["key"] = new_key(tmp_path, "somebody").public
    elif wrong == "row key":
        more = ["--row-key", tmp_path / "nowhere"]
    elif wrong == "short row key":
        (tmp_path / "short").write_bytes(b"x")
        more = ["--row-key", tmp_path / "short"]
    elif wrong == "home":
        more = ["--home", tmp_path / "nowhere"]
    elif wrong == "no home":
        (tmp_path / "empty").mkdir()
        more = ["--home", tmp_path / "empty"]
    else:
        given[wrong] = tmp_path / "nowhere"
    done = assay(given["bundle"], "--data", given["data"], "--key", given["key"], *more)
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "nowhere").exists()
    assert not any((tmp_path / "empty").glob("*"))


def test_a_known_home_takes_down_who_asked(case: Case) -> None:
    done = assay(case.bundle, "--data", case.home, "--key", case.key, "--home", case.home)
    assert done.returncode == 0
    *_, access = read_access(case.home)
    assert (access.command, access.subjects, access.result) == (
        "reperform", (case.run,), "everything holds",
    )  # fmt: skip
