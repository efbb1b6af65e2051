"""A model is verified to the byte and to the file, and only a key of the home counts."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from components.contract.errors import InputError
from components.lineage.model_keys import KEY_VARIABLE, ModelKeys
from components.lineage.model_signature import ModelSignatureError, sign_model, verify_model


@pytest.fixture
def keys(tmp_path: Path) -> ModelKeys:
    """The keys of a new home."""
    return ModelKeys(tmp_path / "home")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model of several files, as a SavedModel is one."""
    directory = tmp_path / "model"
    (directory / "variables").mkdir(parents=True)
    (directory / "saved_model.pb").write_bytes(bytes(range(24)))
    (directory / "variables" / "index").write_bytes(b"weights and more")
    (directory / "empty").touch()
    return directory


def signed(model: Path, keys: ModelKeys) -> bytes:
    """A signature of a model."""
    path = model.parent / "of.sig"
    sign_model(model, path, keys)
    return path.read_bytes()


def test_what_was_signed_is_believed(model: Path, keys: ModelKeys) -> None:
    before = {p: p.read_bytes() for p in model.rglob("*") if p.is_file()}
    verify_model(model, signed(model, keys), keys)
    assert {p: p.read_bytes() for p in model.rglob("*") if p.is_file()} == before
    moved = model.rename(model.with_name("1795552800"))
    verify_model(moved, (model.parent / "of.sig").read_bytes(), keys)


def test_every_changed_byte_is_found(model: Path, keys: ModelKeys) -> None:
    signature, flips = signed(model, keys), 0
    for path in sorted(p for p in model.rglob("*") if p.is_file()):
        content = path.read_bytes()
        for i in range(len(content)):
            path.write_bytes(content[:i] + bytes([content[i] ^ 1]) + content[i + 1 :])
            with pytest.raises(ModelSignatureError, match=path.name):
                verify_model(model, signature, keys)
            flips += 1
        path.write_bytes(content)
    assert flips == 40
    verify_model(model, signature, keys)


def test_every_changed_byte_of_a_single_file_is_found(tmp_path: Path, keys: ModelKeys) -> None:
    model = tmp_path / "model.onnx"
    content = b"one file, weights included"
    model.write_bytes(content)
    signature = signed(model, keys)
    for i in range(len(content)):
        model.write_bytes(content[:i] + bytes([content[i] ^ 128]) + content[i + 1 :])
        with pytest.raises(ModelSignatureError, match="model.onnx is not the model that was sig"):
            verify_model(model, signature, keys)
    for other in (content[:-1], content + b"\0", b""):
        model.write_bytes(other)
        with pytest.raises(ModelSignatureError, match="model.onnx is not the model that was sig"):
            verify_model(model, signature, keys)


def _added(model: Path) -> None:
    (model / "assets").write_bytes(b"x")


def _added_empty(model: Path) -> None:
    (model / "variables" / "more").touch()


def _hidden(model: Path) -> None:
    (model / ".gitignore").write_bytes(b"x")


def _hidden_folder(model: Path) -> None:
    (model / ".git").mkdir()
    (model / ".git" / "hook").write_bytes(b"x")


def _removed(model: Path) -> None:
    (model / "empty").unlink()


def _renamed(model: Path) -> None:
    (model / "saved_model.pb").rename(model / "saved_model.pbtxt")


def _exchanged(model: Path) -> None:
    one, two = model / "saved_model.pb", model / "variables" / "index"
    held = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(held)


def _linked(model: Path) -> None:
    target = model.parent / "elsewhere"
    (model / "saved_model.pb").rename(target)
    (model / "saved_model.pb").symlink_to(target)


def _linked_folder(model: Path) -> None:
    (model / "variables").rename(model.parent / "elsewhere")
    (model / "variables").symlink_to(model.parent / "elsewhere")


def _pipe(model: Path) -> None:
    os.mkfifo(model / "pipe")


