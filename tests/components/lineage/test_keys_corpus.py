"""Ed25519 keys and signatures of every class that implementations disagree about.

The classes are those of Wycheproof's test vectors and of the lists of small order points that
libraries refuse; the cases are made here, from the formulas of RFC 8032.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
from typing import Any

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from components.contract.errors import EvidenceError
from components.lineage.digests import canonical_json
from components.lineage.dsse import PAYLOAD_TYPE, pae, sign, verify
from components.lineage.keys import fault_of, key_id, public_bytes

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
SIGN_BIT = 1 << 255
ORDER_EIGHT = int.from_bytes(
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"
)
STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "subject": [{"name": "x", "digest": {"sha256": "0" * 64}}],
    "predicateType": "urn:test",
    "predicate": {"n": 1},
}
KEY = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"a test").digest())
PUBLIC = public_bytes(KEY)


def _encoded(number: int) -> bytes:
    return number.to_bytes(32, "little")


# Every encoding, canonical or not, of the eight points whose order divides 8.
_SMALL = (0, 1, P - 1, ORDER_EIGHT, P - ORDER_EIGHT, P, P + 1)
SMALL_ORDER = [_encoded(y | sign) for y in _SMALL for sign in (0, SIGN_BIT)]
# A second coordinate of p or more is another one's, written in a second way.
NON_CANONICAL = [_encoded(y | sign) for y in range(P, 2**255) for sign in (0, SIGN_BIT)]


def _envelope(signature: bytes, keyid: str) -> bytes:
    payload = canonical_json(STATEMENT)
    return canonical_json(
        {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [{"keyid": keyid, "sig": base64.b64encode(signature).decode()}],
        }
    )


def _message() -> bytes:
    return pae(canonical_json(STATEMENT))


def _sound() -> tuple[bytes, int]:
    """R of the sound signature, and S."""
    envelope: dict[str, Any] = json.loads(sign(STATEMENT, [KEY]))
    signature = base64.b64decode(envelope["signatures"][0]["sig"])
    return signature[:32], int.from_bytes(signature[32:], "little")


def _refused(signature: bytes) -> None:
    with pytest.raises(EvidenceError):
        verify(_envelope(signature, key_id(PUBLIC)), {"home": PUBLIC})


RFC_8032 = [
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701c"
        "f9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0"
        "f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_signatures_are_those_of_rfc_8032(
    seed: str, public: str, message: str, signature: str
) -> None:
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(seed))
    assert public_bytes(key).hex() == public
    assert key.sign(bytes.fromhex(message)).hex() == signature
    assert fault_of(bytes.fromhex(public)) is None


def test_the_sound_signature_is_believed() -> None:
    r, s = _sound()
    assert 0 < s < L
    assert verify(_envelope(r + _encoded(s), key_id(PUBLIC)), {"home": PUBLIC}).signers == ("home",)


def test_under_the_identity_anybody_can_sign_anything_and_the_library_believes_it() -> None:
    identity = _encoded(1)
    forged = identity + _encoded(0)
    Ed25519PublicKey.from_public_bytes(identity).verify(forged, b"anything")
    with pytest.raises(EvidenceError, match="small order"):
        verify(_envelope(forged, key_id(identity)), {"home": identity})


@pytest.mark.parametrize("raw", SMALL_ORDER, ids=bytes.hex)
def test_a_key_of_small_order_is_refused_in_every_encoding(raw: bytes) -> None:
    assert fault_of(raw) is not None
    for r in (raw, _encoded(1), _encoded(0)):
        with pytest.raises(EvidenceError, match="trusted key of home is"):
            verify(_envelope(r + _encoded(0), key_id(raw)), {"home": raw})


@pytest.mark.parametrize("raw", NON_CANONICAL, ids=bytes.hex)
def test_a_second_encoding_of_a_key_is_refused(raw: bytes) -> None:
    assert fault_of(raw) == "not the one encoding of a public key"
    with pytest.raises(EvidenceError, match="not the one encoding"):
        verify(sign(STATEMENT, [KEY]), {"home": raw})


@pytest.mark.parametrize("length", [*range(32), 33, 44, 64, 65])
def test_a_key_of_another_length_is_refused(length: int) -> None:
    raw = (PUBLIC * 3)[:length]
    assert fault_of(raw) == "not a public key of 32 bytes"
    with pytest.raises(EvidenceError, match="not a public key of 32 bytes"):
        verify(sign(STATEMENT, [KEY]), {"home": raw})


def test_bytes_that_are_no_point_verify_nothing() -> None:
    chance, off = random.Random(8032), 0
    for _ in range(200):
        y = chance.randrange(2, P - 1)
        # x**2 = (y**2 - 1) / (d y**2 + 1) must be a square.
        d = -121665 * pow(121666, -1, P) % P
        square = (y * y - 1) * pow(d * y * y + 1, -1, P) % P
        if pow(square, (P - 1) // 2, P) == 1:
            continue
        off += 1
        with pytest.raises(EvidenceError):
            verify(sign(STATEMENT, [KEY]), {"home": _encoded(y)})
    assert off > 50


@pytest.mark.parametrize("times", range(1, 16))
def test_a_second_s_for_the_same_signature_is_refused(times: int) -> None:
    r, s = _sound()
    if s + times * L >= 2**256:
        pytest.fail("the corpus holds a case that cannot be written")
    _refused(r + _encoded(s + times * L))


@pytest.mark.parametrize(
    "s", [0, 1, L - 1, L, L + 1, 2**252, 2**253 - 1, 2**255 - 19, 2**255, 2**256 - 1]
)
def test_an_s_at_the_edges_is_refused(s: int) -> None:
    r, sound = _sound()
    assert s != sound
    _refused(r + _encoded(s))


def test_the_negative_s_is_refused() -> None:
    r, s = _sound()
    _refused(r + _encoded(L - s))


@pytest.mark.parametrize("r", [*SMALL_ORDER, _encoded(P + 2), b"\xff" * 32, PUBLIC], ids=bytes.hex)
def test_another_r_is_refused(r: bytes) -> None:
    _, s = _sound()
    _refused(r + _encoded(s))
    _refused(r + _encoded(0))


def _with_nonce_zero(r: bytes) -> bytes:
    """What the key's owner can make: R is the identity, in whatever encoding, and S fits it."""
    half = hashlib.sha512(KEY.private_bytes_raw()).digest()[:32]
    scalar = int.from_bytes(half, "little") & (2**254 - 8) | 2**254
    h = int.from_bytes(hashlib.sha512(r + PUBLIC + _message()).digest(), "little")
    return r + _encoded(h * scalar % L)


