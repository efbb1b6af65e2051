"""A regular file is read; whatever else has its name is refused at once."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from components.contract.errors import EvidenceError
from components.lineage.regular_file import read_regular, require_plain


def test_a_regular_file_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 300_000)
    assert read_regular(path) == b"x" * 300_000


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(OSError, match="not a regular file") as refused:
        read_regular(path)
    assert refused.value.filename == str(path)


def test_a_folder_and_a_file_that_is_not_there_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(OSError):
            read_regular(path)


def test_files_folders_and_links_are_plain(tmp_path: Path) -> None:
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "file").write_bytes(b"x")
    (tmp_path / "deep" / "link").symlink_to("nowhere")
    require_plain(tmp_path)


def test_a_pipe_or_a_socket_deep_in_a_folder_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model" / "deep").mkdir(parents=True)
    os.mkfifo(tmp_path / "model" / "deep" / "pi\npe")
    with pytest.raises(EvidenceError, match=r"^'model/deep/pi\\npe' is a pipe"):
        require_plain(tmp_path / "model")
    (tmp_path / "model" / "deep" / "pi\npe").unlink()
    monkeypatch.chdir(tmp_path / "model")  # a socket's name may only have some hundred bytes
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        with pytest.raises(EvidenceError, match="'model/socket' is a pipe, a socket or a device"):
            require_plain(tmp_path / "model")


def test_what_is_no_folder_has_nothing_in_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    for name in ("file", "none"):
        with pytest.raises(EvidenceError, match=f"{name} is no folder"):
            require_plain(tmp_path / name)
