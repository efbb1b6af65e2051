"""The commands `assay bundle`, `assay verify` and `assay import`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.options import HomeOption, JsonOption, RunArgument

if TYPE_CHECKING:
    from components.audit.verify import Verification

_DEFAULT_HOME = Path(".assay")
KeyOption = Annotated[
    Path,
    typer.Option("--key", help="Public key in PEM, or a trust root in YAML; from elsewhere."),
]


def bundle(
    run: RunArgument,
    output: Annotated[Path, typer.Option("--output", "-o", help="The file to write.")],
    report: Annotated[
        list[Path] | None, typer.Option(help="A file to take along; may be given again.")
    ] = None,
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Write a run's evidence as one file that anybody can verify offline."""
    from components.audit.access_log import record_access
    from components.audit.bundle import build_bundle
    from components.contract.errors import AssayError
    from pipelines.catalogue import run_directory
    from pipelines.files import require_target
    from pipelines.json_output import print_json

    reports = report or []
    require_target(output, *reports)
    directory = run_directory(run, home)
    made = build_bundle(directory, output, reports)
    try:
        record_access(directory.parent.parent, "bundle", [directory.name], f"SHA-256 {made.sha256}")
    except AssayError:
        output.unlink()  # what was handed out is on record, or it was not handed out
        raise
    if as_json:
        body = {"file": str(made.path), "bytes": made.size, "sha256": made.sha256}
        print_json({**body, **_body(made.verification)})
        return
    typer.echo(f"{made.path}: {made.size:,} bytes, SHA-256 {made.sha256}")
    _tell(made.verification)


def verify(
    file: Annotated[Path, typer.Argument(help="A bundle.")],
    key: KeyOption,
    as_json: JsonOption = False,
) -> None:
    """Check a bundle offline and say what was checked. Exit 0 if sound, 1 if tampered with."""
    from components.audit.trust import load_trust
    from components.audit.verify import verify_file
    from pipelines.json_output import print_json

    found = verify_file(file, load_trust(key))
    if as_json:
        print_json({"file": str(file), **_body(found)})
    else:
        _tell(found)
    raise typer.Exit(0 if found.sound else 1)


def import_(
    file: Annotated[Path, typer.Argument(help="A bundle.")],
    key: KeyOption,
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Verify a bundle and bring its run into a home, whose evidence key it then trusts.

    Exit 1, and nothing written, if the bundle was tampered with.
    """
    from components.audit.access_log import record_access
    from components.audit.import_bundle import import_bundle
    from components.audit.trust import load_trust
    from pipelines.json_output import print_json

    done = import_bundle(file, load_trust(key), home)
    if done.verification.sound:
        result = "imported" if done.written else "was there already, the same"
        record_access(home, "import", [done.run], result)
    if done.verification.sound and not as_json:
        for path in done.written:
            typer.echo(f"wrote {path}")
        typer.echo(f"{done.run}: {'imported' if done.written else 'was there already, the same'}")
    elif as_json:
        written = [str(p) for p in done.written]
        print_json(
            {"file": str(file), "run": done.run, "written": written, **_body(done.verification)}
        )
    else:
        _tell(done.verification)
    raise typer.Exit(0 if done.verification.sound else 1)


def _body(found: Verification) -> dict[str, Any]:
    return {
        "sound": found.sound,
        "checks": found.checks,
        "notChecked": list(found.not_checked),
        "problems": [{"entry": p.entry, "what": p.what} for p in found.problems],
    }


def _tell(found: Verification) -> None:
    for line in found.checks:
        typer.echo(f"ok        {line}")
    for problem in found.problems:
        typer.echo(f"TAMPERED  {problem}")
    for line in found.not_checked if found.sound else ():
        typer.echo(f"not seen  {line}")
    typer.echo("sound" if found.sound else f"tampered: {len(found.problems)} found")
