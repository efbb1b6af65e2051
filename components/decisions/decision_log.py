"""The log of decisions that a released model made: signed, in segments, resumable, one row a case.

A log is a directory ``HOME/decisions/<log id>``: Parquet segments, and beside them a signed log
whose first entry says by which release, under which policy and on which batch, whose further
entries name one segment each by its SHA-256, and whose last entry says that it is whole, or why it
was given up. A segment
is written before it is named, so whoever was killed in between writes it again: every row of the
batch has one decision and no more. A decision is named by its log and its row's place in the batch,
which is also where it lies.
"""

from __future__ import annotations

import hashlib
import io
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.contract.errors import EvidenceError, InputError
from components.decisions.log import NOT_SELECTED, SELECTED
from components.decisions.log_form import REVIEW as REVIEW
from components.decisions.log_form import SCHEMA as SCHEMA
from components.decisions.log_form import require_columns, require_header, require_rows
from components.lineage.durable import writable_directory, write_atomically
from components.lineage.evidence_keys import EvidenceKeys, HomeKeys
from components.lineage.regular_file import read_regular
from components.lineage.signed_log import LogEntry, SignedLog

PREDICATE_TYPE = "urn:assay:decisions:v1"
SCHEMA_VERSION = "assay-decisions/v1"
OUTCOMES = (SELECTED, NOT_SELECTED, REVIEW)

_LAST = ("end", "abort")
SEGMENT_ROWS = 262_144
_GROUP_ROWS = 32_768
_LOG_ID = re.compile(r"[A-Za-z0-9_-]{1,120}")
_DECISION_ID = re.compile(r"([A-Za-z0-9_-]{1,120})\.([0-9]{10})")


@dataclass(frozen=True, slots=True)
class Segment:
    """Rows ``first`` to ``first + rows - 1`` of the batch, in one Parquet file of that SHA-256."""

    file: str
    first: int
    rows: int
    sha256: str


def new_log_id(stack: str) -> str:
    """A log id that sorts by time: ``20261122T120000Z-tfx-decisions-1a2b3c``."""
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return f"{now}-{stack}-decisions-{secrets.token_hex(3)}"


def decision_id(log_id: str, row: int) -> str:
    """The name of a decision: its log, and the place of its row in the batch, from 0."""
    return f"{log_id}.{row:010d}"


def parse_decision_id(text: str) -> tuple[str, int]:
    """Log id and row of a decision's name.

    Raises:
        InputError: it is not the name of a decision.
    """
    found = _DECISION_ID.fullmatch(text)
    if found is None:
        raise InputError(
            "is not the name of a decision",
            where="DECISION",  # what was typed may be the name of a person
            expected="LOG.NUMBER with ten digits, as `assay score` gives it",
        )
    return found[1], int(found[2])


