"""`assay compare`: both stacks side by side, as one page with every table beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipelines.evidence_commands import reads_evidence
from pipelines.options import HomeOption, JsonOption

_DEFAULT_HOME = Path(".assay")


@reads_evidence
def compare(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write to.")],
    runs: Annotated[
        list[str] | None,
        typer.Argument(help="A run of each stack; the latest two that fit if none is named."),
    ] = None,
    faults: Annotated[
        Path | None, typer.Option(help="Folder that `assay faults` wrote its cells to.")
    ] = None,
    measured: Annotated[
        list[Path] | None, typer.Option(help="Tables that a benchmark wrote, once or more.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare what is not comparable, and say so.")
    ] = False,
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Compare a run of each stack: verdict, faults, questions, fairness, lineage, cost.

    Writes index.html, which opens from disk and loads nothing, and every table as JSON, CSV and in
    one workbook. Runs of different data, policy, contract or code are refused.
    """
    from datetime import UTC, datetime
    from importlib import metadata

    from rich.console import Console

    from components.audit.access_log import record_access
    from components.compare.compare_report import write_comparison
    from components.compare.comparison_verdict import verdict
    from components.compare.fault_matrix import read_matrix
    from components.lineage.durable import writable_directory
    from pipelines.compare_gather import choose, gather, read_measured, require_comparable
    from pipelines.json_output import print_json

    matrix = read_matrix(faults) if faults is not None else None
    tables = read_measured(measured or [])
    console = Console(stderr=True, quiet=as_json, highlight=False)
    with console.status("reading evidence and stores, and asking an auditor's questions"):
        chosen = choose(runs or [], home)
        require_comparable(chosen, force)
        writable_directory(output)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        comparison = gather(chosen, matrix, tables, now, metadata.version("assay"))
        ids = [r.run_id for r in chosen.runs.values()]
        # Who asked is on record before anybody sees an answer.
        for place in chosen.homes:
            record_access(place, "compare", ids, comparison.mark[:200] or "comparable")
        files = write_comparison(comparison, output, faults)
    text = verdict(comparison)
    if as_json:
        print_json(
            {
                "runs": ids,
                "notComparable": list(comparison.differences),
                "verdict": text,
                "files": [str(f) for f in files],
            }
        )
    else:
        typer.echo(text)
        typer.echo(files[0])
