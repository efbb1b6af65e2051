"""The command line: `assay`. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import os
import signal
import sys
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from components.contract.errors import AssayError
from pipelines.audit_cli import audit_app
from pipelines.bundle_cli import bundle, import_, verify
from pipelines.card_cli import card
from pipelines.check_cli import check
from pipelines.compare_cli import compare
from pipelines.contract_cli import contract_app
from pipelines.evidence_commands import reads_evidence
from pipelines.faults_cli import faults
from pipelines.generate_cli import generate_app
from pipelines.impact_cli import impact
from pipelines.json_output import print_json
from pipelines.keys_cli import keys_app
from pipelines.lineage_cli import lineage_app
from pipelines.monitor_cli import cms_metrics, monitor
from pipelines.options import HomeOption, JsonOption
from pipelines.release_cli import recompute, release, releases
from pipelines.reperform_cli import reperform
from pipelines.retention_cli import retention_app
from pipelines.score_cli import score
from pipelines.trace_cli import trace
from pipelines.waive_cli import waive

if TYPE_CHECKING:
    from components.release.run_summary import RunSummary
    from pipelines.launch import Order

_OPEN, _CLOSED, _USAGE, _INTERRUPTED = 0, 1, 2, 130

app = typer.Typer(
    name="assay",
    help="One release process through two stacks, under one contract, one policy and one audit.",
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(check)
app.command()(reads_evidence(card))
app.command()(reads_evidence(bundle))
app.command()(reads_evidence(verify))
app.command("import")(import_)
app.command()(release)
app.command()(reads_evidence(releases))
app.command()(reads_evidence(recompute))
app.command()(reads_evidence(reperform))
app.command("cms-metrics")(cms_metrics)
app.command()(monitor)
app.command()(compare)
app.command()(faults)
app.command()(impact)
app.command()(reads_evidence(score))
app.command()(trace)
app.command()(waive)
app.add_typer(audit_app, name="audit")
app.add_typer(contract_app, name="contract")
app.add_typer(generate_app, name="generate")
app.add_typer(keys_app, name="keys")
app.add_typer(lineage_app, name="lineage")
app.add_typer(retention_app, name="retention")

_DEFAULT_HOME = Path(".assay")
_INTERRUPTED_LINE = "assay: interrupted; what was recorded stays, give the same command again"


@app.command()
def run(
    dataset: Annotated[str, typer.Argument(help="Name of a data contract, as rand_hie.")],
    stack: Annotated[str, typer.Option(help="tfx, pytorch or both.")] = "both",
    candidate: Annotated[
        str | None, typer.Option(help="Candidate of the policy; its first if not given.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option(help="Policy file; policies/DATASET.yaml if not given.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="CSV or Parquet, a file or a folder, instead of the contract's."),
    ] = None,
    home: HomeOption = _DEFAULT_HOME,
    beam: Annotated[
        str, typer.Option(help="Options for Beam, as one text: '--runner=... --...'.")
    ] = "",
    as_json: JsonOption = False,
) -> None:
    """Take a dataset through all eight stages; exit 0 if every run was released, 1 if not."""
    from pipelines.catalogue import find

    contract_path = find("schemas", dataset)
    policy_path = policy or find("policies", dataset)
    name = candidate or _first_candidate(contract_path, policy_path)
    summaries = _launch(
        contract_path, [(name, policy_path)], stack, home, data, beam.split(), as_json
    )
    raise typer.Exit(_finish(summaries, as_json, report=None))


@app.command()
def demo(home: HomeOption = _DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Real data, both stacks, three candidates, and a report. Exit 0 once it ran to its end."""
    from components.compare.report import write_report
    from pipelines.catalogue import find

    production, pilot = find("policies", "rand_hie"), find("policies", "rand_hie_pilot")
    wanted = [("plain", production), ("mitigated", production), ("mitigated", pilot)]
    summaries = _launch(find("schemas", "rand_hie"), wanted, "both", home, None, [], as_json)
    page = write_report(summaries, home / "report", metadata.version("assay"))
    _finish(summaries, as_json, report=page)


