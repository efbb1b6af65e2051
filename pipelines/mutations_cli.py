"""`assay audit mutations`: what was changed in the native stores and files since runs were over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from components.audit.differences import Difference
    from components.audit.mutation_check import StackCheck

_DEFAULT_HOME = Path(".assay")
_STACKS = ("tfx", "pytorch")


def mutations(
    stack: Annotated[str, typer.Option(help="tfx, pytorch or both.")] = "both",
    run: Annotated[str | None, typer.Option(help="A run's id; all runs if not given.")] = None,
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Compare the native stores and the files with the signed evidence, and name what differs.

    Exit 0 if nothing does, 1 if something does or cannot be decided, or the access log is broken.
    """
    from rich.console import Console

    from pipelines.json_output import print_json

    with Console(stderr=True, quiet=as_json).status("reading evidence, stores and files"):
        checks, notes = _check(home, stack, run)
    differences = [d for c in checks for d in c.differences]
    subjects = [run] if run else [c.store for c in checks]
    broken_log = _record(home, subjects, _verdict(differences))
    if broken_log:
        notes.append(broken_log)
    if as_json:
        print_json({"stacks": [c.to_json() for c in checks], "notes": notes})
    else:
        _print(checks, notes)
    raise typer.Exit(1 if differences or broken_log else 0)


def _record(home: Path, subjects: Sequence[str], result: str) -> str | None:
    """Put the access on record; what is wrong with the log, in a line, or None.

    What was found is shown all the same: an auditor needs both.
    """
    from components.audit.access_log import read_access, record_access
    from components.contract.errors import EvidenceError

    try:
        record_access(home, "audit mutations", subjects, result)
    except EvidenceError as error:
        return f"access log: broken, this access is not recorded in it: {error}"
    try:
        read_access(home)  # to add an entry only the last one was looked at
    except EvidenceError as error:
        return f"access log: broken: {error}"
    return None


def _check(home: Path, stack: str, run: str | None) -> tuple[list[StackCheck], list[str]]:
    """The checks of the stacks that there is something to compare in, and why not of the others."""
    from components.audit.mutation_check import check_stack, runs_of, stack_of
    from components.contract.errors import InputError
    from pipelines.lineage_stores import native_store

    if stack not in (*_STACKS, "both"):
        raise InputError(f"no stack {stack!r}", where="--stack", expected="tfx, pytorch or both")
    wanted = _STACKS if stack == "both" else (stack,)
    its_stack = stack_of(run) if run and stack_of(run) in wanted else None
    checks, notes = [], []
    for name in wanted:
        mine = runs_of(home, name)
        if its_stack not in (None, name):
            notes.append(f"{name}: not asked, for {run} is a run of {its_stack}")
            continue
        try:
            check = check_stack(home, name, native_store(name, home), run)
        except InputError as error:
            if mine or stack != "both":
                raise
            notes.append(
                f"{name}: it has no run in this home, and its store cannot be read: {error}"
            )
            continue
        if run is None or check.runs or check.differences:
            checks.append(check)
    if not checks:
        raise InputError(
            f"no run {run!r}" if run else "holds no runs",
            where=str(home / "runs"),
            expected=f"a run's id, of {' or '.join(wanted)}",
        )
    return checks, notes


def _verdict(differences: Sequence[Difference]) -> str:
    from components.checks.measurement import Status

    failed = sum(d.status is Status.FAIL for d in differences)
    open_ = len(differences) - failed
    words = [f"{failed} differ"] if failed else []
    words += [f"{open_} cannot be decided"] if open_ else []
    return ", ".join(words) or "nothing differs"


def _print(checks: Sequence[StackCheck], notes: Sequence[str]) -> None:
    from components.audit.differences import plain

    for check in checks:
        for d in check.differences:
            told = d.to_json()
            typer.echo(f"{d.status}  {d.kind}: {told['where']}")
            if d.old is not None and d.new is not None:
                typer.echo(f"    {told['old']} -> {told['new']}")
            elif d.old is not None or d.new is not None:
                typer.echo(f"    was {told['old']}" if d.new is None else f"    {told['new']}")
        for stone in check.purged:
            typer.echo(f"{stone.told}: {plain(stone.name)}")
        gone = f" ({check.files.gone} no longer there)" if check.files.gone else ""
        typer.echo(
            f"{check.stack}: {len(check.runs)} runs, {check.entries} entries of {check.store}, "
            f"{check.files.checked} files{gone}: {_verdict(check.differences)}"
        )
    for note in notes:
        typer.echo(note)
