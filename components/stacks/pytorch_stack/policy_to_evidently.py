"""Compiles a policy's drift limits to Evidently metrics, each with method and threshold pinned."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from evidently.core.metric_types import Metric
from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
from evidently.legacy.calculations.stattests.utils import get_binned_data
from evidently.legacy.core import ColumnType
from evidently.metrics import ValueDrift
from evidently.tests import lte

from components.checks.drift import PSI_EPSILON
from components.contract.clauses import ClauseKind, Unexpressed, drift_clauses
from components.contract.contract import Contract
from components.contract.policy import DataGatePolicy, DriftStatistic

ENGINE = "evidently"
L_INFINITY = "assay_l_infinity"
PSI = "assay_psi"


def jensen_shannon_distance(divergence: float) -> float:
    """Evidently's ``jensenshannon`` for a divergence in bits.

    Evidently takes the square root of the divergence in nats: ``sqrt(divergence * ln 2)``.
    """
    return math.sqrt(divergence * math.log(2))


def jensen_shannon_divergence(distance: float) -> float:
    """The divergence in bits for Evidently's ``jensenshannon``; the inverse of the above."""
    return distance**2 / math.log(2)


def l_infinity_stattest(
    reference: pd.Series, current: pd.Series, feature_type: ColumnType, threshold: float
) -> tuple[float, bool]:
    """Largest difference of shares; Evidently ships no such test."""
    before, after = _shares(reference, current, feature_type)
    largest = float(np.max(np.abs(after - before)))
    return largest, largest > threshold


def psi_stattest(
    reference: pd.Series, current: pd.Series, feature_type: ColumnType, threshold: float
) -> tuple[float, bool]:
    """PSI in which a small share counts as ``PSI_EPSILON``.

    Evidently's own ``psi`` raises empty categories only, and where the smallest share of a side
    is at or below 0.0001 it raises them to a millionth of that, so that the figure jumps.
    """
    shares = _shares(reference, current, feature_type)
    before, after = (np.maximum(side, PSI_EPSILON) for side in shares)
    index = float(np.sum((after - before) * np.log(after / before)))
    return index, index > threshold


def _shares(
    reference: pd.Series, current: pd.Series, feature_type: ColumnType
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Evidently's shares of both sides over the categories of either, empty ones as 0."""
    before, after = get_binned_data(reference, current, feature_type, n=0, feel_zeroes=False)
    return before, after


def _same(value: float) -> float:
    return value


@dataclass(frozen=True, slots=True)
class _Method:
    """Evidently's name of a statistic, and the way between its unit and the policy's."""

    name: str
    to_native: Callable[[float], float] = _same
    to_policy: Callable[[float], float] = _same


_METHODS = {
    DriftStatistic.JENSEN_SHANNON: _Method(
        "jensenshannon", jensen_shannon_distance, jensen_shannon_divergence
    ),
    DriftStatistic.PSI: _Method(PSI),
    DriftStatistic.L_INFINITY: _Method(L_INFINITY),
}


@dataclass(frozen=True, slots=True)
class DriftRule:
    """One column's limit, in the policy's unit and in Evidently's."""

    column: str
    statistic: DriftStatistic
    method: str
    native_threshold: float

    @property
    def rule(self) -> str:
        """The clause's rule id."""
        return f"{ClauseKind.DRIFT}:{self.column}"

    def metric(self) -> Metric:
        """Evidently's metric with its own test: at most the threshold, inclusive as ours is."""
        return ValueDrift(
            column=self.column,
            method=self.method,
            threshold=self.native_threshold,
            tests=[lte(self.native_threshold)],
        )

    def in_policy_unit(self, value: float) -> float:
        """Evidently's value as the policy's statistic."""
        return _METHODS[self.statistic].to_policy(value)


@dataclass(frozen=True, slots=True)
class CompiledDrift:
    """One rule for each drift clause of a column, and the clauses that Evidently cannot check."""

    rules: tuple[DriftRule, ...]
    unexpressed: tuple[Unexpressed, ...]


def compile_to_evidently(contract: Contract, gate: DataGatePolicy) -> CompiledDrift:
    """One rule for each feature and protected column, with the policy's statistic and limit.

    The rules ask the referee's question where they are given what ``drift_labels`` makes.
    """
    _register_stattests()
    rules, left_out = [], []
    for clause in drift_clauses(contract, gate):
        if clause.kind is ClauseKind.DRIFT:
            limit = gate.limit_for(clause.subject)
            method = _METHODS[limit.statistic]
            threshold = method.to_native(limit.at_most)
            rules.append(DriftRule(clause.subject, limit.statistic, method.name, threshold))
        else:
            why = "Evidently holds a row count to another within a tolerance, not to a ratio of it"
            left_out.append(Unexpressed(clause.rule, ENGINE, why))
    return CompiledDrift(tuple(rules), tuple(left_out))


def _register_stattests() -> None:
    """Make our tests known to Evidently; labels are categories, so they take nothing else."""
    for name, title, test in (
        (L_INFINITY, "L-infinity", l_infinity_stattest),
        (PSI, "PSI", psi_stattest),
    ):
        register_stattest(StatTest(name, title, [ColumnType.Categorical]), test)
