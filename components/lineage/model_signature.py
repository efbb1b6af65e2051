"""Signatures of models, by OpenSSF model signing, with a key of the home's own.

A signature is a file beside the model (https://github.com/ossf/model-signing-spec): a Sigstore
bundle with the SHA-256 of every file of the model, signed by ECDSA on P-256. Who loads a model has
to have its signature verified first: a model is a program, and a framework that parses one runs it.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from components.contract.errors import EvidenceError, InputError
from components.lineage.durable import write_atomically
from components.lineage.model_keys import ModelKeys

_KEY_SERVICE = "google.cloud.kms"
_MOST_BYTES = 16_000_000
_MISMATCH = "Signature mismatch: "


class ModelSignatureError(EvidenceError):
    """A model is not the one that was signed, or not signed by whom it must be; do not load it."""


def sign_model(model: Path, signature: Path, keys: ModelKeys) -> None:
    """Sign a model and write its signature, durably; an earlier one is replaced.

    Args:
        model: a file, or a directory with everything in it; symbolic links are refused.
        signature: where the signature goes, outside the model.
        keys: whose key signs.

    Raises:
        InputError: there is no key to sign with, or no library to sign by.
        ModelSignatureError: the model is not there, or holds what cannot be signed.
    """
    library, key = _library(), keys.signer()
    config = library.signing.Config().use_elliptic_key_signer(private_key=key)
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / "model.sig"
        try:
            config.set_hashing_config(_every_file(library)).sign(model, made)
        except (OSError, ValueError) as error:
            raise ModelSignatureError(f"{model.name} cannot be signed: {error}") from error
        write_atomically(signature, made.read_bytes())


def verify_model(model: Path, signature: bytes, keys: ModelKeys) -> None:
    """See that a model is, to the byte and to the file, the one that a signature is about.

    Args:
        model: a file or a directory.
        signature: the signature file's content.
        keys: whose signature counts.

    Raises:
        InputError: a key is unsound, or there is no library to verify by.
        ModelSignatureError: it is not, or the signature is by another key, or is none.
    """
    from cryptography.exceptions import InvalidSignature

    library, name = _library(), model.name
    public = keys.trusted().get(_signed_by(signature, name))
    if public is None:
        raise ModelSignatureError(f"{name} is signed with a key that does not count in this home")
    config = library.verifying.Config().use_elliptic_key_verifier(public_key=public)
    config.set_hashing_config(_every_file(library))
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch) / "model.sig"  # the library reads these bytes and no later ones
        copy.write_bytes(signature)
        try:
            config.verify(model, copy)
        except InvalidSignature as error:
            raise ModelSignatureError(f"the signature of {name} was changed") from error
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            told = str(error)
            if not told.startswith(_MISMATCH):
                raise ModelSignatureError(f"the signature of {name} cannot be verified") from error
            what = told.removeprefix(_MISMATCH)
            raise ModelSignatureError(f"{name} is not the model that was signed: {what}") from error


def _library() -> Any:
    """The library, imported without the key service of Google's that it can do without.

    That takes half of its second, wherever Beam has brought Google's libraries along.
    """
    absent = _KEY_SERVICE not in sys.modules
    if absent:
        sys.modules[_KEY_SERVICE] = None  # type: ignore[assignment]
    try:
        import model_signing
        from model_signing import signing, verifying  # noqa: F401 - so that both are there
    except ImportError as error:
        raise InputError(
            f"cannot be imported ({error})",
            where="model_signing",
            expected="the distributions model-signing and pyOpenSSL, as the extras of either "
            "stack install them: no model is loaded without its signature",
        ) from error
    finally:
        if absent:
            del sys.modules[_KEY_SERVICE]
    return model_signing


def _every_file(library: Any) -> Any:
    """Hash every file; left to itself the library passes over ``.git`` and its like."""
    hashing = library.hashing.Config().use_file_serialization(hashing_algorithm="sha256")
    return hashing.set_ignored_paths(paths=[], ignore_git_paths=False)


def _signed_by(signature: bytes, name: str) -> str:
    """Which key a signature says that it was made with; it proves nothing."""
    try:
        if len(signature) > _MOST_BYTES:
            raise ValueError("too large for a signature")
        hint = json.loads(signature)["verificationMaterial"]["publicKey"]["hint"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ModelSignatureError(f"the signature of {name} is not a model signature") from error
    return str(hint)
