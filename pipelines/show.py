"""Runs on a terminal: a line for each record as it is written, and a table at the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.status import Status
from rich.table import Table
from rich.text import Text

from components.contract.stages import Stage
from components.lineage.evidence import CLOSING_STAGE, EvidenceRecord
from components.release.run_summary import NOT_RUN, RunSummary
from components.stacks.run_spec import RunSpec

STYLES = {
    "PASS": "green",
    "FAIL": "red",
    "INCONCLUSIVE": "yellow",
    NOT_RUN: "dim",
    "released": "bold green",
    "blocked": "bold red",
}


class Progress:
    """Prints each record as it comes, and meanwhile says what is running."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._status: Status | None = None

    @contextmanager
    def watching(self) -> Iterator[Progress]:
        """Show what is running until the block ends; on a pipe, only the finished lines."""
        with self._console.status("starting (frameworks take some seconds to load)") as status:
            self._status = status
            yield self
        self._status = None

    def __call__(self, spec: RunSpec, record: EvidenceRecord) -> None:
        """One record was written."""
        who = f"{spec.stack:<8} {spec.candidate:<10}"
        if record.stage == CLOSING_STAGE:
            outcome = record.body["outcome"]
            self._console.print(
                Text(f"{who} "), Text(outcome, STYLES.get(outcome, "yellow")), sep="", end="  "
            )
            self._console.print(Text(record.body["reason"], "dim"))
            return
        status = record.body["verdict"]["status"]
        waived = "  excused by a waiver" if record.body.get("waiver") else ""
        self._console.print(
            Text(f"{who} {record.stage:<13}"),
            Text(f"{status:<13}", STYLES[status]),
            Text(f"{record.body['seconds']:>6} s{waived}", "dim"),
            sep="",
        )
        if self._status is not None:
            stages = [str(s) for s in Stage]
            following = stages[stages.index(record.stage) + 1 :][:1]
            self._status.update(f"{spec.stack} {spec.candidate}: {(following or ['closing'])[0]}")


def print_tables(console: Console, runs: list[RunSummary]) -> None:
    """One table a stack: stages down, candidates across."""
    for stack in dict.fromkeys(r.stack for r in runs):
        mine = [r for r in runs if r.stack == stack]
        table = Table(title=f"{stack}", title_justify="left", title_style="bold")
        table.add_column("stage")
        for run in mine:
            table.add_column(f"{run.candidate}\n{run.policy.name}")
        for i, stage in enumerate(Stage):
            cells = []
            for run in mine:
                found = run.stages[i]
                took = "" if found.status == NOT_RUN else f" {found.seconds:.1f} s"
                cells.append(Text(found.status + took, STYLES[found.status]))
            table.add_row(stage.replace("_", " "), *cells)
        table.add_section()
        table.add_row("AUC", *(str(r.figure("roc_auc") or "–") for r in mine))
        table.add_row(
            "worst TPR gap",
            *(f"{g}\n{g.slice}" if (g := r.worst_gap) else "–" for r in mine),
        )
        table.add_row("seconds", *(f"{r.seconds:.1f}" for r in mine))
        table.add_row("outcome", *(Text(r.outcome, STYLES.get(r.outcome, "yellow")) for r in mine))
        console.print(table)
