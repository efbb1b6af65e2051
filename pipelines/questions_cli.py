"""`assay audit questions`: an auditor's questions, put to the native stores and to the evidence."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.json_output import print_json
from pipelines.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from components.audit.questions import Catalogue
    from components.audit.readings import Reading

_DEFAULT_HOME = Path(".assay")
_STACKS = ("tfx", "pytorch")
_FORMATS = ("html", "xlsx", "pdf")
_MOST_SHOWN = {"html": 50, "pdf": 10}
_STYLES = {"answered": "green", "partial": "yellow", "impossible": "red"}


def questions(
    stack: Annotated[str, typer.Option(help="tfx, pytorch or both.")] = "both",
    home: HomeOption = _DEFAULT_HOME,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Directory to write the answers to.")
    ] = None,
    formats: Annotated[
        list[str] | None,
        typer.Option("--format", help="html, xlsx or pdf, once or more; html if not given."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Answer an auditor's questions from each stack's own store, and again from the evidence.

    Exit 1 if the access log is broken, after the answers.
    """
    from rich.console import Console

    from components.audit.question_catalogue import load_catalogue
    from components.audit.readings import readings_json

    wanted = _formats(formats, output)
    stacks = _stacks(stack, home)
    catalogue = load_catalogue()
    console = Console(stderr=True, quiet=as_json, highlight=False)
    with console.status("reading stores and checking evidence"):
        found = [reading for name in stacks for reading in stack_readings(name, home, catalogue)]
    # Who asked is on record before anybody sees an answer.
    broken = _record(home, stacks, found)
    written = _write(catalogue, found, output, wanted) if output is not None else []
    if as_json:
        body = {**readings_json(catalogue, found), "files": [str(p) for p in written]}
        print_json({**body, "accessLogBroken": broken})
    else:
        _print(catalogue, found, written)
        if broken:
            typer.echo(f"the access log is broken: {broken}")
    raise typer.Exit(1 if broken else 0)


def _record(home: Path, stacks: Sequence[str], found: Sequence[Reading]) -> str | None:
    """Put the access on record; what is wrong with a log that nothing can follow any more.

    A log that somebody broke must not keep an auditor from seeing what the evidence says.
    """
    from components.audit.access_log import record_access
    from components.contract.errors import EvidenceError

    try:
        record_access(home, "audit questions", stacks, _result(found))
    except EvidenceError as error:
        return str(error)
    return None


def _formats(formats: list[str] | None, output: Path | None) -> list[str]:
    from components.contract.errors import InputError

    for name in formats or []:
        if name not in _FORMATS:
            raise InputError(f"no format {name!r}", where="--format", expected="html, xlsx or pdf")
    if formats and output is None:
        raise InputError("has nowhere to go", where="--format", expected="a directory as well (-o)")
    return list(dict.fromkeys(formats or ["html"]))


def _stacks(stack: str, home: Path) -> list[str]:
    """The stacks that are asked about; of both, those that have a run in the home."""
    from components.contract.errors import InputError

    if stack not in (*_STACKS, "both"):
        raise InputError(f"no stack {stack!r}", where="--stack", expected="tfx, pytorch or both")
    if not home.is_dir():
        raise InputError("is no directory", where=str(home), expected="a home (`--home DIR`)")
    asked = _STACKS if stack == "both" else (stack,)
    found = [s for s in asked if any((home / "runs").glob(f"*-{s}-*/evidence/*.json"))]
    if not found:
        raise InputError(
            f"no run of {' or '.join(asked)}",
            where=str(home / "runs"),
            expected="the runs that are to be asked about (`assay run`)",
        )
    return found


def stack_readings(stack: str, home: Path, catalogue: Catalogue) -> list[Reading]:
    """What a stack's own store answers, and what its evidence does, in this order.

    Raises:
        InputError: the store is locked, or of a version that is not known.
        EvidenceError: the store or the evidence is broken.
    """
    from components.audit.readings import no_reading, take_reading
    from components.contract.errors import InputError
    from components.stacks.store_uris import MLFLOW_VARIABLE, MLMD_VARIABLE
    from pipelines.lineage_stores import evidence_store, native_store

    evidence = take_reading(stack, evidence_store(home, stack), catalogue)
    natives = {"tfx": ("mlmd", MLMD_VARIABLE), "pytorch": ("mlflow", MLFLOW_VARIABLE)}
    store, variable = natives[stack]
    file = home / "stores" / f"{store}.sqlite"
    try:
        native = take_reading(stack, native_store(stack, home), catalogue)
    except InputError:
        if os.environ.get(variable) or file.exists():
            raise
        # Runs that were imported bring no store along: their evidence is all that there is.
        note = f"{stack}: {file} is not there, so {store} alone answers nothing"
        native = no_reading(stack, store, catalogue, note)
    return [native, evidence]


def _result(readings: Sequence[Reading]) -> str:
    from components.audit.answers import Status

    return "; ".join(f"{r.label}: {r.count(Status.ANSWERED)} of {len(r.answers)}" for r in readings)


def _write(
    catalogue: Catalogue, readings: Sequence[Reading], output: Path, formats: Sequence[str]
) -> list[Path]:
    from datetime import UTC, datetime

    from components.audit.answer_document import answer_document
    from components.audit.answer_pdf import to_pdf
    from components.audit.answer_table_html import to_html
    from components.audit.answer_workbook import to_workbook
    from components.lineage.durable import writable_directory, write_atomically

    writable_directory(output)
    now = datetime.now(UTC)
    written = []
    for name in formats:
        if name == "xlsx":
            content = to_workbook(catalogue, readings, now)
        else:
            document = answer_document(catalogue, readings, now, _MOST_SHOWN[name])
            content = to_html(document) if name == "html" else to_pdf(document, now)
        path = output / f"audit-questions.{name}"
        write_atomically(path, content)
        written.append(path)
    return written


def _print(catalogue: Catalogue, readings: Sequence[Reading], written: Sequence[Path]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from components.audit.answers import Status
    from components.audit.readings import milliseconds

    console = Console(highlight=False)
    table = Table("", "question")
    for reading in readings:
        table.add_column(f"{reading.stack}\n{reading.store}", no_wrap=True)
    for index, question in enumerate(catalogue.questions):
        words = [str(r.answers[index].status) for r in readings]
        table.add_row(question.id, question.text, *(Text(w, _STYLES[w]) for w in words))
    console.print(table)
    for r in readings:
        counts = ", ".join(f"{r.count(status)} {status}" for status in Status)
        console.print(
            f"{r.label}: {counts}; {r.queries:,} {'files' if r.store == 'evidence' else 'queries'},"
            f" read in {milliseconds(r.read_seconds)} ms, answered in"
            f" {milliseconds(r.answer_seconds)} ms",
            soft_wrap=True,
        )
    for note in [*(r.note for r in readings if r.note), catalogue.note]:
        console.print(f"note: {note}", soft_wrap=True, markup=False)
    for path in written:
        console.print(str(path), soft_wrap=True, markup=False)
