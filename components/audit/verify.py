"""Verifying a bundle: offline, with nothing but the bundle and a key that came another way.

One pass over the bytes: nothing is extracted, no model and no page is opened. Then every link is
recomputed: archive, manifest, digests, chain, documents, process, release, waiver. What is wrong
is named by entry.
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from components.audit.bundle_contents import Contents, check_contents, read_contents
from components.audit.bundle_documents import check_cards, check_documents
from components.audit.bundle_format import MANIFEST, Manifest, TamperedError, parse_manifest
from components.audit.bundle_run import BundledRun, read_run
from components.audit.bundle_zip import Entry, read_entries
from components.audit.trust import Trust
from components.contract.errors import EvidenceError, InputError
from components.lineage.digests import parse_canonical
from components.lineage.dsse import UnknownSignerError, verify
from components.lineage.keys import key_id
from components.lineage.receipts import RECEIPT

NOT_CHECKED = (
    "that the records were true when they were signed: `assay reperform` recomputes them from data",
    "that whoever holds the key did not sign another history: compare the head with one kept apart",
    "keys, cards and reports beyond their bytes: they are not opened, and the keys not trusted",
)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with which entry."""

    entry: str
    what: str

    def __str__(self) -> str:
        return f"{self.entry}: {self.what}"


@dataclass(slots=True)
class Verification:
    """What was checked, in order, and what is wrong. ``run`` is there once all of it is sound."""

    checks: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    manifest: Manifest | None = None
    contents: Contents | None = None
    run: BundledRun | None = None

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems and self.run is not None

    @property
    def not_checked(self) -> tuple[str, ...]:
        """What this bundle does not prove, one line each: more where it has no receipt of a run."""
        run, contents = self.run, self.contents
        if run is None or contents is None:
            return NOT_CHECKED
        bare = [name for name in run.runs if f"runs/{name}/{RECEIPT}" not in contents.parsed]
        lines = [f"what the native store held: the bundle has no receipt of {n}" for n in bare]
        return (*NOT_CHECKED, *lines)


def verify_file(path: Path, trust: Trust, at: datetime | None = None) -> Verification:
    """Verify a bundle in a file.

    Args:
        path: the bundle.
        trust: whose signatures count.
        at: the time at which keys must count; now if not given.

    Raises:
        InputError: it cannot be read, is no whole zip file, or is signed by a key that does not
            count.
    """
    try:
        # Not blocking: a pipe of that name would be waited for before it could be refused.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise _unreadable(path, error.strerror or "no file") from error
    try:
        with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as mapped:
            if hasattr(mmap, "MADV_SEQUENTIAL"):
                mapped.madvise(mmap.MADV_SEQUENTIAL)
            with memoryview(mapped) as view:
                return verify_bytes(view, trust, at)
    except (OSError, ValueError) as error:  # a directory, a pipe, an empty file
        raise _unreadable(path, "no file with anything in it") from error
    finally:
        os.close(descriptor)


def _unreadable(path: Path, why: str) -> InputError:
    return InputError(f"cannot be read ({why})", where=str(path), expected="a bundle")


def verify_bytes(raw: bytes | memoryview, trust: Trust, at: datetime | None = None) -> Verification:
    """As ``verify_file``, of bytes in memory."""
    at = at or datetime.now(UTC)
    view = raw if isinstance(raw, memoryview) else memoryview(raw)
    result = Verification()
    steps: tuple[Callable[[], None], ...] = (
        lambda: _check_archive(result, view, trust, at),
        lambda: _check_run(result, trust, at),
    )
    for step in steps:
        try:
            step()
        except TamperedError as error:
            result.problems.append(Problem(error.entry, error.what))
        if result.problems:
            result.run = None
            break
    return result


def _check_archive(result: Verification, view: memoryview, trust: Trust, at: datetime) -> None:
    entries = read_entries(view)
    total = f"{len(view):,} bytes"
    result.checks.append(
        f"archive: {len(entries)} entries in {total}, stored, in order, nothing between or behind"
    )
    contents = read_contents(view, entries)
    manifest = _manifest(contents, entries, trust, at)
    result.problems += [Problem(*p) for p in check_contents(contents, manifest)]
    if result.problems:
        return
    result.checks.append(f"manifest: signed by {', '.join(manifest.signers)}")
    result.checks.append(
        f"entries: size, SHA-256 and CRC-32 of {len(manifest.entries)}; none is missing or extra"
    )
    result.manifest, result.contents = manifest, contents


def _manifest(contents: Contents, entries: list[Entry], trust: Trust, at: datetime) -> Manifest:
    raw = contents.parsed.get(MANIFEST)
    if raw is None:
        raise TamperedError(MANIFEST, "it is missing")
    try:
        return parse_manifest(raw, trust.trusted(at))
    except UnknownSignerError as error:
        raise trust.refuse(_claimed_key(raw, trust, at), at) from error


def _claimed_key(raw: bytes, trust: Trust, at: datetime) -> str:
    """The first key id of an envelope that does not count; only for the message."""
    counted = {key_id(key) for key in trust.trusted(at).values()}
    signatures = parse_canonical(raw, MANIFEST)["signatures"]
    return next((str(s["keyid"]) for s in signatures if s["keyid"] not in counted), "")


def _check_run(result: Verification, trust: Trust, at: datetime) -> None:
    manifest, contents = result.manifest, result.contents
    if manifest is None or contents is None:
        raise EvidenceError("a bundle was read without its manifest")
    trusted = trust.trusted(at)
    try:
        result.run = read_run(manifest, contents.parsed, trusted, result.checks)
        check_documents(result.run, contents.parsed, result.checks)
        check_cards(result.run, contents.digests, result.checks)
    except UnknownSignerError as error:
        raise _other_signer(contents, trust, at) from error


def _other_signer(contents: Contents, trust: Trust, at: datetime) -> InputError:
    """The first envelope that is signed by a key that does not count."""
    for name, raw in sorted(contents.parsed.items()):
        if name.startswith(("runs/", "releases/")) and b'"signatures":[' in raw:
            try:
                verify(raw, trust.trusted(at))
            except UnknownSignerError:
                return trust.refuse(_claimed_key(raw, trust, at), at)
            except EvidenceError:
                continue
    raise EvidenceError("a signature is by a key that is not trusted")
