"""What of a home a retention policy is about, in the units in which it is kept and purged.

An item is named by what the signed evidence says of it, and its age comes from there as well: no
file's own time is looked at. An item of a run is counted from the run's end, or from the end of the
release that it stands in, if that is later (``retention_clock``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from components.audit.retention_policy import RecordClass


@dataclass(frozen=True, slots=True)
class Item:
    """One unit of retention.

    Attributes:
        name: its path in the home, or that of the run and its class: ``runs/<run>/models``.
        kind: its class; None where the policy does not know it.
        sha256: a digest, in hex, of everything that is signed about its parts.
        subjects: runs, as their ids, and releases, as ``<dataset>/<stack>/<number>``, whose holds
            keep it.
        since: when its last use was over; None where it is in use, or nothing signed says it.
        in_effect: whether a standing release uses it.
        parts: SHA-256 of each part that the signed evidence names, by its place.
        gone: places of the parts that are not there.
        present: whether anything of it is there.
        elsewhere: whether its run was imported, and its data stayed where they were made.
        why: what is known of it beside this, as why nobody knows its age.
    """

    name: str
    kind: RecordClass | None
    sha256: str = ""
    subjects: tuple[str, ...] = ()
    since: datetime | None = None
    in_effect: bool = False
    parts: tuple[tuple[str, str], ...] = ()
    gone: tuple[str, ...] = ()
    present: bool = True
    elsewhere: bool = False
    why: str = ""
