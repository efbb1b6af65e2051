"""Envelopes: one form, distinct signers, and no statement that nobody signed."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from components.contract.errors import EvidenceError
from components.lineage.digests import canonical_json
from components.lineage.dsse import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_SIGNATURES,
    PAYLOAD_TYPE,
    STATEMENT_TYPE,
    UnknownSignerError,
    pae,
    sign,
    verify,
)
from components.lineage.keys import key_id, public_bytes

Document = dict[str, Any]
ANA, BO, EVE = (Ed25519PrivateKey.from_private_bytes(bytes([n]) * 32) for n in (1, 2, 3))
TRUSTED = {"ana": public_bytes(ANA), "bo": public_bytes(BO)}
STATEMENT: Document = {
    "_type": STATEMENT_TYPE,
    "subject": [{"name": "model", "digest": {"sha256": "0" * 64}}],
    "predicateType": "urn:test:v1",
    "predicate": {"n": 1},
}
PAYLOAD = canonical_json(STATEMENT)


def _signature(key: Ed25519PrivateKey, payload: bytes = PAYLOAD, keyid: str = "") -> Document:
    made = base64.b64encode(key.sign(pae(payload))).decode()
    return {"keyid": keyid or key_id(public_bytes(key)), "sig": made}


def _envelope(payload: bytes = PAYLOAD, /, *keys: Ed25519PrivateKey, **fields: Any) -> bytes:
    """An envelope written by hand, well signed whatever its payload is."""
    document = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [_signature(k, payload) for k in keys or (ANA,)],
    }
    return canonical_json({**document, **fields})


def test_what_was_signed_comes_back_with_who_signed_it() -> None:
    verified = verify(sign(STATEMENT, [BO, ANA]), TRUSTED)
    assert verified.statement == STATEMENT
    assert set(verified.signers) == {"ana", "bo"}
    assert verify(sign(STATEMENT, [BO]), TRUSTED).signers == ("bo",)


def test_the_order_of_the_keys_changes_nothing() -> None:
    raw = sign(STATEMENT, [ANA, BO])
    assert raw == sign(STATEMENT, [BO, ANA])
    assert canonical_json(json.loads(raw)) == raw


def test_the_bytes_that_are_signed_are_those_of_the_standard() -> None:
    """The form of https://github.com/secure-systems-lab/dsse/blob/master/protocol.md."""
    assert pae(b"hello world") == b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"
    assert pae("é".encode()) == b"DSSEv1 28 application/vnd.in-toto+json 2 \xc3\xa9"


def test_every_flipped_bit_shows() -> None:
    sound = sign(STATEMENT, [ANA, BO])
    for place in range(len(sound)):
        for bit in range(8):
            changed = sound[:place] + bytes([sound[place] ^ 1 << bit]) + sound[place + 1 :]
            with pytest.raises(EvidenceError):
                verify(changed, TRUSTED)
    assert verify(sound, TRUSTED).statement == STATEMENT


def test_every_cut_and_every_byte_more_shows() -> None:
    sound = sign(STATEMENT, [ANA])
    for place in range(len(sound)):
        for changed in (sound[:place], sound[:place] + b" " + sound[place:]):
            with pytest.raises(EvidenceError):
                verify(changed, TRUSTED)


def test_a_key_counts_once_however_often_it_signs() -> None:
    twice = _envelope(PAYLOAD, ANA, ANA)
    assert verify(twice, TRUSTED).signers == ("ana",)
    assert verify(_envelope(PAYLOAD, BO, ANA, BO), TRUSTED).signers == ("bo", "ana")


def _malleable(signature: Document) -> Document:
    """The same signature with the group's order added to its second half (RFC 8032, 5.1.7)."""
    raw = base64.b64decode(signature["sig"])
    order = 2**252 + 27742317777372353535851937790883648493
    more = int.from_bytes(raw[32:], "little") + order
    return {
        **signature,
        "sig": base64.b64encode(raw[:32] + more.to_bytes(32, "little")).decode(),
    }


def _sig(**fields: Any) -> bytes:
    return _envelope(signatures=[{**_signature(ANA), **fields}])


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


