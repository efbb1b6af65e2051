"""`assay score`: decisions about a batch of cases, by the release that stands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.options import HomeOption, JsonOption

if TYPE_CHECKING:
    from components.contract.contract import Contract
    from components.datasets.sources import RowSource
    from components.decisions.decision_log import DecisionLog
    from components.decisions.scoring import Watch
    from components.stacks.batch_scoring import DecidingRelease
    from pipelines.check import Checked

_DEFAULT_HOME = Path(".assay")
_ALL = "rows"


def score(
    release: Annotated[
        str, typer.Argument(help="DATASET/STACK, DATASET/STACK@NUMBER, or a released run's id.")
    ],
    data: Annotated[Path, typer.Option(help="CSV or Parquet, a file or a folder of them.")],
    home: HomeOption = _DEFAULT_HOME,
    expect_head: Annotated[
        str | None,
        typer.Option(help="The head that was told of this batch before."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check a batch, score it with the release that stands, and log one decision a row.

    Told again about the same batch it goes on where it was stopped. Exit 0 once every row has its
    decision, 1 if the batch is refused. Keep the head that it tells: a log that lost its last
    entries shows by it alone.
    """
    from components.datasets.sources import open_source
    from components.decisions.batch_logs import find_log, row_key_id
    from components.decisions.log_form import REFUSE
    from components.decisions.scoring import batch_digest
    from components.lineage.durable import locked_directory, writable_directory
    from components.lineage.row_key import read_row_key
    from components.stacks.batch_scoring import batch_contract, find_release, open_release
    from components.stacks.telemetry import switch_off
    from pipelines.evidence_commands import require_home

    require_home(home)
    switch_off()
    home = home.resolve()
    deciding = open_release(home, find_release(home, release))
    source = open_source(deciding.contract, data)
    contract = batch_contract(deciding, source)
    key = read_row_key(home)
    batch = batch_digest(key, source)
    # One at a time: two commands would both begin a log of the same batch.
    with locked_directory(writable_directory(home / "decisions")):
        log, checked = find_log(home, deciding.release.digest, batch, key), None
        if expect_head is not None:
            _require_head(log, expect_head)
        if log is None:
            checked = _checked(deciding, contract, source, quiet=as_json)
            log = _begin(home, deciding, batch, row_key_id(key), checked)
        if not log.closed:
            _score(log, deciding, contract, source, key, quiet=as_json)
    _tell(log, checked, as_json)
    raise typer.Exit(1 if log.header["route"] == REFUSE else 0)


def _checked(
    deciding: DecidingRelease, contract: Contract, source: RowSource, *, quiet: bool
) -> Checked:
    """The contract's clauses and drift from the training rows, on a batch of any size."""
    from rich.console import Console

    from pipelines.check import check_batch

    console = Console(stderr=True, quiet=quiet, highlight=False)
    with console.status("checking the batch") as status:
        return check_batch(
            contract, deciding.policy, source, deciding.profile,
            lambda column: status.update(f"checking {column}"),
        )  # fmt: skip


def _require_head(log: DecisionLog | None, head: str) -> None:
    """A log whose tail was cut off, or that is gone, would be decided again unseen."""
    from components.contract.errors import EvidenceError

    if log is None:
        raise EvidenceError("the decision log of this batch is gone: no log has the expected head")
    log.require_head(head)


def _begin(
    home: Path, deciding: DecidingRelease, batch: str, row_key: str, checked: Checked
) -> DecisionLog:
    from components.decisions.batch_logs import begin_log
    from components.lineage.actor import actor

    release = deciding.release
    about = {
        "dataset": release.dataset,
        "stack": release.stack,
        "release": release.number,
        "releaseDigest": release.digest,
        "run": release.run,
        "model": release.model,
        "policy": release.policy,
        "contract": release.contract,
        "threshold": repr(deciding.policy.decision_threshold),
        "batch": batch,
        "rowKey": row_key,
        "batchRows": checked.rows,
        "actor": actor(),
    }
    return begin_log(home, about, deciding.policy.decision, checked.verdict)


def _score(
    log: DecisionLog,
    deciding: DecidingRelease,
    contract: Contract,
    source: RowSource,
    key: bytes,
    *,
    quiet: bool,
) -> None:
    from components.decisions.baseline_row import baseline_row
    from components.decisions.log_form import REVIEW_ALL
    from components.decisions.scoring import Rules, score_batch
    from components.profile.stored import StoredProfile
    from components.stacks.batch_scoring import load_scorer

    scorer = load_scorer(deciding)
    profile = StoredProfile.read(deciding.profile).profile
    columns = [contract.column(n) for n in deciding.inputs]
    rules = Rules(
        contract=contract,
        inputs=deciding.inputs,
        threshold=deciding.policy.decision_threshold,
        policy=deciding.policy.decision,
        review=log.header["route"] == REVIEW_ALL,
        baseline=lambda schema: baseline_row(profile, columns, schema),
    )
    with _progress(log.header["batchRows"], quiet=quiet) as watch:
        score_batch(log, scorer, rules, source, key, watch)


@contextmanager
def _progress(rows: int, *, quiet: bool) -> Iterator[Watch]:
    """A bar of decided rows on a terminal; nothing on a pipe."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True, highlight=False)
    with Progress(console=console, disable=quiet or not console.is_terminal) as progress:
        task = progress.add_task("scoring", total=rows)
        yield lambda done: progress.update(task, completed=done)


def _tell(log: DecisionLog, checked: Checked | None, as_json: bool) -> None:
    from rich.console import Console

    from components.checks.small_figures import NOT_SHOWN
    from components.decisions.log_form import REFUSE
    from components.decisions.scoring import outcomes
    from pipelines import check_output
    from pipelines.json_output import print_json

    header, told = log.header, _shown(outcomes(log))
    if as_json:
        print_json(
            {
                "log": log.log_id,
                "head": log.head,
                "release": header["release"],
                "route": header["route"],
                "check": header["check"],
                "rows": told.pop(_ALL),
                "outcomes": told,
            }
        )
        return
    if checked is not None and not checked.verdict.is_open:
        check_output.print_table(Console(highlight=False), checked)
    del told[_ALL]
    named = ", ".join(
        f"{outcome} {NOT_SHOWN}" if n is None else f"{n:,} {outcome}" for outcome, n in told.items()
    )
    said = "refused, no row was scored" if header["route"] == REFUSE else named
    typer.echo(f"{log.log_id}: {said}")
    typer.echo(f"head {log.head}")


def _shown(counted: dict[str, int]) -> dict[str, int | None]:
    """Number of decisions of each outcome and of all; None where it would tell of 1 to 10."""
    from components.checks.suppression import Sum, hidden_cells

    cells = {**counted, _ALL: sum(counted.values())}
    hidden = hidden_cells(cells, [Sum(_ALL, frozenset(counted))])
    return {name: None if name in hidden else n for name, n in cells.items()}
