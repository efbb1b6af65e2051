"""`assay audit restore`: the restore drill, an auditor's questions answered from bundles alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.bundle_cli import KeyOption
from pipelines.options import JsonOption

if TYPE_CHECKING:
    from rich.text import Text

    from components.audit.questions import Catalogue, Question
    from components.audit.restore_drill import Checked, Restored

_COMMAND = "audit restore"
_STYLES = {"answered": "green", "partial": "yellow", "impossible": "red"}


def restore(
    bundles: Annotated[list[Path], typer.Argument(metavar="BUNDLE...", help="Bundles.")],
    key: KeyOption,
    home: Annotated[
        Path | None,
        typer.Option("--home", help="Home whose answers about the same runs must be the same."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Answer every audit question from bundles alone, as if their home were lost.

    Exit 0 if every question is answered, with --home as that home answers it; 1 if not, or if a
    bundle was tampered with. Nothing stays behind but, with --home, an entry in its access log.
    """
    from rich.console import Console

    from components.audit.question_catalogue import load_catalogue
    from components.audit.restore_drill import check_bundles
    from components.audit.restore_drill import restore as drill
    from components.audit.trust import load_trust
    from pipelines.evidence_commands import require_home

    if home is not None:
        require_home(home)
    trust, catalogue = load_trust(key), load_catalogue()
    console = Console(stderr=True, quiet=as_json, highlight=False)
    with console.status("verifying the bundles") as status:
        checked = check_bundles(bundles, trust)
        sound = all(c.verification.sound for c in checked)
        status.update("answering from the bundles alone")
        found = drill(checked, trust, catalogue, home) if sound else []
    if home is not None and sound:
        _record(home, found)
    holds = sound and all(r.holds for r in found)
    if as_json:
        _print_json(checked, found, catalogue, holds)
    elif sound:
        _print(catalogue, found, holds)
    else:
        _tell_tampered(checked)
    raise typer.Exit(0 if holds else 1)


def _record(home: Path, found: Sequence[Restored]) -> None:
    """Who asked is on record before anybody sees what the home answers."""
    from components.audit.access_log import record_access

    runs = [run for restored in found for run in restored.runs]
    differing = sum(len(r.differences) for r in found)
    record_access(home, _COMMAND, runs, f"{differing} answers differ from the bundles'")


def _print_json(
    checked: Sequence[Checked], found: Sequence[Restored], catalogue: Catalogue, holds: bool
) -> None:
    from components.audit.restore_drill_answers import MEANING
    from pipelines.json_output import print_json

    bundles: list[dict[str, Any]] = [
        {
            "file": str(c.path),
            "run": c.run or None,
            "sound": c.verification.sound,
            "problems": [{"entry": p.entry, "what": p.what} for p in c.verification.problems],
        }
        for c in checked
    ]
    print_json(
        {
            "holds": holds,
            "bundles": bundles,
            "notInBundles": {str(absent): what for absent, what in MEANING.items()},
            "stacks": [r.to_json(catalogue) for r in found],
        }
    )


def _tell_tampered(checked: Sequence[Checked]) -> None:
    bad = [c for c in checked if not c.verification.sound]
    for bundle in bad:
        for problem in bundle.verification.problems:
            typer.echo(f"TAMPERED  {bundle.path}, {problem}")
    typer.echo(f"nothing restored: {len(bad)} of {len(checked)} bundles tampered with")


def _print(catalogue: Catalogue, found: Sequence[Restored], holds: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    from components.audit.restore_drill_answers import MEANING, not_bundled

    console = Console(highlight=False)
    table = Table("", "question")
    for restored in found:
        table.add_column(f"{restored.stack}\nfrom bundles", no_wrap=True)
    table.add_column("not in these bundles")
    for index, question in enumerate(catalogue.questions):
        words = [_word(restored, index) for restored in found]
        absent = ", ".join(not_bundled(question))
        table.add_row(question.id, question.text, *words, absent)
    console.print(table)
    for restored in found:
        for line in (*_lines(catalogue.questions, restored), *_summary(restored)):
            console.print(line, soft_wrap=True, markup=False)
    for absent, what in MEANING.items():
        console.print(f"not in these bundles, {absent}: {what}", soft_wrap=True, markup=False)
    console.print("restored" if holds else "not restored")


def _word(restored: Restored, index: int) -> Text:
    from rich.text import Text

    answer = restored.answers[index]
    if answer.question in restored.differences:
        return Text(f"{answer.status}\ndiffers", "red")
    return Text(str(answer.status), _STYLES[answer.status])


def _lines(questions: Sequence[Question], restored: Restored) -> Iterator[str]:
    """What the bundles lack and what differs, question by question."""
    from components.audit.differences import shown

    for question, answer in zip(questions, restored.answers, strict=True):
        for missing in answer.missing:
            yield f"{question.id} {restored.stack} lacks {missing.name}: {shown(missing.what)}"
        for difference in restored.differences.get(question.id, ()):
            told = difference.to_json()
            of = f" of {told['about']}" if told["about"] else ""
            sides = ", ".join(f"{side} {told[side] or 'nothing'}" for side in ("bundle", "home"))
            yield f"{question.id} {restored.stack} differs in {difference.fact}{of}: {sides}"


def _summary(restored: Restored) -> Iterator[str]:
    from components.audit.answers import Status

    total, answered = len(restored.answers), restored.count(Status.ANSWERED)
    named = f"{restored.stack}, {_runs(len(restored.runs))}"
    yield f"{named}: {answered} of {total} answered from bundles alone"
    if restored.beyond is not None:
        yield (
            f"{named}: {total - len(restored.differences)} of {total} as the home answers them; it"
            f" has {_runs(restored.beyond.runs)} besides, {restored.beyond.unfinished} unfinished"
        )
    if restored.untold:
        yield (
            f"{named}: earlier releases that no answer tells of, for none of these bundles has"
            f" their runs: {restored.untold}"
        )


def _runs(number: int) -> str:
    return f"{number} run" if number == 1 else f"{number} runs"
