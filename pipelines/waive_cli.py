"""The command `assay waive`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.options import HomeOption, JsonOption, RunArgument

if TYPE_CHECKING:
    from components.release.waiver_requests import Answer

_DEFAULT_HOME = Path(".assay")


def waive(
    run: RunArgument,
    gate: Annotated[str, typer.Option(help="The closed gate: release_gate.")],
    reason: Annotated[
        str, typer.Option(help="Why, on one line. It is kept: no word about a patient.")
    ],
    expires: Annotated[str, typer.Option(help="Last day on which it holds, as 2026-12-31 (UTC).")],
    signer: Annotated[Path, typer.Option(help="Private key file of a signer of the policy.")],
    cosigner: Annotated[
        Path, typer.Option(help="Private key file of a co-signer, who is another person.")
    ],
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Sign an exception to the closed release gate of one model; `assay release` then takes it.

    Exit 0 if it is granted, 1 if a rule is against it. What is refused is recorded too.
    """
    from datetime import UTC, datetime

    from components.lineage.actor import actor
    from components.release.waiver_requests import Asked, request_waiver
    from components.release.waiver_rules import Refusal
    from pipelines.catalogue import run_directory

    asked = Asked(gate, reason, expires, signer, cosigner, actor(), datetime.now(UTC))
    directory = run_directory(run, home)
    answer = request_waiver(directory, asked)
    _tell(directory.name, answer, as_json)
    raise typer.Exit(1 if isinstance(answer.result, Refusal) else 0)


def _tell(run: str, answer: Answer, as_json: bool) -> None:
    from components.release.waiver_rules import Refusal
    from pipelines.json_output import print_json

    result, path = answer.result, str(answer.path)
    if isinstance(result, Refusal):
        if as_json:
            refused = {"ground": str(result.ground), "reason": result.reason}
            print_json({"run": run, "granted": False, "refused": refused, "file": path})
        else:
            typer.echo(f"{run}: refused ({result.ground}): {result.reason}\n{path}")
    elif as_json:
        print_json({"run": run, "granted": True, "waiver": result.to_json(), "file": path})
    else:
        typer.echo(
            f"{run}: {result.gate} waived until {result.expires}, "
            f"signed by {result.signer} and {result.cosigner}"
        )
        for rule, status in result.findings:
            typer.echo(f"  {status:<13}{rule}")
        typer.echo(path)
