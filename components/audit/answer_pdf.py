"""The answers as a PDF that is made to be kept (PDF/A-2a) and to be read aloud (PDF/UA-1).

Typst sets it from a template and from the document as JSON: no text of a store is ever markup.
"""

from __future__ import annotations

import json
import tempfile
from datetime import datetime
from importlib import resources
from typing import Any

from components.contract.errors import ProcessError
from components.release.model_card_pdf import _printable as printable


def to_pdf(document: dict[str, Any], at: datetime) -> bytes:
    """The file's bytes.

    Args:
        document: what ``answer_document`` gives.
        at: the time that the file bears.

    Raises:
        ProcessError: typst refuses the document.
    """
    import typst

    template = resources.files(__package__).joinpath("answer_table.typ").read_bytes()
    # Typst may read any file under its root: give it an empty one.
    with tempfile.TemporaryDirectory(prefix="assay-answers-") as empty:
        compiler = typst.Compiler(
            input=template,
            root=empty,
            ignore_system_fonts=True,
            sys_inputs={"document": json.dumps(printable(document))},
        )
        try:
            made = compiler.compile(
                format="pdf", timestamp=int(at.timestamp()), pdf_standards=["a-2a", "ua-1"]
            )
        except typst.TypstError as error:
            raise ProcessError(f"typst refused the answers: {error.message}") from error
    if not isinstance(made, bytes):
        raise ProcessError("typst made no document of the answers")
    return made
