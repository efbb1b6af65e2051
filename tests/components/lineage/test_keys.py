"""Keys: files that only their owner reads, and public keys under which a signature proves much."""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, x25519
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from components.contract.errors import InputError
from components.contract.strict_yaml import load_yaml
from components.lineage.keys import (
    fault_of,
    key_id,
    load_private,
    load_public,
    new_key,
    parse_public,
    public_bytes,
    public_text,
)

PRIME = 2**255 - 19
SIGN = 1 << 255


def _bytes(number: int) -> bytes:
    return number.to_bytes(32, "little")


def test_a_new_key_is_two_files_and_only_its_owner_reads_the_private_one(tmp_path: Path) -> None:
    pair = new_key(tmp_path / "keys", "ana-silva")
    assert sorted(p.name for p in (tmp_path / "keys").iterdir()) == [
        "ana-silva.key",
        "ana-silva.pub",
    ]
    assert pair.private.stat().st_mode & 0o777 == 0o600
    private = load_private(pair.private)
    assert public_bytes(private) == pair.raw == load_public(pair.public)
    assert pair.private.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")
    assert pair.public.read_bytes().startswith(b"-----BEGIN PUBLIC KEY-----")
    Ed25519PublicKey.from_public_bytes(pair.raw).verify(private.sign(b"said"), b"said")


def test_two_keys_are_two(tmp_path: Path) -> None:
    assert new_key(tmp_path, "ana").raw != new_key(tmp_path, "bo").raw


@pytest.mark.parametrize("name", ["ana", "b.c-d_1", "n", "e1", "x" * 63])
def test_the_line_for_the_policy_reads_back(tmp_path: Path, name: str) -> None:
    raw = new_key(tmp_path, name).raw
    policy = tmp_path / "policy.yaml"
    policy.write_text(f"{name}: {public_text(raw)}\n")
    document, _ = load_yaml(policy)
    assert parse_public(document[name], "here") == raw


