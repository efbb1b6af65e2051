"""Runs that are broken off from outside: closed with the reason, nothing lost, nobody left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from components.lineage.evidence import chain_of

ASSAY = Path(sys.executable).parent / "assay"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]


def _start(folder: Path) -> subprocess.Popen:
    return subprocess.Popen(
        [ASSAY, "run", "rand_hie", "--stack", "pytorch"], cwd=folder, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def _worker_of(process: subprocess.Popen) -> int:
    """The stack's own process: ``git``, asked for the revision, is a child for a moment as well."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        for pid in children.read_text().split() if children.exists() else []:
            with suppress(FileNotFoundError, ProcessLookupError):
                if b"pipelines.worker" in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                    return int(pid)
        time.sleep(0.05)
    raise AssertionError("no worker was started")


def _wait_for_a_record(home: Path) -> Path:
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline:
        if found := list(home.glob("runs/*/evidence/0001-ingest.json")):
            return found[0].parent.parent
        time.sleep(0.05)
    raise AssertionError("no record was written")


def _gone(pid: int) -> bool:
    status = Path(f"/proc/{pid}/status")
    return not status.exists() or "State:\tZ" in status.read_text()


@pytest.mark.parametrize("ends", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_closed_and_its_evidence_stays(
    tmp_path: Path, ends: signal.Signals
) -> None:
    process = _start(tmp_path)
    worker = _worker_of(process)
    run = _wait_for_a_record(tmp_path / ".assay")
    first = (run / "evidence" / "0001-ingest.json").read_bytes()
    process.send_signal(ends)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert errors.strip().splitlines()[-1].startswith("assay: interrupted")
    assert (run / "evidence" / "0001-ingest.json").read_bytes() == first
    closing = chain_of(run).records()[-1]
    assert closing.body["outcome"] == "interrupted"
    assert closing.body["reason"] == "interrupted by the user"
    assert _gone(worker)
    assert not (tmp_path / ".assay" / "releases").exists()


def test_a_killed_worker_is_a_malfunction_and_no_rejection(tmp_path: Path) -> None:
    process = _start(tmp_path)
    worker = _worker_of(process)
    run = _wait_for_a_record(tmp_path / ".assay")
    os.kill(worker, signal.SIGKILL)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 3
    assert "the pytorch process ended with code -9" in errors.strip().splitlines()[-1]
    closing = chain_of(run).records()[-1]
    assert closing.body["outcome"] == "interrupted"


def test_a_worker_does_not_outlive_the_process_that_started_it(tmp_path: Path) -> None:
    process = _start(tmp_path)
    worker = _worker_of(process)
    _wait_for_a_record(tmp_path / ".assay")
    process.kill()
    process.communicate(timeout=60)
    deadline = time.monotonic() + 20
    while not _gone(worker) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert _gone(worker)


def test_an_unforeseen_error_is_a_malfunction_and_quotes_nothing(tmp_path: Path) -> None:
    code = (
        "import sys, pipelines.cli as c, pipelines.doctor as d\n"
        "def broken(_):\n    raise ValueError('Mrs Ada Smith 1941-03-02')\n"
        "d.examine = broken\nsys.argv = ['assay', 'doctor']\nc.main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3
    assert "Ada" not in done.stdout + done.stderr
    assert done.stderr.strip().splitlines()[-1] == "assay: broke down with ValueError"
