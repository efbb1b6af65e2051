"""What of a home's missing files was purged: differences that a tombstone accounts for are none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path

from components.audit.differences import Difference, Kind
from components.audit.evidence_runs import RunFacts
from components.audit.retention_items import ended
from components.audit.retention_log import FOLDER, Tombstone, read_records
from components.contract.errors import EvidenceError


def without_purged(
    home: Path, runs: Mapping[str, RunFacts], differences: Iterable[Difference]
) -> tuple[list[Difference], tuple[Tombstone, ...]]:
    """Take out what is missing because it was purged.

    A tombstone accounts for a file by its place and digest, and only if no run read the file
    after it was written. Where the log of tombstones is broken, that is a difference as well, and
    nothing is accounted for.

    Args:
        home: the home.
        runs: the runs that are looked at, by id.
        differences: what was found in them.

    Returns:
        The differences that are left, and the tombstones of data of these runs.
    """
    found = list(differences)
    try:
        records = read_records(home)
    except EvidenceError as error:
        return [*found, Difference(Kind.EVIDENCE, "", FOLDER, new=str(error))], ()
    last = _last_read(runs)
    left = []
    for d in found:
        made = last.get(_owner(d.where))
        missing = d.kind in (Kind.MISSING_FILE, Kind.DATA) and d.new is None and d.old is not None
        if not (missing and made and records.tombstone(d.where, d.old or "", made)):
            left.append(d)
    return left, tuple(t for t in records.tombstones if _owner(t.name) in last)


def _last_read(runs: Mapping[str, RunFacts]) -> dict[str, datetime]:
    """When each run was over, and when the last run that read a dataset version was."""
    found: dict[str, datetime] = {}
    for name, run in runs.items():
        version = run.inputs["datasetVersion"][:16]
        for owner in (f"runs/{name}", f"datasets/{run.inputs['dataset']}/{version}"):
            if at := ended(run):
                found[owner] = max(at, found.get(owner, at))
    return found


def _owner(place: str) -> str:
    """The run or the dataset version that something in a home belongs to."""
    parts = place.split("/")
    return "/".join(parts[: 3 if parts[0] == "datasets" else 2])
