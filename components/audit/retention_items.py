"""What of a home a retention policy is about, in the units in which it is kept and purged.

An item is named by what the signed evidence says of it, and its age comes from there as well: no
file's own time is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from components.audit.evidence_runs import RunFacts
from components.audit.retention_policy import DataClass
from components.contract.errors import EvidenceError
from components.lineage.digests import sha256_file, sha256_tree
from components.lineage.regular_file import require_plain

_LONG_AGO = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Use:
    """Until when something was in use.

    Attributes:
        until: the last moment; None where nothing signed says it.
        standing: whether a release that is in force uses it.
        subjects: what rests on it: runs and decision logs by their ids, releases as
            ``<dataset>/<stack>@<number>``. A hold on one of them keeps it.
    """

    until: datetime | None = None
    standing: bool = False
    subjects: set[str] = field(default_factory=set)

    def extend(self, moment: datetime | None) -> None:
        """Let it reach to a moment, if it ended before."""
        if moment is not None:
            self.until = max(self.until or _LONG_AGO, moment)

    def join(self, other: Use) -> None:
        """Let it reach as far as another one, whose holds keep it then."""
        self.extend(other.until)
        self.standing = self.standing or other.standing
        self.subjects |= other.subjects


@dataclass(frozen=True, slots=True)
class Part:
    """A file or folder that signed evidence names by its SHA-256, and what there is of it now.

    ``place`` is its path in the home; of a run's output ``runs/<run>/<stage>/<file>``, which may
    lie elsewhere, and in several ``copies``.
    """

    place: str
    sha256: str
    copies: tuple[Path, ...]

    @property
    def sound(self) -> bool:
        """Whether one of the copies is what was signed."""
        return self.sha256 in {_digest(path) for path in self.copies}


@dataclass(frozen=True, slots=True)
class Item:
    """One unit of retention.

    Attributes:
        name: its path in the home, or that of the run and its class: ``runs/<run>/models``.
        kind: its class.
        use: until when it was in use, and what rests on it.
        made: the last moment at which it was there by what is signed.
        parts: what the evidence names.
        others: files that belong to it and that no record names, as a tool's drafts of rows.
        elsewhere: whether its run was imported, and its data stayed where they were made.
    """

    name: str
    kind: DataClass
    use: Use
    made: datetime | None
    parts: tuple[Part, ...]
    others: tuple[Path, ...] = ()
    elsewhere: bool = False


def ended(run: RunFacts) -> datetime | None:
    """When the last record of a run says that it was over."""
    times = [run.finished, *(s.finished for s in run.stages)]
    return max((datetime.fromisoformat(t) for t in times if t), default=None)


def _digest(path: Path) -> str:
    """SHA-256 of a file or folder, in hex; empty where it has none."""
    try:
        if path.is_dir():
            require_plain(path)
            return sha256_tree(path)
        return sha256_file(path) if path.is_file() else ""
    except (OSError, EvidenceError):
        return ""
