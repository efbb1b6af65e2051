"""A model card as a PDF that is made to be kept (PDF/A-2a) and to be read aloud (PDF/UA-1).

Typst sets it from a template and from the card as JSON: no text of the card is ever markup. Only
the fonts that typst brings along are used, so that every machine sets the same page.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import asdict
from importlib import resources
from typing import Any

from components.contract.errors import ProcessError
from components.release.card_parts import ModelCard

_COVERED = (
    (0x20, 0x7E), (0xA0, 0xAC), (0xAE, 0x24F), (0x38E, 0x3A1), (0x3A3, 0x482), (0x48A, 0x4FF),
    (0x5D0, 0x5EA), (0x621, 0x63A), (0x640, 0x64A), (0x1E00, 0x1EFF), (0x2010, 0x2027),
    (0x2030, 0x2040), (0x20A0, 0x20C0), (0x2190, 0x22FF),
)  # fmt: skip
"""Code points, first and last, that the fonts have: Latin, Greek, Cyrillic, Hebrew, Arabic, and
signs. A page that is to be kept must show every character it holds."""


def to_pdf(card: ModelCard) -> bytes:
    """The document's bytes.

    Raises:
        ProcessError: typst refuses the document.
    """
    import typst

    template = resources.files(__package__).joinpath("model_card.typ").read_bytes()
    document = {**asdict(card), "at": card.at.date().isoformat(), "metadata": {}}
    # Typst may read any file under its root: give it an empty one.
    with tempfile.TemporaryDirectory(prefix="assay-card-") as empty:
        compiler = typst.Compiler(
            input=template,
            root=empty,
            ignore_system_fonts=True,
            sys_inputs={"card": json.dumps(_printable(document))},
        )
        try:
            made = compiler.compile(
                format="pdf",
                timestamp=int(card.at.timestamp()),
                pdf_standards=["a-2a", "ua-1"],
            )
        except typst.TypstError as error:
            raise ProcessError(f"typst refused the model card: {error.message}") from error
    if not isinstance(made, bytes):
        raise ProcessError("typst made no document of the model card")
    return made


def _printable(document: Any) -> Any:
    """The document with every character that the fonts lack written as ``[U+4F60]``."""
    if isinstance(document, str):
        return "".join(c if _is_covered(ord(c)) else f"[U+{ord(c):04X}]" for c in document)
    if isinstance(document, dict):
        return {k: _printable(v) for k, v in document.items()}
    if isinstance(document, (list, tuple)):
        return [_printable(v) for v in document]
    return document


def _is_covered(point: int) -> bool:
    return any(first <= point <= last for first, last in _COVERED)