class DecisionLog:
    """One log of decisions.

    Attributes:
        directory: where it lies; its name is the log's id.
        keys: whose signature counts.
    """

    def __init__(self, directory: Path, keys: EvidenceKeys) -> None:
        self.directory, self.keys = directory, keys
        self._signed = SignedLog(directory / "log", PREDICATE_TYPE, keys)

    @classmethod
    def create(cls, home: Path, log_id: str, header: dict[str, Any]) -> DecisionLog:
        """Begin a log.

        Args:
            home: the home that it belongs to.
            log_id: its id, from ``new_log_id``.
            header: what stands for all of its decisions; see ``header``.
        """
        directory = writable_directory(home / "decisions" / log_id)
        log = cls(directory, HomeKeys(home))
        log._signed.append(
            {"kind": "begin", "schemaVersion": SCHEMA_VERSION, "log": log_id, **header}
        )
        return log

    @classmethod
    def open(cls, home: Path, log_id: str) -> DecisionLog:
        """A log of a home.

        Raises:
            InputError: the home has none of that id.
        """
        directory = home / "decisions" / log_id
        if not _LOG_ID.fullmatch(log_id) or not _has_begun(directory / "log"):
            raise InputError(
                "is no decision log of this home",
                where=log_id if _LOG_ID.fullmatch(log_id) else "the name of a log",
                expected=f"one of {home / 'decisions'}",
            )
        return cls(directory, HomeKeys(home))

    @property
    def log_id(self) -> str:
        """The log's id."""
        return self.directory.name

    @cached_property
    def _entries(self) -> list[LogEntry]:
        entries = self._signed.read()
        kinds = [e.entry.get("kind") for e in entries]
        middle = kinds[1:-1] if kinds and kinds[-1] in _LAST else kinds[1:]
        begun = bool(kinds) and kinds[0] == "begin" and all(k == "segment" for k in middle)
        first = entries[0].entry if entries else {}
        if not begun or first.get("schemaVersion") != SCHEMA_VERSION:
            raise EvidenceError(f"decision log {self.log_id} does not begin as one")
        if first.get("log") != self.log_id:
            raise EvidenceError(f"decision log {self.log_id} is another one, under this name")
        require_header(first, self.log_id)
        return entries

    @property
    def header(self) -> dict[str, Any]:
        """What stands for all decisions of the log.

        ``dataset``, ``stack``, ``release`` (its number), ``releaseDigest``, ``run``, ``model``,
        ``policy``, ``contract``, ``threshold`` (decimal text), ``batch`` (a keyed digest of the
        batch's bytes), ``check`` (verdict of the batch's check), ``route`` (``decide``,
        ``review`` or ``refuse``), ``actor``, ``startedAt``; where the policy has them ``adverse``
        and ``sentences``; since they are written ``rowKey``, see ``row_key_id``.
        """
        return self._entries[0].entry

    @cached_property
    def segments(self) -> list[Segment]:
        """Segments in order; each begins where the one before ends.

        Raises:
            EvidenceError: one does not.
        """
        found: list[Segment] = []
        due = 0
        for held in self._entries:
            if held.entry["kind"] != "segment":
                continue
            segment = _segment(held)
            if segment.first != due or segment.file != _segment_name(len(found) + 1):
                raise EvidenceError(f"{segment.file} does not follow the segment before it")
            found.append(segment)
            due += segment.rows
        if (self.closed or self.aborted) and self._entries[-1].entry.get("rows") != due:
            raise EvidenceError(f"decision log {self.log_id} ends with another number of rows")
        return found

    @property
    def rows(self) -> int:
        """Number of decisions so far."""
        return sum(s.rows for s in self.segments)

    @property
    def closed(self) -> bool:
        """Whether every row of the batch has its decision."""
        return bool(self._entries[-1].entry["kind"] == "end")

    @property
    def last(self) -> dict[str, Any]:
        """The last entry; of a log that is over it has ``endedAt``."""
        return self._entries[-1].entry

    @property
    def aborted(self) -> str | None:
        """Why the log was given up: its decisions do not stand. None where it was not."""
        last = self.last
        return str(last.get("reason")) if last["kind"] == "abort" else None

    @property
    def head(self) -> str:
        """SHA-256 of the last entry, in hex: kept elsewhere, it shows a tail that is cut off."""
        return self._entries[-1].sha256

    def require_head(self, head: str) -> None:
        """See that the log holds an entry that was its last one once.

        Raises:
            EvidenceError: it does not: entries were cut off, or written anew.
        """
        if head not in {held.sha256 for held in self._entries}:
            raise EvidenceError(
                f"decision log {self.log_id} does not hold the entry that was its head: "
                "what followed was cut off, or written anew"
            )

    def append(self, decisions: pa.Table) -> Segment:
        """Write the next segment, durably, and name it.

        Args:
            decisions: columns of ``SCHEMA`` and of groups; its rows follow those that are there.

        Raises:
            ValueError: they do not, or a score is not a number in [0, 1].
        """
        first = self.rows
        if decisions["row"].to_pylist()[:1] != [first]:
            raise ValueError("the rows do not follow those of the segment before")
        scores = decisions["score"].to_numpy()
        if not ((scores >= 0) & (scores <= 1)).all():
            raise ValueError("a score is not a number in [0, 1]")
        sink = io.BytesIO()
        pq.write_table(decisions, sink, compression="zstd", row_group_size=_GROUP_ROWS)
        content = sink.getvalue()
        segment = Segment(
            _segment_name(len(self.segments) + 1),
            first,
            decisions.num_rows,
            hashlib.sha256(content).hexdigest(),
        )
        write_atomically(self.directory / segment.file, content)
        self._add(
            {
                "kind": "segment",
                "file": segment.file,
                "first": segment.first,
                "rows": segment.rows,
                "sha256": segment.sha256,
            }
        )
        return segment

    def close(self) -> None:
        """Say that every row of the batch has its decision."""
        self._end({"kind": "end"})

    def abort(self, reason: str) -> None:
        """Give the log up, for good: what it holds was not decided about its batch."""
        self._end({"kind": "abort", "reason": reason})

    def _end(self, entry: dict[str, Any]) -> None:
        ended = datetime.now(UTC).isoformat(timespec="microseconds")
        self._add({**entry, "rows": self.rows, "endedAt": ended})

    def _add(self, entry: dict[str, Any]) -> None:
        self._signed.append(entry)
        for name in ("_entries", "segments"):
            self.__dict__.pop(name, None)

    def read_segment(self, segment: Segment) -> bytes:
        """A segment's bytes, which are those that were signed.

        Raises:
            EvidenceError: the file is missing, or is not the one that was written.
        """
        path = self.directory / segment.file
        try:
            content = read_regular(path)
        except OSError as error:
            raise EvidenceError(f"{segment.file} of log {self.log_id} is missing") from error
        if hashlib.sha256(content).hexdigest() != segment.sha256:
            raise EvidenceError(f"{segment.file} of log {self.log_id} was changed")
        return content

    def open_segment(self, segment: Segment) -> pq.ParquetFile:
        """A segment to read columns of, from the bytes that were checked; see also ``rows_of``.

        Raises:
            EvidenceError: the file is missing, is not the one that was written, or has other
                columns or rows than a log.
        """
        content = self.read_segment(segment)
        try:
            # Buffering ahead, and reading in threads, leaves threads behind that can abort the
            # process when it ends.
            file = pq.ParquetFile(pa.BufferReader(content), pre_buffer=False)
            require_columns(file, segment.rows, self._told(segment))
        except (OSError, pa.ArrowException) as error:
            raise EvidenceError(f"{self._told(segment)} is no segment") from error
        return file

    def rows_of(self, segment: Segment, columns: Sequence[str] | None = None) -> pa.Table:
        """A segment's rows, held against the header; see ``log_form.require_rows``.

        Args:
            segment: one of ``segments``.
            columns: those to read, by default all.

        Raises:
            EvidenceError: as ``open_segment``, or a row contradicts the header.
        """
        file = self.open_segment(segment)
        try:
            named = None if columns is None else list(columns)
            rows = file.read(columns=named, use_threads=False)  # see ``open_segment``
            require_rows(rows, self.header, segment.first, self._told(segment))
        except (OSError, pa.ArrowException) as error:
            raise EvidenceError(f"{self._told(segment)} is no segment") from error
        return rows

    def decision(self, row: int) -> dict[str, Any] | None:
        """The decision about a row of the batch; None where the log has none.

        Raises:
            EvidenceError: the segment that holds it is missing, was changed, or is not sound.
        """
        for segment in self.segments:
            if segment.first <= row < segment.first + segment.rows:
                return self._one(segment, row)
        return None

    def _one(self, segment: Segment, row: int) -> dict[str, Any]:
        """A row, from the group of rows that holds it: they are held against the header together.

        To read the other groups of the segment as well would take as long as all else of a trace.
        """
        file, first, group = self.open_segment(segment), segment.first, 0
        while row >= first + (rows := file.metadata.row_group(group).num_rows):
            first, group = first + rows, group + 1
        try:
            held = file.read_row_group(group, use_threads=False)
            require_rows(held, self.header, first, self._told(segment))
        except (OSError, pa.ArrowException) as error:
            raise EvidenceError(f"{self._told(segment)} is no segment") from error
        found: dict[str, Any] = held.slice(row - first, 1).to_pylist()[0]
        return found

    def _told(self, segment: Segment) -> str:
        return f"{segment.file} of log {self.log_id}"


def _segment(held: LogEntry) -> Segment:
    kinds = {"file": str, "first": int, "rows": int, "sha256": str}
    sound = all(type(held.entry.get(name)) is kind for name, kind in kinds.items())
    if not sound or held.entry["rows"] < 1:
        raise EvidenceError(f"entry {held.number} names no segment")
    return Segment(**{name: held.entry[name] for name in kinds})


def decision_logs(home: Path) -> list[DecisionLog]:
    """Every decision log of a home, oldest first."""
    return [
        DecisionLog.open(home, p.parent.name)
        for p in sorted((home / "decisions").glob("*/log"))
        if _has_begun(p)
    ]


def _has_begun(log: Path) -> bool:
    """Whether a signed entry is there: who was killed before the first one began no log."""
    return any(log.glob("[0-9]*.json"))


def _segment_name(number: int) -> str:
    return f"segment-{number:06d}.parquet"
