"""A regular file is read; whatever else has its name is refused at once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from components.lineage.regular_file import read_regular


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
