"""`assay card`: the model card of a run, from its evidence alone."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.json_output import print_json
from pipelines.options import HomeOption, JsonOption, RunArgument

_DEFAULT_HOME = Path(".assay")


def card(
    run: RunArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory to write to.")] = Path(
        "card"
    ),
    profile: Annotated[
        str | None,
        typer.Option(help="onc adds the source attributes of 45 CFR 170.315(b)(11)(iv)(B)."),
    ] = None,
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write the model card of any run as Markdown, HTML and PDF; a release has one in its run."""
    from components.contract.errors import InputError
    from components.lineage.digests import sha256_file
    from components.release.model_card import DIRECTORY, build_card, write_card
    from pipelines.catalogue import run_directory

    directory = run_directory(run, home)
    if output.resolve() == (directory / DIRECTORY).resolve():
        raise InputError(
            "is the card that a release record names by its digest",
            where=str(output),
            expected="another directory",
        )
    made = build_card(directory, profile)
    files = write_card(made, output)
    if as_json:
        found = [{"path": str(p), "sha256": sha256_file(p)} for p in files]
        print_json({"run": directory.resolve().name, "status": made.status, "files": found})
    else:
        for path in files:
            typer.echo(path)
