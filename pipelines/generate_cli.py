"""The command `assay generate`: synthetic data to try Assay with, at any size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.options import JsonOption

if TYPE_CHECKING:
    from components.datasets.prior_auth_writer import Watch

generate_app = typer.Typer(help="Make synthetic data: nobody in it is real.")


@generate_app.callback()
def generate() -> None:
    """Make synthetic data: nobody in it is real."""


@generate_app.command("prior_auth")
def prior_auth(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for one Parquet file a month.")
    ],
    rows: Annotated[int, typer.Option(help="Requests to make, 1 to 1,000,000,000.")] = 20_000,
    seed: Annotated[int, typer.Option(help="The same rows and seed give the same bytes.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Make synthetic prior authorization requests, with ground_truth.json beside them.

    No row is of a real person, provider or plan. Months that are finished are kept, so an
    interrupted command goes on where it stopped.
    """
    from components.datasets.prior_auth import SYNTHETIC, Population
    from components.datasets.prior_auth_writer import generate
    from pipelines.json_output import print_json

    population = Population(rows, seed)
    with _progress(rows, quiet=as_json) as watch:
        made = generate(population, output, watch)
    if as_json:
        print_json(
            {
                "synthetic": SYNTHETIC,
                "folder": str(output),
                "rows": made.rows,
                "seed": str(seed),
                "files": made.files,
                "kept": made.kept,
                "bytes": made.bytes,
            }
        )
    else:
        typer.echo(f"{output}: {made.rows:,} synthetic requests, {made.bytes:,} bytes")


@contextmanager
def _progress(rows: int, *, quiet: bool) -> Iterator[Watch]:
    """A bar on a terminal; nothing on a pipe."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, quiet=quiet, highlight=False)
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        task = bar.add_task("making synthetic requests", total=rows)
        yield lambda made: bar.advance(task, made)
