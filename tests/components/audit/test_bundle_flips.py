"""No byte of a bundle is malleable: every bit is flipped, and every flip is found.

``ASSAY_FLIPS_PER_BYTE`` says how many bits of each byte of the bundle are flipped, 1 to 8; which
ones, where it is not all, is drawn by chance from ``ASSAY_SEED``.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from functools import cache

import pytest

from components.audit import verify, verify_bundle
from components.audit.bundle_format import MANIFEST
from components.audit.bundle_zip import read_entries
from components.contract.stages import Stage
from tests.small_bundle import (
    RUN,
    Draft,
    blocked,
    closing_body,
    judged,
    judged_by_second,
    raw_key,
    seal,
    sources,
)

BITS = int(os.environ.get("ASSAY_FLIPS_PER_BYTE", "8"))
SEED = int(os.environ.get("ASSAY_SEED", "20261124"))
PARTS = 4


def interrupted() -> Draft:
    """The smallest run that there is: one stage, and it was interrupted."""
    draft = blocked()
    left = [str(s) for s in list(Stage)[1:]]
    closing = closing_body([Stage.INGEST], 1, "interrupted", left)
    draft.runs = {RUN: [draft.runs[RUN][0], ("close", closing)]}
    return draft


SMALL = seal(interrupted())
SOUND = sources(interrupted())[MANIFEST]
KEYS = {"home": raw_key("home")}
ENTRIES = [e for e in read_entries(memoryview(SMALL)) if e.name != MANIFEST]


@pytest.fixture
def manifest_read_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Most flips leave the manifest as it was: the very same bytes are read and checked once."""
    for module, name in ((verify, "parse_manifest"), (verify_bundle, "read_manifest")):
        read = getattr(module, name)
        sound = cache(lambda read=read: read(SOUND, KEYS))

        def once(raw: bytes, keys: dict[str, bytes], read=read, sound=sound) -> object:  # type: ignore[no-untyped-def]
            return sound() if raw == SOUND and keys == KEYS else read(raw, keys)

        monkeypatch.setattr(module, name, once)
    yield


@pytest.mark.usefixtures("manifest_read_once")
@pytest.mark.parametrize("part", range(PARTS))
def test_every_flipped_bit_is_found_by_both_verifiers(part: int) -> None:
    assert judged(SMALL) == judged_by_second(SMALL) == (0, "")
    chance = random.Random(SEED + part)
    for place in range(part, len(SMALL), PARTS):
        for bit in chance.sample(range(8), BITS):
            flipped = bytearray(SMALL)
            flipped[place] ^= 1 << bit
            found = judged(bytes(flipped))[0], judged_by_second(bytes(flipped))[0]
            assert set(found) <= {1, 2}, (place, bit, SEED)


def test_a_flip_inside_an_entry_names_the_entry() -> None:
    for entry in ENTRIES:
        name, flipped = entry.name, bytearray(SMALL)
        flipped[entry.start] ^= 1
        code, problems = judged(bytes(flipped))
        assert (code, problems.splitlines()) == (
            1,
            [f"{name}: its SHA-256 is not that of the manifest: it was altered"],
        )


def test_every_altered_entry_is_named_at_once() -> None:
    flipped = bytearray(SMALL)
    for entry in ENTRIES:
        flipped[entry.start] ^= 1
    _, problems = judged(bytes(flipped))
    assert [line.partition(":")[0] for line in problems.splitlines()] == [e.name for e in ENTRIES]


def test_the_bundle_that_is_flipped_is_sound() -> None:
    assert judged(SMALL) == (0, "")
    assert judged_by_second(SMALL) == (0, "")


@pytest.mark.parametrize("cut", range(1, 150))
def test_every_shorter_bundle_is_refused(cut: int) -> None:
    assert judged(SMALL[:-cut])[0] in {1, 2}
    assert judged_by_second(SMALL[:-cut])[0] in {1, 2}
