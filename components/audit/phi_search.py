"""One pass over some bytes for very many patterns: windows hashed, then looked at.

The last few bytes of each pattern (identifiers differ at their ends) are marked in a table of bits.
numpy hashes every window of a block at once; only where a mark is met is the pattern itself
compared. Memory: the patterns, 2 MB of marks, and some 50 MB for a block.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from components.audit.phi_forms import SHORTEST, forms
from components.audit.phi_values import Wanted, is_number

BLOCK = 1 << 20  # bytes
_BITS = 21  # log2 of the number of marks
_MIXER = np.uint64(0x9E3779B97F4A7C15)
_FEWEST = 5  # bytes of a pattern
_OPEN = 12  # bytes: a plain text that is shorter must stand alone
_DATABASE = (b"SQLite format 3\x00", b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83", b"\xd9\xd5\x05\xf9")
"""How SQLite's pages, write-ahead logs and journals begin: cell stands right beside cell there."""

Bytes = Any
"""bytes, or a memory map."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A value in some bytes: where, of which column, in which encoding, and how long it is there.

    The value itself is not kept.
    """

    offset: int
    column: str
    encoding: str
    length: int


@dataclass(frozen=True, slots=True)
class _Pattern:
    column: str
    encoding: str
    alone: bool


class Patterns:
    """All forms of all values to look for."""

    def __init__(self, wanted: Wanted) -> None:
        self._forms: dict[bytes, _Pattern] = {}
        for value, column in wanted.anywhere.items():
            for encoding, form in forms(value):
                short = is_number(value) or len(form) < _OPEN
                alone = short and encoding.startswith("utf-8")
                self._forms.setdefault(form, _Pattern(column, encoding, alone))
        self._windows = [
            _Windows(size, [f for f in self._forms if low <= len(f) <= high])
            for size, low, high in ((_FEWEST, _FEWEST, SHORTEST - 1), (SHORTEST, SHORTEST, 1 << 20))
        ]
        self._named = [(column, *_named(column, wanted.named[column])) for column in wanted.named]

    def find(self, content: Bytes) -> Iterator[Hit]:
        """Every value in some bytes, in no order; of overlapping ones each."""
        among_cells = content[:16].startswith(_DATABASE)
        for windows in self._windows:
            for form, start in windows.find(content):
                pattern = self._forms[form]
                if not pattern.alone or _stands_alone(content, start, len(form), among_cells):
                    yield Hit(start, pattern.column, pattern.encoding, len(form))
        for column, near, values in self._named:
            for match in near.finditer(content):
                if match[1] in values:
                    yield Hit(match.start(1), column, "utf-8 after its name", len(match[1]))


def _named(column: str, values: Iterable[str]) -> tuple[re.Pattern[bytes], frozenset[bytes]]:
    """A short value counts within a few marks after its column's name, as ``"age": 31``."""
    name = re.escape(column.encode())
    near = re.compile(rb"(?<![A-Za-z0-9_])" + name + rb"[^\w.\-\x00]{1,6}([\w.+\-]{1,48})")
    return near, frozenset(v.encode() for v in values)


def _stands_alone(content: Bytes, start: int, length: int, among_cells: bool) -> bool:
    """Whether no letter or digit stands beside it, nor is it the fraction of a number."""
    before, after = content[max(0, start - 1) : start], content[start + length : start + length + 1]
    if among_cells:
        return not (before.isdigit() or before == b"." or after.isdigit())
    return not (before.isalnum() or before == b"." or after.isalnum())


class _Windows:
    """Patterns by their last ``size`` bytes."""

    def __init__(self, size: int, patterns: list[bytes]) -> None:
        self._size = size
        self._by_end: dict[bytes, dict[int, set[bytes]]] = {}
        for pattern in patterns:
            by_length = self._by_end.setdefault(pattern[-size:], {})
            by_length.setdefault(len(pattern), set()).add(pattern)
        self._marks = np.zeros(1 << _BITS, dtype=bool)
        if self._by_end:
            ends = np.frombuffer(b"".join(self._by_end), np.uint8).reshape(-1, size)
            self._marks[_hashes([ends[:, i] for i in range(size)])] = True

    def find(self, content: Bytes) -> Iterator[tuple[bytes, int]]:
        """Each pattern in some bytes and where it starts."""
        if not self._by_end:
            return
        for start in range(0, len(content), BLOCK):
            block = content[start : start + BLOCK + self._size - 1]
            count = len(block) - self._size + 1
            if count <= 0:
                return
            held = np.frombuffer(block, np.uint8)
            hashes = _hashes([held[i : i + count] for i in range(self._size)])
            for place in np.flatnonzero(self._marks[hashes]).tolist():
                if by_length := self._by_end.get(block[place : place + self._size]):
                    yield from _ending_at(content, start + place + self._size, by_length)


def _hashes(columns: list[npt.NDArray[np.uint8]]) -> npt.NDArray[np.uint64]:
    """A number below 2 ** _BITS for each window, given its first bytes, its second bytes, ..."""
    words = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        words = (words << np.uint64(8)) | column
    return (words * _MIXER) >> np.uint64(64 - _BITS)


def _ending_at(
    content: Bytes, end: int, by_length: dict[int, set[bytes]]
) -> Iterator[tuple[bytes, int]]:
    for length, patterns in by_length.items():
        if length <= end and (found := content[end - length : end]) in patterns:
            yield found, end - length