def _a_file_instead(model: Path) -> None:
    model.rename(model.parent / "elsewhere")
    model.write_bytes(bytes(range(24)))


def _gone(model: Path) -> None:
    model.rename(model.parent / "elsewhere")


@pytest.mark.parametrize(
    "change",
    [
        _added, _added_empty, _hidden, _hidden_folder, _removed, _renamed, _exchanged, _linked,
        _linked_folder, _pipe, _a_file_instead, _gone,
    ],
)  # fmt: skip
def test_other_files_are_found(model: Path, keys: ModelKeys, change: Callable) -> None:
    signature = signed(model, keys)
    change(model)
    with pytest.raises(ModelSignatureError):
        verify_model(model, signature, keys)


def test_a_link_is_not_signed(model: Path, keys: ModelKeys) -> None:
    _linked(model)
    with pytest.raises(ModelSignatureError, match="model cannot be signed"):
        signed(model, keys)


def test_the_signature_of_another_model_does_not_fit(model: Path, keys: ModelKeys) -> None:
    other = model.with_name("other")
    other.write_bytes(b"another model")
    signature = signed(other, keys)
    with pytest.raises(ModelSignatureError, match="is not the model that was signed"):
        verify_model(model, signature, keys)


def test_another_homes_key_does_not_count(model: Path, keys: ModelKeys, tmp_path: Path) -> None:
    keys.signer()
    signature = signed(model, ModelKeys(tmp_path / "other"))
    with pytest.raises(ModelSignatureError, match="a key that does not count in this home"):
        verify_model(model, signature, keys)
    # Neither does it under the name of a key that counts.
    document = json.loads(signature)
    (mine,) = keys.trusted()
    document["verificationMaterial"]["publicKey"]["hint"] = mine
    with pytest.raises(ModelSignatureError, match="the signature of model was changed"):
        verify_model(model, json.dumps(document).encode(), keys)


def _without(part: str) -> Callable[[dict], object]:
    def change(document: dict) -> object:
        del document[part]
        return document

    return change


def _other_type(document: dict) -> object:
    document["dsseEnvelope"]["payloadType"] = "text/plain"
    return document


def _unsigned(document: dict) -> object:
    document["dsseEnvelope"]["signatures"] = []
    return document


def _no_hint(document: dict) -> object:
    del document["verificationMaterial"]["publicKey"]["hint"]
    return document


@pytest.mark.parametrize(
    "change",
    [
        _without("mediaType"), _without("verificationMaterial"), _without("dsseEnvelope"),
        _other_type, _unsigned, _no_hint, lambda _: [], lambda _: "text", lambda _: None,
    ],
)  # fmt: skip
def test_what_is_no_signature_proves_nothing(
    model: Path, keys: ModelKeys, change: Callable[[dict], object]
) -> None:
    document = change(json.loads(signed(model, keys)))
    with pytest.raises(ModelSignatureError, match="signature of model"):
        verify_model(model, json.dumps(document).encode(), keys)


@pytest.mark.parametrize("raw", [b"", b"\xff", b"{", b"[" * 100_000, b"{}"], ids=range(5))
def test_what_is_no_json_is_no_signature(model: Path, keys: ModelKeys, raw: bytes) -> None:
    keys.signer()
    with pytest.raises(ModelSignatureError, match="is not a model signature"):
        verify_model(model, raw, keys)


def test_the_first_key_is_made_for_its_owner_alone(model: Path, keys: ModelKeys) -> None:
    assert keys.trusted() == {}
    with pytest.raises(ModelSignatureError, match="does not count"):
        hint = {"verificationMaterial": {"publicKey": {"hint": "x"}}}
        verify_model(model, json.dumps(hint).encode(), keys)
    assert not keys.directory.exists(), "to verify makes no key"
    private = keys.signer()
    assert private == keys.directory / "model.key"
    assert private.stat().st_mode & 0o777 == 0o600
    assert list(keys.trusted().values()) == [keys.directory / "model.pub"]
    assert keys.signer() == private


