"""What a bundle is: which names it may hold, and the manifest that signs each of them.

A bundle is one zip file. Its names, limits and manifest stand here and in
``schemas/bundle-v1.schema.json``; ``docs/evidence-bundle.md`` tells it in prose.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contract.errors import EvidenceError, InputError
from components.contract.json_schema import validate
from components.lineage.dsse import STATEMENT_TYPE, UnknownSignerError, verify

SCHEMA_VERSION = "assay-bundle/v1"
PREDICATE_TYPE = "urn:assay:bundle:v1"
SCHEMA = "bundle-v1.schema.json"
MANIFEST = "manifest.json"

MAX_ENTRIES = 4096
MAX_NAME = 240
MAX_PARSED = 16_000_000
"""Bytes of an entry that is kept in memory and not only hashed: everything but reports."""
MAX_BUNDLE = 0xFFFF_FFFE
"""Bytes of a whole bundle: what a zip file without ZIP64 can hold."""

FILE = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_NAMES = re.compile(
    rf"manifest\.json|keys/{FILE}\.pub|(?P<hashed>reports/{FILE})"
    r"|releases/[a-z][a-z0-9_]{0,62}/[a-z][a-z0-9_]{0,62}/[0-9]{6}\.json"
    r"|waivers/[0-9a-f]{64}\.json"
    rf"|runs/{FILE}/(card/{FILE}|evidence/[0-9]{{4}}-[a-z_]{{1,32}}\.json|contract\.yaml|policy\.yaml"
    r"|sbom\.cdx\.json|native-receipt\.json)",
    re.ASCII,
)


class TamperedError(EvidenceError):
    """A bundle is not what was signed. ``entry`` is the entry that shows it. Exit code 1."""

    exit_code = 1

    def __init__(self, entry: str, what: str) -> None:
        self.entry, self.what = entry, what
        super().__init__(f"{entry}: {what}")


class SignerError(InputError):
    """A signature is by a key that the trust does not hold, or not in this role or at this time."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What the manifest says, once its signature is verified.

    ``entries`` has size and SHA-256 of every other entry by name. ``head`` is the digest of the
    run's last record and ``records`` their number. ``continues`` is empty where the run trained
    its model itself, ``release`` 0 where it was not released.
    """

    run: str
    continues: str
    dataset: str
    stack: str
    records: int
    head: str
    release: int
    entries: Mapping[str, tuple[int, str]]
    signers: tuple[str, ...] = ()


def is_name(name: str) -> bool:
    """Whether an entry may have this name."""
    return len(name) <= MAX_NAME and _NAMES.fullmatch(name) is not None


def is_hashed_only(name: str) -> bool:
    """Whether an entry is never parsed: a report, of any size."""
    found = _NAMES.fullmatch(name)
    return found is not None and found["hashed"] is not None


def manifest_statement(manifest: Manifest) -> dict[str, Any]:
    """The in-toto statement of a manifest: it is about every other entry of the bundle."""
    names = sorted(manifest.entries)
    return {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": n, "digest": {"sha256": manifest.entries[n][1]}} for n in names],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "schemaVersion": SCHEMA_VERSION,
            "run": manifest.run,
            "continues": manifest.continues,
            "dataset": manifest.dataset,
            "stack": manifest.stack,
            "records": manifest.records,
            "head": manifest.head,
            "release": manifest.release,
            "sizes": {n: manifest.entries[n][0] for n in names},
        },
    }


def parse_manifest(raw: bytes, trusted: Mapping[str, bytes]) -> Manifest:
    """A manifest out of its envelope.

    Args:
        raw: the entry's bytes.
        trusted: raw public key of each name that may sign evidence.

    Raises:
        UnknownSignerError: it is signed by another key.
        TamperedError: it is not what was signed, or no manifest.
    """
    try:
        verified = verify(raw, trusted)
        validate(verified.statement, SCHEMA, Path(MANIFEST))
    except UnknownSignerError:
        raise
    except (EvidenceError, InputError) as error:
        raise TamperedError(MANIFEST, str(error)) from error
    said = dict(verified.statement["predicate"])
    sizes, subject = said.pop("sizes"), verified.statement["subject"]
    del said["schemaVersion"]
    digests = {s["name"]: s["digest"]["sha256"] for s in subject}
    if digests.keys() != sizes.keys():
        raise TamperedError(MANIFEST, "sizes and digests are not of the same entries")
    entries = {n: (sizes[n], digests[n]) for n in digests}
    manifest = Manifest(**said, entries=entries, signers=verified.signers)
    if manifest_statement(manifest) != verified.statement:
        raise TamperedError(MANIFEST, "its entries are not in order, each once")
    _require_names(entries)
    return manifest


def _require_names(names: Iterable[str]) -> None:
    for name in names:
        if not is_name(name) or name == MANIFEST:
            raise TamperedError(MANIFEST, f"it lists {name!r}, which no bundle holds")
