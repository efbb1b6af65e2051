"""What some bytes hold beneath: base64, compressed streams, archives, database cells, Parquet.

Whatever cannot be opened or is too large is told, never passed over: what was not searched is not
clean. The bytes themselves are searched in any case.
"""

from __future__ import annotations

import base64
import gzip
import io
import lzma
import re
import sqlite3
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

MOST_BYTES = 64 << 20
"""Most bytes of one layer that are looked into; what is beyond is told as not searched."""

MOST_DEPTH = 4
_FEWEST_BASE64 = 64  # characters: the forms of single values are looked for by themselves
_BASE64 = re.compile(rb"[A-Za-z0-9+/_\-]{%d,}={0,2}" % _FEWEST_BASE64)
_ZLIB = re.compile(rb"(?=([\x08\x18\x28\x38\x48\x58\x68\x78].))", re.DOTALL)
_ROWS = 4096
_MOST_DATABASE = 4 * MOST_BYTES


@dataclass(frozen=True, slots=True)
class Layer:
    """Bytes that stood encoded within others, from ``offset`` on; ``kind`` says how.

    ``content`` is None where they could not be had, or not whole.
    """

    offset: int
    kind: str
    content: bytes | None


def layers(content: Any, depth: int) -> Iterator[Layer]:
    """The layers of some bytes or a memory map, at ``depth`` layers below a file."""
    head = bytes(content[:16])
    found: list[Callable[[Any], Iterator[Layer]]] = [_base64]
    if head.startswith(b"PK\x03\x04"):
        found.append(_zip)
    elif head.startswith(b"\x1f\x8b"):
        found.append(_gzip)
    elif head.startswith(b"\x89PNG"):
        found += [_png, _zlib]
    elif head.startswith(b"PAR1"):
        found.append(_parquet)
    elif head.startswith(b"\xfd7zXZ\x00"):
        found.append(_xz)
    elif head.startswith(b"SQLite format 3\x00"):
        found += [_sqlite, _zlib]
    else:
        found.append(_zlib)
    for layer in (layer for look in found for layer in look(content)):
        yield layer if depth < MOST_DEPTH else Layer(layer.offset, layer.kind, None)


def _base64(content: Any) -> Iterator[Layer]:
    for match in _BASE64.finditer(content):
        if match.end() - match.start() > 2 * MOST_BYTES:
            yield Layer(match.start(), "base64", None)
            continue
        code = match[0].rstrip(b"=").translate(bytes.maketrans(b"-_", b"+/"))
        if re.fullmatch(rb"[0-9a-f]+|[0-9A-F]+", code):  # a digest, or hex
            continue
        code = code[: len(code) - (len(code) % 4 == 1)]
        yield Layer(match.start(), "base64", base64.b64decode(code + b"=" * (-len(code) % 4)))


def _zlib(content: Any) -> Iterator[Layer]:
    """Streams with zlib's header, wherever they start (PDF, PNG text, databases)."""
    end = 0
    for match in _ZLIB.finditer(content):
        if match.start() < end or int.from_bytes(match[1], "big") % 31 or match[1][1] & 32:
            continue
        inflater = zlib.decompressobj()
        try:
            first = inflater.decompress(content[match.start() : match.start() + 512], 4096)
        except zlib.error:
            continue
        if len(first) < 16 and not inflater.eof:
            continue
        inflated, used = _inflated(content, match.start())
        yield Layer(match.start(), "zlib", inflated)
        end = match.start() + used


def _inflated(content: Any, start: int) -> tuple[bytes | None, int]:
    """A stream as far as it is sound, and its length; None if it is longer than is looked into."""
    inflater, out, place = zlib.decompressobj(), bytearray(), start
    while not inflater.eof and place < len(content):
        block = content[place : place + 65_536]
        try:
            while block and not inflater.eof:
                out += inflater.decompress(block, MOST_BYTES + 1 - len(out))
                if len(out) > MOST_BYTES:
                    return None, place - start
                block = inflater.unconsumed_tail
        except zlib.error:
            break
        place += 65_536
    return bytes(out), min(place, len(content)) - start - len(inflater.unused_data)


def _read(stream: Any) -> bytes | None:
    held: bytes = stream.read(MOST_BYTES + 1)
    return None if len(held) > MOST_BYTES else held


def _zip(content: Any) -> Iterator[Layer]:
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for entry in archive.infolist():
                if entry.compress_type != zipfile.ZIP_STORED or entry.file_size >= 16:
                    with archive.open(entry) as stream:
                        yield Layer(entry.header_offset, "zip", _read(stream))
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, zlib.error, EOFError, OSError):
        yield Layer(0, "zip", None)


def _gzip(content: Any) -> Iterator[Layer]:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            yield Layer(0, "gzip", _read(stream))
    except (OSError, EOFError, zlib.error):
        yield Layer(0, "gzip", None)


def _xz(content: Any) -> Iterator[Layer]:
    try:
        with lzma.LZMAFile(io.BytesIO(content)) as stream:
            yield Layer(0, "xz", _read(stream))
    except (lzma.LZMAError, EOFError):
        yield Layer(0, "xz", None)


def _png(content: Any) -> Iterator[Layer]:
    """The picture's data, which may be cut into several chunks."""
    data, place = bytearray(), 8
    while place + 12 <= len(content):
        length = int.from_bytes(content[place : place + 4], "big")
        if content[place + 4 : place + 8] == b"IDAT":
            data += content[place + 8 : place + 8 + length]
        place += 12 + length
    yield Layer(0, "png", _inflated(bytes(data), 0)[0])


def _parquet(content: Any) -> Iterator[Layer]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(io.BytesIO(content))
        for batch in file.iter_batches(_ROWS):
            for name, column in zip(batch.schema.names, batch.columns, strict=True):
                yield Layer(0, "parquet", _text(name, column.to_pylist()))
    except (pa.ArrowException, OSError):
        yield Layer(0, "parquet", None)


def _text(name: str, values: list[Any]) -> bytes:
    """Values, each on a line of its own after its column's name."""
    return b"\n".join(
        name.encode() + b"=" + (v if isinstance(v, bytes) else str(v).encode("utf-8", "replace"))
        for v in values
        if v is not None
    )


def _sqlite(content: Any) -> Iterator[Layer]:
    """The cells, each by itself: a long one lies in several pages, a number stands in bytes."""
    if len(content) > _MOST_DATABASE:
        yield Layer(0, "sqlite", None)
        return
    database = sqlite3.connect(":memory:")
    database.text_factory = bytes
    try:
        # With its mark for a write-ahead log it could not be opened in memory.
        database.deserialize(content[:18] + b"\x01\x01" + content[20:])
        tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'create table%'"
        for (table,) in database.execute(tables).fetchall():
            yield from _cells(database, table.decode())
    except (sqlite3.Error, UnicodeDecodeError):
        yield Layer(0, "sqlite", None)
    finally:
        database.close()


def _cells(database: sqlite3.Connection, table: str) -> Iterator[Layer]:
    quoted = table.replace('"', '""')
    cursor = database.execute(f'SELECT * FROM "{quoted}"')  # noqa: S608 - a name, quoted
    names = [column[0] for column in cursor.description]
    while rows := cursor.fetchmany(_ROWS):
        for name, column in zip(names, zip(*rows, strict=True), strict=True):
            yield Layer(0, "sqlite", _text(name, list(column)))
