"""Read a file that somebody else may have put there: a pipe is refused, not waited for."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

from components.contract.errors import EvidenceError


def read_regular(path: Path) -> bytes:
    """A regular file's bytes; see ``open_regular``.

    Raises:
        OSError: it cannot be read, or is a pipe, a socket or a device.
    """
    with open_regular(path) as file:
        return file.read()


@contextmanager
def open_regular(path: Path) -> Iterator[BufferedReader]:
    """A regular file, open for reading; its type is that of the very file that is read.

    Raises:
        OSError: it cannot be opened, or is a pipe, a socket or a device.
    """
    # Opened without blocking: a pipe would be waited for before it could be refused.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(descriptor)


def require_plain(folder: Path) -> None:
    """See that a folder holds files, folders and links alone, at any depth; none of it is opened.

    Raises:
        EvidenceError: names a pipe, a socket or a device in it, or that it is no folder.
        OSError: it, or a folder in it, cannot be read.
    """
    if not folder.is_dir():
        raise EvidenceError(f"{folder.name} is no folder")
    for parent, folders, files in os.walk(folder, onerror=_raise):
        for name in sorted([*folders, *files]):
            path = Path(parent, name)
            try:
                mode = path.lstat().st_mode
            except FileNotFoundError:
                continue  # somebody else's temporary file, gone meanwhile
            if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode) or stat.S_ISLNK(mode)):
                inside = path.relative_to(folder.parent).as_posix()
                raise EvidenceError(f"{inside!r} is a pipe, a socket or a device")


def _raise(error: OSError) -> None:
    raise error
