"""`assay monitor`, decisions in production, and `assay cms-metrics`, the yearly figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.evidence_commands import reads_evidence
from pipelines.options import HomeOption, JsonOption

_DEFAULT_HOME = Path(".assay")


def cms_metrics(
    data: Annotated[Path, typer.Argument(help="Requests as Parquet, a file or a folder.")],
    year: Annotated[int, typer.Option(help="Calendar year in which requests were sent.")],
    as_json: JsonOption = False,
) -> None:
    """Count the yearly prior authorization metrics of CMS-0057-F over raw requests."""
    from components.decisions.cms_metrics import cms_metrics as count
    from pipelines.json_output import print_json

    found = count(data, year)
    if as_json:
        print_json(found)
    else:
        _print(found)


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
            for name in ("approved", "denied", "approved_after_appeal"):
                share = held[name]
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
    home: HomeOption = _DEFAULT_HOME,
    as_json: JsonOption = False,
) -> None:
    """Judge a release's decisions under its policy: drift of scores, gaps, and human review.

    Exit 1 unless every limit holds.
    """
    from components.audit.access_log import record_access
    from components.audit.monitoring import monitor_release
    from pipelines.evidence_commands import require_home
    from pipelines.json_output import print_json

    require_home(home)
    dataset, _, stack = release.partition("/")
    verdict = monitor_release(home, dataset, stack, logs or [])
    record_access(home, "monitor", logs or [release], str(verdict.status))
    if as_json:
        print_json({"verdict": verdict.to_json()})
    else:
        for found in verdict.findings:
            typer.echo(f"{found.status:<12} {found.reason}")
        typer.echo(f"{verdict.status}: {verdict.reason}")
    raise typer.Exit(0 if verdict.is_open else 1)
