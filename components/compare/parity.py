"""Whether the two stacks were asked the same question and gave compatible answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from components.compare.comparison import Line, Table
from components.release.run_summary import NOT_RUN, RunSummary


@dataclass(frozen=True, slots=True)
class Parity:
    """Two runs of the same candidate and policy, one a stack, side by side.

    ``same_rows``: both read exactly the rows of one manifest, split by split. ``same_budget``: one
    policy digest, so one seed, network, number of epochs and batch size. ``intervals_overlap``:
    the two AUC intervals share a point; None where a run has no AUC.
    """

    candidate: str
    policy: str
    same_rows: bool
    same_budget: bool
    intervals_overlap: bool | None
    runs: tuple[RunSummary, RunSummary]


def parity(runs: list[RunSummary]) -> list[Parity]:
    """Pair runs by candidate and policy, the latest run of each stack, in the runs' order."""
    latest: dict[tuple[str, str], dict[str, RunSummary]] = {}
    for run in runs:
        latest.setdefault((run.candidate, run.policy.name), {})[run.stack] = run
    return [
        _compare(candidate, policy, *sorted(pair.values(), key=lambda r: r.stack))
        for (candidate, policy), pair in latest.items()
        if len(pair) == 2
    ]


def _compare(candidate: str, policy: str, a: RunSummary, b: RunSummary) -> Parity:
    read_right = all(
        next(s.status for s in run.stages if s.stage == "ingest") == "PASS" for run in (a, b)
    )
    first, second = a.figure("roc_auc"), b.figure("roc_auc")
    overlap = None
    if first and second and None not in (first.low, first.high, second.low, second.high):
        overlap = bool(
            max(first.low or 0, second.low or 0) <= min(first.high or 0, second.high or 0)
        )
    return Parity(
        candidate=candidate,
        policy=policy,
        same_rows=read_right and a.dataset_version == b.dataset_version,
        same_budget=a.policy.digest == b.policy.digest,
        intervals_overlap=overlap,
        runs=(a, b),
    )


def parity_table(runs: Mapping[str, RunSummary]) -> Table:
    """What both stacks were given, and the figures that they came to, stack by stack."""
    lines = [
        _line(runs, "outcome", lambda r: r.outcome),
        _line(runs, "candidate", lambda r: r.candidate),
        _line(runs, "rows read", lambda r: r.rows_root[:16], unit="digest of all rows"),
        _line(runs, "budget", lambda r: r.policy.digest[:16], unit="digest of the policy"),
        *(
            _line(runs, title, lambda r, n=name: _told(r, n))  # type: ignore[misc]
            for title, name in _FIGURES.items()
        ),
        _line(
            runs,
            "worst gap between groups",
            lambda r: f"{r.worst_gap} {r.worst_gap.slice}" if r.worst_gap else None,
            unit="difference of true positive rates",
        ),
        _line(runs, "stages run", lambda r: sum(s.status != NOT_RUN for s in r.stages)),
        _line(runs, "wall time", lambda r: round(r.seconds, 1), unit="seconds"),
    ]
    return Table(
        "parity",
        "Parity: what both were given, and what they came to",
        "The same digests mean the same rows and the same budget: seed, network, epochs, batch "
        "size. Figures are the referee's, with their intervals at the policy's confidence.",
        tuple(lines),
    )


_FIGURES = {
    "ROC AUC": "roc_auc",
    "average precision": "average_precision",
    "Brier score": "brier",
    "calibration error": "calibration_error",
    "share selected": "selection_rate",
    "true positive rate": "tpr",
    "false positive rate": "fpr",
}


def _told(run: RunSummary, name: str) -> str | None:
    figure = run.figure(name)
    return str(figure) if figure else None


def _line(
    runs: Mapping[str, RunSummary],
    name: str,
    value: Callable[[RunSummary], float | str | None],
    unit: str = "",
) -> Line:
    values = {stack: value(run) for stack, run in runs.items()}
    missing = any(v is None for v in values.values())
    return Line(
        name,
        unit,
        values,
        "; ".join(f"{r.run_id}, record release_gate" for r in runs.values()),
        note="not measured at the release gate" if missing else "",
    )
