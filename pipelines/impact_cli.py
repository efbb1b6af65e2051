"""`assay impact`: everything that depends on a person, a span or a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.evidence_commands import reads_evidence
from pipelines.options import HomeOption, JsonOption

_DEFAULT_HOME = Path(".assay")
_MOST_SHOWN = 20


@reads_evidence
def impact(
    member: Annotated[str | None, typer.Option(help="A person, by the entity column.")] = None,
    span: Annotated[str | None, typer.Option(help="A span, by its label.")] = None,
    file: Annotated[
        str | None, typer.Option(help="A source file, by its name; folders do not count.")
    ] = None,
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Say which datasets, runs, models, releases and decisions depend on one of these.

    Exit 0 also where nothing does, 1 where data or records are missing: then nobody knows.
    """
    from components.audit.access_log import record_access
    from components.audit.impact import Target
    from components.audit.impact import impact as depends
    from components.contract.errors import InputError
    from pipelines.evidence_commands import require_home
    from pipelines.json_output import print_json

    if sum(value is not None for value in (member, span, file)) != 1:
        raise InputError(
            "asks about nothing, or about several things",
            where="assay impact",
            expected="one of --member, --span and --file",
        )
    for option, text in {"--member": member, "--span": span, "--file": file}.items():
        if any("\ud800" <= character <= "\udfff" for character in text or ""):
            raise InputError("holds bytes that are no text", where=option, expected="UTF-8")
    require_home(home)
    target = Target(member, span, file and Path(file).name)
    found = depends(home, target)
    counts = ", ".join(f"{len(found[k])} {k}" for k in ("datasets", "runs", "releases"))
    decisions = sum(d["decisions"] for d in found["decisions"])
    result = f"{counts}, {decisions} decisions"
    missing = [f"{kind[:-1]} {name}" for kind, held in found["missing"].items() for name in held]
    if missing:
        result += f"; {len(missing)} sources are missing, so there may be more"
    record_access(home, "impact", [target.kind], result)
    if as_json:
        print_json(found)
    else:
        for name in missing:
            typer.echo(f"{name}: what it held is missing, and nobody can say what depends on it")
        _print(found)
        if not found["datasets"]:
            typer.echo(_nothing(found))
        typer.echo(f"{target.kind}: {result}")
    raise typer.Exit(1 if missing else 0)


def _nothing(found: dict[str, Any]) -> str:
    """That no dataset holds the target, with what could have been asked about instead."""
    kind, known = found["target"], found["known"]
    text = f"no dataset version that is in this home holds that {kind}"
    if kind == "member":
        return text
    shown = ", ".join(map(repr, known[:_MOST_SHOWN])) or "none"
    more = f" and {len(known) - _MOST_SHOWN} more" if len(known) > _MOST_SHOWN else ""
    return f"{text}; those it has: {shown}{more}"


def _print(found: dict[str, Any]) -> None:
    from components.checks.suppression import UNDER

    for held in found["datasets"]:
        rows = ", ".join(f"{n or UNDER} rows of {split}" for split, n in held["rows"].items())
        typer.echo(f"dataset {held['dataset']} {held['version']}: {rows}")
    for held in found["runs"]:
        how = "was trained on it" if held["trained"] else "read it, and was not trained on it"
        typer.echo(f"run {held['run']}, {held['outcome']}: {how}; model {held['model']}")
    for held in found["releases"]:
        how = "learned from it" if held["learned"] else "did not learn from it"
        where = f"{held['dataset']} in {held['stack']}"
        made = f"made {held['decisions']} decisions"
        model = f"model {held['model']}"
        typer.echo(f"release {held['release']} of {where}, {held['at']}: {how}, {made}; {model}")
    for held in found["decisions"]:
        outcomes = ", ".join(f"{n} {k}" for k, n in held.get("outcomes", {}).items())
        told = f"{held['decisions']} decisions{f' ({outcomes})' if outcomes else ''}"
        where = f"{held['dataset']} in {held['stack']}"
        over = ", which do not stand: the log was given up" if held["givenUp"] else ""
        typer.echo(f"log {held['log']}, by release {held['release']} of {where}: {told}{over}")
