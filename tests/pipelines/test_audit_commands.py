"""`assay audit mutations` and `assay audit access` as people meet them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from components.audit.access_log import read_access, record_access
from components.audit.mutation_check import runs_of
from components.contract.errors import InputError
from components.contract.stages import Stage
from components.lineage.keys import new_key
from pipelines import lineage_stores
from pipelines.cli import app
from tests.plain_stack import PRODUCTION, PlainStack, start
from tests.recorded_store import RecordedStore, recorded_store, sign_receipts

ASSAY = Path(sys.executable).parent / "assay"
STACKS = ("tfx", "pytorch")


def assay(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The installed command, in a directory of its own."""
    return subprocess.run(
        [ASSAY, *map(str, arguments)], cwd=cwd, capture_output=True, text=True, check=False,
        env={**os.environ, "ASSAY_ACTOR": "ana"},
    )  # fmt: skip


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a short run under each stack's name."""
    home = tmp_path_factory.mktemp("audited") / "home"
    home.mkdir()
    for stack in STACKS:
        plain = PlainStack(start(home, "plain", policy=PRODUCTION, stack=stack))
        plain.process.run_stage(Stage.INGEST, partial(plain.hook, Stage.INGEST))
        plain.process.close("a test stopped it")
        store = recorded_store(home, stack)
        store.name = {"tfx": "mlmd", "pytorch": "mlflow"}[stack]
        sign_receipts(home, store)
    return home


@pytest.fixture
def home(pristine: Path, tmp_path: Path) -> Path:
    """The home once more, to be changed."""
    shutil.copytree(pristine, tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def stores(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, RecordedStore | InputError]]:
    """What stands in for MLMD and MLflow; an error is raised instead."""
    found: dict[str, RecordedStore | InputError] = {}
    for stack, name in (("tfx", "mlmd"), ("pytorch", "mlflow")):
        store = recorded_store(home, stack)
        store.name = name
        found[stack] = store

    def native(stack: str, home: Path) -> RecordedStore:
        store = found[stack]
        if isinstance(store, InputError):
            raise store
        return store

    monkeypatch.setattr(lineage_stores, "native_store", native)
    monkeypatch.setenv("ASSAY_ACTOR", "ana")
    yield found


def _run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["audit", *arguments, "--home", str(home)])


def test_nothing_differs_in_either_stack(home: Path, stores: dict[str, RecordedStore]) -> None:
    done = _run(home, "mutations")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert [line.split(":")[0] for line in lines] == ["tfx", "pytorch"]
    assert all(line.endswith(": nothing differs") for line in lines)
    (access,) = read_access(home)
    assert (access.actor, access.command, access.result) == (
        "ana", "audit mutations", "nothing differs",
    )  # fmt: skip
    assert access.subjects == ("mlmd", "mlflow")


def test_what_differs_is_named_with_old_and_new_value(
    home: Path, stores: dict[str, RecordedStore]
) -> None:
    (run,) = runs_of(home, "tfx")
    stores["tfx"].entries[run][f"run/{run}/actor"] = "mallory\x1b[2J"
    done = _run(home, "mutations")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[:2] == [
        f"FAIL  edited property: run/{run}/actor",
        "    tester -> mallory\\x1b[2J",
    ]
    assert lines[2].endswith("1 differ")
    assert read_access(home)[-1].result == "1 differ"
    told = json.loads(_run(home, "mutations", "--json").stdout)
    tfx, pytorch = told["stacks"]
    assert pytorch["differences"] == []
    assert tfx["differences"] == [
        {
            "status": "FAIL", "kind": "edited property", "run": run,
            "where": f"run/{run}/actor", "old": "tester", "new": "mallory\\x1b[2J",
        }
    ]  # fmt: skip
    assert (tfx["store"], tfx["runs"], tfx["queries"]) == ("mlmd", [run], 3)


def test_what_cannot_be_decided_is_no_zero(home: Path, stores: dict[str, RecordedStore]) -> None:
    (run,) = runs_of(home, "pytorch")
    (home / "runs" / run / "native-receipt.json").unlink()
    done = _run(home, "mutations", "--stack", "pytorch")
    assert done.exit_code == 1
    assert done.stdout.startswith("INCONCLUSIVE  no receipt: ")
    assert done.stdout.rstrip().endswith("1 cannot be decided")


def test_a_broken_access_log_is_told_beside_what_was_found(
    home: Path, stores: dict[str, RecordedStore]
) -> None:
    assert _run(home, "mutations").exit_code == 0
    (entry,) = (home / "access").glob("*.json")
    entry.write_text("garbage")
    done = _run(home, "mutations")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert [line.endswith(": nothing differs") for line in lines] == [True, True, False]
    assert lines[2].startswith("access log: broken")
    assert json.loads(_run(home, "mutations", "--json").stdout)["notes"] == [lines[2]]


