"""The forms that a value takes in a file: encodings of its text, and a number's own eight bytes."""

from __future__ import annotations

import base64
import html
import json
import struct
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

from components.audit.phi_values import is_number

Form = tuple[str, bytes]
"""An encoding's name, and the value in it."""

SHORTEST = 8
"""Bytes that a form must have, but for plain text: shorter ones occur by chance."""

_SHORTEST_TEXT = 5


def forms(value: str) -> Iterator[Form]:
    """Every form of a value, the plain one first; none twice."""
    seen: set[bytes] = set()
    for name, form in _forms(value):
        if form not in seen and len(form) >= (_SHORTEST_TEXT if name == "utf-8" else SHORTEST):
            seen.add(form)
            yield name, form


def _forms(value: str) -> Iterator[Form]:
    raw = value.encode()
    yield "utf-8", raw
    yield "utf-8, other case", value.upper().encode()
    yield "utf-8, other case", value.lower().encode()
    yield "latin-1", value.encode("latin-1", "replace")
    for text in dict.fromkeys((value, value.upper(), value.lower())):
        yield "utf-16le", text.encode("utf-16-le")
        yield "utf-16be", text.encode("utf-16-be")
    yield "json", json.dumps(value)[1:-1].encode()
    yield "json", json.dumps(value, ensure_ascii=False)[1:-1].encode()
    yield "html", html.escape(value).encode()
    for url in (quote(value, safe=""), quote(value), quote_plus(value)):
        yield "url", url.encode()
    yield "hex", raw.hex().encode()
    yield "hex", raw.hex().upper().encode()
    for lead in range(3):  # base64 looks different from each place of three
        start, end = _sure_characters(lead, len(raw))
        padded = b"\x00" * lead + raw
        yield "base64", base64.b64encode(padded)[start:end]
        yield "base64", base64.urlsafe_b64encode(padded)[start:end]
    if is_number(value) and "." in value:
        yield "binary64", struct.pack("<d", float(value))
        yield "binary64", struct.pack(">d", float(value))


def _sure_characters(lead: int, length: int) -> tuple[int, int]:
    """Which characters of the base64 depend on the value alone: 6 bits each, from bit 8 * lead."""
    return -(-8 * lead // 6), 8 * (lead + length) // 6
