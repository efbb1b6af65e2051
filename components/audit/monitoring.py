"""What the decisions of a release come to in production, judged under the policy's limits."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from components.audit.monitoring_counts import Counted, Watch, binned, count
from components.audit.monitoring_groups import gaps, group_rates
from components.audit.monitoring_labels import label_findings
from components.audit.monitoring_secrecy import REVIEW_SHARE, ROWS, hidden
from components.audit.monitoring_shown import Shown
from components.checks.drift import jensen_shannon
from components.checks.measurement import Finding, Measurement, Status, Verdict, conclude
from components.checks.suppression import told_count
from components.checks.tallies import Floats
from components.contract.errors import EvidenceError, InputError
from components.contract.monitoring_policy import MonitoringPolicy, load_monitoring
from components.contract.stages import PREDICTIONS, Stage
from components.decisions.decision_log import REVIEW, DecisionLog, decision_logs
from components.decisions.later_labels import open_labels
from components.lineage.digests import sha256_file
from components.release.records import Release, histories, read_releases
from components.release.run_evidence import RunEvidence, read_evidence


@dataclass(frozen=True, slots=True)
class Monitored:
    """The verdict, and the figures that have no limit of their own: rates by group, first of all.

    A figure that is not open is of fewer than 11 people, or would give such a count away.
    """

    verdict: Verdict
    figures: tuple[Shown, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """JSON of the verdict and the figures."""
        return {
            "verdict": self.verdict.to_json(),
            "figures": [figure.to_json() for figure in self.figures],
        }


@dataclass(frozen=True, slots=True)
class Watched:
    """What is monitored: a history's standing release, its run, its limits, and decision logs."""

    release: Release
    run: RunEvidence
    limits: MonitoringPolicy | None
    logs: tuple[DecisionLog, ...]

    @property
    def rows(self) -> int:
        """Number of decisions in the logs."""
        return sum(log.rows for log in self.logs)


def find_watched(home: Path, dataset: str, stack: str, names: Sequence[str]) -> Watched:
    """The standing release of a history with the logs of that name; all of its logs if none is.

    Raises:
        InputError: there is no such release, or no such log, or one that is named was given up.
        EvidenceError: a record or a log was changed, or a named log is of another release.
    """
    if (dataset, stack) not in histories(home):
        raise InputError(
            "has no release", where=f"{dataset}/{stack}"[:120], expected="DATASET/STACK of the home"
        )
    release = read_releases(home, dataset, stack)[-1]
    logs = [DecisionLog.open(home, n) for n in dict.fromkeys(names)] or [
        log
        for log in decision_logs(home)
        if log.header["releaseDigest"] == release.digest and not log.aborted
    ]
    for log in logs:
        if log.header.get("releaseDigest") != release.digest:
            raise EvidenceError(f"decision log {log.log_id} is of another release")
        if why := log.aborted:
            raise InputError(
                f"was given up: {why}", where=log.log_id, expected="a log whose decisions stand"
            )
    run = read_evidence(home / "runs" / release.run)
    return Watched(release, run, load_monitoring(run.policy.path), tuple(logs))


def monitor(
    watched: Watched,
    labels: Path | None = None,
    inputs: Iterable[Finding] | None = None,
    watch: Watch = lambda _rows: None,
) -> Monitored:
    """Judge the decisions of a release; without limits nothing is judged, and that is closed.

    Args:
        watched: the release and its logs.
        labels: a file of labels that came later; see ``open_labels``.
        inputs: what the drift of the inputs was found to be, if they were given.
        watch: told the number of decisions that were read.

    Raises:
        InputError: the labels cannot be read, or are not of these decisions.
        EvidenceError: a file is not the one that was recorded.
    """
    limits = watched.limits
    if limits is None:
        reason = "the policy has no limits for monitoring"
        return Monitored(Verdict(Status.INCONCLUSIVE, reason))
    policy = watched.run.policy
    if labels is None:
        found = count(watched.logs, policy, None, watch)
    else:
        with open_labels(labels, {log.log_id: log.rows for log in watched.logs}) as opened:
            found = count(watched.logs, policy, opened, watch)
    if found.rows < limits.min_n:
        reason = f"{told_count(found.rows)} decisions, at least {limits.min_n} required"
        return Monitored(Verdict(Status.INCONCLUSIVE, reason))
    told = judged(watched.run, found, limits)
    told += _inputs(limits, inputs)
    findings = [item for item in told if isinstance(item, Finding)]
    return Monitored(conclude(findings), tuple(i for i in told if isinstance(i, Shown)))


def judged(run: RunEvidence, found: Counted, limits: MonitoringPolicy) -> list[Finding | Shown]:
    """Everything that is said of what was counted: findings, and figures that have no limit."""
    secret = hidden(found, run.policy.decision.adverse)
    confidence = run.policy.release_gate.confidence
    columns = [c.name for c in run.contract.protected]
    drift = jensen_shannon(binned(_evaluation_scores(run), len(found.bins)), found.bins)
    scores = Measurement("jensen_shannon of scores", drift, found.rows, unit="bit")
    share = Measurement("review share", found.outcomes[REVIEW] / found.rows, found.rows)
    told: list[Finding | Shown] = [
        Shown(scores, ROWS not in secret).judged(
            "monitoring:score_drift", at_most=limits.score_drift_at_most
        ),
        Shown(share, secret.isdisjoint({ROWS, REVIEW_SHARE})).judged(
            "monitoring:review_share", at_most=limits.review_share_at_most
        ),
    ]
    told += gaps(found, secret, columns, limits, confidence)
    told += label_findings(found, secret, limits, run.policy)
    told += group_rates(found, secret, columns, confidence)
    return told


def _inputs(limits: MonitoringPolicy, inputs: Iterable[Finding] | None) -> Iterator[Finding]:
    rule = "monitoring:input_drift"
    if inputs is None:
        if limits.input_drift is not None:
            yield Finding(rule, Status.INCONCLUSIVE, "drift of inputs unknown: inputs not given")
    elif limits.input_drift is None:
        reason = "drift of inputs not judged: the policy has no limit for it"
        yield Finding(rule, Status.INCONCLUSIVE, reason)
    else:
        yield from inputs


def _evaluation_scores(run: RunEvidence) -> Floats:
    gate = run.stage(Stage.RELEASE_GATE)
    path = run.directory.parent / run.origin_id / "artifacts" / f"{PREDICTIONS}.parquet"
    recorded = gate.body["outputs"].get(PREDICTIONS) if gate else None
    if recorded is None or not path.is_file() or sha256_file(path) != recorded["sha256"]:
        raise EvidenceError(f"{path.name} of run {run.origin_id} is not what its gate recorded")
    scores: Floats = pq.read_table(path, columns=["score"])["score"].to_numpy()
    return scores
