"""`assay audit phi`: whether a value that names a person stands anywhere outside the data."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from components.audit.phi_scan import PhiScan

_DEFAULT_HOME = Path(".assay")


def phi(
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Further files or folders to search: a bundle.")
    ] = None,
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Search every byte outside the data for values of the columns that name people.

    Shown are file, offset, column and encoding, never the value. Exit 0 if nothing is found, 1 if
    something is or could not be searched.
    """
    from rich.console import Console

    from components.audit.access_log import record_access
    from components.audit.phi_scan import scan_phi
    from components.contract.errors import InputError
    from pipelines.evidence_commands import require_home
    from pipelines.json_output import print_json

    require_home(home)
    for path in paths or ():
        if not path.is_dir() and not path.is_file():
            raise InputError("is not there", where=str(path), expected="a file or a folder")
    with Console(stderr=True, quiet=as_json).status("searching every file"):
        scan = scan_phi(home, tuple(paths or ()))
    record_access(home, "audit phi", [], _result(scan))
    if as_json:
        print_json(scan.to_json())
    else:
        _print(scan)
    raise typer.Exit(0 if scan.is_clean else 1)


def _result(scan: PhiScan) -> str:
    places = f"found in {len({f.file for f in scan.findings})} of {scan.files} files"
    unsearched = f", {len(scan.unsearched)} parts not searched" if scan.unsearched else ""
    return (places if scan.findings else f"nothing found in {scan.files} files") + unsearched


def _print(scan: PhiScan) -> None:
    from components.audit.differences import plain

    for f in scan.findings:
        within = f" in {f.within}" if f.within else ""
        typer.echo(plain(f"{f.file}  byte {f.offset}  {f.column}  {f.encoding}{within}"))
    for file, why in scan.unsearched:
        typer.echo(plain(f"{file}  not searched: {why}"))
    for column, (searched, of) in scan.values.items():
        typer.echo(plain(f"{column}: {searched} of {of} values looked for"))
    typer.echo(f"{_result(scan)} ({scan.size} bytes)")
