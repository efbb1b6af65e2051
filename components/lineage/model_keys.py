"""Who signs a home's models, and whose signature on a model counts.

The private key lies in the home's ``keys/model.key``, made on first use, or wherever
``ASSAY_MODEL_KEY`` says; every ``keys/model*.pub`` counts, so that an earlier key can stay beside
the next one. They are keys on P-256: model signing takes no Ed25519.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING

from components.contract.errors import InputError
from components.lineage.durable import locked_directory, writable_directory, write_once

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import (
        EllipticCurvePrivateKey,
        EllipticCurvePublicKey,
    )

KEY_VARIABLE = "ASSAY_MODEL_KEY"
_NAME = "model"
_PRIVATE = "an EC private key on P-256 in PEM without a passphrase, mode 0600"
_PUBLIC = "an EC public key on P-256 in PEM"


class ModelKeys:
    """The keys that a home signs its models with. To verify makes no key; to sign makes the first.

    This is the trust of the one who runs things: whoever can write into a home can sign anew. What
    an auditor trusts is the signature's digest in the signed record of the training.
    """

    def __init__(self, home: Path) -> None:
        self.directory = home / "keys"

    def signer(self) -> Path:
        """File of the private key, known to be the private half of a key that counts.

        Raises:
            InputError: there is none, or none that may be used.
        """
        named = os.environ.get(KEY_VARIABLE)
        path = Path(named) if named else self.directory / f"{_NAME}.key"
        if not named:
            self._make_what_is_missing()
        if _hint(_load_private(path).public_key()) not in self.trusted():
            raise InputError(
                "is not the private half of a key that counts in this home",
                where=str(path),
                expected=f"its public half as {self.directory / f'{_NAME}.pub'}",
            )
        return path

    def trusted(self) -> dict[str, Path]:
        """File of each public key that counts, by the name that signatures have for it.

        Raises:
            InputError: a key is unsound.
        """
        return {_hint(_load_public(p)): p for p in sorted(self.directory.glob(f"{_NAME}*.pub"))}

    def _make_what_is_missing(self) -> None:
        private = self.directory / f"{_NAME}.key"
        if private.exists() and self.trusted():
            return
        with locked_directory(writable_directory(self.directory)):
            if not private.exists():
                if self.trusted():
                    raise InputError(
                        "cannot be read (No such file or directory)",
                        where=str(private),
                        expected=f"the private half of {_NAME}.pub, or a path to it in "
                        f"{KEY_VARIABLE}: this home's models are signed with it",
                    )
                write_once(private, _new_private(), 0o600)
            if not self.trusted():  # a process may have died between the two
                write_once(private.with_suffix(".pub"), _pem(_load_private(private).public_key()))


def _new_private() -> bytes:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _load_private(path: Path) -> EllipticCurvePrivateKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    raw = _read(path, _PRIVATE)
    if path.stat().st_mode & 0o077:
        raise InputError("open to others than its owner", where=str(path), expected=_PRIVATE)
    try:
        key = load_pem_private_key(raw, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError("not a private key", where=str(path), expected=_PRIVATE) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != ec.SECP256R1.name:
        raise InputError("a private key of another kind", where=str(path), expected=_PRIVATE)
    return key


def _load_public(path: Path) -> EllipticCurvePublicKey:
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(_read(path, _PUBLIC))
    except (ValueError, UnsupportedAlgorithm):
        raise InputError("not a public key", where=str(path), expected=_PUBLIC) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != ec.SECP256R1.name:
        raise InputError("a public key of another kind", where=str(path), expected=_PUBLIC)
    return key


def _read(path: Path, kind: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        why = f"cannot be read ({error.strerror})"
        raise InputError(why, where=str(path), expected=kind) from error


def _pem(key: EllipticCurvePublicKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def _hint(key: EllipticCurvePublicKey) -> str:
    """SHA-256 of a public key's PEM, in hex: how a signature names it."""
    return hashlib.sha256(_pem(key)).hexdigest()
