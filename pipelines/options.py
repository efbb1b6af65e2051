"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

HomeOption = Annotated[
    Path,
    typer.Option("--home", help="Where data, runs, stores and reports live.", envvar="ASSAY_HOME"),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
RunArgument = Annotated[str, typer.Argument(help="A run's directory, or its id in the home.")]
