"""`assay trace`: one decision, back to the rows that its model was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.evidence_commands import reads_evidence
from pipelines.options import HomeOption, JsonOption

_DEFAULT_HOME = Path(".assay")


@reads_evidence
def trace(
    decision: Annotated[str, typer.Argument(help="Name of a decision, as LOG.NUMBER.")],
    html: Annotated[Path | None, typer.Option("--html", help="Also write it as a page.")] = None,
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Follow a decision to its model, release, run and training rows, with Merkle proofs.

    Exit 1 if a link does not hold.
    """
    from components.audit.access_log import record_access
    from components.audit.differences import plain
    from components.audit.trace import trace as follow
    from components.audit.trace_tree import drawn, tree_of
    from components.contract.errors import InputError
    from pipelines.evidence_commands import require_home
    from pipelines.files import require_target, write
    from pipelines.json_output import print_json

    require_home(home)
    if html is not None and html.resolve().is_relative_to(home.resolve()):
        raise InputError(
            "lies in the home, where it could take the place of a record",
            where=str(html),
            expected="a file elsewhere (`--html FILE`)",
        )
    require_target(html)
    found = follow(home, decision)
    result = f"{len(found.differences)} links differ" if found.differences else "every link holds"
    record_access(home, "trace", [decision], result)
    if html is not None:
        from components.audit.trace_page import to_html

        write(html, to_html(found))
    if as_json:
        print_json(found.to_json())
    else:
        for line in drawn(tree_of(found)):
            typer.echo(plain(line))
        typer.echo(result)
        if html is not None:
            typer.echo(html)
    raise typer.Exit(1 if found.differences else 0)
