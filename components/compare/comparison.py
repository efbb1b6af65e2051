"""What `assay compare` compares, gathered: every table of the report, and nothing about its look.

Each claim carries a text that says what somebody else would recompute it from: a run id with the
digest of a record, a file with its digest, or the command that measures it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from components.audit.questions import Question
from components.audit.readings import Reading
from components.compare.fault_matrix import FaultMatrix
from components.contract.errors import InputError
from components.lineage.graph import LineageGraph
from components.release.run_summary import RunSummary

_LARGEST = 1e15
"""Every whole number up to here is one in a spreadsheet too."""
_EXPECTED = "a list of tables as the benchmarks write them"
_LINE = {"name", "unit", "values", "evidence", "estimate", "note"}
_TABLE = {"name", "title", "note", "lines"}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a table that holds a value for each stack.

    Attributes:
        name: what was measured, as ``installed megabytes``.
        unit: its unit, empty for a count or a text.
        values: by stack; None where it was not measured, and ``note`` says why.
        evidence: what the values can be recomputed from.
        estimate: whether it is an estimate and no measurement.
        note: what a reader has to know beside it.
    """

    name: str
    unit: str
    values: Mapping[str, float | str | None]
    evidence: str
    estimate: bool = False
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """The fields."""
        return {
            "name": self.name,
            "unit": self.unit,
            "values": dict(self.values),
            "evidence": self.evidence,
            "estimate": self.estimate,
            "note": self.note,
        }

    @classmethod
    def from_json(cls, document: Any, where: str) -> Line:
        """A line as ``to_json`` wrote it; ``estimate`` and ``note`` may be left out.

        Raises:
            InputError: it is none; names ``where`` it stands.
        """
        found = {"estimate": False, "note": "", **_fields(document, _LINE, where)}
        _require(found, _LINE, where)
        for name in ("name", "unit", "evidence", "note"):
            _text(found[name], f"{where}.{name}")
        if not isinstance(found["estimate"], bool):
            raise InputError("is not true or false", where=f"{where}.estimate", expected="a truth")
        values = found["values"]
        if not isinstance(values, dict) or not values:
            raise InputError(
                "is no object", where=f"{where}.values", expected="a value for each stack"
            )
        for key, value in values.items():
            _value(value, f"{where}.values.{key[:40]}")
        return cls(**found)


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a title, a sentence that explains it, and its lines."""

    name: str
    title: str
    note: str
    lines: tuple[Line, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """What its lines hold a value for: stacks, in the order in which they first come."""
        return tuple(dict.fromkeys(key for line in self.lines for key in line.values))

    def to_json(self) -> dict[str, Any]:
        """The fields."""
        return {
            "name": self.name,
            "title": self.title,
            "note": self.note,
            "lines": [line.to_json() for line in self.lines],
        }

    @classmethod
    def from_json(cls, document: Any, where: str) -> Table:
        """A table as ``to_json`` wrote it.

        Raises:
            InputError: it is none; names ``where`` it stands, and the field.
        """
        found = _fields(document, _TABLE, where)
        _require(found, _TABLE, where)
        for name in ("name", "title", "note"):
            _text(found[name], f"{where}.{name}")
        if not found["name"].strip():
            raise InputError("is empty", where=f"{where}.name", expected="a table's name")
        if not isinstance(found["lines"], list):
            raise InputError("is no list", where=f"{where}.lines", expected="a list of lines")
        lines = [
            Line.from_json(line, f"{where}.lines[{index}]")
            for index, line in enumerate(found["lines"])
        ]
        return cls(found["name"], found["title"], found["note"], tuple(lines))


def parse_tables(raw: bytes, where: str) -> tuple[Table, ...]:
    """The tables of a file that a benchmark wrote.

    Args:
        raw: the file's bytes: JSON, a list of what ``Table.to_json`` gives.
        where: the file's name, for the message.

    Raises:
        InputError: it is no JSON, has a key twice, a number that is none, or a table that is none.
    """
    try:
        document = json.loads(raw, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise InputError("is no sound JSON", where=where, expected=_EXPECTED) from error
    if not isinstance(document, list):
        raise InputError("is no list", where=where, expected=_EXPECTED)
    return tuple(Table.from_json(t, f"{where}[{index}]") for index, t in enumerate(document))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number")


def _fields(document: Any, known: set[str], where: str) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise InputError("is no object", where=where, expected=_EXPECTED)
    if unknown := document.keys() - known:
        raise InputError(
            f"has a field {min(unknown)[:40]!r}", where=where, expected=", ".join(sorted(known))
        )
    return document


def _require(found: Mapping[str, Any], known: set[str], where: str) -> None:
    if missing := known - found.keys():
        raise InputError(
            f"has no field {min(missing)!r}", where=where, expected=", ".join(sorted(known))
        )


def _text(value: Any, where: str) -> None:
    if not isinstance(value, str):
        raise InputError("is no text", where=where, expected="a text")


def _value(value: Any, where: str) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (value is None or isinstance(value, str) or (number and abs(value) <= _LARGEST)):
        raise InputError("is no value", where=where, expected="a number, a text or null")


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that is compared, of one dataset, contract, policy and code.

    Attributes:
        runs: the run of each stack that is compared, by stack; both came to the release gate.
        matrix: the fault matrix, None where none was given.
        tables: parity, audit score, cost, exports, bridge: whatever was measured, in order.
        graph: the lineage of the runs, as their evidence tells it.
        differences: what makes the runs not comparable, as ``policy: 1a2b… and 3c4d…``; not empty
            only where comparing was forced, and then it stands on every page.
        at: time at which it was gathered, ISO 8601 in UTC.
        version: Assay's version.
        questions: an auditor's questions, in the order of the readings' answers.
        readings: what each stack's own store and its evidence answer; empty where nothing was
            asked.
        notes: what could not be measured, and why, a sentence each.
    """

    runs: Mapping[str, RunSummary]
    matrix: FaultMatrix | None
    tables: tuple[Table, ...]
    graph: LineageGraph
    differences: tuple[str, ...]
    at: str
    version: str
    questions: Sequence[Question] = ()
    readings: Sequence[Reading] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def stacks(self) -> tuple[str, ...]:
        """The stacks that are compared, in one order wherever they stand side by side."""
        return tuple(sorted(self.runs, reverse=True))

    @property
    def mark(self) -> str:
        """What stands on every page and sheet of a comparison that was forced; else empty."""
        return f"NOT COMPARABLE: {'; '.join(self.differences)}" if self.differences else ""

    def table(self, name: str) -> Table | None:
        """The table of that name; None where it was not measured."""
        return next((t for t in self.tables if t.name == name), None)
