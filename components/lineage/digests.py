"""Content digests and canonical JSON: identity is content, and nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from components.contract.errors import EvidenceError

_CHUNK = 1 << 20


def sha256_file(path: Path) -> str:
    """SHA-256 over all of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def sha256_tree(directory: Path) -> str:
    """SHA-256 that names a directory by its content: relative POSIX paths and file digests.

    The digest is taken over the canonical JSON of ``[[path, sha256], ...]`` in path order. Times,
    owners and empty directories do not count; a symbolic link is refused.

    Raises:
        EvidenceError: the directory is missing, empty, or holds a symbolic link.
    """
    entries = []
    for path in sorted(directory.rglob("*")):
        if path.is_symlink():
            raise EvidenceError(f"{directory} holds a symbolic link, which has no content")
        if path.is_file():
            entries.append([path.relative_to(directory).as_posix(), sha256_file(path)])
    if not entries:
        raise EvidenceError(f"{directory} is missing or empty")
    return sha256_json(entries)


def canonical_json(document: Any) -> bytes:
    """RFC 8785 canonical JSON. Numbers that matter are decimal strings before they come here.

    Raises:
        EvidenceError: NaN, infinity, an integer of 2**53 or beyond, half a surrogate pair, nesting
            without end, or a type that JSON lacks.
    """
    import rfc8785

    try:
        return rfc8785.dumps(document)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"not canonical JSON: {error}") from error


def parse_canonical(raw: bytes, name: str) -> dict[str, Any]:
    """Parse JSON that must be its own canonical form, byte for byte.

    Raises:
        EvidenceError: duplicate keys, NaN, unpaired surrogates, another key order or white space.
    """
    if (plain := _plain(raw)) is not None:
        return plain
    try:
        document = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
        canonical = canonical_json(document)
    except (ValueError, RecursionError) as error:
        raise EvidenceError(f"{name} is not JSON") from error
    if canonical != raw or not isinstance(document, dict):
        raise EvidenceError(f"{name} is not a canonical JSON object")
    return document


def _plain(raw: bytes) -> dict[str, Any] | None:
    """As ``parse_canonical``, some times faster, for what is plain; None means unknown.

    In ASCII and without fractions or large integers Python's own writer gives the same bytes as
    RFC 8785: what is left to differ is how numbers are written and how other keys are sorted.
    """
    if not raw.isascii() or not raw.startswith(b"{"):
        return None
    text = raw.decode("ascii")
    try:
        document: dict[str, Any] = _READER.decode(text)
        same = _WRITER.encode(document) == text
    except (ValueError, RecursionError):
        return None
    return document if same else None


def _small(text: str) -> int:
    if len(text) > 15:
        raise ValueError(text)
    return int(text)


def _refuse_constant(name: str) -> None:
    raise ValueError(name)


_READER = json.JSONDecoder(
    parse_float=_refuse_constant, parse_int=_small, parse_constant=_refuse_constant
)
_WRITER = json.JSONEncoder(
    # What was just parsed holds itself nowhere.
    ensure_ascii=False,
    check_circular=False,
    sort_keys=True,
    separators=(",", ":"),
)


def sha256_json(document: Any) -> str:
    """SHA-256 of a document's canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(document)).hexdigest()


def decimal(value: float | None) -> str | None:
    """A number as the shortest decimal string that reads back as the same float; None as None.

    NaN and infinities become ``"NaN"``, ``"Infinity"`` and ``"-Infinity"``, so that a record can
    say that a figure was not a number instead of failing to be written.
    """
    if value is None:
        return None
    number = float(value)
    if number != number:
        return "NaN"
    if number in (float("inf"), float("-inf")):
        return "Infinity" if number > 0 else "-Infinity"
    return repr(number)
