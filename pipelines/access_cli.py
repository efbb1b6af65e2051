"""`assay audit access`: who looked at the evidence of a home, at what of it, when."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from components.audit.access_log import Access

_DEFAULT_HOME = Path(".assay")


def access(
    since: Annotated[
        str | None, typer.Option(help="From a day or a moment on (ISO 8601, UTC).")
    ] = None,
    known: Annotated[
        str | None, typer.Option(help="The log's end as shown earlier, NUMBER:SHA256.")
    ] = None,
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Show who asked what of this home, and when; exit 1 if the log was changed.

    Every signature and link is checked. The last line names the log's end: kept elsewhere, it
    shows later, as --known, that nothing was cut off.
    """
    from components.audit.access_log import read_access, record_access
    from components.contract.errors import EvidenceError
    from pipelines.evidence_commands import require_home
    from pipelines.json_output import print_json

    start, place = _start(since), _place(known)
    require_home(home)
    try:
        found = read_access(home)
        if place is not None and place not in {(a.number, a.sha256) for a in found}:
            raise EvidenceError(f"entry {place[0]} is not there as it was: cut off, or made anew")
    except EvidenceError as error:
        if as_json:
            print_json({"broken": str(error), "accesses": []})
        else:
            typer.echo(f"the access log is broken: {error}")
        raise typer.Exit(1) from error
    shown = [a for a in found if start is None or a.moment >= start]
    record_access(home, "audit access", [], f"{len(found)} entries, none changed")
    if as_json:
        print_json({"broken": None, "accesses": [a.to_json() for a in shown]})
    else:
        _print(shown, found)


def _print(accesses: Sequence[Access], whole: Sequence[Access]) -> None:
    from components.audit.differences import plain

    for a in accesses:
        who = a.actor if a.actor == a.account else f"{a.actor} ({a.account})"
        about = f" {', '.join(a.subjects)}" if a.subjects else ""
        told = f"{who}  {a.command}{about}: {a.result}"
        typer.echo(f"{a.moment:%Y-%m-%d %H:%M:%S}  {plain(told)}")
    end = f"; the last is {whole[-1].number}:{whole[-1].sha256}" if whole else ""
    typer.echo(f"{len(whole)} entries, none changed{end}")


def _place(known: str | None) -> tuple[int, str] | None:
    from components.contract.errors import InputError

    if known is None:
        return None
    if not (found := re.fullmatch(r"([1-9][0-9]{0,7}):([0-9a-f]{64})", known)):
        raise InputError(
            f"{known!r} is no entry", where="--known", expected="NUMBER:SHA256, as it was shown"
        )
    return int(found[1]), found[2]


def _start(since: str | None) -> datetime | None:
    from components.contract.errors import InputError

    if since is None:
        return None
    try:
        start = datetime.fromisoformat(since)
    except ValueError as error:
        raise InputError(
            f"{since!r} is no date",
            where="--since",
            expected="a day as 2026-11-24 or a moment as 2026-11-24T12:00:00Z",
        ) from error
    return start if start.tzinfo else start.replace(tzinfo=UTC)
