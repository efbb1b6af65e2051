"""A room's process: it is told of when it breaks down, and never outlives the block."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from components.contract.errors import AssayError, ProcessError
from components.stacks import room_process
from components.stacks.room_process import Room, await_end, started

SLEEP = ["-n", "1", "-r", "1", "import time; time.sleep(600)"]


def _alive(room: Room) -> bool:
    try:
        os.kill(room.pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize("how", [KeyboardInterrupt, ValueError])
def test_an_interrupted_block_leaves_no_process(how: type[BaseException], tmp_path: Path) -> None:
    with pytest.raises(how), started("timeit", SLEEP, tmp_path / "log") as room:
        assert _alive(room)
        raise how
    assert not _alive(room)


def test_a_process_that_breaks_down_is_told_of(tmp_path: Path) -> None:
    log = tmp_path / "log"
    match = r"^tool ended with code \d$"
    arguments = [str(tmp_path / "absent")]
    with started("json.tool", arguments, log) as room, pytest.raises(AssayError, match=match):
        await_end(room, "json.tool", log)


def test_a_process_that_ends_well_is_not(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with started("platform", [], log) as room:
        await_end(room, "platform", log)
    assert log.read_text()


def test_keras_is_told_its_backend(tmp_path: Path) -> None:
    code = "import os; print(os.environ['KERAS_BACKEND'])"
    log = tmp_path / "log"
    with started("timeit", ["-n", "1", "-r", "1", code], log, backend="torch") as room:
        await_end(room, "timeit", log)
    assert log.read_text().startswith("torch\n")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (ValueError("of Mrs Smith"), "assay: broke down with ValueError\n"),
        (
            ProcessError("a column is not there"),
            "assay: broke down with ProcessError: a column is not there\n",
        ),
    ],
)
def test_only_our_own_errors_are_quoted(
    error: Exception, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    room_process._tell_without_values(type(error), error, None)
    assert capsys.readouterr().err == told
