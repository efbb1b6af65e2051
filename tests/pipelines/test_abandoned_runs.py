"""Runs whose processes were all killed: the next run that is started closes them."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.contract.errors import InputError
from components.lineage.evidence import chain_of
from components.lineage.evidence_keys import HomeKeys
from components.lineage.receipts import RECEIPT, parse_receipt
from components.release.records import read_releases
from components.stacks import abandoned
from components.stacks.abandoned import (
    DUE_FILE,
    LOCK_FILE,
    close_abandoned,
    hold,
    let_go,
    unsettled,
)
from components.stacks.process import ReleaseProcess
from components.stacks.referee import RefereeResult
from components.stacks.stage_records import combine
from components.stacks.stages import Stage, StageResult
from pipelines import launch
from pipelines.launch import Order, _settle_earlier, execute, prepare, prepare_release
from tests import plain_stack

ASSAY = Path(sys.executable).parent / "assay"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One home for all tests here: to cut the data takes a second."""
    return tmp_path_factory.mktemp("abandoned")


@pytest.fixture
def run(home: Path) -> Iterator[ReleaseProcess]:
    """A run with two records whose process is no more."""
    process = _begun(home, Stage.INGEST, Stage.STATISTICS)
    (process.spec.directory / LOCK_FILE).touch()
    yield process
    let_go(process.spec.directory)


def _begun(home: Path, *stages: Stage) -> ReleaseProcess:
    """A run with the records of some stages that left nothing."""
    process = plain_stack.start(home, "mitigated")
    for stage in stages:
        nothing = StageResult({}, {"numpy": "2"})
        process._record(stage, process._body(stage, nothing, RefereeResult(), combine(None, None)))
    return process


def _whole(home: Path) -> ReleaseProcess:
    """A run that went through all of its stages and is not closed yet."""
    process = plain_stack.start(home, "mitigated")
    stack = plain_stack.PlainStack(process)
    for stage in Stage:
        assert process.run_stage(stage, lambda s=stage: stack.hook(s))
    return process


