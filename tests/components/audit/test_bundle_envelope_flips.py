"""No bit of an envelope is malleable: every bit of every envelope of a chain is flipped.

And of a waiver, which two people signed, with the record of the gate that it excuses.
"""

from __future__ import annotations

import pytest

from components.audit import verify_bundle
from components.contract.errors import EvidenceError
from components.lineage.dsse import verify
from tests.small_bundle import Draft, Sources, raw_key, released, sources, waived


def _envelopes(draft: Draft) -> Sources:
    return {
        name: raw
        for name, raw in sources(draft).items()
        if name.endswith(".json") and "payload" in raw.decode() and "sbom" not in name
    }


EXCUSED = {
    name: raw
    for name, raw in _envelopes(waived()).items()
    if name.startswith("waivers/") or name.endswith("0001-release_gate.json")
}
ENVELOPES = {**_envelopes(released()), **EXCUSED}
HOME, PEOPLE = ({n: raw_key(n) for n in names} for names in (("home",), ("ana", "bo")))


def _accepted_by_first(raw: bytes, keys: dict[str, bytes]) -> bool:
    try:
        verify(raw, keys)
    except EvidenceError:
        return False
    return True


def _accepted_by_second(raw: bytes, keys: dict[str, bytes]) -> bool:
    try:
        verify_bundle.open_envelope(raw, keys, "the envelope")
    except (verify_bundle.Tampered, verify_bundle.BadInput):
        return False
    return True


@pytest.mark.parametrize("name", ENVELOPES)
def test_every_flipped_bit_is_found(name: str) -> None:
    """By the one verifier for even bits and by the other for odd ones; together it is each bit."""
    sound, keys = ENVELOPES[name], PEOPLE if name.startswith("waivers/") else HOME
    verifiers = (_accepted_by_first, _accepted_by_second)
    assert all(accepted(sound, keys) for accepted in verifiers)
    for place in range(len(sound)):
        for bit in range(8):
            flipped = bytearray(sound)
            flipped[place] ^= 1 << bit
            accepted = verifiers[(place + bit) % 2]
            assert not accepted(bytes(flipped), keys), (place, bit)


def test_there_is_an_envelope_of_each_record_and_release_the_manifest_and_a_waiver() -> None:
    assert (len(ENVELOPES), len(EXCUSED)) == (13, 2)