@pytest.mark.parametrize(
    "broken", ["edited", "truncated", "not canonical", "folder", "pipe", "gone"]
)
@pytest.mark.parametrize("number", [1, 2])
def test_a_log_that_is_broken_anywhere_is_told_in_a_line(
    home: Path, stores: dict[str, RecordedStore], broken: str, number: int
) -> None:
    for _ in range(3 if broken == "gone" else 2):
        assert _run(home, "mutations").exit_code == 0
    entry = home / "access" / f"{number:08d}.json"
    raw = entry.read_bytes()
    entry.unlink()
    if broken == "folder":
        entry.mkdir()
    elif broken == "pipe":
        os.mkfifo(entry)
    elif broken == "edited":
        entry.write_bytes(raw.replace(b'"payload":"ey', b'"payload":"eY'))
    elif broken != "gone":
        entry.write_bytes(raw[:-40] if broken == "truncated" else raw + b"\n")
    (run,) = runs_of(home, "tfx")
    stores["tfx"].entries[run][f"run/{run}/actor"] = "mallory"
    done = _run(home, "mutations")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[:2] == [f"FAIL  edited property: run/{run}/actor", "    tester -> mallory"]
    assert lines[-1].startswith("access log: broken")
    assert entry.name in lines[-1]
    assert len(lines) == 5


def test_a_run_of_one_stack_is_asked_of_that_stack_alone(
    home: Path, stores: dict[str, RecordedStore]
) -> None:
    (run,) = runs_of(home, "tfx")
    done = _run(home, "mutations", "--run", run)
    assert done.exit_code == 0
    first, second = done.stdout.splitlines()
    assert first.startswith("tfx: 1 runs")
    assert second == f"pytorch: not asked, for {run} is a run of tfx"
    assert stores["pytorch"].looks == 0
    assert read_access(home)[-1].subjects == (run,)
    refused = _run(home, "mutations", "--run", run, "--stack", "pytorch")
    assert isinstance(refused.exception, InputError)


def test_a_run_that_only_its_store_knows_is_no_unknown_one(
    home: Path, stores: dict[str, RecordedStore]
) -> None:
    other = "20261124T000000Z-tfx-plain-ffffff"
    stores["tfx"].entries[other] = {"run/x/name": other}
    done = _run(home, "mutations", "--run", other)
    assert done.exit_code == 1
    assert f"run without evidence: run/{other}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--run", "20261124T000000Z-tfx-plain-ffffff"], "no run"),
        (["--run", "nonsense"], "no run"),
        (["--run", "../../etc"], "no run"),
        (["--stack", "mlflow"], "no stack"),
    ],
)
def test_bad_input_is_told_and_leaves_nothing(
    home: Path, stores: dict[str, RecordedStore], arguments: list[str], told: str
) -> None:
    before = sorted(home.rglob("*"))
    done = _run(home, "mutations", *arguments)
    assert isinstance(done.exception, InputError)
    assert told in str(done.exception)
    assert sorted(home.rglob("*")) == before


def test_a_store_that_cannot_be_read_is_bad_input_where_it_should_have_runs(
    home: Path, stores: dict[str, RecordedStore | InputError]
) -> None:
    stores["pytorch"] = InputError("is locked", where="mlflow.sqlite", expected="nobody else")
    done = _run(home, "mutations")
    assert done.exception is stores["pytorch"]
    assert not (home / "access").exists()
    shutil.rmtree(home / "runs" / runs_of(home, "pytorch")[0])
    done = _run(home, "mutations")
    assert done.exit_code == 0
    assert "pytorch: it has no run in this home, and its store cannot be read" in done.stdout
    assert isinstance(_run(home, "mutations", "--stack", "pytorch").exception, InputError)


