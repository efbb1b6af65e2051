"""The report of a comparison: one page that opens from disk and loads nothing, and its tables."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from components.compare import compare_tables as tables
from components.compare.compare_report_links import Links
from components.compare.compare_report_view import (
    drift_chart,
    fairness_panels,
    filters,
    findings_of,
    outcome_class,
    shown,
)
from components.compare.compare_tables_files import DOCUMENT, FOLDER, WORKBOOK, file_name
from components.compare.compare_tables_files import write_tables as write_files
from components.compare.comparison import Comparison
from components.compare.comparison_verdict import name_of, points, verdict
from components.compare.faults import Column
from components.compare.lineage_svg import draw
from components.contract.errors import InputError
from components.lineage.durable import writable_directory, write_atomically

PAGE = "index.html"
MOST_BYTES = 1_000_000
"""A page is to be mailed and opened on a telephone."""

_PARITY = ("parity", "agreement")
_STYLE, _SCRIPT = "compare_report.css", "compare_report.js"


def write_comparison(
    comparison: Comparison, directory: Path, faults: Path | None = None
) -> list[Path]:
    """Write the page, every table beside it, and return their paths, the page's first.

    Args:
        comparison: what is compared.
        directory: made if need be.
        faults: folder of the fault matrix, so that cells can be followed to what carries them.

    Raises:
        InputError: the directory cannot be written or holds tables of another comparison, two
            tables have one name, or they hold so much that the page would be too large.
    """
    writable_directory(directory)
    page = to_html(comparison, directory, faults)
    if len(page) >= MOST_BYTES:
        raise InputError(
            f"would have {len(page):,} bytes",
            where=str(directory / PAGE),
            expected=f"less than {MOST_BYTES:,}: fewer tables in --measured",
        )
    written = write_files(comparison, tables.grids(comparison), directory)
    write_atomically(directory / PAGE, page)
    return [directory / PAGE, *written]


def to_html(comparison: Comparison, directory: Path, faults: Path | None = None) -> bytes:
    """The page's bytes, in UTF-8; links in it are relative to the directory."""
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        loader=PackageLoader("components.compare", "."),
    )
    links = Links(directory, {r.run_id: r.directory for r in comparison.runs.values()}, faults)
    environment.globals.update(
        pieces=links.pieces,
        record=lambda stack, stage: links.record(comparison, stack, stage),
        shown=shown,
        name_of=name_of,
        outcome_class=outcome_class,
        findings_of=findings_of,
        file_name=file_name,
        folder=FOLDER,
        mark=comparison.mark,
    )
    style = _running_head(comparison) + _own(_STYLE)
    script = _own(_SCRIPT)
    first = next(iter(comparison.runs.values()))
    page = environment.get_template("compare_report.html.j2").render(
        comparison=comparison,
        contract=first.contract,
        verdict=verdict(comparison),
        points=points(comparison),
        columns=list(Column),
        filters=filters(comparison),
        tables=tables,
        grids=tables.grids(comparison),
        parity=_named(comparison, _PARITY),
        measured=[
            tables.table_grid(t)
            for t in comparison.tables
            if t.name not in (*_PARITY, tables.AUDIT_SCORE)
        ],
        fairness=fairness_panels(comparison),
        drift=drift_chart(comparison),
        drawing=draw(comparison.graph),
        workbook=WORKBOOK,
        document=DOCUMENT,
        # Our own files, and all that the page's policy lets in.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        style_digest=_digest(style),
        script_digest=_digest(script),
    )
    return page.encode("utf-8")


def _named(comparison: Comparison, names: Sequence[str]) -> list[tables.Grid]:
    found = (comparison.table(name) for name in names)
    return [tables.table_grid(t) for t in found if t is not None]


def _own(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


def _running_head(comparison: Comparison) -> str:
    """What is printed at the head of every page: a style, so its text is escaped as CSS wants."""
    names = " and ".join(name_of(s) for s in comparison.stacks)
    first = next(iter(comparison.runs.values()))
    text = f"Assay, {first.contract.name}: {names}"
    return (
        f"@page {{ @top-left {{ content: {_css_text(text)} }} "
        f"@top-right {{ content: {_css_text(comparison.mark)} }} }}\n"
    )


def _css_text(text: str) -> str:
    """A text in quotes in which everything but letters, digits and blanks is a code point."""
    return '"' + re.sub(r"[^A-Za-z0-9 ]", lambda m: f"\\{ord(m[0]):x} ", text) + '"'
