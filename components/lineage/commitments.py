"""Row commitments that name a row without letting anybody guess it.

A plain hash of a patient's row is found by trying rows: 2.5 million tries a second on one core.
Each row's commitment therefore mixes in a nonce that only the holder of the row key can derive.
The key stays outside the evidence; destroying it makes every commitment mute for ever.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from components.contract.errors import InputError
from components.lineage.durable import writable_directory, write_once
from components.lineage.regular_file import read_regular

if TYPE_CHECKING:
    import pyarrow as pa

KEY_BYTES = 32
COMMITMENT_BYTES = 32
_ROWS_AT_ONCE = 65_536
_BLOCK = 64
_NONCE = b"assay-row-nonce-v1\x00"
_NULL, _INTEGER, _FLOAT, _TEXT, _BOOLEAN = b"\x00", b"\x01", b"\x02", b"\x03", b"\x04"


def load_or_create_row_key(path: Path) -> bytes:
    """The 32-byte row key at ``path``, made with mode 0600 on first use, whole or not at all.

    Raises:
        InputError: it was destroyed, cannot be made or read, is not 32 bytes, or others than its
            owner may read it.
    """
    if at := destroyed_at(path):
        raise InputError(
            f"the row key was destroyed on {at}: what it named is forgotten for good",
            where=str(path),
            expected="another home for new rows",
        )
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


def notice(path: Path) -> Path:
    """The file beside a row key that says when the key was destroyed."""
    return path.with_name(f"{path.name}.destroyed")


def destroyed_at(path: Path) -> str | None:
    """Day on which the row key at ``path`` was destroyed, as its notice has it; else None.

    A notice that cannot be made sense of counts: a key beside it is not to be trusted.
    """
    if not os.path.lexists(notice(path)):
        return None
    try:
        day = read_regular(notice(path)).decode().strip()
        return date.fromisoformat(day).isoformat()
    except (OSError, ValueError):
        return "a day that its notice does not say"


def nonce(key: bytes, row: bytes) -> bytes:
    """HMAC-SHA-256 of the row's bytes under the row key; 32 bytes.

    It depends on the row alone, so a row keeps its commitment when files are cut differently.
    """
    return hmac.digest(key, _NONCE + row, "sha256")


def nonce_of_copy(key: bytes, row: bytes, place: int) -> bytes:
    """The nonce of a row that has ``place`` copies of it before it; 32 bytes."""
    return nonce(key, row + place.to_bytes(8, "big")) if place else nonce(key, row)


def commitment(row_nonce: bytes, row: bytes) -> bytes:
    """SHA-256 of a prefix, the nonce and the row's bytes; 32 bytes."""
    return hashlib.sha256(b"assay-row-v1\x00" + row_nonce + row).digest()


def commit_rows(key: bytes, rows: Iterable[bytes]) -> Iterator[bytes]:
    """The commitment of each row, in order; no two rows share one.

    The second and every later row of the same bytes draws a nonce of its own, from its place among
    its copies: rows that look alike are still different cases, each with a decision of its own.
    """
    copies: dict[bytes, int] = {}
    keyed = _Keyed(key, _NONCE)
    for row in rows:
        first = commitment(keyed.digest(row), row)
        place = copies.get(first, 0)
        copies[first] = place + 1
        yield commitment(nonce_of_copy(key, row, place), row) if place else first


def artifact_nonce(key: bytes, purpose: str) -> str:
    """A keyed value, in hex, that makes the digest of a derived file impossible to guess.

    Aggregates of nearly known data can be guessed like rows can; a file that carries this value
    keeps its digest mute to everybody who does not have the file.
    """
    return hmac.digest(key, b"assay-artifact-nonce-v1\x00" + purpose.encode(), "sha256").hex()


def entity_tag(key: bytes, entity: str) -> bytes:
    """A keyed name of a person, 16 bytes: it joins the decisions about one person, and tells none.

    HMAC-SHA-256 under the row key, cut to 128 bits; made mute with the key, like a row's.
    """
    return next(entity_tags(key, [entity]))


