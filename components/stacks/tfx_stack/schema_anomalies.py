"""TFDV's anomalies against the schema as findings, one for each clause that TFDV enforces.

Its descriptions quote the data and are never carried over: a reason has words of TFDV's for the
kind of anomaly, and names columns and sides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.checks.measurement import Finding, Status
from components.contract.clauses import Clause, ClauseKind

_STRANGE_ROWS = "schema:rows"
"""Rule of an anomaly of no clause that is about the rows as a whole."""

_INTEGERS = frozenset({ClauseKind.RANGE, ClauseKind.DOMAIN})
_BREAKS: Mapping[str, frozenset[ClauseKind]] = {
    "FEATURE_TYPE_LOW_FRACTION_PRESENT": frozenset({ClauseKind.NULLS}),
    "FEATURE_TYPE_LOW_NUMBER_PRESENT": frozenset({ClauseKind.NULLS}),
    "FEATURE_TYPE_NOT_PRESENT": frozenset({ClauseKind.NULLS}),
    "SCHEMA_MISSING_COLUMN": frozenset({ClauseKind.NULLS}),
    "FLOAT_TYPE_BIG_FLOAT": frozenset({ClauseKind.RANGE}),
    "FLOAT_TYPE_SMALL_FLOAT": frozenset({ClauseKind.RANGE}),
    "INT_TYPE_BIG_INT": _INTEGERS,
    "INT_TYPE_SMALL_INT": _INTEGERS,
    "ENUM_TYPE_UNEXPECTED_STRING_VALUES": frozenset({ClauseKind.DOMAIN}),
    "ENUM_TYPE_INVALID_UTF8": frozenset({ClauseKind.DOMAIN}),
}
"""The kinds of clause that each kind of anomaly about a column breaks. An integer's interval is
its range or its list of values, and never is more than one of them claimed."""

_ROW_BREAKS = {
    "DATASET_LOW_NUM_EXAMPLES": "row_count:least",
    "DATASET_HIGH_NUM_EXAMPLES": "row_count:most",
}


def schema_findings(sides: Mapping[str, Any | None], clauses: Sequence[Clause]) -> list[Finding]:
    """One finding for each clause, and one for each column with an anomaly that is of no clause.

    The worst side counts. A side that was not validated leaves every clause INCONCLUSIVE, unless
    another side breaks it; so does the lack of any side.

    Args:
        sides: the anomalies of each side that has rows; None where it was not validated.
        clauses: the contract's clauses that TFDV enforces.
    """
    unseen = [s for s, found in sides.items() if found is None or found.data_missing]
    broken: dict[str, dict[str, list[str]]] = {}
    for side, anomalies in sides.items():
        for rule, kind in _broken(anomalies, clauses):
            broken.setdefault(rule, {}).setdefault(side, []).append(kind)
    # A contract without any clause for TFDV still needs to know that TFDV saw the rows.
    rules = [c.rule for c in clauses] or [_STRANGE_ROWS]
    strange = sorted(set(broken) - set(rules))
    return [_schema_finding(rule, broken.get(rule), unseen, sides) for rule in (*rules, *strange)]


def _schema_finding(
    rule: str,
    kinds: Mapping[str, list[str]] | None,
    unseen: Sequence[str],
    sides: Mapping[str, Any | None],
) -> Finding:
    if kinds:
        where = "; ".join(f"{side} ({', '.join(sorted(k))})" for side, k in kinds.items())
        return Finding(rule, Status.FAIL, f"TFDV finds {rule} broken in {where}")
    if unseen or not sides:
        what = f"the statistics of {' and '.join(unseen)}" if unseen else "statistics of any rows"
        return Finding(rule, Status.INCONCLUSIVE, f"{rule} unknown: TFDV did not validate {what}")
    return Finding(rule, Status.PASS, f"TFDV finds {rule} kept in {' and '.join(sides)}")


def _broken(anomalies: Any | None, clauses: Sequence[Clause]) -> Iterator[tuple[str, str]]:
    """Each rule that is broken, and the kind of anomaly; ``schema:<column>`` where none fits."""
    if anomalies is None:
        return
    for column, info in sorted(_by_column(anomalies).items()):
        for kind in kinds_of(info):
            fitting = [
                c.rule
                for c in clauses
                if c.subject == column and c.kind in _BREAKS.get(kind, frozenset())
            ]
            for rule in fitting or [f"schema:{column}"]:
                yield rule, kind.lower()
    claimed = {c.rule for c in clauses}
    for kind in kinds_of(anomalies.dataset_anomaly_info):
        rows_rule = _ROW_BREAKS.get(kind, "")
        yield rows_rule if rows_rule in claimed else _STRANGE_ROWS, kind.lower()


def _by_column(anomalies: Any) -> dict[str, Any]:
    return {".".join(info.path.step) or key: info for key, info in anomalies.anomaly_info.items()}


def kinds_of(info: Any) -> list[str]:
    """Names of the kinds of anomaly: words of TFDV's, never a value of the data."""
    return sorted({anomalies_pb2.AnomalyInfo.Type.Name(r.type) for r in info.reason})