SIGNATURE = _signature(ANA)["sig"]
LOOSE = SIGNATURE[:85] + chr(ord(SIGNATURE[85]) + 1) + "=="


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b"[]", "not a canonical JSON object", id="a list"),
        pytest.param(_envelope(more=1), "the fields of one", id="a field more"),
        pytest.param(canonical_json({"payload": ""}), "the fields of one", id="a field less"),
        pytest.param(
            _envelope() + b"\n", "not a canonical JSON object", id="newline after the envelope"
        ),
        pytest.param(
            json.dumps(json.loads(_envelope())).encode(),
            "not a canonical JSON object",
            id="re-encoded envelope",
        ),
        pytest.param(
            _envelope().replace(b'{"payload"', b'{"payload":"","payload"', 1),
            "not a canonical JSON object",
            id="a field twice",
        ),
        *(
            pytest.param(_envelope(payloadType=kind), "the payload type is not", id=f"type {kind}")
            for kind in (
                "application/vnd.in-toto+JSON",
                "application/vnd.in-toto+json ",
                "application/json",
                "",
                None,
                [PAYLOAD_TYPE],
            )
        ),
        pytest.param(_envelope(payload=1), "the payload is not standard base64", id="number"),
        pytest.param(_envelope(payload=None), "the payload is not standard base64", id="null"),
        pytest.param(
            _envelope(payload=base64.urlsafe_b64encode(PAYLOAD).decode() + "\n"),
            "the payload is not standard base64",
            id="newline in base64",
        ),
        pytest.param(_envelope(payload="é"), "the payload is not standard base64", id="not ASCII"),
        pytest.param(
            _envelope(payload=_b64(PAYLOAD.replace(b":1}", b":2}"))),
            "signature of ana does not fit",
            id="edited payload",
        ),
        pytest.param(_envelope(signatures=[]), "1 to 16 signatures", id="no signature"),
        pytest.param(_envelope(signatures={}), "1 to 16 signatures", id="no list"),
        pytest.param(_envelope(signatures=None), "1 to 16 signatures", id="null signatures"),
        pytest.param(
            _envelope(signatures=[["keyid", "sig"]]), "the fields of one", id="signature is a list"
        ),
        pytest.param(
            _envelope(signatures=[_signature(ANA)] * (MAX_SIGNATURES + 1)),
            "1 to 16 signatures",
            id="many signatures",
        ),
        pytest.param(_envelope(signatures=["x"]), "the fields of one", id="signature is text"),
        pytest.param(_sig(more=1), "the fields of one", id="a field more in a signature"),
        pytest.param(_sig(keyid=1), "a key id is not text", id="key id is a number"),
        pytest.param(_sig(sig=1), "a signature is not standard base64", id="signature is a number"),
        pytest.param(
            _sig(sig=SIGNATURE.rstrip("=")), "a signature is not standard base64", id="no padding"
        ),
        pytest.param(_sig(sig=LOOSE), "a signature is not standard base64", id="unused bits"),
        pytest.param(_sig(sig=""), "signature of ana does not fit", id="empty signature"),
        pytest.param(
            _sig(sig=_b64(bytes(64))), "signature of ana does not fit", id="zero signature"
        ),
        pytest.param(
            _envelope(signatures=[_malleable(_signature(ANA))]),
            "signature of ana does not fit",
            id="second half plus the order",
        ),
        pytest.param(
            _envelope(signatures=[_signature(ANA, b"other")]),
            "signature of ana does not fit",
            id="signature of another payload",
        ),
        pytest.param(
            _sig(sig=_b64(ANA.sign(PAYLOAD))),
            "signature of ana does not fit",
            id="signed without the type",
        ),
        pytest.param(_sig(keyid=""), "ana carries another key's id", id="no key id"),
        pytest.param(
            _sig(keyid=key_id(TRUSTED["bo"])), "ana carries another key's id", id="other key id"
        ),
        pytest.param(
            _sig(keyid=key_id(TRUSTED["ana"]).upper()),
            "ana carries another key's id",
            id="key id in capitals",
        ),
        pytest.param(_envelope(PAYLOAD, EVE), "a key that is not trusted", id="not trusted"),
        pytest.param(_envelope(PAYLOAD, ANA, EVE), "a key that is not trusted", id="one of two"),
        pytest.param(
            _envelope(signatures=[_signature(EVE, keyid=key_id(TRUSTED["ana"]))]),
            "signature of ana does not fit",
            id="key id of a trusted key",
        ),
    ],
)
def test_an_envelope_that_is_none(raw: bytes, says: str) -> None:
    with pytest.raises(EvidenceError, match=says):
        verify(raw, TRUSTED)


