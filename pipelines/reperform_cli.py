"""`assay reperform`: a bundle's figures made again from data, and held against its records."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.bundle_cli import KeyOption
from pipelines.options import JsonOption

if TYPE_CHECKING:
    from components.audit.reperformance import Reperformance
    from components.release.recomputation import Recomputed
    from components.release.run_evidence import RunEvidence

_COMMAND = "reperform"


def reperform(
    file: Annotated[Path, typer.Argument(metavar="BUNDLE", help="A bundle.")],
    data: Annotated[
        Path,
        typer.Option(help="A home, or a folder with its datasets and the run's artifacts."),
    ],
    key: KeyOption,
    row_key: Annotated[
        Path | None,
        typer.Option("--row-key", help="The home's row key, to make the rows' commitments again."),
    ] = None,
    home: Annotated[
        Path | None, typer.Option("--home", help="Home whose access log takes this down.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a run's profiles, drift, accuracy and fairness again from bytes, without its model.

    Exit 0 if everything is bit-equal or within the policy's tolerance, 1 if something differs or
    cannot be made again.
    """
    from rich.console import Console

    from components.audit.access_log import record_access
    from components.audit.reperformance import reperform as again
    from components.audit.retention_log import purged_names
    from pipelines.evidence_commands import require_home
    from pipelines.json_output import print_json

    if home is not None:
        require_home(home)
    secret = _row_key(row_key)
    console = Console(stderr=True, quiet=as_json, highlight=False)
    with console.status("verifying the bundle") as status:
        run = _verified(file, key)
        found = again(run, data, secret, lambda what: status.update(f"making again: {what}"))
    if home is not None:
        result = "everything holds" if found.holds else f"{len(found.wrong)} do not hold"
        record_access(home, _COMMAND, [found.run], result)
    if as_json:
        print_json(found.to_json())
    else:
        _tell(found)
        for name, told in purged_names(data).items():
            if run.inputs["datasetVersion"][:16] in name:
                typer.echo(f"{name} was {told}")
    raise typer.Exit(0 if found.holds else 1)


def _verified(file: Path, key: Path) -> RunEvidence:
    from components.audit.bundle_format import TamperedError
    from components.audit.bundled_evidence import evidence_of
    from components.audit.trust import load_trust
    from components.audit.verify import verify_file

    verification = verify_file(file, load_trust(key))
    if verification.problems:
        first = verification.problems[0]
        raise TamperedError(first.entry, first.what)
    return evidence_of(verification, file)


def _row_key(path: Path | None) -> bytes | None:
    from components.contract.errors import InputError
    from components.lineage.commitments import load_or_create_row_key

    if path is None:
        return None
    if not path.is_file():  # a key that is made now has committed to nothing
        raise InputError("is no file", where=str(path), expected="a home's keys/row.key")
    return load_or_create_row_key(path)


def _tell(found: Reperformance) -> None:
    from components.audit.reperformance import PARTS

    typer.echo(f"run {found.run}")
    for part in PARTS:
        counts = found.counts(part)
        told = ", ".join(f"{n} {outcome}" for outcome, n in sorted(counts.items()))
        typer.echo(f"{part:<13} {told or 'nothing recorded'}")
    for figure in found.wrong:
        typer.echo(_line(figure))
    typer.echo("everything holds" if found.holds else f"{len(found.wrong)} do not hold")


def _line(figure: Recomputed) -> str:
    from components.audit.differences import plain

    name = f"{figure.name} of {figure.slice}" if figure.slice else figure.name
    told = f"recorded {figure.recorded or 'nothing'}, now {figure.computed or 'nothing'}"
    return plain(f"{figure.part}: {name} {figure.outcome}: {told}")
