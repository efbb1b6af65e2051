"""`assay retention`: what is to be kept, what is held, what is due, and taking that away."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.evidence_commands import reads_evidence
from pipelines.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from components.audit.retention import RetentionCheck
    from components.audit.retention_policy import RetentionPolicy
    from components.audit.retention_purge import Purge

_DEFAULT_HOME = Path(".assay")
_MOST_CHARACTERS = 200

PolicyOption = Annotated[
    Path | None, typer.Option("--policy", help="Policy file; policies/retention.yaml if not given.")
]
ReasonOption = Annotated[str, typer.Option(help="Why, in a line; no patient's data.")]

retention_app = typer.Typer(
    help="Say how long data are kept, hold them, and purge what is due.", no_args_is_help=True
)


@retention_app.command()
@reads_evidence
def check(
    as_of: Annotated[
        str | None, typer.Option(help="What is due on that day (2026-11-24, UTC); today.")
    ] = None,
    policy: PolicyOption = None,
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Say what is due, held, purged, deleted early and unknown; exit 1 if there is a thing to do.

    Due is what is older than the policy keeps it, deleted early what is gone without a tombstone.
    """
    from components.audit.access_log import record_access
    from components.audit.retention import check_retention
    from components.contract.errors import EvidenceError
    from pipelines.evidence_commands import require_home
    from pipelines.json_output import print_json

    day = _day(as_of)
    rules = _policy(policy)
    require_home(home)
    found = check_retention(home, rules, day)
    note = None
    try:
        record_access(home, "retention check", [], _counts(found))
    except EvidenceError as error:  # what was found is shown all the same
        note = f"access log: broken, this access is not recorded in it: {error}"
    if as_json:
        print_json({**_to_json(found), "note": note})
    else:
        _print(found)
        if note:
            typer.echo(note)
    raise typer.Exit(0 if found.clear and note is None else 1)


@retention_app.command()
@reads_evidence
def hold(
    subject: Annotated[
        str, typer.Argument(help="A run's id, DATASET/STACK@NUMBER, or a decision log's id.")
    ],
    reason: ReasonOption,
    home: HomeOption = _DEFAULT_HOME,
) -> None:
    """Keep a run, a release or a decision log and what it rests on, however old it is."""
    from components.audit.access_log import record_access
    from components.audit.retention_holds import place_hold
    from pipelines.evidence_commands import require_home

    text = _reason(reason)
    require_home(home)
    number = place_hold(home, subject, text, _now())
    record_access(home, "retention hold", [subject], f"entry {number}")
    typer.echo(f"hold {number}: {subject} is kept until `assay retention lift {number}`")


@retention_app.command()
@reads_evidence
def lift(
    number: Annotated[int, typer.Argument(help="The hold's number.")],
    reason: ReasonOption,
    home: HomeOption = _DEFAULT_HOME,
) -> None:
    """End a hold."""
    from components.audit.access_log import record_access
    from components.audit.retention_holds import lift_hold
    from pipelines.evidence_commands import require_home

    text = _reason(reason)
    require_home(home)
    subject, entry = lift_hold(home, number, text, _now())
    record_access(home, "retention lift", [subject], f"entry {entry}: of hold {number}")
    typer.echo(f"hold {number} of {subject} is lifted")


@retention_app.command()
@reads_evidence
def purge(
    yes: Annotated[bool, typer.Option("--yes", help="Take it away; without, only tell.")] = False,
    policy: PolicyOption = None,
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Take away data that is due and not held, each under a signed tombstone.

    Signed evidence and native stores stay. Without --yes nothing is taken, and the exit code is 1
    if anything would be; with it, 1 if something that is due had to stay.
    """
    from components.audit.access_log import record_access
    from components.audit.retention_purge import preview
    from components.audit.retention_purge import purge as take_away
    from pipelines.evidence_commands import require_home
    from pipelines.json_output import print_json

    rules = _policy(policy)
    require_home(home)
    done = take_away(home, rules, _now()) if yes else preview(home, rules, _now().date())
    last = max((p.tombstone for p in done.purged), default=0)
    result = f"{len(done.purged)} purged, {len(done.stays)} due and kept"
    told = f"entry {last}: {result}" if last else "nothing purged"
    record_access(home, "retention purge", [], told if yes else "told only, nothing purged")
    if as_json:
        print_json(_purge_json(done, yes))
    else:
        _print_purge(done, yes)
    raise typer.Exit(1 if done.stays or (done.purged and not yes) else 0)


def _now() -> datetime:
    return datetime.now(UTC)


def _day(text: str | None) -> date:
    from components.contract.errors import InputError

    if text is None:
        return _now().date()
    try:
        day = date.fromisoformat(text)
        if str(day) != text:  # as a week or without hyphens
            raise ValueError(text)
    except ValueError as error:
        raise InputError(
            f"{text[:40]!r} is no day", where="--as-of", expected="a day as 2026-11-24"
        ) from error
    return day


def _policy(path: Path | None) -> RetentionPolicy:
    from components.audit.retention_policy import load_retention
    from pipelines.catalogue import find

    return load_retention(path or find("policies", "retention"))


def _reason(reason: str) -> str:
    """A reason as it is kept: one line of text."""
    from components.contract.errors import InputError

    text = reason.strip()
    if not text or len(text) > _MOST_CHARACTERS or not text.isprintable():
        raise InputError(
            "is no reason",
            where="--reason",
            expected=f"one line of 1 to {_MOST_CHARACTERS} characters, without a patient's data",
        )
    return text


def _counts(found: RetentionCheck) -> str:
    from components.audit.retention import State

    counted = {state: len(found.of(state)) for state in State}
    return ", ".join(f"{n} {state}" for state, n in counted.items() if n) or "no data"


def _to_json(found: RetentionCheck) -> dict[str, object]:
    return {
        "asOf": str(found.as_of),
        "policy": found.policy.digest,
        "clear": found.clear,
        "standings": [s.to_json() for s in found.standings],
    }


def _print(found: RetentionCheck) -> None:
    from components.audit.retention import State

    for standing in found.standings:
        if standing.state is not State.KEPT:
            told = standing.to_json()
            why = f", {told['why']}" if told["why"] else ""
            typer.echo(f"{told['state']}: {told['name']}{why}")
            for place in told["gone"]:
                typer.echo(f"    {place}")
    typer.echo(f"on {found.as_of}: {_counts(found)}")


def _purge_json(done: Purge, yes: bool) -> dict[str, object]:
    return {
        "done": yes,
        "purged": [
            {**p.standing.to_json(), "tombstone": p.tombstone or None, "removed": p.removed}
            for p in done.purged
        ],
        "stays": [{"name": name, "why": why} for name, why in done.stays],
    }


def _print_purge(done: Purge, yes: bool) -> None:
    from components.audit.differences import plain

    for held in done.purged:
        how = f"purged under tombstone {held.tombstone}" if yes else "would be purged"
        typer.echo(f"{how}: {plain(held.standing.name)}, {held.standing.why}")
    for name, why in done.stays:
        typer.echo(f"stays, though due: {plain(name)}, {why}")
    if not done.purged and not done.stays:
        typer.echo("nothing is due")
    elif not yes and done.purged:
        typer.echo("nothing was purged: --yes takes it away")