def _changed(**fields: Any) -> bytes:
    return canonical_json({**STATEMENT, **fields})


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        pytest.param(b"", "the statement is not JSON", id="empty"),
        pytest.param(
            json.dumps(STATEMENT).encode(), "not a canonical JSON object", id="re-encoded"
        ),
        pytest.param(
            PAYLOAD.replace(b'"n":1', b'"n":2,"n":1'), "not a canonical", id="duplicate key"
        ),
        pytest.param(PAYLOAD.replace(b"1}", b"1.0}"), "not a canonical", id="another number"),
        pytest.param(PAYLOAD.replace(b"1}", b"NaN}"), "is not JSON", id="NaN"),
        pytest.param(
            PAYLOAD.replace(b"1}", b"9007199254740993}"), "not canonical JSON", id="2**53"
        ),
        pytest.param(PAYLOAD.replace(b"1}", b"9" * 5000 + b"}"), "is not JSON", id="huge number"),
        pytest.param(PAYLOAD.replace(b"1}", b'"\\ud800"}'), "not", id="half a surrogate pair"),
        pytest.param(PAYLOAD.replace(b"1}", b'"\xff"}'), "is not JSON", id="not UTF-8"),
        pytest.param(b"[" * 100_000, "is not JSON", id="deep and open"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, "is not JSON", id="very deep"),
        pytest.param(b"[1]", "not a canonical JSON object", id="a list"),
        pytest.param(_changed(more=1), "the fields of one", id="a field more"),
        pytest.param(_changed(_type="https://in-toto.io/Statement/v0.1"), "not of type", id="v0.1"),
        pytest.param(
            canonical_json({"_type": STATEMENT_TYPE}), "the fields of one", id="fields less"
        ),
    ],
)
def test_a_signed_payload_that_is_no_statement(payload: bytes, says: str) -> None:
    """The signature is good, so it is not what saves us."""
    with pytest.raises(EvidenceError, match=says):
        verify(_envelope(payload), TRUSTED)


def _nested(levels: int) -> Document:
    inside: Any = 1
    for _ in range(levels - 1):
        inside = [inside]
    return {**STATEMENT, "predicate": inside}


def test_nesting_has_a_limit() -> None:
    sound = _nested(MAX_DEPTH)
    assert verify(sign(sound, [ANA]), TRUSTED).statement == sound
    with pytest.raises(EvidenceError, match="nested more than 32 deep"):
        sign(_nested(MAX_DEPTH + 1), [ANA])
    with pytest.raises(EvidenceError, match="nested more than 32 deep"):
        verify(_envelope(canonical_json(_nested(MAX_DEPTH + 1))), TRUSTED)


def test_size_has_a_limit() -> None:
    large = {**STATEMENT, "predicate": "x" * MAX_BYTES}
    with pytest.raises(EvidenceError, match="at most 16,000,000 bytes"):
        sign(large, [ANA])
    with pytest.raises(EvidenceError, match="more than 16,000,000 bytes"):
        verify(_envelope(canonical_json(large)), TRUSTED)


@pytest.mark.parametrize("keys", [[], [ANA, ANA], [ANA] * (MAX_SIGNATURES + 1)])
def test_an_envelope_takes_each_key_once(keys: list[Ed25519PrivateKey]) -> None:
    with pytest.raises(EvidenceError, match="1 to 16 keys, each once"):
        sign(STATEMENT, keys)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda s: s.update(more=1), "the fields of one"),
        (lambda s: s.update(_type="other"), "not of type"),
        (lambda s: s.update(predicate=float("nan")), "not canonical JSON"),
        (lambda s: s.update(predicate=2**53), "not canonical JSON"),
    ],
)
def test_no_other_statement_is_signed(change: Callable[[Document], None], says: str) -> None:
    statement = dict(STATEMENT)
    change(statement)
    with pytest.raises(EvidenceError, match=says):
        sign(statement, [ANA])


def test_nobody_trusted_proves_nothing() -> None:
    with pytest.raises(UnknownSignerError):
        verify(sign(STATEMENT, [ANA]), {})


def test_one_key_is_not_two_people() -> None:
    with pytest.raises(EvidenceError, match="under two names"):
        verify(sign(STATEMENT, [ANA]), {**TRUSTED, "ana2": TRUSTED["ana"]})


def test_a_trusted_key_under_which_anybody_signs_is_refused() -> None:
    identity = (1).to_bytes(32, "little")
    forged = {"keyid": key_id(identity), "sig": _b64(identity + bytes(32))}
    with pytest.raises(EvidenceError, match="the trusted key of eve is a public key of small"):
        verify(_envelope(signatures=[forged]), {"eve": identity})
    with pytest.raises(EvidenceError, match="the trusted key of eve is not a public key of 32"):
        verify(_envelope(), {"eve": b"short"})
