"""What TFDV found when it compared the current rows with the baseline's, as findings."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from components.checks.measurement import Finding, Measurement, Status, within
from components.checks.suppression import told_count
from components.contract.clauses import drifting_columns
from components.contract.contract import Contract
from components.contract.policy import MISSING, DataGatePolicy, DriftStatistic
from components.profile.compute import is_numeric
from components.stacks.tfx_stack.example_columns import drift_feature
from components.stacks.tfx_stack.schema_anomalies import kinds_of

_STATISTICS = {
    anomalies_pb2.DriftSkewInfo.Measurement.JENSEN_SHANNON_DIVERGENCE: (
        DriftStatistic.JENSEN_SHANNON
    ),
    anomalies_pb2.DriftSkewInfo.Measurement.L_INFTY: DriftStatistic.L_INFINITY,
}
_RATIO_BREAKS = {
    "row_ratio:least": "COMPARATOR_LOW_NUM_EXAMPLES",
    "row_ratio:most": "COMPARATOR_HIGH_NUM_EXAMPLES",
}


def row_ratio_findings(
    anomalies: Any | None, rules: Sequence[str], baseline: int, current: int, policy: DataGatePolicy
) -> list[Finding]:
    """One finding for each ``row_ratio`` rule, on the rows that TFDV counted.

    TFDV says nothing where a ratio holds: silence passes only beside its own counts of both sides,
    held to the same limit.

    Args:
        anomalies: what the comparison of current with baseline statistics gave; None if nothing.
        rules: the policy's rules on the ratio, ``row_ratio:least`` or ``row_ratio:most``.
        baseline: rows behind the baseline's statistics.
        current: rows behind the current statistics.
        policy: the data gate's policy.
    """
    limits = {
        "row_ratio:least": {"at_least": policy.row_ratio_at_least},
        "row_ratio:most": {"at_most": policy.row_ratio_at_most},
    }
    findings = []
    for rule in rules:
        if anomalies is None or not baseline or not current:
            reason = f"{rule} unknown: TFDV made no comparison"
            findings.append(Finding(rule, Status.INCONCLUSIVE, reason))
            continue
        ratio = current / baseline
        measured = Measurement("current rows by baseline rows", ratio, current, source="tfdv")
        found = within(rule, measured, **limits[rule])
        if _RATIO_BREAKS[rule] in kinds_of(anomalies.dataset_anomaly_info):
            found = Finding(rule, Status.FAIL, f"TFDV finds {rule} broken", measured)
        findings.append(found)
    return findings


def drift_findings(
    anomalies: Any | None,
    compared: Mapping[str, DriftStatistic],
    rows: Mapping[str, int],
    policy: DataGatePolicy,
    uncounted: Collection[str] = (),
) -> list[Finding]:
    """One finding for each column that TFDV can compare.

    Args:
        anomalies: what the comparison of current with baseline statistics gave; None if nothing.
        compared: the columns that have a comparator, with its statistic.
        rows: rows behind each side's statistics.
        policy: the data gate's policy.
        uncounted: columns with more categories than the policy has them counted: TFDV compares
            the most frequent ones then, which is another question.
    """
    fewest = min(rows.values())
    values = _drift_values(anomalies)
    findings = []
    for name, statistic in compared.items():
        rule = f"drift:{name}"
        if fewest < policy.min_rows:
            reason = f"{told_count(fewest)} rows on one side, at least {policy.min_rows} required"
        elif name in uncounted:
            reason = f"more than {policy.max_categories} categories"
        elif (drift_feature(name), statistic) not in values:
            reason = "TFDV made no comparison"
        else:
            value = values[drift_feature(name), statistic]
            measured = Measurement(str(statistic), value, fewest, slice=name, source="tfdv")
            findings.append(within(rule, measured, at_most=policy.limit_for(name).at_most))
            continue
        findings.append(Finding(rule, Status.INCONCLUSIVE, f"drift of {name} unknown: {reason}"))
    return findings


def uncounted_columns(
    sides: Iterable[statistics_pb2.DatasetFeatureStatisticsList],
    contract: Contract,
    policy: DataGatePolicy,
) -> set[str]:
    """The columns that have more categories on a side than the policy has them counted.

    Null is a category of the drift feature, and is not counted among them. Beyond some thousand
    categories TFDV's number of distinct values is an estimate.
    """
    by_feature = {
        drift_feature(name): name
        for name in drifting_columns(contract)
        if not is_numeric(contract.column(name))
    }
    found = set()
    for feature in (f for side in sides for d in side.datasets for f in d.features):
        name = by_feature.get(".".join(feature.path.step) or feature.name)
        texts = {b.label for b in feature.string_stats.rank_histogram.buckets}
        if name and feature.string_stats.unique - (MISSING in texts) > policy.max_categories:
            found.add(name)
    return found


def _drift_values(anomalies: Any | None) -> dict[tuple[str, DriftStatistic], float]:
    if anomalies is None:
        return {}
    return {
        (".".join(info.path.step), _STATISTICS[m.type]): m.value
        for info in anomalies.drift_skew_info
        for m in info.drift_measurements
        if m.type in _STATISTICS
    }
