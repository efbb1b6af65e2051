"""Whether the two stacks were asked the same question and gave compatible answers."""

from __future__ import annotations

from dataclasses import dataclass

from components.release.run_summary import RunSummary


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