def entity_tags(key: bytes, entities: Iterable[str]) -> Iterator[bytes]:
    """The tag of each person, in order; see ``entity_tag``."""
    keyed = _Keyed(key, b"assay-entity-v1\x00")
    for entity in entities:
        yield keyed.digest(entity.encode())[:16]


class _Keyed:
    """HMAC-SHA-256 of many messages under one key and prefix, whose share of the work is done once.

    RFC 2104 spelled out: ``hmac`` objects can be copied too, for half as much time again a message.
    """

    def __init__(self, key: bytes, prefix: bytes) -> None:
        block = (key if len(key) <= _BLOCK else hashlib.sha256(key).digest()).ljust(_BLOCK, b"\x00")
        self._inner = hashlib.sha256(bytes(b ^ 0x36 for b in block) + prefix)
        self._outer = hashlib.sha256(bytes(b ^ 0x5C for b in block))

    def digest(self, message: bytes) -> bytes:
        """HMAC of the prefix and the message, 32 bytes."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


def encode_rows(table: pa.Table) -> Iterator[bytes]:
    """One unambiguous byte string for each row: a type tag and the value, column by column.

    Integers and floats are eight bytes, big-endian; text is length-prefixed UTF-8; null and NaN
    are a tag alone. The column order is the table's.

    Raises:
        TypeError: a column is of another type.
    """
    import pyarrow.compute as pc

    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        cells = [_encode_column(column) for column in batch.columns]
        yield from _values(pc.binary_join_element_wise(*cells, b""))


def _values(rows: pa.Array) -> Iterator[bytes]:
    """The values of a binary array without nulls; ``to_pylist`` takes twice the time."""
    import numpy as np

    _, bounds, content = rows.buffers()
    ends = np.frombuffer(bounds, np.int32)[rows.offset : rows.offset + len(rows) + 1].tolist()
    held = content.to_pybytes() if content is not None else b""
    for i in range(len(rows)):
        yield held[ends[i] : ends[i + 1]]


def _encode_column(column: pa.Array) -> pa.Array:
    """Each cell's bytes, as a binary array."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_null(kind):
        return pa.array([_NULL] * len(column), pa.binary())
    if pa.types.is_dictionary(kind):
        return _encode_column(column.dictionary_decode())
    if pa.types.is_boolean(kind):
        cells = pc.if_else(column, _BOOLEAN + b"\x01", _BOOLEAN + b"\x00").cast(pa.binary())
    elif pa.types.is_integer(kind):
        cells = _tagged(_INTEGER, pc.fill_null(column.cast(pa.int64()), 0), ">i8")
    elif pa.types.is_floating(kind):
        # -0.0 and 0.0 are the same value; NaN is no value.
        numbers = pc.add(column.cast(pa.float64()), 0.0)
        column = pc.if_else(pc.is_nan(numbers), None, numbers)
        cells = _tagged(_FLOAT, pc.fill_null(column, 0.0), ">f8")
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        texts = pc.fill_null(column, "").cast(pa.binary())
        cells = pc.binary_join_element_wise(
            _tagged(_TEXT, pc.binary_length(texts), ">u4"), texts, b""
        )
    else:
        raise TypeError(f"no row encoding for {kind}")
    return pc.if_else(pc.is_valid(column), cells, pa.scalar(_NULL, pa.binary()))


def _tagged(tag: bytes, values: pa.Array, order: str) -> pa.Array:
    """The tag and the value's bytes in that order, of an array without nulls."""
    import numpy as np
    import pyarrow as pa

    numbers = values.to_numpy(zero_copy_only=False).astype(order)
    width = 1 + numbers.itemsize
    cells = np.empty((len(numbers), width), np.uint8)
    cells[:, 0] = tag[0]
    cells[:, 1:] = numbers.view(np.uint8).reshape(-1, width - 1)
    fixed = pa.Array.from_buffers(
        pa.binary(width), len(numbers), [None, pa.py_buffer(cells.tobytes())]
    )
    return fixed.cast(pa.binary())
