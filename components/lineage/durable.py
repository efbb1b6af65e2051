"""Files that are either there whole or not there at all."""

from __future__ import annotations

import os
from pathlib import Path

from components.contract.errors import InputError


def write_atomically(path: Path, content: bytes) -> None:
    """Write, fsync, rename, fsync the directory. An existing file is replaced in one step.

    Raises:
        OSError: the disk refused; the target is then as it was before.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def write_once(path: Path, content: bytes) -> None:
    """As ``write_atomically``, but an existing file is never replaced.

    Raises:
        FileExistsError: something of that name is there already; it is untouched.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make renames in a directory durable."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def writable_directory(path: Path) -> Path:
    """Create a directory, its parents included, and see that files can be written there.

    Raises:
        InputError: it cannot be created or written.
    """
    probe = path / f".writable.{os.getpid()}"
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror})",
            where=str(path),
            expected="a directory that this user may write (`--home DIR`)",
        ) from error
    return path
