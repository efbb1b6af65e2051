"""No bit of an envelope is malleable: every bit of every envelope of a chain is flipped."""

from __future__ import annotations

import pytest

from components.audit import verify_bundle
from components.contract.errors import EvidenceError
from components.lineage.dsse import verify
from tests.small_bundle import raw_key, released, sources

ENVELOPES = {
    name: raw
    for name, raw in sources(released()).items()
    if name.endswith(".json") and "payload" in raw.decode() and "sbom" not in name
}
KEYS = {"home": raw_key("home")}


def _accepted_by_first(raw: bytes) -> bool:
    try:
        verify(raw, KEYS)
    except EvidenceError:
        return False
    return True


def _accepted_by_second(raw: bytes) -> bool:
    try:
        verify_bundle.open_envelope(raw, KEYS, "the envelope")
    except (verify_bundle.Tampered, verify_bundle.BadInput):
        return False
    return True


@pytest.mark.parametrize("name", ENVELOPES)
def test_every_flipped_bit_is_found(name: str) -> None:
    """By the one verifier for even bits and by the other for odd ones; together it is each bit."""
    sound = ENVELOPES[name]
    verifiers = (_accepted_by_first, _accepted_by_second)
    assert all(accepted(sound) for accepted in verifiers)
    for place in range(len(sound)):
        for bit in range(8):
            flipped = bytearray(sound)
            flipped[place] ^= 1 << bit
            accepted = verifiers[(place + bit) % 2]
            assert not accepted(bytes(flipped)), (place, bit)


def test_the_chain_has_an_envelope_for_each_record_release_and_manifest() -> None:
    assert len(ENVELOPES) == 11