@pytest.mark.parametrize(
    "name",
    ["", "Ana", "1", "a b", "../ana", "a/b", ".ana", "a\n", "a:", "é", "no", "null", "x" * 64],
)
def test_what_cannot_name_a_key_leaves_nothing(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot name a key"):
        new_key(tmp_path / "keys", name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("there", ["ana.key", "ana.pub"])
def test_a_key_is_never_overwritten(tmp_path: Path, there: str) -> None:
    (tmp_path / there).write_text("mine")
    with pytest.raises(InputError, match=f"{there}: exists already; expected another name"):
        new_key(tmp_path, "ana")
    assert [p.name for p in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_a_directory_that_cannot_be_made_is_bad_input(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        new_key(tmp_path / "file", "ana")


def _mode(mode: int) -> Callable[[Path], object]:
    return lambda path: path.chmod(mode)


def _with(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _pem(key: object, passphrase: bytes | None = None) -> bytes:
    protection = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection
    )


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


def _half(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:60])


def _public_inside(path: Path) -> None:
    path.write_bytes(path.with_suffix(".pub").read_bytes())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        pytest.param(_mode(0o640), "open to others than its owner (mode 0640)", id="group"),
        pytest.param(_mode(0o604), "open to others than its owner (mode 0604)", id="others"),
        pytest.param(_mode(0o620), "open to others than its owner (mode 0620)", id="written"),
        pytest.param(_mode(0o601), "open to others than its owner (mode 0601)", id="executed"),
        pytest.param(lambda p: p.unlink(), "cannot be read (No such file", id="absent"),
        pytest.param(_folder, "not a file", id="folder"),
        pytest.param(_pipe, "not a file", id="pipe"),
        pytest.param(_with(b""), "not a private key", id="empty"),
        pytest.param(_half, "not a private key", id="half"),
        pytest.param(_with(b"k" * 32), "not a private key", id="raw bytes"),
        pytest.param(_with(b"\0" * 20_000), "too large for a key", id="large"),
        pytest.param(_public_inside, "not a private key", id="public key"),
        pytest.param(
            _with(_pem(Ed25519PrivateKey.generate(), b"secret")), "not a private key", id="locked"
        ),
        pytest.param(
            _with(_pem(ed448.Ed448PrivateKey.generate())), "a private key of another", id="Ed448"
        ),
        pytest.param(
            _with(_pem(x25519.X25519PrivateKey.generate())), "a private key of another", id="X25519"
        ),
        pytest.param(
            _with(_pem(ec.generate_private_key(ec.SECP256R1()))),
            "a private key of another",
            id="P-256",
        ),
    ],
)
def test_a_private_key_file_that_is_none(
    tmp_path: Path, change: Callable[[Path], object], says: str
) -> None:
    path = new_key(tmp_path, "ana").private
    change(path)
    with pytest.raises(InputError) as caught:
        load_private(path)
    assert str(caught.value).startswith(f"{path}: {says}")
    assert "`assay keys new`" in str(caught.value)


def test_no_message_quotes_a_key(tmp_path: Path) -> None:
    path = new_key(tmp_path, "ana").private
    secret = path.read_bytes()
    for place in range(len(secret)):
        path.write_bytes(secret[:place] + b"!" + secret[place + 1 :])
        try:
            load_private(path)
        except InputError as error:
            told = f"{error} {error.__cause__}"
            assert not any(secret.decode()[i : i + 8] in told for i in range(30, 90))


def test_a_public_key_file_that_is_none(tmp_path: Path) -> None:
    pair = new_key(tmp_path, "ana")
    other = ed448.Ed448PrivateKey.generate().public_key()
    pem = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    weak = base64.b64encode(bytes.fromhex("302a300506032b6570032100") + _bytes(1)).decode()
    for content, says in (
        (pair.private.read_bytes(), "not a public key"),
        (b"nothing", "not a public key"),
        (other.public_bytes(*pem), "a public key of another kind"),
        (f"-----BEGIN PUBLIC KEY-----\n{weak}\n-----END PUBLIC KEY-----\n".encode(), "small order"),
    ):
        pair.public.write_bytes(content)
        with pytest.raises(InputError, match=says):
            load_public(pair.public)


# The curve itself, in affine coordinates, to see that the list of small-order points is complete.

_D = -121665 * pow(121666, -1, PRIME) % PRIME
Point = tuple[int, int]


def _add(one: Point, other: Point) -> Point:
    (x1, y1), (x2, y2) = one, other
    k = _D * x1 * x2 * y1 * y2 % PRIME
    x = (x1 * y2 + x2 * y1) * pow(1 + k, -1, PRIME) % PRIME
    return x, (y1 * y2 + x1 * x2) * pow(1 - k, -1, PRIME) % PRIME


def _times(n: int, point: Point) -> Point:
    result: Point = (0, 1)
    while n:
        result = _add(result, point) if n & 1 else result
        point, n = _add(point, point), n >> 1
    return result


def _root(square: int) -> int | None:
    root = pow(square, (PRIME + 3) // 8, PRIME)
    if root * root % PRIME != square % PRIME:
        root = root * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    return root if root * root % PRIME == square % PRIME else None


def _point(y: int) -> Point | None:
    x = _root((y * y - 1) * pow(_D * y * y + 1, -1, PRIME))
    return None if x is None else (x, y)


def _small_order_points() -> set[Point]:
    """All of them: multiples by the prime order leave nothing else of any point."""
    order = 2**252 + 27742317777372353535851937790883648493
    rests = (_times(order, p) for p in map(_point, range(2, 100)) if p is not None)
    torsion = next(r for r in rests if _times(4, r) != (0, 1))
    return {_times(n, torsion) for n in range(8)}


def test_all_eight_small_order_points_are_refused_in_every_spelling() -> None:
    points = _small_order_points()
    assert len(points) == 8
    spellings = {
        y + more + sign
        for _, y in points
        for more in (0, PRIME)
        for sign in (0, SIGN)
        if y + more < SIGN
    }
    # Four of the eight share two coordinates; 0 and 1 can also be written as p and p + 1.
    assert len(spellings) == 14
    for number in spellings:
        raw = _bytes(number)
        assert fault_of(raw) is not None
        with pytest.raises(InputError, match="small order|not the one encoding"):
            parse_public(public_text(raw), "here")


def test_a_coordinate_at_or_above_the_prime_is_refused() -> None:
    for number in range(PRIME, SIGN):
        for sign in (0, SIGN):
            assert fault_of(_bytes(number + sign)) == "not the one encoding of a public key"
    assert fault_of(_bytes(PRIME - 2)) is None


def test_the_identity_as_a_key_verifies_anything_elsewhere() -> None:
    """Why small-order keys are refused here: the library takes them."""
    forged = _bytes(1) + _bytes(0)
    for message in (b"pay", b"do not pay"):
        Ed25519PublicKey.from_public_bytes(_bytes(1)).verify(forged, message)


def test_made_keys_are_sound() -> None:
    for _ in range(50):
        raw = public_bytes(Ed25519PrivateKey.generate())
        assert fault_of(raw) is None
        assert parse_public(public_text(raw), "here") == raw
        assert key_id(raw) == hashlib.sha256(raw).hexdigest()


def _other_last(text: str) -> str:
    """The same 32 bytes with other unused bits at the end."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    return text[:42] + alphabet[alphabet.index(text[42]) ^ 1] + "="


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(_other_last, id="unused bits"),
        pytest.param(lambda t: t.rstrip("="), id="no padding"),
        pytest.param(lambda t: t + "\n", id="newline"),
        pytest.param(lambda t: t[:20] + " " + t[20:], id="space"),
        pytest.param(lambda t: t + "=", id="more padding"),
        pytest.param(lambda t: t[:10] + "_" + t[11:], id="url alphabet"),
        pytest.param(lambda t: "é" + t[1:], id="not ASCII"),
        pytest.param(lambda _: "", id="empty"),
        pytest.param(lambda t: base64.b64encode(base64.b64decode(t)[:31]).decode(), id="31 bytes"),
        pytest.param(lambda t: base64.b64encode(base64.b64decode(t) * 2).decode(), id="64 bytes"),
        pytest.param(lambda t: base64.b64decode(t).hex(), id="hex"),
    ],
)
def test_a_public_key_has_one_text(change: Callable[[str], str]) -> None:
    text = public_text(public_bytes(Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)))
    with pytest.raises(InputError, match="policy.yaml, field waivers.signers.ana: not"):
        parse_public(change(text), "policy.yaml, field waivers.signers.ana")
