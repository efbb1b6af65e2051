"""DSSE envelopes around in-toto statements: what is read is what was signed, to the byte.

The format is https://github.com/secure-systems-lab/dsse, version 1, held tighter than it asks for:
an envelope has one form only, so that no byte of it can change and still be believed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from string import ascii_letters, digits
from typing import TYPE_CHECKING, Any

from components.contract.errors import EvidenceError
from components.lineage.digests import canonical_json, parse_canonical
from components.lineage.keys import fault_of, key_id, public_bytes

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
MAX_BYTES = 16_000_000
MAX_DEPTH = 32
MAX_SIGNATURES = 16
_BEFORE_PAYLOAD = b'{"payload":"'
_BASE64 = f"{ascii_letters}{digits}+/=".encode()
_NESTING = frozenset({dict, list})


class UnknownSignerError(EvidenceError):
    """A signature is by no trusted key, nor pretends to be: a key may be lacking. Exit code 2."""

    exit_code = 2


@dataclass(frozen=True, slots=True)
class Verified:
    """What an envelope proves: its statement, and the distinct trusted names that signed it.

    ``sha256`` is the digest of the statement's canonical JSON, in hex.
    """

    statement: dict[str, Any]
    signers: tuple[str, ...]
    sha256: str


def pae(payload: bytes) -> bytes:
    """The bytes that are signed: type and payload, each with its length before it."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def sign(statement: dict[str, Any], keys: Sequence[Ed25519PrivateKey]) -> bytes:
    """An envelope in canonical JSON, signed by each of the keys; signatures in key id order.

    Raises:
        EvidenceError: the statement is no in-toto statement in canonical JSON within the limits,
            or there are no keys, too many, or one of them twice.
    """
    payload = canonical_json(statement)
    _statement(payload)
    by_id = {key_id(public_bytes(k)): k for k in keys}
    if len(by_id) != len(keys) or not 1 <= len(keys) <= MAX_SIGNATURES:
        raise EvidenceError(f"an envelope takes 1 to {MAX_SIGNATURES} keys, each once")
    envelope = canonical_json(
        {
            "payload": _encode(payload),
            "payloadType": PAYLOAD_TYPE,
            "signatures": [
                {"keyid": i, "sig": _encode(k.sign(pae(payload)))} for i, k in sorted(by_id.items())
            ],
        }
    )
    if len(envelope) > MAX_BYTES:
        raise EvidenceError(f"an envelope has at most {MAX_BYTES:,} bytes")
    return envelope


def verify(raw: bytes, trusted: Mapping[str, bytes]) -> Verified:
    """Check an envelope and return what it states.

    How many signers are enough, and whose, is the caller's to say; here one is the least.

    Args:
        raw: the envelope.
        trusted: the raw public key of each name that may sign, from outside the envelope.

    Raises:
        UnknownSignerError: a signature is by a key that is not trusted.
        EvidenceError: a trusted key is unsound or stands under two names, or the envelope is not
            exactly one that ``sign`` makes: form, payload type, payload, or a signature.
    """
    names = {key: name for name, key in trusted.items()}
    if len(names) != len(trusted):
        raise EvidenceError("one trusted key stands under two names")
    for name, key in trusted.items():
        if fault := fault_of(key):
            raise EvidenceError(f"the trusted key of {name} is {fault}")
    payload, signatures = _open(raw)
    signed = [_signer(keyid, signature, pae(payload), names) for keyid, signature in signatures]
    # Only now is the payload parsed: nobody reads what nobody signed.
    statement = _statement(payload)
    return Verified(statement, tuple(dict.fromkeys(signed)), hashlib.sha256(payload).hexdigest())


def _signer(keyid: str, signature: bytes, message: bytes, names: Mapping[bytes, str]) -> str:
    """The name whose key made a signature. The key id must be right, but decides nothing."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    for key, name in names.items():
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
        except InvalidSignature:
            continue
        if keyid != key_id(key):
            raise EvidenceError(f"the signature of {name} carries another key's id")
        return name
    for key, name in names.items():
        if keyid == key_id(key):
            raise EvidenceError(f"the signature of {name} does not fit what is signed")
    raise UnknownSignerError("a signature is by a key that is not trusted")


def _open(raw: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    """Payload, and key id and bytes of each signature: nothing of it is believed yet."""
    if len(raw) > MAX_BYTES:
        raise EvidenceError(f"the envelope has more than {MAX_BYTES:,} bytes")
    envelope = _envelope(raw)
    if set(envelope) != {"payload", "payloadType", "signatures"}:
        raise EvidenceError("the envelope does not have the fields of one")
    if envelope["payloadType"] != PAYLOAD_TYPE:
        raise EvidenceError(f"the payload type is not {PAYLOAD_TYPE}")
    signatures = envelope["signatures"]
    if not isinstance(signatures, list) or not 1 <= len(signatures) <= MAX_SIGNATURES:
        raise EvidenceError(f"the envelope does not have 1 to {MAX_SIGNATURES} signatures")
    found = []
    for item in signatures:
        if not isinstance(item, dict) or set(item) != {"keyid", "sig"}:
            raise EvidenceError("a signature does not have the fields of one")
        if not isinstance(item["keyid"], str):
            raise EvidenceError("a key id is not text")
        found.append((item["keyid"], _decode(item["sig"], "a signature")))
    return _decode(envelope["payload"], "the payload"), found


def _envelope(raw: bytes) -> dict[str, Any]:
    """The envelope as a canonical JSON object.

    The payload stands first and is nearly all of it. Where it has no other characters than those
    of base64, it is what it is read as: the envelope is canonical if it is so without them.
    """
    start = len(_BEFORE_PAYLOAD)
    end = raw.find(b'"', start)
    text = raw[start:end]
    if end < start or not raw.startswith(_BEFORE_PAYLOAD) or text.translate(None, _BASE64):
        return parse_canonical(raw, "the envelope")
    rest = parse_canonical(raw[:start] + raw[end:], "the envelope")
    return {**rest, "payload": text.decode("ascii")}


def _statement(payload: bytes) -> dict[str, Any]:
    statement = parse_canonical(payload, "the statement")
    if _deeper_than(statement, MAX_DEPTH):
        raise EvidenceError(f"the statement is nested more than {MAX_DEPTH} deep")
    if set(statement) != {"_type", "subject", "predicateType", "predicate"}:
        raise EvidenceError("the statement does not have the fields of one")
    if statement["_type"] != STATEMENT_TYPE:
        raise EvidenceError(f"the statement is not of type {STATEMENT_TYPE}")
    return statement


def _deeper_than(document: Any, levels: int) -> bool:
    """Whether lists and objects are nested more than ``levels`` deep, in what a parser made."""
    floor = [document]
    for _ in range(levels):
        inside = [v.values() if type(v) is dict else v for v in floor]
        floor = [v for items in inside for v in items if type(v) in _NESTING]
        if not floor:
            return False
    return True


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _decode(text: Any, what: str) -> bytes:
    """Standard base64 in the one way in which these bytes are written."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise EvidenceError(f"{what} is not standard base64") from error
    if _encode(raw) != text:
        raise EvidenceError(f"{what} is not standard base64")
    return raw
