"""The zip file of a bundle, in the one form that it may have.

Format: https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, of which next to nothing is
allowed: entries that are stored and not compressed, one time, no extra fields, no comments, no
attributes, no encryption, no ZIP64. Names rise, and entries follow each other without a gap from
the first byte to the last. Nothing is ever extracted.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from components.audit.bundle_format import (
    MAX_BUNDLE,
    MAX_ENTRIES,
    MAX_NAME,
    MAX_PARSED,
    TamperedError,
    is_hashed_only,
    is_name,
)
from components.contract.errors import InputError
from components.lineage.durable import sync_directory

_LOCAL, _CENTRAL, _END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
_COMMON = struct.Struct("<HHHHHIIIHH")
_CENTRAL_REST = struct.Struct("<HHHII")
_END_REST = struct.Struct("<HHHHIIH")
_LOCAL_SIZE, _CENTRAL_SIZE, _END_SIZE = 30, 46, 22
_VERSION, _DATE = 20, 0x21
"""Version 2.0 of the format; 1 January 1980, the first day that it knows."""
_CHUNK = 1 << 20
_FAR = 65_600
"""No comment is longer, so no closing record lies further from the end of the file."""
_ARCHIVE = "the archive"

Source = bytes | Path


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: its content is ``size`` bytes from ``start`` on; ``crc`` is said, not checked."""

    name: str
    start: int
    size: int
    crc: int


def read_entries(view: memoryview) -> list[Entry]:
    """All entries of a bundle, in order. Their content is not looked at.

    Raises:
        InputError: it is no whole zip file.
        TamperedError: it has another form than a bundle; names the entry.
    """
    place, size, count = _read_end(view)
    found: list[Entry] = []
    folded: set[str] = set()
    position = 0
    for _ in range(count):
        entry, place = _read_central(view, place, position, found[-1] if found else None)
        if entry.name.lower() in folded:
            raise TamperedError(entry.name, "it differs from another entry in case only")
        folded.add(entry.name.lower())
        found.append(entry)
        position = entry.start + entry.size
    if place != size or position != size - sum(_CENTRAL_SIZE + len(e.name) for e in found):
        raise TamperedError(_ARCHIVE, "bytes lie between its entries and its directory")
    return found


def _read_end(view: memoryview) -> tuple[int, int, int]:
    """Where the central directory begins and ends, and how many entries it has."""
    size = len(view) - _END_SIZE
    if size < 0 or bytes(view[size : size + 4]) != _END:
        tail = bytes(view[-_FAR:])
        if bytes(view[:4]) == _LOCAL and 0 <= tail.rfind(_END) <= len(tail) - _END_SIZE:
            raise TamperedError(_ARCHIVE, "bytes follow its end")
        raise InputError(
            "no whole zip file", where="the bundle", expected="all of an evidence bundle"
        )
    if len(view) > MAX_BUNDLE:
        raise TamperedError(_ARCHIVE, f"it has more than {MAX_BUNDLE:,} bytes")
    disk, first, here, count, length, begin, comment = _END_REST.unpack(view[size + 4 :])
    if (disk, first, comment, here) != (0, 0, 0, count):
        raise TamperedError(_ARCHIVE, "it has disks, a comment or ZIP64 fields")
    if not 1 <= count <= MAX_ENTRIES:
        raise TamperedError(_ARCHIVE, f"it does not have 1 to {MAX_ENTRIES:,} entries")
    if begin + length != size:
        raise TamperedError(_ARCHIVE, "its directory is not where its end says")
    return begin, size, count


