"""Files that a command was asked to write: whole or not at all, and no error without a line."""

from __future__ import annotations

from pathlib import Path

from components.contract.errors import InputError
from components.lineage.durable import write_atomically, write_once


def require_target(path: Path | None, *inputs: Path | None) -> None:
    """Refuse, before any work is done, a path that could not or must not be written in the end.

    Raises:
        InputError: its folder is not there, it is no regular file, or it is one of the inputs.
    """
    if path is None:
        return
    same = [
        p for p in inputs if p is not None and p.exists() and path.exists() and path.samefile(p)
    ]
    if same or not path.parent.is_dir() or (path.exists() and not path.is_file()):
        raise InputError(
            "is an input" if same else "cannot be written",
            where=str(path),
            expected="a file to write, in a folder that is there",
        )


def write(path: Path, content: bytes) -> None:
    """Write a file, replacing what was there.

    Raises:
        InputError: the path cannot be written.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        raise _refused(path, error) from error


def write_new(path: Path, content: bytes) -> None:
    """Write a file that is not there yet.

    Raises:
        InputError: it is there, or the path cannot be written.
    """
    try:
        write_once(path, content)
    except OSError as error:
        raise _refused(path, error) from error


def _refused(path: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot be written ({error.strerror})", where=str(path), expected="a path to write to"
    )
