"""Decision logs as items of retention: ``<home>/decisions/<log id>``.

A log's signed entries say by which run's model it was made, when, and name each segment by its
SHA-256. A log that has a ``manifest.json`` instead says no more than when it was made.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from components.audit.differences import Difference, Kind
from components.audit.retention_clock import Span
from components.audit.retention_items import Item
from components.audit.retention_policy import RecordClass
from components.contract.errors import EvidenceError
from components.lineage.digests import parse_canonical, sha256_json
from components.lineage.evidence_keys import HomeKeys
from components.lineage.regular_file import read_regular
from components.lineage.signed_log import SignedLog

_KIND = "urn:assay:decisions:v1"
_MANIFEST = "manifest.json"


def decision_items(
    home: Path, clock: Mapping[str, Span], broken: list[Difference]
) -> Iterator[Item]:
    """Every decision log of a home; one that does not hold is added to ``broken``."""
    for directory in sorted((home / "decisions").glob("*")):
        if not directory.is_dir() or directory.name.startswith("."):
            continue
        where = directory.relative_to(home).as_posix()
        try:
            if (directory / "log").is_dir():
                yield _signed(home, directory, where, clock)
            else:
                yield _plain(directory, where)
        except (EvidenceError, KeyError, TypeError, ValueError) as error:
            what = str(error) if isinstance(error, EvidenceError) else "no decision log"
            broken.append(Difference(Kind.EVIDENCE, "", where, new=what))


def _signed(home: Path, directory: Path, where: str, clock: Mapping[str, Span]) -> Item:
    entries = SignedLog(directory / "log", _KIND, HomeKeys(home)).read()
    if not entries:
        raise EvidenceError("it has no entry")
    first, last = entries[0].entry, entries[-1].entry
    segments = [e.entry for e in entries if e.entry.get("kind") == "segment"]
    parts = {f"{where}/{s['file']}": str(s["sha256"]) for s in segments}
    gone = tuple(place for place in parts if not (home / place).is_file())
    span = Span(subjects={first["run"], _release(first)})
    span.subjects |= clock.get(first["run"], Span()).subjects
    span.extend(_moment(last.get("endedAt") or first["startedAt"]))
    return Item(
        name=where,
        kind=RecordClass.DECISION_LOGS,
        sha256=sha256_json(parts),
        subjects=tuple(sorted(span.subjects)),
        since=span.since,
        parts=tuple(parts.items()),
        gone=gone,
        present=bool(segment_files(directory)),
    )


def _release(header: Mapping[str, Any]) -> str:
    return f"{header['dataset']}/{header['stack']}/{header['release']}"


def _plain(directory: Path, where: str) -> Item:
    if not (directory / _MANIFEST).is_file():
        return Item(where, None, why="neither a signed log nor a manifest says when it was made")
    manifest = parse_canonical(read_regular(directory / _MANIFEST), f"{where}/{_MANIFEST}")
    return Item(
        name=where,
        kind=RecordClass.DECISION_LOGS,
        sha256=sha256_json(manifest),
        since=_moment(manifest["createdAt"]),
        gone=() if segment_files(directory) else (where,),
        present=bool(segment_files(directory)),
    )


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment


def segment_files(directory: Path) -> list[Path]:
    """The rows of a log: what a purge takes away. What is signed about them stays."""
    return sorted(directory.glob("*.parquet"))
