"""`assay audit restore`: what it prints, records and refuses, on a real run of the tiny stack."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from components.audit.access_log import read_access
from components.audit.bundle import build_bundle
from components.audit.import_bundle import public_pem
from components.contract.errors import InputError
from components.lineage.keys import new_key
from components.release.records import read_releases, write_release
from pipelines.cli import app
from pipelines.evidence_commands import BrokenEvidenceError
from tests import seeded, small_bundle
from tests.plain_stack import PlainStack, start

ASSAY = Path(sys.executable).parent / "assay"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with one released run, and its bundle beside it as ``run.zip``."""
    home = tmp_path_factory.mktemp("restored") / "home"
    contract, policy = seeded.write_documents(home / "documents")
    data = seeded.write_rows(home / "rows.csv", None)
    process = start(home, "plain", policy=policy, contract=contract, data=data)
    assert PlainStack(process).run() == "released"
    build_bundle(process.spec.directory, home.parent / "run.zip")
    return home


@pytest.fixture
def home(made: Path, tmp_path: Path) -> Path:
    """The same home, to write to."""
    return Path(shutil.copytree(made, tmp_path / "home"))


@pytest.fixture
def bundle(made: Path) -> Path:
    """The bundle."""
    return made.parent / "run.zip"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A sound bundle of a second release whose records say next to nothing; its key beside it."""
    path = tmp_path / "bare.zip"
    draft = small_bundle.released()
    earlier = small_bundle.release("run-1", at=small_bundle.clock(0), head=small_bundle.sha("head"))
    draft.releases = [earlier, small_bundle.release(small_bundle.RUN, 2)]
    path.write_bytes(small_bundle.seal(draft))
    path.with_suffix(".pub").write_bytes(public_pem(small_bundle.raw_key("home")))
    return path


def restore(*arguments: str | Path, home: Path) -> tuple[int, str]:
    """Exit code and output, with the key of a home; errors come through."""
    given = ["audit", "restore", *map(str, arguments), "--key", str(home / "keys/evidence.pub")]
    result = CliRunner().invoke(app, given)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout


def spoilt(home: Path) -> None:
    """Let a home say that somebody else released, under its own signature."""
    (last,) = read_releases(home, "insurer", "tfx")
    (home / "releases" / "insurer" / "tfx" / "000001.json").unlink()
    same = ("run", "candidate", "model", "head", "policy", "contract")
    said = {**{n: getattr(last, n) for n in same}, "at": last.at.isoformat(), "actor": "[b]eve\n"}
    write_release(home, "insurer", "tfx", said)


def test_every_question_is_answered_and_what_no_bundle_holds_is_said(
    home: Path, bundle: Path
) -> None:
    code, output = restore(bundle, home=home)
    assert code == 0
    lines = output.splitlines()
    assert "tfx, 1 run: 42 of 42 answered from bundles alone" in lines
    assert lines[-1] == "restored"
    assert "as the home answers them" not in output
    assert sum(line.startswith("not in these bundles, ") for line in lines) == 6
    assert "access log" in output
    assert "native store" in output
    assert not (home / "access").exists()


def test_a_home_that_says_the_same_and_its_access_log(home: Path, bundle: Path) -> None:
    code, output = restore(bundle, "--home", home, home=home)
    assert code == 0
    said = "tfx, 1 run: 42 of 42 as the home answers them; it has 0 runs besides, 0 unfinished"
    assert said in output.splitlines()
    (access,) = read_access(home)
    (run,) = (p.name for p in (home / "runs").iterdir())
    assert (access.command, access.subjects) == ("audit restore", (run,))
    assert access.result == "0 answers differ from the bundles'"


def test_json_has_every_question(home: Path, bundle: Path) -> None:
    code, output = restore(bundle, "--home", home, "--json", home=home)
    said = json.loads(output)
    assert (code, said["holds"]) == (0, True)
    assert said["bundles"] == [
        {"file": str(bundle), "run": said["stacks"][0]["runs"][0], "sound": True, "problems": []}
    ]
    (stack,) = said["stacks"]
    counts = ("answered", "partial", "impossible", "differing", "releasesUntold", "runsBeyond")
    assert [stack[n] for n in counts] == [42, 0, 0, 0, 0, 0]
    assert len(stack["answers"]) == 42
    by_id = {a["question"]: a for a in stack["answers"]}
    assert [f["value"] for f in by_id["D3"]["facts"] if f["name"] == "rows"] == ["6000"]
    assert by_id["D3"]["notInBundles"] == [
        "native store", "other runs", "unfinished runs", "files",
    ]  # fmt: skip
    assert set(by_id["D3"]["notInBundles"]) < said["notInBundles"].keys()
    assert by_id["D3"]["differences"] == []


def test_an_answer_that_differs_exits_1_and_shows_both(home: Path, bundle: Path) -> None:
    (released,) = read_releases(home, "insurer", "tfx")
    spoilt(home)
    code, output = restore(bundle, "--home", home, home=home)
    assert code == 1
    lines = output.splitlines()
    release = "release/insurer/tfx/1"
    assert (
        f"B1 tfx differs in released by of {release}: bundle {released.actor} (actor of {release}),"
        f" home [b]eve\\n (actor of {release})"
    ) in lines
    assert "tfx, 1 run: 42 of 42 answered from bundles alone" in lines
    assert any(line.startswith("tfx, 1 run: 41 of 42 as the home answers") for line in lines)
    assert lines[-1] == "not restored"
    assert read_access(home)[-1].result == "1 answers differ from the bundles'"
    code, output = restore(bundle, "--home", home, "--json", home=home)
    said = json.loads(output)
    assert (code, said["holds"], said["stacks"][0]["differing"]) == (1, False, 1)


def test_what_a_bundle_lacks_exits_1_and_is_told_by_question(bare: Path) -> None:
    given = ["audit", "restore", str(bare), "--key", str(bare.with_suffix(".pub"))]
    done = CliRunner().invoke(app, given)
    assert done.exit_code == 1
    lines = done.output.splitlines()
    assert f"D3 tfx lacks rows: dataset/{small_bundle.sha('data')} has no rows" in lines
    untold = "earlier releases that no answer tells of, for none of these bundles has their runs: 1"
    assert f"tfx, 1 run: {untold}" in lines
    assert lines[-1] == "not restored"


def test_a_tampered_bundle_exits_1_and_nothing_is_restored(
    home: Path, bundle: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.zip"
    bad.write_bytes(bundle.read_bytes().replace(b"assay-policy/v1", b"assay-policy/v2"))
    code, output = restore(bad, "--home", home, home=home)
    told, last = output.splitlines()
    assert code == 1
    assert told.startswith(f"TAMPERED  {bad}, runs/")
    assert "policy.yaml: its SHA-256" in told
    assert last == "nothing restored: 1 of 1 bundles tampered with"
    assert not (home / "access").exists()
    code, output = restore(bad, "--json", home=home)
    said = json.loads(output)
    assert (code, said["holds"], said["stacks"]) == (1, False, [])
    assert said["bundles"][0]["problems"][0]["entry"].endswith("policy.yaml")


def test_a_home_that_is_broken_or_cannot_record_the_access_shows_nothing(
    home: Path, bundle: Path
) -> None:
    (home / "access").write_text("")
    with pytest.raises(BrokenEvidenceError, match="access"):
        restore(bundle, "--home", home, home=home)
    (home / "access").unlink()
    (record,) = home.glob("runs/*/evidence/0003-*.json")
    record.write_text("garbage")
    with pytest.raises(BrokenEvidenceError, match=f"{home}: run .*0003-data_gate"):
        restore(bundle, "--home", home, home=home)
    shutil.rmtree(record.parent.parent)
    with pytest.raises(InputError, match="expected a run's id"):
        restore(bundle, "--home", home, home=home)


def test_bad_input_is_one_line_and_exit_2(made: Path, bundle: Path, tmp_path: Path) -> None:
    key = ["--key", made / "keys" / "evidence.pub"]
    new_key(tmp_path / "other", "evidence")
    other = ["--key", tmp_path / "other" / "evidence.pub"]
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for arguments, wanted in (
        ([bundle], "Missing parameter: key"),
        (key, "Missing parameter: bundles"),
        ([bundle, *other], f"{bundle}: signed by a key that is not trusted"),
        ([bundle, bundle, *key], f"and so is {bundle}; expected one bundle of each run"),
        ([made / "rows.csv", *key], f"{made / 'rows.csv'}: no whole zip file"),
        (["nowhere.zip", *key], "nowhere.zip: cannot be read"),
        ([bundle, *key, "--home", scratch], f"{scratch}: is no home"),
    ):
        done = subprocess.run(
            [ASSAY, "audit", "restore", *arguments],
            cwd=scratch,
            env={"TMPDIR": str(scratch)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
        assert wanted in done.stderr
        assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("stop", ["SIGINT", "SIGTERM"])
def test_a_drill_that_is_stopped_leaves_nothing(
    made: Path, bundle: Path, tmp_path: Path, stop: str
) -> None:
    # It stops itself when the runs have been brought in and the questions are to be put.
    program = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom tempfile import gettempdir\n"
        "from components.audit.evidence_lineage import EvidenceLineage\n"
        "def stop(*_):\n"
        "    print(len(list(Path(gettempdir()).rglob('run.json'))), flush=True)\n"
        f"    os.kill(os.getpid(), signal.{stop})\n"
        "    sys.exit(9)\n"  # reached only if the signal changed nothing
        # A process that a shell started in the background has Ctrl-C ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "EvidenceLineage.read = stop\n"
        "sys.argv = ['assay', *sys.argv[1:]]\nfrom pipelines.cli import main\nmain()"
    )
    given: list[str | Path] = ["audit", "restore", bundle, "--key", made / "keys" / "evidence.pub"]
    done = subprocess.run(
        [sys.executable, "-c", program, *given],
        env={"TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "1\n"), done.stderr
    assert list(tmp_path.iterdir()) == []


def test_it_loads_no_framework(made: Path, bundle: Path) -> None:
    program = (
        "import sys; sys.argv = ['assay', *sys.argv[1:]]\n"
        "from pipelines.cli import main\n"
        "try: main()\n"
        "except SystemExit as e: print(e.code)\n"
        "heavy = {'tensorflow', 'torch', 'mlflow', 'tfx', 'ml_metadata', 'evidently', 'pandas',"
        " 'great_expectations', 'pyarrow', 'duckdb'}\n"
        "print(sorted(heavy & {m.partition('.')[0] for m in sys.modules}))"
    )
    given: list[str | Path] = [
        "audit",
        "restore",
        bundle,
        "--key",
        made / "keys" / "evidence.pub",
        "--json",
    ]
    done = subprocess.run(
        [sys.executable, "-c", program, *given], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-2:] == ["0", "[]"]
