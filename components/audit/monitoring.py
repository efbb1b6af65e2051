"""What the decisions of a release come to in production, judged under the policy's limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.checks.drift import jensen_shannon
from components.checks.fairness import Proportion, compare
from components.checks.measurement import Finding, Measurement, Status, Verdict, conclude, within
from components.checks.suppression import is_small, told_count
from components.contract.errors import EvidenceError, InputError
from components.contract.monitoring_policy import MonitoringPolicy, load_monitoring
from components.contract.policy import Metric, Slice
from components.contract.stages import PREDICTIONS, Stage
from components.decisions.decision_log import REVIEW, DecisionLog, decision_logs
from components.decisions.log import SELECTED
from components.lineage.digests import sha256_file
from components.release.records import Release, histories, read_releases
from components.release.run_evidence import RunEvidence, read_evidence

_GROUP = "assay_group_"
_NO_GROUP = "(missing)"
_Counts = npt.NDArray[np.float64]


@dataclass
class Counted:
    """What some logs hold: scores by bin, outcomes, and outcomes by group of each column."""

    bins: _Counts
    outcomes: Counter[str] = field(default_factory=Counter)
    groups: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)
    without_groups: bool = False

    @property
    def rows(self) -> int:
        """Number of decisions."""
        return self.outcomes.total()


def monitor_release(home: Path, dataset: str, stack: str, names: Sequence[str]) -> Verdict:
    """Judge decision logs of the standing release of a history; all of them if none is named.

    Raises:
        InputError: there is no such release, or no such log.
        EvidenceError: a record or a log was changed, or a named log is of another release.
    """
    if (dataset, stack) not in histories(home):
        raise InputError(
            "has no release", where=f"{dataset}/{stack}"[:120], expected="DATASET/STACK of the home"
        )
    release = read_releases(home, dataset, stack)[-1]
    logs = [DecisionLog.open(home, n) for n in dict.fromkeys(names)] or [
        log for log in decision_logs(home) if log.header.get("releaseDigest") == release.digest
    ]
    run = read_evidence(home / "runs" / release.run)
    return monitor(run, release, logs, load_monitoring(run.policy.path))


def monitor(
    run: RunEvidence, release: Release, logs: Iterable[DecisionLog], limits: MonitoringPolicy | None
) -> Verdict:
    """Judge the decisions of a release.

    Args:
        run: evidence of the release's run.
        release: the release that every log has to name.
        logs: its decision logs.
        limits: the policy's section; without one nothing is judged, and the verdict is closed.

    Raises:
        EvidenceError: a log is of another release, or a file is not the one that was recorded.
    """
    if limits is None:
        return Verdict(Status.INCONCLUSIVE, "the policy has no limits for monitoring")
    bins = run.policy.data_gate.bins
    found = count(logs, release, bins)
    if found.rows < limits.min_n:
        reason = f"{told_count(found.rows)} decisions, at least {limits.min_n} required"
        return Verdict(Status.INCONCLUSIVE, reason)
    drift = jensen_shannon(_binned(_evaluation_scores(run), bins), found.bins)
    return conclude(
        [
            within(
                "monitoring:score_drift",
                Measurement("jensen_shannon of scores", drift, found.rows, unit="bit"),
                at_most=limits.score_drift_at_most,
            ),
            _review_share(found.outcomes[REVIEW], found.rows, limits.review_share_at_most),
            *selection_gaps(run, found, limits),
        ]
    )


def _review_share(review: int, rows: int, at_most: float) -> Finding:
    """The share of decisions by people; where they are 1 to 10, only whether the limit holds."""
    rule = "monitoring:review_share"
    judged = within(rule, Measurement("review share", review / rows, rows), at_most=at_most)
    if not is_small(review):
        return judged
    reason = f"review share of {told_count(review)} decisions, at most {at_most:g} required"
    return Finding(rule, judged.status, reason)


def count(logs: Iterable[DecisionLog], release: Release, bins: int) -> Counted:
    """Add up logs, one segment at a time; scores in ``bins`` equal bins of [0, 1]."""
    found = Counted(np.zeros(bins))
    for log in logs:
        if log.header.get("releaseDigest") != release.digest:
            raise EvidenceError(f"decision log {log.log_id} is of another release")
        for segment in log.segments:
            _add(found, log.open_segment(segment).read(), bins)
    return found


def _add(found: Counted, table: pa.Table, bins: int) -> None:
    found.bins += _binned(table["score"].to_numpy(), bins)
    outcomes = table["outcome"].to_pylist()
    found.outcomes.update(outcomes)
    columns = [n for n in table.column_names if n.startswith(_GROUP)]
    found.without_groups |= not columns
    for name in columns:
        labels = pc.fill_null(table[name].cast(pa.string()), _NO_GROUP).to_pylist()
        held = found.groups.setdefault(name.removeprefix(_GROUP), Counter())
        held.update(zip(labels, outcomes, strict=True))


def _binned(scores: _Counts, bins: int) -> _Counts:
    return np.histogram(scores, bins=bins, range=(0.0, 1.0))[0].astype(np.float64)


def _evaluation_scores(run: RunEvidence) -> _Counts:
    gate = run.stage(Stage.RELEASE_GATE)
    path = run.directory.parent / run.origin_id / "artifacts" / f"{PREDICTIONS}.parquet"
    recorded = gate.body["outputs"].get(PREDICTIONS) if gate else None
    if recorded is None or not path.is_file() or sha256_file(path) != recorded["sha256"]:
        raise EvidenceError(f"{path.name} of run {run.origin_id} is not what its gate recorded")
    scores: _Counts = pq.read_table(path, columns=["score"])["score"].to_numpy()
    return scores


def selection_gaps(run: RunEvidence, found: Counted, limits: MonitoringPolicy) -> Iterator[Finding]:
    """The largest gap of selection rates of each protected column; people decide ``review``."""
    confidence = run.policy.release_gate.confidence
    for column in (c.name for c in run.contract.protected):
        rule = f"monitoring:selection_gap:{column}"
        held = found.groups.get(column)
        if held is None or found.without_groups:
            reason = f"selection gap of {column} unknown: a log does not hold the groups"
            yield Finding(rule, Status.INCONCLUSIVE, reason)
            continue
        groups = {}
        for label in sorted({g for g, _ in held}):
            decided = {o: n for (g, o), n in held.items() if g == label and o != REVIEW}
            groups[label] = Proportion(decided.get(SELECTED, 0), sum(decided.values()))
        fewest = min(g.cases for g in groups.values())
        if fewest < limits.min_n:
            reason = (
                f"selection gap of {column} unknown: {told_count(fewest)} decisions in the "
                f"smallest group, at least {limits.min_n} required"
            )
            yield Finding(rule, Status.INCONCLUSIVE, reason)
            continue
        gap = compare(
            Metric.SELECTION_RATE_DIFFERENCE, list(groups.values()), Slice((column,)), confidence
        )
        yield within(rule, gap, at_most=limits.selection_gap_at_most)