@app.command()
@reads_evidence
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run directories, as .assay/runs/...")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Directory to write to.")] = Path(
        "report"
    ),
) -> None:
    """Write the HTML report about some runs, from their evidence alone."""
    from components.compare.report import write_report
    from components.release.run_summary import summarise

    page = write_report([summarise(r) for r in runs], output, metadata.version("assay"))
    typer.echo(page)


@app.command()
def doctor(home: HomeOption = _DEFAULT_HOME, as_json: JsonOption = False) -> None:
    """Say whether this machine is fit to run Assay, and what to mend if not."""
    from pipelines.doctor import examine

    checks = examine(home)
    bad = [c for c in checks if c.status == "bad"]
    if as_json:
        print_json(
            {"checks": [{"name": c.name, "status": c.status, "detail": c.detail} for c in checks]}
        )
    else:
        for check in checks:
            typer.echo(f"{check.status:<7} {check.name:<16} {check.detail}")
        typer.echo(f"{len(bad)} to mend" if bad else "fit to run")
    raise typer.Exit(_CLOSED if bad else _OPEN)


def _first_candidate(contract_path: Path, policy_path: Path) -> str:
    from components.contract.contract_loader import load_contract
    from components.contract.policy_loader import load_policy

    return next(iter(load_policy(policy_path, load_contract(contract_path)).candidates))


def _launch(
    contract_path: Path,
    wanted: list[tuple[str, Path]],
    stack: str,
    home: Path,
    data: Path | None,
    beam_args: list[str],
    quiet: bool,
) -> list[RunSummary]:
    from rich.console import Console

    from components.release.run_summary import summarise
    from pipelines.launch import Order, execute, prepare, stacks_named
    from pipelines.show import Progress

    orders: list[Order] = [
        Order(s, candidate, policy) for s in stacks_named(stack) for candidate, policy in wanted
    ]
    console = Console(stderr=True, quiet=quiet, highlight=False)
    console.print(f"reading and cutting the data for {contract_path.stem}")
    specs = prepare(contract_path, orders, home, data)
    with Progress(console).watching() as progress:
        execute(specs, progress, beam_args)
    return [summarise(s.directory) for s in specs]


def _finish(summaries: list[RunSummary], as_json: bool, report: Path | None) -> int:
    """Print what came out, and return the exit code that says so."""
    from rich.console import Console

    from components.compare.report import headline
    from components.release.run_summary import as_json as summary_json
    from pipelines.show import print_tables

    if as_json:
        print_json(
            {
                "runs": [summary_json(s) for s in summaries],
                "report": str(report) if report else None,
            }
        )
    else:
        console = Console(highlight=False)
        print_tables(console, summaries)
        console.print(headline(summaries))
        if report is not None:
            console.print(f"report: {report}", soft_wrap=True)
    return _OPEN if all(s.outcome == "released" for s in summaries) else _CLOSED


def _break_down(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Python would exit 1 after an unforeseen error, and 1 means that a gate is closed."""
    from pipelines.worker import tell_without_values

    tell_without_values(kind, error, trace)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(AssayError.exit_code)


def _leave(code: int | None) -> None:
    """End the process; where a serving model was loaded, without waiting for its threads.

    Those that it leaves behind can abort a process while it ends, and what was decided is on disk.
    """
    if {"tensorflow", "onnxruntime"} & sys.modules.keys():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code or _OPEN)
    sys.exit(code)


def main() -> None:
    """Entry point. One line and exit 2 for bad input, one line and exit 3 for a malfunction."""
    sys.excepthook = _break_down
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Leave as after Ctrl-C: what stands in temporary folders goes with us.
        signal.signal(number, signal.default_int_handler)
    try:
        # Not through Typer's own call: that puts its excepthook, which prints messages, over ours.
        code = typer.main.get_command(app)(standalone_mode=False)
        if code == _INTERRUPTED:  # typer has turned Ctrl-C into this code
            print(_INTERRUPTED_LINE, file=sys.stderr)
        _leave(code)
    except TyperException as error:
        print(f"assay: {error} (see `assay --help`)", file=sys.stderr)
        sys.exit(_USAGE)
    except AssayError as error:
        print(f"assay: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print(_INTERRUPTED_LINE, file=sys.stderr)
        sys.exit(_INTERRUPTED)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_OPEN)


if __name__ == "__main__":
    main()