def _read_central(
    view: memoryview, place: int, position: int, before: Entry | None
) -> tuple[Entry, int]:
    """An entry of the directory, and where the next one begins.

    ``position`` is where the entry's local header must be: behind the content of the one before.
    """
    nth = f"the entry after {before.name}" if before else "the first entry"
    head = bytes(view[place : place + _CENTRAL_SIZE])
    if len(head) < _CENTRAL_SIZE or head[:4] != _CENTRAL:
        raise TamperedError(nth, "it is not in the directory")
    common = _COMMON.unpack(head[6:32])
    length = common[8]
    raw = bytes(view[place + _CENTRAL_SIZE : place + _CENTRAL_SIZE + length])
    name = _name(raw, length, nth)
    _check_order(name, before)
    made_by, (comment, disk, inner, outer, offset) = head[4:6], _CENTRAL_REST.unpack(head[32:])
    if made_by != struct.pack("<H", _VERSION) or (comment, disk, inner, outer) != (0, 0, 0, 0):
        raise TamperedError(name, "it has a comment, a disk, attributes or another maker")
    entry = _checked(name, common, position)
    if offset != position:
        raise TamperedError(name, "it overlaps another entry or leaves a gap")
    local = bytes(view[position : entry.start])
    if local != _LOCAL + head[6:32] + raw:
        raise TamperedError(name, "its local header is not that of the directory")
    if entry.start + entry.size > len(view):
        raise TamperedError(name, "it is longer than the archive")
    return entry, place + _CENTRAL_SIZE + length


def _name(raw: bytes, length: int, nth: str) -> str:
    name = raw.decode("ascii", "replace")
    if len(raw) != length or length > MAX_NAME or not is_name(name):
        shown = raw[:MAX_NAME].decode("ascii", "backslashreplace")
        raise TamperedError(nth, f"its name {shown!r} is none that a bundle holds")
    return name


def _check_order(name: str, before: Entry | None) -> None:
    if before is None or before.name < name:
        return
    same = before.name == name
    raise TamperedError(name, "it is there twice" if same else f"it stands behind {before.name}")


def _checked(name: str, common: tuple[int, ...], position: int) -> Entry:
    """The entry that a directory's fields describe, if they are those of a stored entry."""
    version, flags, method, clock, day, crc, packed, size, _, extra = common
    if method != 0 or packed != size:
        raise TamperedError(name, "it is compressed")
    if (version, flags, clock, day) != (_VERSION, 0, 0, _DATE):
        raise TamperedError(name, "it has flags, a time or another version")
    if extra:
        raise TamperedError(name, "it has extra fields")
    if size > MAX_PARSED and not is_hashed_only(name):
        raise TamperedError(name, f"it has more than {MAX_PARSED:,} bytes")
    return Entry(name, position + _LOCAL_SIZE + len(name), size, crc)


def write_zip(path: Path, sources: Mapping[str, Source]) -> None:
    """Write a bundle, whole or not at all; one that is there is replaced.

    Args:
        path: the file.
        sources: content of each entry, as bytes or as a file that is read in pieces.

    Raises:
        InputError: it cannot be written or would be too large, or a file cannot be read.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as stream:
            write_entries(stream, sources)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror})", where=str(path), expected="a path to write to"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_entries(stream: BinaryIO, sources: Mapping[str, Source]) -> None:
    """Write a bundle to a stream that begins here; errors are those of ``write_zip``."""
    directory = []
    for name in sorted(sources):
        size, _, crc = measure(sources[name])
        common = _COMMON.pack(_VERSION, 0, 0, 0, _DATE, crc, size, size, len(name), 0)
        position = stream.tell()
        directory.append(
            _CENTRAL
            + struct.pack("<H", _VERSION)
            + common
            + _CENTRAL_REST.pack(0, 0, 0, 0, position)
            + name.encode("ascii")
        )
        if position + size > MAX_BUNDLE - _CHUNK:
            raise InputError(
                "too large for a bundle", where=name, expected=f"less than {MAX_BUNDLE:,} bytes"
            )
        stream.write(_LOCAL + common + name.encode("ascii"))
        for chunk in _chunks(sources[name]):
            stream.write(chunk)
    begin, table = stream.tell(), b"".join(directory)
    stream.write(table)
    count = len(directory)
    stream.write(_END + _END_REST.pack(0, 0, count, count, len(table), begin, 0))


def measure(source: Source) -> tuple[int, str, int]:
    """Size, SHA-256 in hex and CRC-32 of what is to become an entry."""
    size, crc, digest = 0, 0, hashlib.sha256()
    for chunk in _chunks(source):
        size, crc = size + len(chunk), zlib.crc32(chunk, crc)
        digest.update(chunk)
    return size, digest.hexdigest(), crc


def _chunks(source: Source) -> Iterator[bytes]:
    if isinstance(source, bytes):
        yield source
        return
    with source.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            yield chunk
