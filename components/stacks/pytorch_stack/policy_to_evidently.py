"""Compiles a policy's drift limits to Evidently metrics, each with method and threshold pinned."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from evidently.core.metric_types import Metric
from evidently.legacy.calculations.stattests.registry import StatTest, register_stattest
from evidently.legacy.calculations.stattests.utils import get_binned_data
from evidently.legacy.core import ColumnType
from evidently.metrics import ValueDrift
from evidently.tests import lte

from components.checks.drift import drifting_columns
from components.contract.contract import Contract
from components.contract.policy import DataGatePolicy, DriftStatistic
from components.profile.compute import is_numeric
from components.stacks.pytorch_stack.not_expressible import NotExpressible

L_INFINITY = "assay_l_infinity"


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
    """Largest difference of shares over Evidently's own bins; Evidently ships no such test."""
    shares = get_binned_data(reference, current, feature_type, n=0, feel_zeroes=False)
    largest = float(np.max(np.abs(shares[0] - shares[1])))
    return largest, largest > threshold


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
    DriftStatistic.PSI: _Method("psi"),
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
        """Rule id of the finding."""
        return f"evidently:drift:{self.column}"

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
    """Rules for every watched column, and what Evidently judges in another sense."""

    rules: tuple[DriftRule, ...]
    not_expressible: tuple[NotExpressible, ...]


def compile_to_evidently(contract: Contract, policy: DataGatePolicy) -> CompiledDrift:
    """One rule for each feature and protected column, with the policy's statistic and limit."""
    _register_l_infinity()
    rules, left_out = [], []
    for name in drifting_columns(contract):
        limit = policy.limit_for(name)
        method = _METHODS[limit.statistic]
        rules.append(DriftRule(name, limit.statistic, method.name, method.to_native(limit.at_most)))
        if is_numeric(contract.column(name)):
            left_out.append(
                NotExpressible(
                    f"drift:{name}",
                    "evidently",
                    "Evidently drops nulls and bins by equal widths of both sides together; the "
                    "referee counts nulls as a bin and takes its edges from the baseline",
                )
            )
    return CompiledDrift(tuple(rules), tuple(left_out))


def _register_l_infinity() -> None:
    register_stattest(
        StatTest(L_INFINITY, "L-infinity", [ColumnType.Categorical, ColumnType.Numerical]),
        l_infinity_stattest,
    )
