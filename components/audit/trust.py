"""Whose signature counts when a bundle is verified: said on the command line, never in the bundle.

A trust is either one Ed25519 public key in PEM, or a YAML file that names keys, their role and the
time for which they count::

    schemaVersion: assay-trust/v1
    keys:
      clinic-2026:
        role: evidence
        key: 8zQ0...=            # what `assay keys new` prints
        not_before: "2026-01-01"
        not_after: "2027-12-31"  # the last day on which it counts, in UTC
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from components.audit.bundle_format import SignerError
from components.contract.errors import InputError
from components.contract.strict_yaml import load_yaml
from components.lineage.keys import key_id, load_public, parse_public

SCHEMA_VERSION = "assay-trust/v1"
ROLE = "evidence"
_NAME = re.compile(r"[a-z][a-z0-9._-]{0,62}")
_ROLE = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key, what it may sign, and the first and last day, in UTC, on which it counts."""

    name: str
    raw: bytes
    role: str = ROLE
    not_before: date = date.min
    not_after: date = date.max


@dataclass(frozen=True, slots=True)
class Trust:
    """All keys that were named; ``where`` is the file that names them."""

    where: str
    keys: tuple[TrustedKey, ...]

    def trusted(self, at: datetime) -> dict[str, bytes]:
        """Raw public key of each name that may sign evidence at a time."""
        day = at.astimezone(UTC).date()
        return {
            k.name: k.raw
            for k in self.keys
            if k.role == ROLE and k.not_before <= day <= k.not_after
        }

    def refuse(self, keyid: str, at: datetime) -> SignerError:
        """Why a signature of that key id does not count, as an error to raise."""
        day = at.astimezone(UTC).date()
        known = next((k for k in self.keys if key_id(k.raw) == keyid), None)
        if known is None:
            what = f"signed by a key that is not trusted ({keyid[:16]})"
        elif known.role != ROLE:
            what = f"signed by {known.name}, whose role is {known.role} and not {ROLE}"
        elif day > known.not_after:
            what = f"signed by {known.name}, whose key expired on {known.not_after}"
        else:
            what = f"signed by {known.name}, whose key counts only from {known.not_before} on"
        return SignerError(what, where="the bundle", expected=f"a key of {self.where}")


def load_trust(path: Path) -> Trust:
    """Read a public key, or a file that names several.

    Raises:
        InputError: it is neither, a key is unsound, or one key stands under two names.
    """
    if path.suffix not in (".yaml", ".yml"):
        return Trust(str(path), (TrustedKey(path.stem, load_public(path)),))
    document, _ = load_yaml(path)
    if set(document) != {"schemaVersion", "keys"} or document["schemaVersion"] != SCHEMA_VERSION:
        raise _wrong(path, "top level", f"schemaVersion: {SCHEMA_VERSION}, and keys")
    keys = document["keys"]
    if not isinstance(keys, dict) or not keys:
        raise _wrong(path, "keys", "a name and what is known of it for each key")
    found = tuple(_key(path, name, fields) for name, fields in keys.items())
    if len({k.raw for k in found}) != len(found):
        raise _wrong(path, "keys", "each key under one name")
    return Trust(str(path), found)


def _key(path: Path, name: str, fields: Any) -> TrustedKey:
    where = f"keys.{name}"
    known = {"role", "key", "not_before", "not_after"}
    if not _NAME.fullmatch(name) or not isinstance(fields, dict) or not set(fields) <= known:
        raise _wrong(path, where, f"a plain name, and only {', '.join(sorted(known))}")
    role, text = fields.get("role"), fields.get("key")
    if not isinstance(role, str) or not _ROLE.fullmatch(role) or not isinstance(text, str):
        raise _wrong(path, where, f"a role, as {ROLE}, and a key")
    return TrustedKey(
        name,
        parse_public(text, f"{path}, field {where}.key"),
        role,
        _day(path, f"{where}.not_before", fields.get("not_before"), date.min),
        _day(path, f"{where}.not_after", fields.get("not_after"), date.max),
    )


def _day(path: Path, where: str, text: Any, absent: date) -> date:
    if text is None:
        return absent
    try:
        if isinstance(text, str) and len(text) == len("2026-12-31"):
            return date.fromisoformat(text)
    except ValueError:
        pass
    raise _wrong(path, where, 'a day in quotes, as "2026-12-31"')


def _wrong(path: Path, field: str, expected: str) -> InputError:
    return InputError("not a trust root", where=f"{path}, field {field}", expected=expected)
