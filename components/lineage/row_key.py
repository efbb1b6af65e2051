"""The life of a home's row key: made with its first rows, read by all later work, destroyed once.

Whoever destroys it makes every row commitment, person tag and file nonce of the home mute, for
ever: nobody can derive them again. A home that lost its key never gets a second one, for under it
the same rows would carry other names beside the old ones.
"""

from __future__ import annotations

import os
import secrets
from datetime import UTC, datetime
from pathlib import Path

from components.contract.errors import InputError
from components.lineage.commitments import KEY_BYTES, destroyed_at, load_or_create_row_key, notice
from components.lineage.durable import sync_directory, write_once


def row_key_path(home: Path) -> Path:
    """Where a home keeps its row key: outside every run, dataset and store."""
    return home / "keys" / "row.key"


def read_row_key(home: Path) -> bytes:
    """The home's row key of 32 bytes; one that is not there is not made.

    Raises:
        InputError: it was destroyed, is missing, or is no private row key.
    """
    path = row_key_path(home)
    if destroyed_at(path) is None and not path.exists():
        raise InputError(
            "the row key is missing, and nobody can say whose rows are whose without it",
            where=str(path),
            expected="the key that this home's rows were named with, put back",
        )
    return load_or_create_row_key(path)


def row_key_for_rows(home: Path) -> bytes:
    """The key to name new rows with: made only in a home that never had rows or runs.

    Raises:
        InputError: it was destroyed, or is missing beside what it named.
    """
    if any(any(home.glob(p)) for p in ("datasets/*/*/manifest.json", "runs/*/run.json")):
        return read_row_key(home)
    return load_or_create_row_key(row_key_path(home))


def require_row_key(home: Path) -> None:
    """Refuse to destroy a key that is not there, or no longer.

    Raises:
        InputError: there is none, or it was destroyed whole.
    """
    path = row_key_path(home)
    if os.path.lexists(path):
        return
    at = destroyed_at(path)
    what = f"the row key was destroyed already, on {at}" if at else "there is no row key"
    raise InputError(what, where=str(path), expected="a home that has its row key")


def destroy_row_key(home: Path) -> None:
    """Leave the notice, overwrite the key's bytes, unlink it; each step is durable before the next.

    The notice comes first: whoever is stopped in between leaves a key that is refused, and may
    call again. Copies in backups, snapshots and a drive's spare blocks are out of reach.

    Raises:
        InputError: there is no key, or the disk refuses.
    """
    require_row_key(home)
    path = row_key_path(home)
    try:
        if destroyed_at(path) is None:
            write_once(notice(path), f"{datetime.now(UTC):%Y-%m-%d}\n".encode())
        descriptor = os.open(path, os.O_WRONLY | os.O_NOFOLLOW)
        try:
            os.write(descriptor, secrets.token_bytes(KEY_BYTES))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        path.unlink()
        sync_directory(path.parent)
    except OSError as error:
        raise InputError(
            f"cannot be destroyed ({error.strerror})",
            where=str(path),
            expected="a file of this user's, and call again",
        ) from error
