"""TFDV's anomalies as findings. Its descriptions quote the data and are never carried over."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from components.checks.measurement import Finding, Measurement, Status, within
from components.contract.policy import DataGatePolicy, DriftStatistic
from components.stacks.tfx_stack.example_columns import drift_feature

_FILE = "SchemaDiff.pb"
_STATISTICS = {
    anomalies_pb2.DriftSkewInfo.Measurement.JENSEN_SHANNON_DIVERGENCE: (
        DriftStatistic.JENSEN_SHANNON
    ),
    anomalies_pb2.DriftSkewInfo.Measurement.L_INFTY: DriftStatistic.L_INFINITY,
}


def read_anomalies(anomalies_uri: str, part: str) -> Any | None:
    """The anomalies that a validator wrote for a split or pair of splits; None if it wrote none."""
    path = Path(anomalies_uri) / part / _FILE
    if not path.exists():
        return None
    return anomalies_pb2.Anomalies.FromString(path.read_bytes())


def read_row_counts(statistics_uri: str, splits: tuple[str, ...]) -> dict[str, int]:
    """Rows behind each split's statistics; 0 where there are none."""
    counts = {}
    for split in splits:
        path = Path(statistics_uri) / f"Split-{split}" / "FeatureStats.pb"
        found = statistics_pb2.DatasetFeatureStatisticsList()
        if path.exists():
            found.ParseFromString(path.read_bytes())
        counts[split] = sum(int(d.num_examples) for d in found.datasets)
    return counts


def schema_findings(anomalies: Any | None, split: str) -> list[Finding]:
    """One finding for each column that breaks the schema, or one that says that none does."""
    if anomalies is None or anomalies.data_missing:
        return [Finding(f"schema:{split}", Status.INCONCLUSIVE, f"TFDV saw no {split} rows")]
    found = [
        Finding(
            f"schema:{split}:{name}",
            Status.FAIL,
            f"{name} breaks the schema in {split}: {', '.join(_kinds(info))}",
        )
        for name, info in sorted(_by_column(anomalies).items())
    ]
    if anomalies.HasField("dataset_anomaly_info"):
        kinds = ", ".join(_kinds(anomalies.dataset_anomaly_info))
        found.append(Finding(f"schema:{split}", Status.FAIL, f"{split} as a whole: {kinds}"))
    ok = Finding(f"schema:{split}", Status.PASS, f"{split} rows keep to the schema")
    return found or [ok]


def _by_column(anomalies: Any) -> dict[str, Any]:
    return {".".join(info.path.step) or key: info for key, info in anomalies.anomaly_info.items()}


def _kinds(info: Any) -> list[str]:
    """Names of the kinds of anomaly: words of TFDV's, never a value of the data."""
    return sorted({anomalies_pb2.AnomalyInfo.Type.Name(r.type).lower() for r in info.reason})


def drift_findings(
    anomalies: Any | None,
    compared: Mapping[str, DriftStatistic],
    rows: Mapping[str, int],
    policy: DataGatePolicy,
) -> list[Finding]:
    """One finding for each column that TFDV can compare.

    Args:
        anomalies: what the comparison of current with baseline statistics gave; None if nothing.
        compared: the columns that have a comparator, with its statistic.
        rows: rows behind each side's statistics.
        policy: the data gate's policy.
    """
    fewest = min(rows.values())
    values = _drift_values(anomalies)
    findings = []
    for name, statistic in compared.items():
        rule = f"drift:{name}"
        if fewest < policy.min_rows:
            reason = f"{fewest} rows on one side, at least {policy.min_rows} required"
        elif (drift_feature(name), statistic) not in values:
            reason = "TFDV made no comparison"
        else:
            value = values[drift_feature(name), statistic]
            measured = Measurement(str(statistic), value, fewest, slice=name, source="tfdv")
            findings.append(within(rule, measured, at_most=policy.limit_for(name).at_most))
            continue
        findings.append(Finding(rule, Status.INCONCLUSIVE, f"drift of {name} unknown: {reason}"))
    return findings


def _drift_values(anomalies: Any | None) -> dict[tuple[str, DriftStatistic], float]:
    if anomalies is None:
        return {}
    return {
        (".".join(info.path.step), _STATISTICS[m.type]): m.value
        for info in anomalies.drift_skew_info
        for m in info.drift_measurements
        if m.type in _STATISTICS
    }