@pytest.mark.parametrize("r", [P + 1, 1 | SIGN_BIT, P + 1 | SIGN_BIT])
def test_a_second_encoding_of_r_is_refused_though_the_formula_holds(r: int) -> None:
    # In its one encoding the same R is sound, so that it is the encoding that is refused.
    Ed25519PublicKey.from_public_bytes(PUBLIC).verify(_with_nonce_zero(_encoded(1)), _message())
    _refused(_with_nonce_zero(_encoded(r)))


def test_a_signature_cut_short_drawn_out_or_turned_round_is_refused() -> None:
    r, s = _sound()
    whole = r + _encoded(s)
    for length in range(64):
        _refused(whole[:length])
        _refused(whole[length + 1 :])
    for wrong in (
        whole + b"\x00", b"\x00" + whole, whole + whole, _encoded(s) + r, whole[::-1],
        r + r, _encoded(s) * 2, bytes(64), b"\xff" * 64, b"",
        whole.hex().encode(), base64.b64encode(whole),
    ):  # fmt: skip
        _refused(wrong)


def test_every_flipped_bit_of_a_signature_is_refused() -> None:
    r, s = _sound()
    whole = int.from_bytes(r + _encoded(s), "little")
    for place in range(512):
        _refused((whole ^ 1 << place).to_bytes(64, "little"))


def test_every_flipped_bit_of_the_trusted_key_is_refused() -> None:
    envelope = sign(STATEMENT, [KEY])
    for place in range(256):
        other = _encoded(int.from_bytes(PUBLIC, "little") ^ 1 << place)
        with pytest.raises(EvidenceError):
            verify(envelope, {"home": other})


@pytest.mark.parametrize(
    "message",
    [
        b"",
        canonical_json(STATEMENT),
        pae(b""),
        pae(canonical_json(STATEMENT) + b" "),
        b"DSSEv1 " + canonical_json(STATEMENT),
        hashlib.sha512(pae(canonical_json(STATEMENT))).digest(),
    ],
    ids=["nothing", "the payload alone", "no payload", "more", "no lengths", "hashed before"],
)
def test_a_sound_signature_of_something_else_is_refused(message: bytes) -> None:
    _refused(KEY.sign(message))


def test_a_key_and_its_negative_are_two_keys() -> None:
    negative = _encoded(int.from_bytes(PUBLIC, "little") ^ SIGN_BIT)
    assert fault_of(negative) is None
    with pytest.raises(InvalidSignature):
        Ed25519PublicKey.from_public_bytes(negative).verify(KEY.sign(_message()), _message())
    with pytest.raises(EvidenceError):
        verify(_envelope(KEY.sign(_message()), key_id(PUBLIC)), {"home": negative})
