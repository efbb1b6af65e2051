"""`assay audit questions`: an auditor's questions, put to the native stores and to the evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.options import HomeOption, JsonOption

_DEFAULT_HOME = Path(".assay")


def questions(
    stack: Annotated[str, typer.Option(help="tfx, pytorch or both.")] = "both",
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Answer an auditor's questions from each stack's own store, and again with evidence."""
    raise NotImplementedError
