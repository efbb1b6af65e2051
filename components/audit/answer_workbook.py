"""The answers as a workbook with every fact, for people who file and sort things.

Texts come out of stores that anybody may have written to. A cell is therefore always text, and one
that a spreadsheet might take for a formula gets an apostrophe before it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from components.audit.answer_document import method, missing_stores, summary_of
from components.audit.answers import Status
from components.audit.questions import Catalogue
from components.audit.readings import Reading, milliseconds

if TYPE_CHECKING:
    from openpyxl.workbook import Workbook  # type: ignore[import-untyped]

Row = Sequence[str]

MOST_ROWS = 1_000_000
"""A sheet has 1,048,576 rows; what goes beyond is said to be left out."""

_MOST_CHARACTERS = 32_000
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


def to_workbook(catalogue: Catalogue, readings: Sequence[Reading], at: datetime) -> bytes:
    """The file's bytes, XLSX."""
    from openpyxl import Workbook  # type: ignore[import-untyped]

    book = Workbook(write_only=True)
    for title, head, rows, widths in (
        ("Stores", _STORES, _stores(catalogue, readings, at), (34, 12, 12, 12, 18, 16, 16)),
        ("Questions", _question_head(readings), _questions(catalogue, readings), (8, 70, 40)),
        ("Facts", _FACTS, _facts(readings), (10, 26, 44, 26, 60, 60, 24)),
        ("Missing", _MISSING, _missing(readings), (10, 26, 44, 26, 70)),
        ("Rules", _RULES, _rules(catalogue), (20, 60, 70, 70, 14)),
    ):
        _add_sheet(book, title, head, rows, widths)
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def safe_text(text: str) -> str:
    """A text that a spreadsheet shows and does not calculate, at most 32,000 characters of it."""
    text = _UNPRINTABLE.sub("\ufffd", text)[:_MOST_CHARACTERS]
    return f"'{text}" if text.startswith(_FORMULA) else text


def _add_sheet(
    book: Workbook, title: str, head: Row, rows: Iterator[Row], widths: Sequence[int]
) -> None:
    from openpyxl.cell import WriteOnlyCell  # type: ignore[import-untyped]
    from openpyxl.styles import Font  # type: ignore[import-untyped]

    sheet = book.create_sheet(title)
    sheet.freeze_panes = "A2"
    for index, width in enumerate(widths):
        sheet.column_dimensions["ABCDEFGH"[index]].width = width
    bold = []
    for text in head:
        cell = WriteOnlyCell(sheet, value=text)
        cell.font = Font(bold=True)
        bold.append(cell)
    sheet.append(bold)
    for number, row in enumerate(rows):
        if number == MOST_ROWS:
            sheet.append(["more rows than a sheet holds: `--json` has them all"])
            return
        cells = []
        for text in row:
            cell = WriteOnlyCell(sheet, value=safe_text(text))
            cell.data_type = "s"
            cells.append(cell)
        sheet.append(cells)


_STORES = (
    "Store", "Answered", "Partial", "Impossible", "Queries or files", "Reading, ms", "Answering, ms"
)  # fmt: skip
_FACTS = ("Question", "Store", "About", "Fact", "Value", "Read from node", "Attribute")
_MISSING = ("Question", "Store", "About", "Fact", "What the store does not say")
_RULES = ("Id", "Title", "What it asks", "Status", "As of")


def _stores(catalogue: Catalogue, readings: Sequence[Reading], at: datetime) -> Iterator[Row]:
    for reading in readings:
        yield (
            reading.label,
            *(str(reading.count(status)) for status in Status),
            str(reading.queries),
            milliseconds(reading.read_seconds),
            milliseconds(reading.answer_seconds),
        )
    yield ()
    yield (f"Asked at {at.isoformat(timespec='seconds')}.",)
    yield (method(readings),)
    yield from ((line,) for line in missing_stores(readings))
    yield (catalogue.note,)


def _question_head(readings: Sequence[Reading]) -> Row:
    return ("Id", "Question", "Serves", *(r.label for r in readings))


def _questions(catalogue: Catalogue, readings: Sequence[Reading]) -> Iterator[Row]:
    for index, question in enumerate(catalogue.questions):
        answers = [r.answers[index] for r in readings]
        yield (
            question.id,
            question.text,
            "; ".join(catalogue.regulations[name].title for name in question.serves),
            *(f"{a.status}: {summary_of(a)}" for a in answers),
        )


def _facts(readings: Sequence[Reading]) -> Iterator[Row]:
    for reading in readings:
        for answer in reading.answers:
            for f in answer.facts:
                yield (
                    answer.question, reading.label, f.about, f.name, f.value, f.node, f.attribute
                )  # fmt: skip


def _missing(readings: Sequence[Reading]) -> Iterator[Row]:
    for reading in readings:
        for answer in reading.answers:
            for m in answer.missing:
                yield (answer.question, reading.label, m.about, m.name, m.what)


def _rules(catalogue: Catalogue) -> Iterator[Row]:
    for rule in catalogue.regulations.values():
        yield (rule.id, rule.title, rule.asks, rule.status, rule.as_of)
