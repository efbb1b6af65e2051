"""Evidently's summary of the spans and its drift verdict, reduced to figures without values."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.metrics import MeanValue, MissingValueCount, RowCount, StdValue

from components.checks.measurement import Finding, Measurement, Status
from components.checks.suppression import told_count
from components.contract.contract import Contract
from components.profile.compute import is_numeric
from components.stacks.pytorch_stack.frameworks import tool
from components.stacks.pytorch_stack.policy_to_evidently import CompiledDrift, DriftRule

SUCCESS, FAIL, MISSING = "SUCCESS", "FAIL", "MISSING"
"""Evidently's words for its tests, and ours for a test that it did not run."""


def summarise(rows: pd.DataFrame, contract: Contract) -> dict[str, Any]:
    """Row count, missing cells, mean and standard deviation by column; no cell of the data."""
    numeric = [n for n in rows.columns if is_numeric(contract.column(n))]
    wanted = {("rows", ""): RowCount()}
    wanted |= {("missing", n): MissingValueCount(column=n) for n in rows.columns}
    wanted |= {("mean", n): MeanValue(column=n) for n in numeric if rows[n].notna().any()}
    wanted |= {("std", n): StdValue(column=n) for n in numeric if rows[n].notna().sum() > 1}
    found = Report(list(wanted.values())).run(_dataset(rows, contract), None).dict()["metrics"]
    columns: dict[str, dict[str, float]] = {str(n): {} for n in rows.columns}
    summary: dict[str, Any] = {"columns": columns}
    for (figure, column), metric in zip(wanted, found, strict=True):
        value = metric["value"]
        if figure == "rows":
            summary["rows"] = int(value)
        elif figure == "missing":
            columns[column]["missing"] = int(value["count"])
        else:
            columns[column][figure] = float(value)
    return summary


@dataclass(frozen=True, slots=True)
class DriftResult:
    """Evidently's figure for one rule, in its own unit, and what its own test said."""

    rule: DriftRule
    value: float
    test: str

    def to_json(self) -> dict[str, Any]:
        """JSON of rule, method, threshold, value and test status."""
        return {
            "rule": self.rule.rule,
            "method": self.rule.method,
            "threshold": self.rule.native_threshold,
            "value": self.value if math.isfinite(self.value) else None,
            "test": self.test,
        }


def measure_drift(
    compiled: CompiledDrift,
    current: pd.DataFrame | None,
    baseline: pd.DataFrame | None,
) -> list[DriftResult]:
    """Run the compiled rules on both sides' labels, as ``drift_labels`` makes them.

    A side that is missing, has no rows or lacks a column's labels gives NaN and no test.
    """
    found: dict[str, DriftResult] = {}
    if current is not None and baseline is not None and len(current) and len(baseline):
        # Evidently raises for the whole report where it cannot measure one column.
        measurable = [r for r in compiled.rules if r.column in current and r.column in baseline]
        if measurable:
            report = Report([r.metric() for r in measurable])
            snapshot = report.run(_labels(current), _labels(baseline))
            found = _by_column(snapshot.dict(), measurable)
    missing = {r.column: DriftResult(r, math.nan, MISSING) for r in compiled.rules}
    return list((missing | found).values())


def _by_column(snapshot: dict[str, Any], rules: Sequence[DriftRule]) -> dict[str, DriftResult]:
    rule_of = {r.column: r for r in rules}
    # The status is an enumeration whose values are its names.
    tests = {
        t["metric_config"]["metric_id"]: str(getattr(t["status"], "value", t["status"]))
        for t in snapshot["tests"]
    }
    return {
        m["config"]["column"]: DriftResult(
            rule_of[m["config"]["column"]],
            float(m["value"]),
            tests.get(m["id"], MISSING),
        )
        for m in snapshot["metrics"]
    }


def drift_findings(
    results: Sequence[DriftResult], fewest_rows: int, min_rows: int
) -> list[Finding]:
    """One finding a column; PASS only on Evidently's own SUCCESS of a finite figure.

    Args:
        results: what Evidently measured.
        fewest_rows: rows of the smaller side.
        min_rows: fewest rows of a side on which the policy dares to judge.
    """
    return [_finding(r, fewest_rows, min_rows) for r in results]


def _finding(result: DriftResult, fewest_rows: int, min_rows: int) -> Finding:
    rule, column = result.rule.rule, result.rule.column
    measured = measurement(result, fewest_rows)
    if fewest_rows < min_rows:
        reason = f"{told_count(fewest_rows)} rows on one side, at least {min_rows} required"
        return Finding(rule, Status.INCONCLUSIVE, f"drift of {column} unknown: {reason}", measured)
    if not math.isfinite(result.value) or result.test not in (SUCCESS, FAIL):
        reason = "Evidently gave no figure"
        return Finding(rule, Status.INCONCLUSIVE, f"drift of {column} unknown: {reason}", measured)
    status = Status.PASS if result.test == SUCCESS else Status.FAIL
    reason = (
        f"Evidently {result.rule.method} of {column} {result.value:.4g}, "
        f"at most {result.rule.native_threshold:.4g} required"
    )
    return Finding(rule, status, reason, measured)


def measurement(result: DriftResult, rows: int) -> Measurement:
    """The figure under the policy's name and unit, so that it can be read beside the referee's."""
    value = result.rule.in_policy_unit(result.value)
    name = str(result.rule.statistic)
    return Measurement(name, value, rows, slice=result.rule.column, source=tool("evidently"))


def _dataset(rows: pd.DataFrame, contract: Contract) -> Dataset:
    numeric = [n for n in rows.columns if is_numeric(contract.column(n))]
    definition = DataDefinition(
        numerical_columns=numeric,
        categorical_columns=[n for n in rows.columns if n not in set(numeric)],
    )
    return Dataset.from_pandas(rows, data_definition=definition)


def _labels(rows: pd.DataFrame) -> Dataset:
    definition = DataDefinition(categorical_columns=list(rows.columns))
    return Dataset.from_pandas(rows, data_definition=definition)
