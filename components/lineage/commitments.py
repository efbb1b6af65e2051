"""Row commitments that name a row without letting anybody guess it.

A plain hash of a patient's row is found by trying rows: 2.5 million tries a second on one core.
Each row's commitment therefore mixes in a nonce that only the holder of the row key can derive.
The key stays outside the evidence; destroying it makes every commitment mute for ever.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import secrets
import struct
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from components.contract.errors import InputError
from components.lineage.durable import writable_directory, write_once

if TYPE_CHECKING:
    import pyarrow as pa

KEY_BYTES = 32
COMMITMENT_BYTES = 32
_NULL, _INTEGER, _FLOAT, _TEXT, _BOOLEAN = b"\x00", b"\x01", b"\x02", b"\x03", b"\x04"


def load_or_create_row_key(path: Path) -> bytes:
    """The 32-byte row key at ``path``, made with mode 0600 on first use, whole or not at all.

    Raises:
        InputError: it cannot be made or read, is not 32 bytes, or others than its owner may read
            it.
    """
    if not path.exists():
        writable_directory(path.parent)
        # Another process may have made it since: then its key is the key.
        with contextlib.suppress(FileExistsError):
            write_once(path, secrets.token_bytes(KEY_BYTES), mode=0o600)
    try:
        key, mode = path.read_bytes(), path.stat().st_mode
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", where=str(path), expected="the row key"
        ) from error
    if len(key) != KEY_BYTES or mode & 0o077:
        raise InputError(
            "not a private row key",
            where=str(path),
            expected=f"a file of {KEY_BYTES} bytes with mode 0600",
        )
    return key


def nonce(key: bytes, row: bytes) -> bytes:
    """HMAC-SHA-256 of the row's bytes under the row key; 32 bytes.

    It depends on the row alone, so a row keeps its commitment when files are cut differently.
    """
    return hmac.digest(key, b"assay-row-nonce-v1\x00" + row, "sha256")


def commitment(row_nonce: bytes, row: bytes) -> bytes:
    """SHA-256 of a prefix, the nonce and the row's bytes; 32 bytes."""
    return hashlib.sha256(b"assay-row-v1\x00" + row_nonce + row).digest()


def commit_rows(key: bytes, rows: Iterable[bytes]) -> Iterator[bytes]:
    """The commitment of each row, in order; no two rows share one.

    The second and every later row of the same bytes draws a nonce of its own, from its place among
    its copies: rows that look alike are still different cases, each with a decision of its own.
    """
    copies: Counter[bytes] = Counter()
    for row in rows:
        first = commitment(nonce(key, row), row)
        place = copies[first]
        copies[first] += 1
        again = nonce(key, row + place.to_bytes(8, "big"))
        yield commitment(again, row) if place else first


def artifact_nonce(key: bytes, purpose: str) -> str:
    """A keyed value, in hex, that makes the digest of a derived file impossible to guess.

    Aggregates of nearly known data can be guessed like rows can; a file that carries this value
    keeps its digest mute to everybody who does not have the file.
    """
    return hmac.digest(key, b"assay-artifact-nonce-v1\x00" + purpose.encode(), "sha256").hex()


def encode_rows(table: pa.Table) -> Iterator[bytes]:
    """One unambiguous byte string for each row: a type tag and the value, column by column.

    Integers and floats are eight bytes, big-endian; text is length-prefixed UTF-8; null and NaN
    are a tag alone. The column order is the table's.
    """
    encoders = [_encode_column(column.to_pylist()) for column in table.columns]
    for cells in zip(*encoders, strict=True):
        yield b"".join(cells)


def _encode_column(values: list[object]) -> Iterator[bytes]:
    for value in values:
        match value:
            case None:
                yield _NULL
            case bool():
                yield _BOOLEAN + bytes([value])
            case int():
                yield _INTEGER + struct.pack(">q", value)
            case float():
                # -0.0 and 0.0 are the same value; NaN is no value.
                yield _NULL if value != value else _FLOAT + struct.pack(">d", value + 0.0)
            case str():
                text = value.encode("utf-8")
                yield _TEXT + struct.pack(">I", len(text)) + text
            case _:
                raise TypeError(f"no row encoding for {type(value).__name__}")
