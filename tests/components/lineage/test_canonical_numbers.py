"""Canonical JSON: the numbers of RFC 8785, a million others, and a corpus of what is refused."""

from __future__ import annotations

import json
import math
import random
import struct
from decimal import Decimal

import pytest

from components.contract.errors import EvidenceError
from components.lineage.digests import canonical_json, parse_canonical
from components.lineage.dsse import MAX_DEPTH, sign

SEED = 8785
BATCH = 10_000
NUMBERS = 1_000_000

# RFC 8785, appendix B: bits of a double and how it is written; None where it cannot be.
VECTORS = [
    ("0000000000000000", "0"),
    ("8000000000000000", "0"),
    ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"),
    ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"),
    ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"),
    ("4430000000000000", "295147905179352830000"),
    ("7fffffffffffffff", None),
    ("7ff0000000000000", None),
    ("fff0000000000000", None),
    ("44b52d02c7e14af5", "9.999999999999997e+22"),
    ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"),
    ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"),
    ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"),
    ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"),
    ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"),
    ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"),
    ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]


def _double(bits: bytes) -> float:
    (value,) = struct.unpack(">d", bits)
    return float(value)


@pytest.mark.parametrize(("bits", "text"), VECTORS)
def test_numbers_are_written_as_rfc_8785_writes_them(bits: str, text: str | None) -> None:
    number = _double(bytes.fromhex(bits))
    if text is None:
        with pytest.raises(EvidenceError, match="not canonical JSON"):
            canonical_json({"n": number})
        return
    assert canonical_json({"n": number}) == b'{"n":%s}' % text.encode()
    assert float(json.loads(text)) == number


def test_keys_are_sorted_by_utf_16_and_text_is_escaped_as_rfc_8785_does_it() -> None:
    # Section 3.2.3: not by code point, by which the face would come last.
    keys = {
        "\u20ac": "Euro Sign",
        "\r": "Carriage Return",
        "\ufb33": "Hebrew Letter Dalet With Dagesh",
        "1": "One",
        "\U0001f600": "Emoji: Grinning Face",
        "\u0080": "Control",
        "\u00f6": "Latin Small Letter O With Diaeresis",
    }
    expected = ["\r", "1", "\u0080", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    raw = canonical_json(keys)
    assert list(json.loads(raw)) == expected
    assert parse_canonical(raw, "f") == keys
    assert canonical_json('\x00\x1f\b\t\n\f\r"\\/\x7f\u2028') == (
        '"\\u0000\\u001f\\b\\t\\n\\f\\r\\"\\\\/\x7f\u2028"'.encode()
    )


def _numbers(chance: random.Random, how: int) -> list[float]:
    """Finite doubles: any bits; near powers of ten and two; and such as people write."""
    found: list[float] = []
    while len(found) < BATCH:
        match how % 3:
            case 0:
                number = _double(chance.randbytes(8))
            case 1:
                base = 10.0 ** chance.randint(-25, 25) if chance.random() < 0.5 else 2.0**53
                number = base * (1 + chance.randint(-8, 8) * 2.0**-52) * chance.choice((-1, 1))
            case _:
                number = round(chance.uniform(-1e6, 1e6), chance.randint(0, 12))
        if math.isfinite(number):
            found.append(number)
    return found


def test_a_million_numbers_read_back_as_the_same_doubles() -> None:
    chance, checked = random.Random(SEED), 0
    for how in range(NUMBERS // BATCH):
        numbers = _numbers(chance, how)
        raw = canonical_json(numbers)
        back = [float(n) for n in json.loads(raw)]  # a whole number may be read as an int
        assert back == numbers, f"seed {SEED}"
        # As few digits as tell it from its neighbours: what Python's own repr finds otherwise.
        texts = raw[1:-1].decode().split(",")
        for text, number in zip(texts[::50], numbers[::50], strict=True):
            assert Decimal(text) == Decimal(repr(number))
        checked += len(back)
    assert checked == NUMBERS


def test_whole_numbers_are_exact_up_to_two_to_the_53rd_and_then_refused() -> None:
    chance = random.Random(SEED)
    limit = 2**53 - 1
    whole = [limit, -limit, *(chance.randint(-limit, limit) for _ in range(100_000))]
    assert json.loads(canonical_json(whole)) == whole
    assert all(parse_canonical(canonical_json({"n": n}), "f") == {"n": n} for n in whole[:5_000])
    for number in (2**53, -(2**53), 2**53 + 1, 2**63, 2**64, 10**30, -(10**400)):
        with pytest.raises(EvidenceError, match="not canonical JSON"):
            canonical_json({"n": number})
        with pytest.raises(EvidenceError):
            parse_canonical(b'{"n":%d}' % number, "f")


def test_a_double_that_reads_as_a_whole_number_too_large_is_refused_where_it_is_read() -> None:
    chance = random.Random(SEED)
    for _ in range(1_000):
        raw = canonical_json({"n": chance.uniform(2**53, 1e21)})
        with pytest.raises(EvidenceError):
            parse_canonical(raw, "f")


@pytest.mark.parametrize(
    "text",
    [
        "1.0", "1.50", "01", "+1", "-0", "-0.0", "0.0", "1e5", "1E5", "1e+5", "1e21", "1E+21",
        "1e+021", "100000000000000000000000", ".5", "5.", "0x10", "1_000", "0.1e1", "1e-6",
        "0.00000010", "1e-07", "9007199254740993", "1e400", "-1e400", "NaN", "nan", "Infinity",
        "-Infinity", "inf", "\u0661", "1,", "1 ", " 1", "1\n", "--1", "",
    ],
)  # fmt: skip
def test_another_way_to_write_a_number_is_refused(text: str) -> None:
    with pytest.raises(EvidenceError):
        parse_canonical(b'{"n":%s}' % text.encode(), "f")


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":1}',
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":[{"b":1,"b":1}]}',
        b'{"a":1,"\\u0061":1}',
        b'{"\xc3\xb6":1,"\\u00f6":1}',
        b'{"":1,"":2}',
        b'{"b":1,"a":1}',
        b'{"a":{"c":1,"b":1}}',
        '{"\ufb33":1,"\U0001f600":1}'.encode(),
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00"}',
        b'{"a":"\\ud800\\ud800"}',
        b'{"a":"\\udc00\\ud800"}',
        b'{"\\ud800":1}',
        b'{"a":"\\ud83d\\ude00"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\xed\xa0\xbd\xed\xb8\x80"}',
        b'{"a":"\xc0\x80"}',
        b'{"a":"\xff"}',
        b'{"a":"\xf4\x90\x80\x80"}',
        b'{"a":"\\u000a"}',
        b'{"a":"\\u000A"}',
        b'{"a":"\\/"}',
        b'{"a":"\\u007f"}',
        b'{"a":"\\u00e9"}',
        b'{"a":"\n"}',
        b'{"a":"\t"}',
        b'{"a":"\x00"}',
        b'{"a":"\\x41"}',
        b"{'a':1}",
        b"{a:1}",
        b'{"a":1,}',
        b'{"a":[1,]}',
        b'{"a":1}}',
        b'{"a":1}{"a":1}',
        b'{"a":1} ',
        b'\n{"a":1}',
        b'{"a":1}\n',
        b'{ "a":1}',
        b'{"a":1}//',
        b'/**/{"a":1}',
        b'\xef\xbb\xbf{"a":1}',
        '{"a":1}'.encode("utf-16"),
        '{"a":1}'.encode("utf-16-le"),
        '{"a":1}'.encode("utf-32"),
        b'{"a":True}',
        b'{"a":undefined}',
        b'{"a":"b',
        b'{"a"',
        b'{"a":}',
        b'{1:"a"}',
        b'{null:"a"}',
        b"[]",
        b'"a"',
        b"true",
        b"",
        b"\x00",
        b'{"a":' * 100_000,
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' + b"9" * 10_000 + b"}",
    ],
    ids=lambda raw: repr(raw[:24]),
)
def test_what_is_not_its_own_canonical_form_is_refused(raw: bytes) -> None:
    with pytest.raises(EvidenceError):
        parse_canonical(raw, "f")