def test_a_folder_that_is_no_home_is_one_line_and_exit_2(tmp_path: Path) -> None:
    for command in ("mutations", "access"):
        done = assay("audit", command, "--home", "nowhere", cwd=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith("assay: nowhere: ")
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def looked_at(tmp_path: Path) -> Path:
    """A folder with a log of two accesses."""
    home = tmp_path / "home"
    home.mkdir()
    record_access(home, "audit mutations", ["run-1"], "nothing differs")
    record_access(home, "audit questions", [], "40 answered")
    return home


def test_the_access_log_is_shown_and_shows_itself_next_time(looked_at: Path) -> None:
    first = assay("audit", "access", "--home", looked_at, cwd=looked_at)
    assert (first.returncode, first.stderr) == (0, "")
    one, two, end = first.stdout.splitlines()
    assert "audit mutations run-1: nothing differs" in one
    assert two.endswith("audit questions: 40 answered")
    assert end.startswith("2 entries, none changed; the last is 2:")
    again = assay("audit", "access", "--home", looked_at, "--json", cwd=looked_at)
    second = json.loads(again.stdout)
    assert second["broken"] is None
    last = second["accesses"][-1]
    assert (last["actor"], last["command"], last["number"]) == ("ana", "audit access", 3)
    assert last["at"].endswith("+00:00")


def test_accesses_since_a_day_or_a_moment(looked_at: Path) -> None:
    first, second = read_access(looked_at)
    for since, shown in (
        ("2020-01-01", 2),
        (second.at, 1),
        ("2999-12-31T00:00:00Z", 0),
        (first.moment.date().isoformat(), 2),
    ):
        done = assay("audit", "access", "--since", since, "--home", looked_at, cwd=looked_at)
        lines = [x for x in done.stdout.splitlines() if "audit access" not in x]
        assert (done.returncode, len(lines)) == (0, shown + 1)


@pytest.mark.parametrize(
    "arguments",
    [["--since", "yesterday"], ["--known", "2"], ["--known", f"0:{'a' * 64}"], ["--known", "1:x"]],
)
def test_a_bad_option_is_one_line_and_no_access(looked_at: Path, arguments: list[str]) -> None:
    done = assay("audit", "access", *arguments, "--home", looked_at, cwd=looked_at)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert done.stderr.startswith(f"assay: {arguments[0]}: ")
    assert len(read_access(looked_at)) == 2


def test_a_broken_log_is_exit_1_with_what_and_where(looked_at: Path) -> None:
    path = looked_at / "access" / "00000001.json"
    sound = path.read_bytes()
    path.write_bytes(sound.replace(b"A", b"B", 1))
    done = assay("audit", "access", "--home", looked_at, cwd=looked_at)
    assert done.returncode == 1
    assert done.stdout.startswith("the access log is broken: 00000001.json: ")
    assert done.stdout.count("\n") == 1
    told = assay("audit", "access", "--home", looked_at, "--json", cwd=looked_at)
    assert told.returncode == 1
    assert json.loads(told.stdout)["broken"].startswith("00000001.json: ")
    path.unlink()
    done = assay("audit", "access", "--home", looked_at, cwd=looked_at)
    assert (done.returncode, done.stdout) == (
        1, "the access log is broken: 00000001.json is missing from the log\n"
    )  # fmt: skip
    assert not (looked_at / "access" / "00000003.json").exists()


def test_a_tail_that_was_cut_off_shows_by_the_end_that_was_kept(looked_at: Path) -> None:
    shown = assay("audit", "access", "--home", looked_at, cwd=looked_at).stdout
    kept = shown.split()[-1]
    same = assay("audit", "access", "--known", kept, "--home", looked_at, cwd=looked_at)
    assert same.returncode == 0
    for number in (2, 3, 4):
        (looked_at / "access" / f"{number:08d}.json").unlink()
    assert assay("audit", "access", "--home", looked_at, cwd=looked_at).returncode == 0
    cut = assay("audit", "access", "--known", kept, "--home", looked_at, cwd=looked_at)
    assert cut.returncode == 1
    assert cut.stdout.startswith("the access log is broken: entry 2 is not there as it was")


def test_a_folder_with_nothing_of_a_home_in_it_stays_empty(tmp_path: Path) -> None:
    for command in ("mutations", "questions", "access"):
        done = assay("audit", command, "--home", tmp_path, cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert list(tmp_path.iterdir()) == []


def test_without_its_keys_a_home_is_one_line_and_gets_no_new_ones(home: Path) -> None:
    shutil.rmtree(home / "keys")
    before = sorted(home.rglob("*"))
    (run,) = runs_of(home, "tfx")
    for command in (["audit", "mutations"], ["audit", "questions"], ["card", run]):
        done = assay(*command, "--home", home, cwd=home)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert "evidence.pub: is missing" in done.stderr
    assert sorted(home.rglob("*")) == before


def test_evidence_that_another_key_signed_is_exit_2_and_tampered_evidence_exit_1(
    home: Path,
) -> None:
    (run,) = runs_of(home, "tfx")
    contract = home / "runs" / run / "contract.yaml"
    contract.write_text(contract.read_text() + "\n")
    tampered = assay("report", home / "runs" / run, cwd=home)
    assert (tampered.returncode, tampered.stderr.count("\n")) == (1, 1)
    assert tampered.stderr.startswith("assay: tampered with or broken: ")
    shutil.rmtree(home / "keys")
    new_key(home / "keys", "evidence")
    done = assay("report", home / "runs" / run, cwd=home)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "by a key that is not trusted" in done.stderr
