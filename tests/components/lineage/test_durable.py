from __future__ import annotations

import errno
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest

from components.contract.errors import InputError
from components.lineage.durable import (
    sync_file,
    writable_directory,
    write_atomically,
    write_once,
)


def test_write_atomically_replaces_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_atomically(path, b"one")
    write_atomically(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_write_once_never_replaces(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write_once(path, b"one")
    with pytest.raises(FileExistsError):
        write_once(path, b"two")
    assert path.read_bytes() == b"one"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("there", ["folder", "dangling link"])
def test_write_once_replaces_no_folder_and_follows_no_link(tmp_path: Path, there: str) -> None:
    path = tmp_path / "f"
    if there == "folder":
        path.mkdir()
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        write_once(path, b"x")
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


@pytest.mark.parametrize("write", [write_atomically, write_once])
@pytest.mark.parametrize("call", ["fsync", "replace", "link"])
def test_a_disk_that_refuses_leaves_the_target_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Any, call: str
) -> None:
    path = tmp_path / "f"
    if write is write_atomically:
        path.write_bytes(b"before")

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "refused")

    monkeypatch.setattr(os, call, refuse)
    if (write, call) in ((write_atomically, "link"), (write_once, "replace")):
        write(path, b"after")
        return
    with pytest.raises(OSError, match="refused"):
        write(path, b"after")
    monkeypatch.undo()
    if write is write_atomically:
        assert path.read_bytes() == b"before"
        assert list(tmp_path.iterdir()) == [path]
    else:
        assert list(tmp_path.iterdir()) == []


def test_a_leftover_of_another_process_with_the_same_id_does_no_harm(tmp_path: Path) -> None:
    (tmp_path / f".f.{os.getpid()}.tmp").mkdir()
    write_once(tmp_path / "f", b"x")
    write_atomically(tmp_path / "f", b"y")
    assert (tmp_path / "f").read_bytes() == b"y"


def _write(path: Path, content: bytes, won: Any) -> None:
    try:
        write_once(path, content)
        won.put(content)
    except FileExistsError:
        won.put(None)


def test_of_writers_at_once_one_wins_whole(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    won = context.Queue()
    path = tmp_path / "f"
    contents = [bytes([i]) * 200_000 for i in range(6)]
    processes = [context.Process(target=_write, args=(path, c, won)) for c in contents]
    for process in processes:
        process.start()
    winners = [w for w in (won.get(timeout=30) for _ in processes) if w is not None]
    for process in processes:
        process.join(30)
    assert winners == [path.read_bytes()]


def test_a_directory_is_made_with_its_parents_and_left_empty(tmp_path: Path) -> None:
    made = writable_directory(tmp_path / "a" / "b")
    assert made.is_dir()
    assert list(made.iterdir()) == []
    assert writable_directory(made) == made
    sync_file(tmp_path / "a")


def test_a_directory_under_a_file_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "home"):
        with pytest.raises(InputError, match="cannot be written") as caught:
            writable_directory(path)
        assert len(str(caught.value).splitlines()) == 1


def test_a_directory_that_refuses_files_is_bad_input() -> None:
    for path in (Path("/proc"), Path("/sys/kernel")):
        with pytest.raises(InputError, match="cannot be written"):
            writable_directory(path)
