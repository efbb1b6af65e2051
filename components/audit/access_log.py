"""The access log: who looked at a home's evidence, at what of it, when, and what came out.

HIPAA asks for it (45 CFR 164.312(b), audit controls). It is a signed log of its own in
``<home>/access``. An access that cannot be recorded must not take place: record it before the
result is shown, and let the error through.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from components.contract.errors import EvidenceError, InputError
from components.lineage.actor import account, actor
from components.lineage.evidence_keys import HomeKeys
from components.lineage.regular_file import require_plain
from components.lineage.signed_log import LogEntry, SignedLog

PREDICATE_TYPE = "urn:assay:access:v1"
MOST_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Access:
    """One access.

    Attributes:
        at: when, ISO 8601 in UTC with microseconds.
        actor: the name that the person goes by.
        account: the operating system's account that it was done under.
        command: what was asked, as ``audit mutations``.
        subjects: ids of what it was asked about, each up to 200 characters: runs, releases,
            models, decisions. A person of the data is no subject: say his commitment.
        result: what came out, in a few words; no value out of the data.
        number: its number in the log, 0 as long as it has none.
        sha256: digest of the log up to and with it, in hex, empty as long as it has none.
    """

    at: str
    actor: str
    account: str
    command: str
    subjects: tuple[str, ...]
    result: str
    number: int = 0
    sha256: str = ""

    @property
    def moment(self) -> datetime:
        """``at``, to calculate with."""
        return datetime.fromisoformat(self.at)

    def to_json(self) -> dict[str, Any]:
        """All fields."""
        return {**asdict(self), "subjects": list(self.subjects)}

    def entry(self) -> dict[str, Any]:
        """What the log holds of it: the fields but those that its place in the log gives it."""
        fields = self.to_json()
        return {k: fields[k] for k in fields.keys() - {"number", "sha256"}}


def record_access(home: Path, command: str, subjects: Sequence[str], result: str) -> None:
    """Append one access to the home's log, durably: who and when are found out here.

    Raises:
        InputError: there is no home, or its log cannot be written or signed.
        EvidenceError: the log is no folder, holds what is no file, or its last entry is broken; or
            a text is too long.
    """
    if not home.is_dir():
        raise InputError("is no directory", where=str(home), expected="a home (`--home DIR`)")
    if any(len(text) > MOST_CHARACTERS for text in (command, result, *subjects)):
        raise EvidenceError(f"an access is told in texts of at most {MOST_CHARACTERS} characters")
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    access = Access(now, actor(), account(), command, tuple(subjects), result)
    log = _log(home)
    _require_sound_files(log.directory)
    log.append(access.entry())


def read_access(home: Path) -> list[Access]:
    """All accesses, oldest first, every signature and link checked; none where there is no log.

    Raises:
        EvidenceError: names the entry that is missing, changed, or no access.
    """
    log = _log(home)
    _require_sound_files(log.directory)
    return [_access(found) for found in log.read()]


def _log(home: Path) -> SignedLog:
    return SignedLog(home / "access", PREDICATE_TYPE, HomeKeys(home))


def _require_sound_files(directory: Path) -> None:
    """A pipe in the place of an entry would be waited for without end."""
    if not os.path.lexists(directory):
        return
    try:
        require_plain(directory)
    except OSError as error:
        raise EvidenceError(f"{directory.name} cannot be read ({error.strerror})") from error


def _access(found: LogEntry) -> Access:
    entry = found.entry
    try:
        subjects = tuple(entry["subjects"])
        access = Access(**{**entry, "subjects": subjects}, number=found.number, sha256=found.sha256)
        utc = access.moment.utcoffset() == timedelta()
    except (KeyError, TypeError, ValueError) as error:
        raise EvidenceError(f"entry {found.number} is no access") from error
    if not utc or access.entry() != entry:
        raise EvidenceError(f"entry {found.number} is no access")
    return access
