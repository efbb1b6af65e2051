"""The bytes of a bundle's entries, read once: what is parsed later is what was hashed."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from components.audit.bundle_format import MANIFEST, Manifest, is_hashed_only
from components.audit.bundle_zip import Entry

_LARGE = 1 << 20
_CHUNK = 1 << 23


@dataclass(frozen=True, slots=True)
class Contents:
    """Each entry by name: its size, its SHA-256 in hex, and whether its CRC-32 is the one said.

    ``parsed`` has the bytes of those that are read, ``entries`` where the others lie.
    """

    sizes: Mapping[str, int]
    digests: Mapping[str, str]
    broken: frozenset[str]
    parsed: Mapping[str, bytes]
    entries: Mapping[str, Entry]


def read_contents(view: memoryview, entries: list[Entry]) -> Contents:
    """Hash every entry; SHA-256 and CRC-32 of large ones side by side, each in its own thread."""
    parsed = {
        e.name: bytes(view[e.start : e.start + e.size])
        for e in entries
        if not is_hashed_only(e.name)
    }
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in parsed.items()}
    sums = {name: zlib.crc32(content) for name, content in parsed.items()}
    hashed = [e for e in entries if e.name not in parsed]
    if any(e.size > _LARGE for e in hashed):
        with ThreadPoolExecutor(max(2, os.cpu_count() or 2)) as pool:
            shas = [pool.submit(_sha256, view, e) for e in hashed]
            crcs = [pool.submit(_crc32, view, e) for e in hashed]
            digests |= {e.name: f.result() for e, f in zip(hashed, shas, strict=True)}
            sums |= {e.name: f.result() for e, f in zip(hashed, crcs, strict=True)}
    else:
        digests |= {e.name: _sha256(view, e) for e in hashed}
        sums |= {e.name: _crc32(view, e) for e in hashed}
    return Contents(
        sizes={e.name: e.size for e in entries},
        digests=digests,
        broken=frozenset(e.name for e in entries if sums[e.name] != e.crc),
        parsed=parsed,
        entries={e.name: e for e in entries},
    )


def _pieces(view: memoryview, entry: Entry) -> Iterator[memoryview]:
    end = entry.start + entry.size
    for start in range(entry.start, end, _CHUNK):
        with view[start : min(start + _CHUNK, end)] as piece:
            yield piece


def _sha256(view: memoryview, entry: Entry) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(view, entry):
        digest.update(piece)
    return digest.hexdigest()


def _crc32(view: memoryview, entry: Entry) -> int:
    found = 0
    for piece in _pieces(view, entry):
        found = zlib.crc32(piece, found)
    return found


def check_contents(contents: Contents, manifest: Manifest) -> list[tuple[str, str]]:
    """Every entry that is not as the manifest says, and what is wrong with it, in name order."""
    found = []
    for name in sorted({*contents.sizes, *manifest.entries}):
        said = manifest.entries.get(name)
        if name not in contents.sizes:
            found.append((name, "it is missing"))
        elif said is None and name != MANIFEST:
            found.append((name, "the manifest does not list it: it was added"))
        elif said is not None and contents.sizes[name] != said[0]:
            found.append((name, f"it has {contents.sizes[name]:,} bytes and not {said[0]:,}"))
        elif said is not None and contents.digests[name] != said[1]:
            found.append((name, "its SHA-256 is not that of the manifest: it was altered"))
        elif name in contents.broken:
            found.append((name, "its CRC-32 is not that of its header"))
    return found