def _all_bytes(directory: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_an_abandoned_run_is_closed_as_interrupted_and_keeps_its_records(
    home: Path, run: ReleaseProcess, caplog: pytest.LogCaptureFixture
) -> None:
    before = run.chain.records()
    assert close_abandoned(home) == [run.spec.run_id]
    *records, closing = run.chain.records()
    assert records == before
    assert closing.body["outcome"] == "interrupted"
    assert "were killed" in closing.body["reason"]
    assert closing.body["notRun"] == [str(s) for s in list(Stage)[2:]]
    assert not (run.spec.directory / LOCK_FILE).exists()
    assert [r.getMessage() for r in caplog.records if r.levelname == "WARNING"] == [
        f"assay: run {run.spec.run_id} was abandoned and is closed as interrupted"
    ]
    assert close_abandoned(home) == []


def test_a_run_that_recorded_nothing_is_closed_as_well(home: Path) -> None:
    process = plain_stack.start(home, "mitigated")
    (process.spec.directory / LOCK_FILE).touch()
    assert close_abandoned(home) == [process.spec.run_id]
    assert [r.stage for r in process.chain.records()] == ["close"]


def test_a_run_that_died_before_it_was_written_down_is_let_go(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = home / "runs" / "20260101T000000Z-tfx-plain-abcdef"
    directory.mkdir()
    (directory / LOCK_FILE).touch()
    assert close_abandoned(home) == []
    assert list(directory.iterdir()) == []
    assert not caplog.records


@pytest.fixture(scope="module")
def unrecorded(home: Path) -> ReleaseProcess:
    """A run that was closed as released and killed before its release was written down."""
    process = _whole(home)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ReleaseProcess, "_write_release", lambda self: None)
        assert process.close() == "released"
    return process


def test_a_run_closed_as_released_gets_its_release_record(
    home: Path, unrecorded: ReleaseProcess
) -> None:
    process = unrecorded
    assert process.spec.run_id not in {r.run for r in read_releases(home, "rand_hie", "tfx")}
    (process.spec.directory / LOCK_FILE).touch()
    records = process.chain.records()
    assert close_abandoned(home) == []  # it was closed already
    assert process.spec.run_id in {r.run for r in read_releases(home, "rand_hie", "tfx")}
    assert process.chain.records() == records
    assert not (process.spec.directory / LOCK_FILE).exists()


def _living(directory: Path) -> tuple[int, int]:
    """A process that executes a run until it is killed; its id, and a pipe that ends with it."""
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        hold(directory)
        os.write(told, b"1")
        signal.pause()
        os._exit(0)
    os.close(told)
    assert os.read(ready, 1) == b"1"
    return child, ready


def test_a_run_that_another_process_executes_is_left_alone_until_that_is_killed(
    home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    process = _begun(home, Stage.INGEST)
    child, ready = _living(process.spec.directory)
    before = _all_bytes(process.spec.directory)
    assert close_abandoned(home) == []
    assert _all_bytes(process.spec.directory) == before
    assert not caplog.records
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(ready)
    assert close_abandoned(home) == [process.spec.run_id]


def test_a_worker_that_outlives_its_starter_keeps_the_run(home: Path) -> None:
    process = _begun(home, Stage.INGEST)
    directory = process.spec.directory
    hold(directory)
    descriptors = abandoned.held([directory])
    with subprocess.Popen(
        ["sleep", "600"], pass_fds=descriptors, stdin=subprocess.DEVNULL
    ) as worker:
        # What the kernel does to this process's descriptors when it dies.
        os.close(abandoned._held.pop(directory))
        assert close_abandoned(home) == []
        worker.kill()
        worker.wait()
    assert close_abandoned(home) == [process.spec.run_id]


def test_a_run_without_a_lock_file_is_somebody_elses(home: Path) -> None:
    process = _begun(home, Stage.INGEST)
    assert close_abandoned(home) == []
    assert not process.chain.closed


def _broken_chain(directory: Path) -> None:
    (directory / "evidence" / "0001-ingest.json").write_bytes(b"{}")


def _foreign_run(directory: Path) -> None:
    (directory / "run.json").write_bytes(b'{"what":\n"else"}')


def _another_policy(directory: Path) -> None:
    (directory / "policy.yaml").write_bytes((directory / "contract.yaml").read_bytes())


def _a_folder_for_a_lock(directory: Path) -> None:
    (directory / LOCK_FILE).unlink()
    (directory / LOCK_FILE).mkdir()


@pytest.mark.parametrize(
    "spoil", [_broken_chain, _foreign_run, _another_policy, _a_folder_for_a_lock]
)
def test_a_run_that_cannot_be_closed_is_told_of_and_stops_nobody(
    home: Path, run: ReleaseProcess, caplog: pytest.LogCaptureFixture, spoil: object
) -> None:
    spoil(run.spec.directory)
    before = _all_bytes(run.spec.directory)
    later = plain_stack.start(home, "mitigated")
    (later.spec.directory / LOCK_FILE).touch()
    assert close_abandoned(home) == [later.spec.run_id]
    assert _all_bytes(run.spec.directory) == before
    (told,) = [m for r in caplog.records if run.spec.run_id in (m := r.getMessage())]
    assert "stays as it is: " in told
    assert "\n" not in told
    if (run.spec.directory / LOCK_FILE).is_dir():
        (run.spec.directory / LOCK_FILE).rmdir()


def test_no_purge_comes_between_the_rows_and_the_run_that_is_to_read_them(
    home: Path, run: ReleaseProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is old enough may go until its next run is held: one that begins waits for a purge."""
    locked = []

    def watched(name: str) -> None:
        do = getattr(launch, name)

        def first_look(*arguments: Any) -> Any:
            locked.append((name, _is_locked(home)))
            return do(*arguments)

        monkeypatch.setattr(launch, name, first_look)

    for name in ("ingest", "hold", "_require_judged"):
        watched(name)
    order = Order("pytorch", "mitigated", plain_stack.PILOT)
    (spec,) = prepare(plain_stack.CONTRACT, [order], home, None)
    let_go(spec.directory)
    with pytest.raises(InputError, match="no release gate has judged"):
        prepare_release(spec.directory, "a reason")
    assert locked == [("ingest", True), ("hold", True), ("_require_judged", True)]
    assert not _is_locked(home)


def _is_locked(directory: Path) -> bool:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def test_the_next_run_closes_what_was_abandoned_and_holds_its_own(
    home: Path, run: ReleaseProcess
) -> None:
    order = Order("pytorch", "mitigated", plain_stack.PILOT)
    (first,) = prepare(plain_stack.CONTRACT, [order], home, None)
    assert run.chain.records()[-1].body["outcome"] == "interrupted"
    (second,) = prepare(plain_stack.CONTRACT, [order], home, None)
    assert not chain_of(first.directory).records()  # it waits for its turn
    for spec in (first, second):
        let_go(spec.directory)


def test_a_release_closes_what_was_abandoned_and_lets_go_when_it_is_over(
    home: Path, run: ReleaseProcess, unrecorded: ReleaseProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    unrecorded.ensure_release()
    assert _whole(home).close() == "released"
    spec = prepare_release(unrecorded.spec.directory, "the second one misled nurses")
    assert run.chain.records()[-1].body["outcome"] == "interrupted"
    assert (spec.directory / LOCK_FILE).exists()
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr("pipelines.launch._execute_stack", lambda *_: None)
    execute([spec], lambda spec, record: None)
    assert chain_of(spec.directory).records()[-1].body["outcome"] == "interrupted"
    assert not (spec.directory / LOCK_FILE).exists()
    assert close_abandoned(home) == []


@pytest.mark.slow
def test_a_killed_pipeline_is_closed_by_the_next_start(tmp_path: Path) -> None:
    started = subprocess.Popen(
        [ASSAY, "run", "rand_hie", "--stack", "pytorch"],
        cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    home = tmp_path / ".assay"
    deadline = time.monotonic() + 200
    while not (found := list(home.glob("runs/*/evidence/0001-ingest.json"))):
        assert time.monotonic() < deadline
        assert started.poll() is None
        time.sleep(0.02)
    os.killpg(started.pid, signal.SIGKILL)
    started.wait()
    directory = found[0].parent.parent
    before = [r.digest for r in chain_of(directory).records()]
    assert before
    assert not chain_of(directory).closed
    # The worker dies with its starter; the lock is free once it is gone.
    prepared = _next_start(tmp_path)
    assert f"assay: run {directory.name} was abandoned" in prepared.stderr
    records = chain_of(directory).records()
    assert [r.digest for r in records][: len(before)] == before
    assert records[-1].body["outcome"] == "interrupted"
    assert json.loads((directory / "run.json").read_bytes())["run_id"] == directory.name
    assert unsettled(home, "pytorch") == [directory]
    _settle_earlier("pytorch", home)
    assert unsettled(home, "pytorch") == []
    head = records[-1].digest
    raw, keys = (directory / RECEIPT).read_bytes(), HomeKeys(home).trusted()
    assert parse_receipt(raw, directory.name, head, keys).entries > 0


def test_a_store_is_due_until_a_receipt_is_signed(home: Path) -> None:
    process = _begun(home, Stage.INGEST)
    directory = process.spec.directory
    hold(directory)
    assert directory not in unsettled(home, "tfx")
    process.close(interrupted="stopped by hand")
    assert directory not in unsettled(home, "tfx")
    let_go(directory)
    assert directory in unsettled(home, "tfx")
    assert unsettled(home, "pytorch") == []
    (directory / RECEIPT).write_text("signed")
    let_go(directory)
    assert directory not in unsettled(home, "tfx")
    assert not (directory / DUE_FILE).exists()


def _next_start(folder: Path) -> subprocess.CompletedProcess[str]:
    """What `assay run` does up to its first stage."""
    code = (
        "from pathlib import Path; from pipelines.launch import Order, prepare\n"
        "import sys; contract, policy = map(Path, sys.argv[1:])\n"
        "prepare(contract, [Order('pytorch', 'plain', policy)], Path('.assay'), None)\n"
    )
    time.sleep(1)
    return subprocess.run(
        [sys.executable, "-c", code, str(plain_stack.CONTRACT), str(plain_stack.PRODUCTION)],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
