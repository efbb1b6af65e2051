"""Draws that any row can make on its own: counter-based, so chunks of any size give the same.

Rows draw from Philox (Salmon et al., "Parallel Random Numbers: As Easy as 1, 2, 3", SC 2011), keyed
by seed and stream and advanced to the row. Members and providers come back in many rows, in no
order, so theirs are a hash of their number: the finaliser of SplitMix64 (Steele, Lea and Flood,
OOPSLA 2014). Everything is whole numbers: no machine rounds differently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from math import gcd

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Draws = npt.NDArray[np.uint64]
Integers = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint8]

SIXTEENTHS = 1 << 16
"""Values that a quarter of a draw can take."""
FINE = 1 << 12
"""Steps of a table that depends on something else; shares are exact to 1 / 4096."""
_BLOCK = 4
"""64-bit numbers that Philox gives for each step of its counter."""


def _key(seed: int, stream: str) -> bytes:
    return hashlib.sha256(f"{seed}\x00{stream}".encode()).digest()


def draw(seed: int, stream: str, start: int, count: int) -> Draws:
    """64 random bits for each of the rows ``start`` to ``start + count - 1``."""
    generator = np.random.Philox(key=int.from_bytes(_key(seed, stream)[:16], "big"))
    generator.advance(start // _BLOCK)
    skip = start % _BLOCK
    drawn: Draws = generator.random_raw(skip + count)[skip:]
    return drawn


def hashed(seed: int, stream: str, numbers: Integers) -> Draws:
    """64 random bits for each number, the same wherever it comes again."""
    key = np.uint64(int.from_bytes(_key(seed, stream)[:8], "big"))
    mixed = (numbers.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + key
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def quarter(drawn: Draws, part: int) -> Integers:
    """The ``part``-th 16 of the 64 bits, 0 to 3."""
    bits = (drawn >> np.uint64(16 * part)) & np.uint64(SIXTEENTHS - 1)
    return bits.view(np.int64)


def upper(drawn: Draws) -> Draws:
    """The upper 32 of the 64 bits."""
    half: Draws = drawn >> np.uint64(32)
    return half


def below(bound: int, half: Draws) -> Integers:
    """A whole number from 0 to ``bound - 1`` from 32 bits; ``bound`` is under 2**32."""
    return ((half * np.uint64(bound)) >> np.uint64(32)).view(np.int64)


def table(weights: Mapping[str, int], names: Sequence[str], size: int = SIXTEENTHS) -> Codes:
    """The code of the value that each of ``size`` equally likely draws means.

    Args:
        weights: of each value; they need not add up to anything.
        names: all values; a value's code is its place here.
        size: entries of the table.
    """
    total, reached, filled = sum(weights.values()), 0, 0
    codes = np.zeros(size, np.uint8)
    for name, weight in weights.items():
        reached += weight
        end = size * reached // total
        codes[filled:end] = names.index(name)
        filled = end
    return codes


def scattered(numbers: Integers, count: int, seed: int, stream: str) -> Integers:
    """Numbers from 1 to ``count``, one for each from 0 to ``count - 1``, in another order."""
    drawn = int.from_bytes(_key(seed, stream)[:8], "big")
    factor = max(1, drawn % count)
    while gcd(factor, count) != 1:
        factor += 1
    scattered: Integers = (numbers * factor + drawn % count) % count + 1
    return scattered


_THREE_DIGITS = np.frombuffer("".join(f"{n:03d}" for n in range(1000)).encode(), np.uint8)


def identifiers(prefix: str, numbers: Integers, digits: int) -> pa.StringArray:
    """``SYN-M`` and 7 as ``SYN-M000000007``.

    Args:
        prefix: what comes first, ASCII.
        numbers: each is at least 0 and has at most ``digits`` digits.
        digits: a multiple of three.
    """
    width = len(prefix) + digits
    text = np.empty((len(numbers), width), np.uint8)
    text[:, : len(prefix)] = np.frombuffer(prefix.encode(), np.uint8)
    rest, three = numbers, _THREE_DIGITS.reshape(1000, 3)
    for end in range(width, len(prefix), -3):
        above = rest // 1000
        text[:, end - 3 : end] = three[rest - above * 1000]
        rest = above
    offsets = np.arange(0, (len(numbers) + 1) * width, width, dtype=np.int32)
    return pa.StringArray.from_buffers(
        len(numbers), pa.py_buffer(offsets), pa.py_buffer(text.reshape(-1))
    )
