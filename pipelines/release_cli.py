"""`assay release`, `assay releases` and `assay recompute`: putting models into production."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.json_output import print_json
from pipelines.options import HomeOption, JsonOption, RunArgument

if TYPE_CHECKING:
    from components.release.history import Period

_DEFAULT_HOME = Path(".assay")


def release(
    run: RunArgument,
    reason: Annotated[str, typer.Option(help="Why this model is released now.")],
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Release the judged model of an earlier run: one that was waived since, or as a rollback."""
    from rich.console import Console

    from components.release.run_summary import as_json as summary_json
    from components.release.run_summary import summarise
    from components.release.waiver_requests import check_reason
    from components.stacks.run_spec import RunSpec
    from pipelines.catalogue import run_directory
    from pipelines.launch import execute, prepare_release, stacks_named
    from pipelines.show import Progress

    check_reason(reason)
    directory = run_directory(run, home)
    stacks_named(RunSpec.load(directory).stack)
    spec = prepare_release(directory, reason)
    console = Console(stderr=True, quiet=as_json, highlight=False)
    with Progress(console).watching() as progress:
        execute([spec], progress)
    summary = summarise(spec.directory)
    if as_json:
        print_json({"run": summary_json(summary)})
    else:
        typer.echo(f"{summary.run_id}: {summary.outcome}, {summary.reason}")
    raise typer.Exit(0 if summary.outcome == "released" else 1)


def releases(
    dataset: Annotated[str | None, typer.Argument(help="Name of a dataset; all if not given.")] = (
        None
    ),
    stack: Annotated[str | None, typer.Option(help="tfx or pytorch; both if not given.")] = None,
    as_of: Annotated[
        str | None, typer.Option(help="What stood on a day or at a moment (ISO 8601, UTC).")
    ] = None,
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show the release history: what was in production, since when, and by whose decision."""
    from components.contract.errors import InputError
    from components.release.history import as_of as standing
    from components.release.history import periods
    from components.release.records import histories, read_releases
    from pipelines.evidence_commands import require_home

    if as_of:
        standing([], as_of)  # refused before anything is looked for
    require_home(home)
    known = [(d, s) for d, s in histories(home) if dataset in (None, d) and stack in (None, s)]
    if not known and (dataset or stack):
        raise InputError(
            f"no release of {dataset or 'any dataset'} in {stack or 'any stack'}",
            where=str(home / "releases"),
            expected="one of " + (", ".join(f"{d} in {s}" for d, s in histories(home)) or "none"),
        )
    found: list[Period] = []
    for name, where in known:
        history = read_releases(home, name, where)
        found += standing(history, as_of) if as_of else periods(history)
    if as_json:
        print_json({"asOf": as_of, "releases": [p.to_json() for p in found]})
    else:
        _print(found, as_of)


def _print(found: list[Period], as_of: str | None) -> None:
    if not found:
        typer.echo(f"nothing was in production on {as_of}" if as_of else "no release yet")
        return
    typer.echo(f"in production on {as_of}, UTC:" if as_of else "releases, oldest first, UTC:")
    for period in found:
        held = period.release
        until = f"{period.until:%Y-%m-%d %H:%M:%S}" if period.until else "now"
        typer.echo(
            f"{held.dataset} {held.stack} {held.number}: {held.kind}, "
            f"{held.at:%Y-%m-%d %H:%M:%S} to {until}, by {held.actor}"
        )
        gates = [f"{k.replace('_', ' ')} {v}" for k, v in held.verdicts if k.endswith("gate")]
        gates += [f"waiver {held.waiver[:12]}"] if held.waiver else []
        typer.echo(f"  gates  {', '.join(gates) or 'not in this format'}")
        typer.echo(f"  model  {held.model}\n  run    {held.run}")
        if held.continues:
            typer.echo(f"  of     {held.continues}")
        if held.reason:
            typer.echo(f"  why    {' '.join(held.reason.split())}")


def recompute(
    run: RunArgument,
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Judge a run's stored scores again, without its model; exit 0 if every figure is the same."""
    from components.audit.access_log import record_access
    from components.release.recomputation import Outcome
    from components.release.recomputation import recompute as again
    from pipelines.catalogue import run_directory

    directory = run_directory(run, home)
    found = again(directory)
    unchecked = sum(d.outcome is Outcome.NOT_CHECKED for d in found)
    different = [d for d in found if not d.same and d.outcome is not Outcome.NOT_CHECKED]
    asked = len(found) - unchecked
    result = f"{asked - len(different)} of {asked} figures are the same"
    if unchecked:
        result += f"; {unchecked} are hidden by the record, under 11 people"
    record_access(directory.parent.parent, "recompute", [directory.name], result)
    if as_json:
        print_json({"figures": len(found), "different": [d.to_json() for d in different]})
    else:
        for d in different:
            typer.echo(f"{d.name} of {d.slice}: recorded {d.recorded}, now {d.computed}")
        typer.echo(result)
    raise typer.Exit(1 if different or not found else 0)
