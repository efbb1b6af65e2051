"""Files that are either there whole or not there at all."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from components.contract.errors import InputError


def write_atomically(path: Path, content: bytes) -> None:
    """Write, fsync, rename, fsync the directory. An existing file is replaced in one step.

    Raises:
        OSError: the disk refused. The target is then as it was before or as it should be, whole
            either way; that it is durable is only certain once nothing was raised.
    """
    temporary = _temporary(path)
    try:
        _write(temporary, content, 0o666)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def write_once(path: Path, content: bytes, mode: int = 0o666) -> None:
    """As ``write_atomically``, but an existing file is never replaced.

    Args:
        path: the file to make.
        content: all of its bytes.
        mode: its permissions, less the umask.

    Raises:
        FileExistsError: something of that name is there already; it is untouched.
        OSError: the disk refused; as for ``write_atomically``.
    """
    temporary = _temporary(path)
    try:
        _write(temporary, content, mode)
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def write_numbered(directory: Path, content: Callable[[int], bytes]) -> Path:
    """Add the next of ``000001.json``, ``000002.json`` and so on; earlier ones are never changed.

    Args:
        directory: it is made if it is not there.
        content: all of the file's bytes, given its number.

    Raises:
        InputError: it cannot be written.
    """
    writable_directory(directory)
    while True:
        numbers = [int(p.stem) for p in directory.glob("[0-9]*.json") if p.stem.isdecimal()]
        number = max(numbers, default=0) + 1
        path = directory / f"{number:06d}.json"
        try:
            write_once(path, content(number))
        except FileExistsError:
            continue  # another process took the number; the next one is free
        except OSError as error:
            raise InputError(
                f"cannot be written ({error.strerror})",
                where=str(directory),
                expected="a directory that this user may write (`--home DIR`)",
            ) from error
        return path


@contextmanager
def locked_directory(directory: Path) -> Iterator[None]:
    """While it is held, nobody else who asks for it holds this directory's lock."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # A process that was forked meanwhile has the descriptor too: closing it is not enough.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def _temporary(path: Path) -> Path:
    # By chance and not by process id: in containers that share a volume everybody is process 1.
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")


def _write(temporary: Path, content: bytes, mode: int) -> None:
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        rest = memoryview(content)
        while rest:  # the kernel may take less than it is given
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Make the content of a file that a library wrote durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(directory: Path) -> None:
    """Make renames in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def writable_directory(path: Path) -> Path:
    """Create a directory durably, its parents included, and see that files can be written there.

    Raises:
        InputError: it cannot be created or written.
    """
    probe = path / f".writable.{secrets.token_hex(8)}"
    try:
        missing = [p for p in (path, *path.parents) if not p.exists()]
        path.mkdir(parents=True, exist_ok=True)
        for made in missing:  # a file is only as durable as the folders that lead to it
            sync_directory(made.parent)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror})",
            where=str(path),
            expected="a directory that this user may write (`--home DIR`)",
        ) from error
    return path
