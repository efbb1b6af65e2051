"""`assay monitor`, decisions in production, and `assay cms-metrics`, the yearly figures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.evidence_commands import reads_evidence
from pipelines.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from components.audit.monitoring import Monitored, Watched
    from components.checks.measurement import Finding

_DEFAULT_HOME = Path(".assay")


@reads_evidence
def cms_metrics(
    data: Annotated[
        Path, typer.Argument(help="Requests as Parquet or CSV, a file or a folder; or a batch.")
    ],
    year: Annotated[int, typer.Option(help="Calendar year in which requests were sent.")],
    log: Annotated[
        str | None, typer.Option(help="Count the decisions of this log; DATA is its batch.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Appeals that came later, as for `assay monitor`.")
    ] = None,
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Count the yearly prior authorization metrics of CMS-0057-F over raw requests or a log."""
    from components.contract.errors import InputError
    from components.decisions.cms_metrics import cms_metrics as count
    from pipelines.json_output import print_json

    if labels is not None and log is None:
        raise InputError("goes with --log", where="--labels", expected="raw requests tell appeals")
    found = count(data, year) if log is None else _of_log(home, log, data, labels, year)
    if as_json:
        print_json(found)
    else:
        _print(found)


def _of_log(home: Path, name: str, data: Path, labels: Path | None, year: int) -> dict[str, Any]:
    """The metrics of a decision log's requests; who asked is recorded."""
    from contextlib import ExitStack

    from components.audit.access_log import record_access
    from components.datasets.sources import open_source
    from components.decisions.cms_log import decided_requests
    from components.decisions.cms_metrics import decided_metrics
    from components.decisions.decision_log import DecisionLog
    from components.decisions.later_labels import open_labels
    from components.lineage.row_key import read_row_key
    from components.release.run_evidence import read_evidence
    from pipelines.evidence_commands import require_home

    require_home(home)
    log = DecisionLog.open(home, name)
    contract = read_evidence(home / "runs" / log.header["run"]).contract
    source = open_source(contract, data)
    with ExitStack() as opened:
        appeals = None
        if labels is not None:
            appeals = opened.enter_context(open_labels(labels, {name: log.rows}))
        requests = opened.enter_context(
            decided_requests(log, contract, source, read_row_key(home), appeals)
        )
        found = decided_metrics(requests, f"log {name}", year)
    record_access(home, "cms-metrics", [name], str(year))
    return found


def _print(found: dict[str, Any]) -> None:
    from components.audit.differences import plain
    from components.decisions.cms_metrics import URGENCIES, shown

    for line, told in found["lines"].items():
        rule = told["rule"] or "no rule of CMS-0057-F"
        for urgency in (u for u in URGENCIES if u in told):
            held = told[urgency]
            typer.echo(
                f"{plain(line)}, {urgency}, {found['year']} ({rule}): {shown(held['requests'])}"
            )
            for name, share in held.items():
                if name in ("requests", "hours"):
                    continue
                percent = f"{shown(share['percent'])} %" if share["percent"] is not None else "-"
                typer.echo(f"  {name.replace('_', ' '):<22} {shown(share['count']):>14} {percent}")
            for name, hours in held["hours"].items():
                typer.echo(f"  {name + ' hours to decision':<22} {shown(hours):>14}")
    typer.echo(f"extended: {found['extended']}")


@reads_evidence
def monitor(
    release: Annotated[str, typer.Argument(help="DATASET/STACK, as rand_hie/pytorch.")],
    logs: Annotated[
        list[str] | None, typer.Argument(help="Decision logs; all of the standing release if none.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option(help="A batch that was scored, as it was then; again for each batch."),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(help="Labels that came later: Parquet or CSV of decision_id and label."),
    ] = None,
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Judge a release's decisions under its policy: drift, gaps, human review, later labels.

    Limits on inputs need --data, limits on accuracy and appeals --labels.

    Exit 1 unless every limit holds.
    """
    from components.audit.access_log import record_access
    from components.audit.monitoring import find_watched
    from components.audit.monitoring import monitor as judge
    from pipelines.evidence_commands import require_home
    from pipelines.json_output import print_json

    require_home(home)
    dataset, _, stack = release.partition("/")
    watched = find_watched(home, dataset, stack, logs or [])
    inputs = _inputs(home, watched, data, quiet=as_json) if data else None
    with _progress(watched.rows, quiet=as_json) as watch:
        found = judge(watched, labels, inputs, watch)
    record_access(home, "monitor", logs or [release], str(found.verdict.status))
    if as_json:
        print_json(found.to_json())
    else:
        _print_monitored(found)
    raise typer.Exit(0 if found.verdict.is_open else 1)


def _inputs(home: Path, watched: Watched, data: list[Path], *, quiet: bool) -> list[Finding]:
    from rich.console import Console

    from pipelines.monitor_inputs import input_findings

    console = Console(stderr=True, quiet=quiet, highlight=False)
    with console.status("checking the inputs") as status:
        return input_findings(
            home.resolve(), watched.release, watched.logs, data,
            lambda column: status.update(f"checking {column}"),
        )  # fmt: skip


@contextmanager
def _progress(rows: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar of decisions that were read, on a terminal; nothing on a pipe."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, highlight=False)
    with Progress(console=console, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("reading decisions", total=rows)
        yield lambda done: progress.update(task, completed=done)


def _print_monitored(found: Monitored) -> None:
    from components.audit.differences import plain

    for finding in found.verdict.findings:
        typer.echo(f"{finding.status:<12} {plain(finding.reason)}")
    for shown in found.figures:
        typer.echo(f"{'':<12} {plain(shown.sentence())}")
    typer.echo(f"{found.verdict.status}: {plain(found.verdict.reason)}")
