"""A log that is only ever added to: numbered DSSE envelopes, each holding the digest before it.

Unlike a run's chain it has no end, so what is cut off its tail does not show by itself: the number
and digest of the last entry, kept elsewhere, show it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.contract.errors import EvidenceError
from components.lineage.digests import sha256_json
from components.lineage.dsse import STATEMENT_TYPE, sign, verify
from components.lineage.durable import locked_directory, writable_directory, write_once
from components.lineage.evidence_keys import EvidenceKeys

GENESIS = "0" * 64


class SignedLog:
    """The entries of one kind, in one directory. ``kind`` is their in-toto predicate type."""

    def __init__(self, directory: Path, kind: str, keys: EvidenceKeys) -> None:
        self.directory, self.kind, self.keys = directory, kind, keys

    def append(self, entry: dict[str, Any]) -> int:
        """Sign and write the next entry, durably; returns its number. Only the last one is read.

        Raises:
            EvidenceError: the last entry is broken, or this one is not canonical JSON.
            InputError: the directory cannot be written, or there is no key.
        """
        with locked_directory(writable_directory(self.directory)):
            number, previous = 1, GENESIS
            if numbers := self._numbers():
                number, previous = numbers[-1] + 1, self._read(numbers[-1])[1]
            statement = {
                "_type": STATEMENT_TYPE,
                "subject": [{"name": "log", "digest": {"sha256": previous}}],
                "predicateType": self.kind,
                "predicate": {"number": number, "entry": entry},
            }
            write_once(self._path(number), sign(statement, [self.keys.signer()]))
        return number

    def entries(self) -> list[dict[str, Any]]:
        """All entries, oldest first, every signature and link checked.

        Raises:
            EvidenceError: one is missing, changed, or does not follow the one before.
        """
        found: list[dict[str, Any]] = []
        before = GENESIS
        for number in self._numbers():
            if number != len(found) + 1:
                raise EvidenceError(f"{self._path(len(found) + 1).name} is missing from the log")
            entry, digest, previous = self._read(number)
            if previous != before:
                raise EvidenceError(f"{self._path(number).name} does not follow the one before it")
            found.append(entry)
            before = digest
        return found

    def _numbers(self) -> list[int]:
        return sorted(int(p.stem) for p in self.directory.glob("[0-9]*.json"))

    def _path(self, number: int) -> Path:
        return self.directory / f"{number:08d}.json"

    def _read(self, number: int) -> tuple[dict[str, Any], str, str]:
        """Entry, digest, and the digest that it says is the one before."""
        name = self._path(number).name
        try:
            statement = verify(self._path(number).read_bytes(), self.keys.trusted()).statement
            predicate = statement["predicate"]
            if statement["predicateType"] != self.kind or type(predicate["number"]) is not int:
                raise KeyError(name)
            if predicate["number"] != number or set(predicate) != {"number", "entry"}:
                raise KeyError(name)
            previous = statement["subject"][0]["digest"]["sha256"]
            return dict(predicate["entry"]), sha256_json(statement), str(previous)
        except OSError as error:
            raise EvidenceError(f"{name} cannot be read ({error.strerror})") from error
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise EvidenceError(f"{name} is no entry of this log") from error
        except EvidenceError as error:
            raise EvidenceError(f"{name}: {error}") from error
