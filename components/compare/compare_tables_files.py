"""The tables of a comparison as files: JSON, CSV and one workbook, beside the page.

Texts come out of data, policies and stores that anybody may have written to: one that a spreadsheet
might take for a formula gets an apostrophe before it.
"""

from __future__ import annotations

import csv
import io
import json
import re
import string
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from components.audit.answer_workbook import safe_text
from components.compare.compare_tables import Grid, Value
from components.compare.comparison import Comparison
from components.compare.comparison_verdict import points, verdict
from components.contract.errors import InputError
from components.lineage.durable import writable_directory, write_atomically

FOLDER, WORKBOOK, DOCUMENT = "tables", "tables.xlsx", "comparison.json"
_MOST_TITLE = 31  # of a sheet, in characters
_WIDTH = 28


def file_name(grid: Grid) -> str:
    """What a table's files are called, without their ending; safe on every disk.

    A table's name may come out of a file that somebody else wrote.
    """
    return re.sub(r"[^a-z0-9]+", "-", grid.name.lower()).strip("-")[:60] or "table"


def write_tables(comparison: Comparison, grids: Sequence[Grid], directory: Path) -> list[Path]:
    """Write every table and the comparison as a whole; returns the files.

    Raises:
        InputError: the directory cannot be written or holds tables of another comparison, or two
            tables would have one file.
    """
    names = [file_name(g) for g in grids]
    if twice := [n for n in names if names.count(n) > 1]:
        raise InputError(
            f"two tables are called {twice[0]!r}", where="--measured", expected="names that differ"
        )
    folder = writable_directory(writable_directory(directory) / FOLDER)
    mark = comparison.mark
    written = {
        directory / DOCUMENT: _json(_document(comparison, grids)),
        directory / WORKBOOK: to_workbook(grids, mark),
    }
    for name, grid in zip(names, grids, strict=True):
        written[folder / f"{name}.json"] = _json(grid.to_json(mark))
        written[folder / f"{name}.csv"] = to_csv(grid, mark)
    # Another comparison's table would stand beside this one's page, and maybe without its mark.
    if strange := sorted(p.name for p in folder.iterdir() if p not in written):
        raise InputError(
            f"holds {strange[0]!r}, which is not of this comparison",
            where=str(folder),
            expected="a new folder, or one without it",
        )
    for path, content in written.items():
        write_atomically(path, content)
    return list(written)


def to_csv(grid: Grid, mark: str) -> bytes:
    """A table as CSV in UTF-8, its head first; before it ``mark``, where there is one."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    if mark:
        writer.writerow([mark])
    writer.writerow([safe_text(h) for h in grid.head])
    writer.writerows([_plain(v) for v in row] for row in grid.rows)
    return stream.getvalue().encode("utf-8")


def to_workbook(grids: Sequence[Grid], mark: str) -> bytes:
    """All tables as XLSX, a sheet each; ``mark`` stands in each sheet's first line."""
    from openpyxl import Workbook  # type: ignore[import-untyped]
    from openpyxl.cell import WriteOnlyCell  # type: ignore[import-untyped]
    from openpyxl.styles import Font  # type: ignore[import-untyped]

    book = Workbook(write_only=True)
    for title, grid in zip(_titles(grids), grids, strict=True):
        sheet = book.create_sheet(title)
        for letter in string.ascii_uppercase[: len(grid.head)]:
            sheet.column_dimensions[letter].width = _WIDTH
        if mark:
            sheet.append([_text_cell(WriteOnlyCell, sheet, mark)])
        head = [_text_cell(WriteOnlyCell, sheet, h) for h in grid.head]
        for cell in head:
            cell.font = Font(bold=True)
        sheet.append(head)
        for row in grid.rows:
            sheet.append(
                [_text_cell(WriteOnlyCell, sheet, v) if isinstance(v, str) else v for v in row]
            )
    stream = io.BytesIO()
    book.save(stream)
    return stream.getvalue()


def _text_cell(kind: Any, sheet: Any, text: str) -> Any:
    cell = kind(sheet, value=safe_text(text))
    cell.data_type = "s"
    return cell


def _titles(grids: Sequence[Grid]) -> Iterator[str]:
    """Titles of sheets: short, and each once."""
    known: set[str] = set()
    for grid in grids:
        title = file_name(grid)[:_MOST_TITLE]
        number = 2
        while title in known:
            title = f"{file_name(grid)[: _MOST_TITLE - 3]}-{number}"
            number += 1
        known.add(title)
        yield title


def _plain(value: Value) -> str | float | int:
    """A number is no formula, even below zero; an empty cell is what was not measured."""
    return "" if value is None else safe_text(value) if isinstance(value, str) else value


def _document(comparison: Comparison, grids: Sequence[Grid]) -> dict[str, Any]:
    return {
        "schemaVersion": "assay-comparison/v1",
        "assayVersion": comparison.version,
        "at": comparison.at,
        "notComparable": list(comparison.differences),
        "verdict": verdict(comparison),
        "points": [
            {"name": p.name, "counts": dict(p.counts), "of": p.of, "ahead": p.ahead or None}
            for p in points(comparison)
        ],
        "notes": list(comparison.notes),
        "tables": [g.to_json(comparison.mark) for g in grids],
    }


def _json(document: Any) -> bytes:
    return (json.dumps(document, indent=1, allow_nan=False) + "\n").encode("utf-8")