def _nested(levels: int) -> dict[str, object]:
    """A statement in whose predicate objects and lists are nested, with itself so many deep."""
    inner: object = 1
    for level in range(levels - 2):
        inner = [inner] if level % 2 else {"a": inner}
    return {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [],
        "predicateType": "urn:test",
        "predicate": {"n": inner},
    }


def test_a_statement_is_nested_only_so_deep() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    assert sign(_nested(MAX_DEPTH), [key])
    for levels in (MAX_DEPTH + 1, MAX_DEPTH + 2, 200):
        with pytest.raises(EvidenceError, match="nested"):
            sign(_nested(levels), [key])
    with pytest.raises(EvidenceError):
        sign(_nested(100_000), [key])


def test_any_json_that_is_read_is_written_again_to_the_byte() -> None:
    chance = random.Random(SEED)

    def value(depth: int) -> object:
        match chance.randrange(8 if depth else 5):
            case 0:
                return chance.choice((None, True, False))
            case 1:
                return chance.randint(-(2**53) + 1, 2**53 - 1)
            case 2:
                return chance.uniform(-1, 1)
            case 3 | 4:
                return "".join(chr(chance.choice((9, 34, 92, 127, 233, 8364, 66, 128512)))
                               for _ in range(chance.randrange(6)))  # fmt: skip
            case 5:
                return [value(depth - 1) for _ in range(chance.randrange(4))]
            case _:
                return {chr(chance.choice((65, 246, 8364, 64307, 128512))): value(depth - 1)
                        for _ in range(chance.randrange(4))}  # fmt: skip

    for _ in range(5_000):
        document = {"v": value(4)}
        raw = canonical_json(document)
        assert parse_canonical(raw, "f") == document
        with pytest.raises(EvidenceError):
            parse_canonical(raw + b" ", "f")
