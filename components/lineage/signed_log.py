"""A log that is only ever added to: numbered DSSE envelopes, each holding the digest before it.

Unlike a run's chain it has no end, so what is cut off its tail does not show by itself: the number
and digest of the last entry, kept elsewhere, show it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contract.errors import EvidenceError
from components.lineage.digests import sha256_json
from components.lineage.dsse import STATEMENT_TYPE, sign, verify
from components.lineage.durable import locked_directory, writable_directory, write_once
from components.lineage.evidence_keys import EvidenceKeys

GENESIS = "0" * 64
_NAME = re.compile(r"[0-9]{8}\.json")


@dataclass(frozen=True, slots=True)
class LogEntry:
    """An entry as read back. ``sha256`` is the digest of its statement's canonical JSON, in hex."""

    number: int
    entry: dict[str, Any]
    sha256: str


class SignedLog:
    """The entries of one kind, in one directory. ``kind`` is their in-toto predicate type."""

    def __init__(self, directory: Path, kind: str, keys: EvidenceKeys) -> None:
        self.directory, self.kind, self.keys = directory, kind, keys

    def append(self, entry: dict[str, Any]) -> int:
        """Sign and write the next entry, durably; returns its number.

        Of the entries before it only the last one is read.

        Raises:
            EvidenceError: the last entry is broken, or this one is not canonical JSON.
            InputError: the directory cannot be written, or there is no key.
        """
        with locked_directory(writable_directory(self.directory)):
            last = max(self._numbers(), default=0)
            previous = self._read(last, self.keys.trusted())[1] if last else GENESIS
            statement = self._statement(last + 1, previous, entry)
            write_once(self._path(last + 1), sign(statement, [self.keys.signer()]))
        return last + 1

    def read(self) -> list[LogEntry]:
        """All entries, oldest first, every signature and link checked.

        Raises:
            EvidenceError: one is missing, changed, or does not follow the one before.
        """
        found: list[LogEntry] = []
        numbers, before = self._numbers(), GENESIS
        trusted = self.keys.trusted() if numbers else {}
        for number in numbers:
            if number != len(found) + 1:
                raise EvidenceError(f"{self._path(len(found) + 1).name} is missing from the log")
            entry, digest, previous = self._read(number, trusted)
            if previous != before:
                raise EvidenceError(f"{self._path(number).name} does not follow the one before it")
            found.append(LogEntry(number, entry, digest))
            before = digest
        return found

    def entries(self) -> list[dict[str, Any]]:
        """As ``read``, what was appended alone."""
        return [found.entry for found in self.read()]

    def _numbers(self) -> list[int]:
        """Numbers of the entries that are there, in rising order; other files are none."""
        try:
            with os.scandir(self.directory) as found:
                names = [file.name for file in found]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise EvidenceError(f"{self.directory} cannot be read ({error.strerror})") from error
        return sorted(int(name[:8]) for name in names if _NAME.fullmatch(name))

    def _path(self, number: int) -> Path:
        return self.directory / f"{number:08d}.json"

    def _statement(self, number: int, previous: str, entry: Any) -> dict[str, Any]:
        return {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": "log", "digest": {"sha256": previous}}],
            "predicateType": self.kind,
            "predicate": {"number": number, "entry": entry},
        }

    def _read(self, number: int, trusted: Mapping[str, bytes]) -> tuple[dict[str, Any], str, str]:
        """Entry, digest, and the digest that it says is the one before."""
        path = self._path(number)
        name = path.name
        if path.is_fifo():  # it would be waited for without end
            raise EvidenceError(f"{name} is a pipe")
        try:
            statement = verify(path.read_bytes(), trusted).statement
        except OSError as error:
            raise EvidenceError(f"{name} cannot be read ({error.strerror})") from error
        except EvidenceError as error:
            # The class says whether it is the signer that is unknown or the content.
            raise type(error)(f"{name}: {error}") from error
        try:
            previous = statement["subject"][0]["digest"]["sha256"]
            entry, held = statement["predicate"]["entry"], statement["predicate"]["number"]
        except (KeyError, IndexError, TypeError) as error:
            raise EvidenceError(f"{name} is no entry of this log") from error
        # True is equal to 1 and not the number 1.
        sound = isinstance(entry, dict) and isinstance(previous, str) and type(held) is int
        if not sound or statement != self._statement(number, previous, entry):
            raise EvidenceError(f"{name} is no entry of this log")
        return entry, sha256_json(statement), previous
