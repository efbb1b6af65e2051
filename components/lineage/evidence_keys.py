"""Who signs a home's evidence, and whose signature on it counts.

The private key lies in the home's ``keys/evidence.key``, made on first use, or wherever
``ASSAY_EVIDENCE_KEY`` says. The public keys that count beside it are ``keys/evidence*.pub``: an
earlier key, renamed to ``evidence-2026.pub``, goes on counting after another took its place.

This is the trust of the one who runs things. An auditor's comes from outside the home: whoever can
write into a home can put another key there and sign everything again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from components.contract.errors import InputError
from components.lineage.durable import locked_directory, writable_directory
from components.lineage.keys import load_private, load_public, new_key, public_bytes, write_public

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

KEY_VARIABLE = "ASSAY_EVIDENCE_KEY"
_NAME = "evidence"
_ENVELOPE = b'{"payload"'
_SIGNED = (
    "runs/*/evidence/*.json",
    "access/*.json",
    "decisions/*/log/*.json",
    "retention/*.json",
)
_RELEASES = "releases/*/*/*.json"


class EvidenceKeys(Protocol):
    """A key to sign evidence with, and those that it is checked with."""

    def signer(self) -> Ed25519PrivateKey:
        """The private key.

        Raises:
            InputError: there is none, or none that may be used.
        """

    def trusted(self) -> Mapping[str, bytes]:
        """Raw public key, 32 bytes, of each name whose signature counts.

        Raises:
            InputError: a key is unsound.
        """


class HomeKeys:
    """The evidence keys of a home. To look at evidence makes no key; to sign makes the first.

    A home that holds signed files already gets no new key: under it they would count for nothing.
    """

    def __init__(self, home: Path) -> None:
        self.home, self.directory = home, home / "keys"

    def signer(self) -> Ed25519PrivateKey:
        """The private key of ``ASSAY_EVIDENCE_KEY``, else the home's own, made on first use."""
        named = os.environ.get(KEY_VARIABLE)
        path = Path(named) if named else self.directory / f"{_NAME}.key"
        if named is None:
            self._make_if_there_is_none()
        key = load_private(path)
        if public_bytes(key) not in self.trusted().values():
            raise InputError(
                "is not the private half of a key that counts in this home",
                where=str(path),
                expected=f"its public half as {self.directory / 'evidence.pub'}",
            )
        return key

    def _make_if_there_is_none(self) -> None:
        private = self.directory / f"{_NAME}.key"
        if private.exists() and self._public():
            return
        signed = self._holds_signed_files()
        # Looked for after them: whoever signed one meanwhile made the key before.
        if signed and not private.exists() and not self._public():
            raise self._lost(private)
        with locked_directory(writable_directory(self.directory)):
            if private.exists() and self._public():
                return  # another process made it meanwhile
            if private.exists():  # whoever made it was killed before its public half was written
                write_public(private.with_suffix(".pub"), load_private(private))
                return
            if self._public():
                raise InputError(
                    "cannot be read (No such file or directory)",
                    where=str(private),
                    expected="the private half of evidence.pub, or a path to it in "
                    f"{KEY_VARIABLE}: this home's evidence is signed with it",
                )
            new_key(self.directory, _NAME)

    def trusted(self) -> dict[str, bytes]:
        """Public keys by name: ``evidence``, and ``evidence-...`` of earlier ones.

        Raises:
            InputError: a key is unsound, or signed files are there and no key to check them with.
        """
        found = self._public()
        if not found and self._holds_signed_files() and not (found := self._public()):
            raise self._lost(self.directory / f"{_NAME}.pub")
        return found

    def _public(self) -> dict[str, bytes]:
        return {p.stem: load_public(p) for p in sorted(self.directory.glob(f"{_NAME}*.pub"))}

    def _holds_signed_files(self) -> bool:
        if any(next(self.home.glob(pattern), None) for pattern in _SIGNED):
            return True
        # The first release records were not signed.
        return any(_is_envelope(p) for p in self.home.glob(_RELEASES))

    def _lost(self, path: Path) -> InputError:
        return InputError(
            "is missing, and this home holds files that were signed with it or its other half",
            where=str(path),
            expected="the key put back: under a new one they would not count",
        )


def _is_envelope(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as stream:
        return stream.read(len(_ENVELOPE)) == _ENVELOPE
