"""`assay keys new` and `assay waive` as people meet them: exit codes, one line, what is left."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.contract.strict_yaml import load_yaml
from components.lineage.digests import parse_canonical
from components.lineage.keys import load_private, parse_public, public_bytes
from components.release.waivers import find_waiver
from tests.blocked_run import FAILED, MODEL, RUN, BlockedRun, blocked_run, side

ASSAY = Path(sys.executable).parent / "assay"


def assay(*arguments: str | Path, cwd: Path, **environment: str) -> subprocess.CompletedProcess:
    """The installed command, in a directory of its own."""
    return subprocess.run(
        [ASSAY, *map(str, arguments)], cwd=cwd, capture_output=True, text=True,
        env={**os.environ, **environment}, check=False,
    )  # fmt: skip


def _today() -> date:
    return datetime.now(UTC).date()


def _arguments(run: BlockedRun, **changes: Any) -> list[str]:
    options = {
        "gate": "release_gate",
        "reason": "Nurses read every chart.",
        "expires": _today() + timedelta(days=30),
        "signer": run.keys["ana"].private,
        "cosigner": run.keys["bo"].private,
        **changes,
    }
    return [text for name, value in options.items() for text in (f"--{name}", str(value))]


@pytest.fixture
def run(tmp_path: Path) -> BlockedRun:
    """A run that two people may waive."""
    return blocked_run(tmp_path)


def test_a_new_key_is_two_files_and_a_line_for_the_policy(tmp_path: Path) -> None:
    done = assay("keys", "new", "ana", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "ana.key: keep it to yourself\n")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ana.key", "ana.pub"]
    (tmp_path / "line.yaml").write_text(done.stdout)
    document, _ = load_yaml(tmp_path / "line.yaml")
    private = load_private(tmp_path / "ana.key")
    assert {k: parse_public(v, "here") for k, v in document.items()} == {
        "ana": public_bytes(private)
    }
    secret = base64.b64encode(private.private_bytes_raw()).decode()[:-2]
    assert secret not in done.stdout + done.stderr


def test_a_new_key_for_machines_and_in_another_folder(tmp_path: Path) -> None:
    done = assay("keys", "new", "bo", "--out", "a/b", "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert (told["name"], told["privateFile"], told["publicFile"]) == (
        "bo", "a/b/bo.key", "a/b/bo.pub"
    )  # fmt: skip
    raw = public_bytes(load_private(tmp_path / "a" / "b" / "bo.key"))
    assert parse_public(told["publicKey"], "here") == raw


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    assay("keys", "new", "ana", cwd=tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    done = assay("keys", "new", "ana", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("assay: ana.key: exists already; expected another name")
    assert len(done.stderr.splitlines()) == 1
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_key_is_private_whatever_the_umask(tmp_path: Path) -> None:
    code = "import os, sys; os.umask(0); os.execv(sys.argv[1], sys.argv[1:])"
    subprocess.run(
        [sys.executable, "-c", code, ASSAY, "keys", "new", "ana"], cwd=tmp_path, check=True
    )
    assert (tmp_path / "ana.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("by_id", [True, False])
def test_a_waiver_is_granted_and_found(run: BlockedRun, tmp_path: Path, by_id: bool) -> None:
    which = [RUN, "--home", run.home] if by_id else [run.directory]
    done = assay("waive", *which, *_arguments(run), cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    expires = _today() + timedelta(days=30)
    assert done.stdout.splitlines() == [
        f"{RUN}: release_gate waived until {expires}, signed by ana and bo",
        "  FAIL         limit:tpr",
        str(run.waivers / "000001.json"),
    ]
    assert run.written == ["000001.json"]
    waiver = find_waiver(
        run.home, dataset="clinic", stack="tfx", gate="release_gate", model=MODEL,
        policy=run.policy, findings=(("limit:tpr", "FAIL"),), run=RUN, head=run.head,
        at=datetime.now(UTC),
    )  # fmt: skip
    assert waiver is not None
    assert waiver.expires == expires


def test_a_waiver_for_machines(run: BlockedRun, tmp_path: Path) -> None:
    done = assay("waive", run.directory, *_arguments(run), "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert done.returncode == 0
    assert (told["granted"], told["run"], told["file"]) == (
        True, RUN, str(run.waivers / "000001.json")
    )  # fmt: skip
    assert told["waiver"]["findings"] == [["limit:tpr", "FAIL"]]


def test_what_a_rule_is_against_is_refused_with_exit_1(tmp_path: Path) -> None:
    run = blocked_run(tmp_path, native=side([*FAILED, ("skew:score", "FAIL")]))
    done = assay("waive", run.directory, *_arguments(run), cwd=tmp_path, ASSAY_ACTOR="carla")
    assert (done.returncode, done.stderr) == (1, "")
    file = run.waivers / "refused" / "000001.json"
    assert done.stdout.splitlines() == [
        f"{RUN}: refused (not waivable): skew:score is no limit and is never waived",
        str(file),
    ]
    record = parse_canonical(file.read_bytes(), file.name)
    assert (record["actor"], record["refused"]) == (
        "carla", "skew:score is no limit and is never waived"
    )  # fmt: skip
    done = assay("waive", run.directory, *_arguments(run, gate="data_gate"), "--json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert done.returncode == 1
    assert (told["granted"], told["refused"]["ground"]) == (False, "not waivable")
    assert run.written == ["refused/000001.json", "refused/000002.json"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"expires": "2020-01-01"}, "--expires: it expired on 2020-01-01; expected a day from"),
        ({"expires": "tomorrow"}, "--expires: 'tomorrow' is no day; expected a day as in"),
        ({"expires": "9999-12-31"}, "the policy allows 90"),
        ({"gate": "push"}, "--gate: no gate 'push'; expected release_gate"),
        ({"reason": "a\nb"}, "--reason: cannot stand in a record; expected 1 to 2,000"),
        ({"reason": b"a\xffb"}, "--reason: cannot stand in a record"),
        ({"cosigner": "ana"}, "--cosigner: the same key as --signer; expected the key of another"),
        ({"signer": "eve"}, "--signer: a key that the policy does not name"),
        ({"signer": "nobody"}, "nobody.key: cannot be read (No such file or directory)"),
    ],
)
def test_bad_input_is_one_line_and_exit_2_and_recorded(
    run: BlockedRun, tmp_path: Path, changes: dict[str, Any], says: str
) -> None:
    for option in {"signer", "cosigner"} & set(changes):
        changes = {option: tmp_path / "keys" / f"{changes[option]}.key"}
    if isinstance(changes.get("reason"), bytes):
        changes = {"reason": os.fsdecode(changes["reason"])}
    done = assay("waive", run.directory, *_arguments(run, **changes), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("assay: ")
    assert says in line
    assert run.written == ["refused/000001.json"]


def test_an_open_key_file_is_bad_input(run: BlockedRun, tmp_path: Path) -> None:
    run.keys["bo"].private.chmod(0o640)
    done = assay("waive", run.directory, *_arguments(run), cwd=tmp_path)
    assert done.returncode == 2
    assert "bo.key: open to others than its owner (mode 0640)" in done.stderr
    assert run.written == ["refused/000001.json"]
    written = (run.waivers / "refused" / "000001.json").read_text()
    assert str(tmp_path) not in written


def test_a_run_that_is_not_there_is_bad_input_and_leaves_nothing(
    run: BlockedRun, tmp_path: Path
) -> None:
    done = assay("waive", "no-such-run", "--home", run.home, *_arguments(run), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "no run 'no-such-run'; expected a run's id, or its directory" in done.stderr
    assert not (run.home / "waivers").exists()


def test_a_run_whose_evidence_is_broken_is_a_malfunction(run: BlockedRun, tmp_path: Path) -> None:
    (run.directory / "evidence" / "0002-statistics.json").unlink()
    done = assay("waive", run.directory, *_arguments(run), cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert len(done.stderr.splitlines()) == 1
    assert not (run.home / "waivers").exists()


def test_neither_command_loads_a_framework(run: BlockedRun, tmp_path: Path) -> None:
    probe = tmp_path / "modules"
    for arguments in (
        ["keys", "new", "carla", "--out", tmp_path],
        ["waive", run.directory, *_arguments(run)],
    ):
        code = (
            "import sys\nimport pipelines.cli as cli\n"
            f"sys.argv = {['assay', *map(str, arguments)]!r}\ntry:\n    cli.main()\nfinally:\n"
            "    names = {m.split('.')[0] for m in sys.modules}\n"
            f"    open({str(probe)!r}, 'w').write(' '.join(names))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        loaded = set(probe.read_text().split())
        assert "cryptography" in loaded
        assert not loaded & {
            "tensorflow",
            "torch",
            "mlflow",
            "pandas",
            "numpy",
            "pyarrow",
            "duckdb",
        }


def test_help_loads_no_cryptography(tmp_path: Path) -> None:
    code = (
        "import sys\nimport pipelines.cli as cli\nsys.argv = ['assay', '--help']\n"
        "try:\n    cli.main()\nfinally:\n    sys.stderr.write(str('cryptography' in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.endswith("False")
    assert {"waive", "keys"} <= set(done.stdout.split())
