"""The native findings of the data gate, read from what the validators left."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

from components.checks.drift import first_release_findings
from components.checks.measurement import Finding
from components.contract.clauses import ClauseKind
from components.contract.contract import Contract
from components.contract.policy import Policy
from components.stacks.tfx_stack.comparison_anomalies import (
    drift_findings,
    row_ratio_findings,
    uncounted_columns,
)
from components.stacks.tfx_stack.contract_to_tfmd import claimed_clauses, compared_columns
from components.stacks.tfx_stack.null_counts import null_findings
from components.stacks.tfx_stack.parquet_example_gen import BASELINE, CURRENT
from components.stacks.tfx_stack.schema_anomalies import schema_findings

_FILE = "SchemaDiff.pb"
_COMPARING = (ClauseKind.ROW_RATIO, ClauseKind.DRIFT)


def read_anomalies(anomalies_uri: str, part: str) -> Any | None:
    """The anomalies that a validator wrote for a split or pair of splits; None if it wrote none."""
    path = Path(anomalies_uri) / part / _FILE
    if not path.exists():
        return None
    return anomalies_pb2.Anomalies.FromString(path.read_bytes())


def read_statistics(
    statistics_uri: str, splits: tuple[str, ...]
) -> dict[str, statistics_pb2.DatasetFeatureStatisticsList]:
    """Each split's statistics; empty where there are none."""
    read = {}
    for split in splits:
        path = Path(statistics_uri) / f"Split-{split}" / "FeatureStats.pb"
        read[split] = statistics_pb2.DatasetFeatureStatisticsList()
        if path.exists():
            read[split].ParseFromString(path.read_bytes())
    return read


def row_counts(
    statistics: Mapping[str, statistics_pb2.DatasetFeatureStatisticsList],
) -> dict[str, int]:
    """Rows behind each side's statistics; 0 where there are none."""
    return {
        side: sum(int(d.num_examples) for d in found.datasets) for side, found in statistics.items()
    }


def data_gate_findings(
    sides: Mapping[str, Any | None],
    comparison: Any | None,
    statistics: Mapping[str, statistics_pb2.DatasetFeatureStatisticsList],
    contract: Contract,
    policy: Policy,
) -> list[Finding]:
    """One finding for each clause that TFDV enforces, and one for each anomaly of no clause.

    Args:
        sides: the anomalies of each side that has rows; None where it was not validated.
        comparison: the anomalies of current against baseline; None if there is no such file.
        statistics: of ``baseline`` and of ``current``.
        contract: the clauses.
        policy: the limits; where it declares a first release, nothing is compared.
    """
    mine, gate = claimed_clauses(contract, policy), policy.data_gate
    of_rows = [c for c in mine if c.kind not in _COMPARING]
    nulls = {c.rule: c for c in of_rows if c.kind is ClauseKind.NULLS}
    found = [f for f in schema_findings(sides, of_rows) if f.rule not in nulls]
    found += null_findings(list(statistics.values()), nulls.values(), contract)
    if gate.first_release is not None:
        return found + first_release_findings(c.rule for c in mine if c.kind in _COMPARING)
    rows = row_counts(statistics)
    ratios = [c.rule for c in mine if c.kind is ClauseKind.ROW_RATIO]
    found += row_ratio_findings(comparison, ratios, rows[BASELINE], rows[CURRENT], gate)
    compared = compared_columns(contract, policy)
    uncounted = uncounted_columns(statistics.values(), contract, gate)
    return found + drift_findings(comparison, compared, rows, gate, uncounted)
