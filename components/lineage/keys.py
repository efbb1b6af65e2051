"""Ed25519 keys: private ones in files that only their owner reads, public ones as one line of text.

A public key is trusted because somebody's policy or command line names it, never because it lies
beside what it signed.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.contract.errors import InputError
from components.lineage.durable import writable_directory, write_once

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PUBLIC_BYTES = 32
_MOST_BYTES = 16_384
_PRIVATE, _PUBLIC = "private", "public"
_EXPECTED = {
    _PRIVATE: "an Ed25519 private key in PEM without a passphrase, mode 0600 (`assay keys new`)",
    _PUBLIC: "an Ed25519 public key in PEM (`assay keys new`)",
}
_NAME = re.compile(r"[a-z][a-z0-9._-]{0,62}")
_YAML_WORDS = frozenset({"true", "false", "yes", "no", "on", "off", "null"})

_PRIME = 2**255 - 19
_ORDER_EIGHT = 0x7A03AC9277FDC74EC6CC392CFA53202A0F67100D760B3CBA4FD84D3D706A17C7
_SMALL_ORDER = frozenset({0, 1, _PRIME - 1, _ORDER_EIGHT, _PRIME - _ORDER_EIGHT})
"""Second coordinates of the eight points whose order divides 8 (RFC 8032, section 5.1).

Under such a "public key" one signature fits many messages, whoever made it; for the identity,
every message.
"""


@dataclass(frozen=True, slots=True)
class KeyPair:
    """Where a new key's two files are; ``raw`` is the public key's 32 bytes."""

    private: Path
    public: Path
    raw: bytes


def new_key(directory: Path, name: str) -> KeyPair:
    """Make a key pair: ``NAME.key``, PKCS #8 in PEM with mode 0600, and ``NAME.pub``.

    Args:
        directory: where the two files go; it is made if it is not there.
        name: up to 63 of a-z, 0-9, dot, underscore and hyphen, a letter first.

    Raises:
        InputError: the name is none, either file is there already, or the directory cannot be
            written. No file of the two is then left behind.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if not _NAME.fullmatch(name) or name in _YAML_WORDS:
        raise InputError(
            f"{name!r} cannot name a key",
            where="NAME",
            expected="up to 63 of a-z, 0-9, '.', '_' and '-', a letter first, as in ana-silva",
        )
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    writable_directory(directory)
    pair = KeyPair(directory / f"{name}.key", directory / f"{name}.pub", public_bytes(key))
    try:
        _write_new(pair.private, private, 0o600)
        write_public(pair.public, key)
    except InputError:
        _take_back(pair.private, private)  # half a pair is no key
        _take_back(pair.public, _public_pem(key))
        raise
    return pair


def _take_back(path: Path, content: bytes) -> None:
    """Remove a file that was made a moment ago, but not one that somebody else made meanwhile."""
    with suppress(OSError):
        if path.read_bytes() == content:
            path.unlink()


def write_public(path: Path, key: Ed25519PrivateKey) -> None:
    """Write the public half of a private key, as ``NAME.pub``.

    Raises:
        InputError: the file is there already, or cannot be written.
    """
    _write_new(path, _public_pem(key), 0o644)


def _public_pem(key: Ed25519PrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _write_new(path: Path, content: bytes, mode: int) -> None:
    try:
        write_once(path, content, mode)
    except FileExistsError as error:
        raise InputError(
            "exists already",
            where=str(path),
            expected="another name or directory: a key is never overwritten",
        ) from error
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror})", where=str(path), expected="a path to write to"
        ) from error


def load_private(path: Path) -> Ed25519PrivateKey:
    """Read a private key that nobody but its owner may read.

    Raises:
        InputError: the file cannot be read, is no regular file, may be read or written by others,
            or holds no Ed25519 key in PEM without a passphrase. No content is ever quoted.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    raw = _read(path, _PRIVATE)
    try:
        key = load_pem_private_key(raw, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _refused(path, "not a private key", _PRIVATE) from None
    if not isinstance(key, Ed25519PrivateKey):
        raise _refused(path, "a private key of another kind", _PRIVATE)
    return key


def load_public(path: Path) -> bytes:
    """Read a public key file; its 32 raw bytes.

    Raises:
        InputError: the file cannot be read, or holds no Ed25519 public key that can be trusted.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_read(path, _PUBLIC))
    except (ValueError, UnsupportedAlgorithm):
        raise _refused(path, "not a public key", _PUBLIC) from None
    if not isinstance(key, Ed25519PublicKey):
        raise _refused(path, "a public key of another kind", _PUBLIC)
    raw = key.public_bytes_raw()
    if fault := fault_of(raw):
        raise _refused(path, fault, _PUBLIC)
    return raw


def _read(path: Path, kind: str) -> bytes:
    """A small regular file's bytes; its type and mode are those of the very file that is read."""
    try:
        # Not blocking: a pipe of that name would be waited for before it could be refused.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise _refused(path, f"cannot be read ({error.strerror})", kind) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _refused(path, "not a file", kind)
        if kind == _PRIVATE and status.st_mode & 0o077:
            mode = stat.S_IMODE(status.st_mode)
            raise _refused(path, f"open to others than its owner (mode {mode:04o})", kind)
        raw = os.read(descriptor, _MOST_BYTES + 1)
    except OSError as error:
        raise _refused(path, f"cannot be read ({error.strerror})", kind) from error
    finally:
        os.close(descriptor)
    if len(raw) > _MOST_BYTES:
        raise _refused(path, "too large for a key", kind)
    return raw


def _refused(path: Path, what: str, kind: str) -> InputError:
    return InputError(what, where=str(path), expected=_EXPECTED[kind])


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """The 32 raw bytes of a private key's public key."""
    return key.public_key().public_bytes_raw()


def public_text(raw: bytes) -> str:
    """A public key as policies hold it: standard base64 of its 32 raw bytes, 44 characters."""
    return base64.b64encode(raw).decode("ascii")


def parse_public(text: str, where: str) -> bytes:
    """The 32 raw bytes of a public key in a policy.

    Args:
        text: what ``public_text`` gives; any other way to write the same bytes is refused.
        where: file and field of the text, for the message.

    Raises:
        InputError: it is not such a text, or not a key that can be trusted.
    """
    try:
        raw = base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        raw = b""
    fault = fault_of(raw) if public_text(raw) == text else "not standard base64"
    if fault:
        raise InputError(fault, where=where, expected="a line that `assay keys new` printed")
    return raw


def fault_of(raw: bytes) -> str | None:
    """Why no signature under a public key would prove anything; None for a sound key.

    See RFC 8032, section 5.1.3: the last bit is a sign, the others a coordinate below 2**255 - 19.
    """
    if len(raw) != PUBLIC_BYTES:
        return f"not a public key of {PUBLIC_BYTES} bytes"
    coordinate = int.from_bytes(raw, "little") & (2**255 - 1)
    if coordinate >= _PRIME:
        return "not the one encoding of a public key"
    if coordinate in _SMALL_ORDER:
        return "a public key of small order, under which anybody can sign"
    return None


def key_id(raw: bytes) -> str:
    """SHA-256 of a public key's 32 raw bytes, in hex."""
    return hashlib.sha256(raw).hexdigest()