def test_an_earlier_key_goes_on_counting(model: Path, keys: ModelKeys) -> None:
    signature = signed(model, keys)
    for suffix in (".key", ".pub"):
        (keys.directory / f"model{suffix}").rename(keys.directory / f"model-2026{suffix}")
    with pytest.raises(InputError, match="the private half of model.pub"):
        keys.signer()
    (keys.directory / "elsewhere.pub").write_bytes((keys.directory / "model-2026.pub").read_bytes())
    (keys.directory / "model-2026.pub").unlink()
    assert keys.signer().exists()
    with pytest.raises(ModelSignatureError, match="does not count"):
        verify_model(model, signature, keys)
    (keys.directory / "elsewhere.pub").rename(keys.directory / "model-2026.pub")
    verify_model(model, signature, keys)
    verify_model(model, signed(model, keys), keys)


def test_a_key_whose_public_half_was_not_written_gets_it(keys: ModelKeys) -> None:
    keys.signer()
    public = keys.directory / "model.pub"
    content = public.read_bytes()
    public.unlink()  # as after a crash between the two
    keys.signer()
    assert public.read_bytes() == content


def test_a_key_may_lie_elsewhere(
    model: Path, keys: ModelKeys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.signer()
    elsewhere = tmp_path / "safe.key"
    (keys.directory / "model.key").rename(elsewhere)
    monkeypatch.setenv(KEY_VARIABLE, str(elsewhere))
    verify_model(model, signed(model, keys), keys)
    assert not (keys.directory / "model.key").exists()
    monkeypatch.setenv(KEY_VARIABLE, str(ModelKeys(tmp_path / "other").directory / "model.key"))
    with pytest.raises(InputError, match="cannot be read"):
        keys.signer()
    monkeypatch.delenv(KEY_VARIABLE)
    other = ModelKeys(tmp_path / "other").signer()
    monkeypatch.setenv(KEY_VARIABLE, str(other))
    with pytest.raises(InputError, match="is not the private half of a key that counts"):
        keys.signer()


def _pem(key: object) -> bytes:
    return key.private_bytes(  # type: ignore[attr-defined]
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"no key", "not a private key"),
        (_pem(ed25519.Ed25519PrivateKey.generate()), "a private key of another kind"),
        (_pem(ec.generate_private_key(ec.SECP384R1())), "a private key of another kind"),
    ],
    ids=["text", "ed25519", "p384"],
)
def test_other_private_keys_are_refused(keys: ModelKeys, content: bytes, says: str) -> None:
    private = keys.signer()
    private.write_bytes(content)
    with pytest.raises(InputError, match=says):
        keys.signer()


def test_a_private_key_that_others_can_read_is_refused(keys: ModelKeys) -> None:
    keys.signer().chmod(0o640)
    with pytest.raises(InputError, match="open to others than its owner"):
        keys.signer()


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (None, "not a public key"),
        (ed25519.Ed25519PrivateKey.generate(), "a public key of another kind"),
        (ec.generate_private_key(ec.SECP521R1()), "a public key of another kind"),
    ],
    ids=["text", "ed25519", "p521"],
)
def test_other_public_keys_are_refused(keys: ModelKeys, key: object, says: str) -> None:
    keys.signer()
    content = b"no key"
    if key is not None:
        content = key.public_key().public_bytes(  # type: ignore[attr-defined]
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    (keys.directory / "model-other.pub").write_bytes(content)
    with pytest.raises(InputError, match=says):
        keys.trusted()


def test_without_pyopenssl_it_is_said_what_is_missing(
    model: Path, keys: ModelKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    signature = signed(model, keys)
    for name in [n for n in sys.modules if n.split(".")[0] == "model_signing"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "OpenSSL", None)
    for look in (lambda: verify_model(model, signature, keys), lambda: signed(model, keys)):
        with pytest.raises(InputError, match="OpenSSL.*model-signing and pyOpenSSL"):
            look()
