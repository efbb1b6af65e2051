"""The policy's release limits as TFMA's thresholds, and the list of what TFMA cannot say."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.slicer import slicer_lib

from components.contract.clauses import Unexpressed
from components.contract.contract import Contract
from components.contract.policy import RATES, Change, Limit, Metric, Policy

Labels = tuple[str, ...]
Combinations = Mapping[Labels, frozenset[Labels]]
"""For some attributes, the combinations of their groups that evaluation rows hold, unpooled."""

RANKING = (Metric.ROC_AUC, Metric.AVERAGE_PRECISION)
_METRICS = (*RANKING, Metric.BRIER, *RATES)
"""What TFMA has a metric for, under the policy's name."""

_MOST_GROUPS = 16
"""TFMA takes a step of Beam, half a second, for each group that others are compared with."""

_NO_INTERVALS = "TFMA's thresholds test the point; the bound is tested on TFMA's counts and sums"
_NO_CHANGE_INTERVAL = "TFMA has no interval of a change between two models: tested on the point"
_NO_METRIC = "TFMA has no such metric to set a threshold on; tested on the sums of its plot"
_NO_POOLS = "TFMA cannot count several groups as one; tested on the sum of their counts"
_NO_POOLED_RANKING = "TFMA cannot rank several groups as one, and a ranking is no sum: not tested"
_NO_RATIO = "TFMA compares slices by difference alone; the ratio is tested on TFMA's counts"
_NO_CROSS_SLICE = (
    "TFMA reports a threshold between slices as missing even where it holds; "
    "tested on TFMA's differences between slices"
)
_TOO_MANY_GROUPS = "TFMA takes a step for each group, and these are too many; tested on its counts"


@dataclass(frozen=True, slots=True)
class NativeThreshold:
    """One limit as TFMA holds it: ``bounds`` on a ``metric`` in the slices of ``where``."""

    limit: Limit
    metric: str
    where: Any
    bounds: Any

    def covers(self, key: Any) -> bool:
        """Whether it is about a slice that TFMA names so."""
        return slicer_lib.SingleSliceSpec(spec=self.where).is_slice_applicable(key)


@dataclass(frozen=True, slots=True)
class CompiledLimits:
    """What TFMA holds the model against, and what it cannot.

    Attributes:
        thresholds: TFMA's own.
        compared: attributes between whose groups TFMA takes differences.
        unexpressed: everything in a limit that TFMA's thresholds cannot say.
        untested: limits that nothing of TFMA's bears on; the native verdict leaves them out.
    """

    thresholds: tuple[NativeThreshold, ...]
    compared: tuple[Labels, ...]
    unexpressed: tuple[Unexpressed, ...]
    untested: tuple[Limit, ...]


def compile_limits(contract: Contract, policy: Policy, held: Combinations) -> CompiledLimits:
    """A threshold of TFMA's for each limit, as far as TFMA has words for it.

    Args:
        contract: names the columns that TFMA slices by.
        policy: the limits.
        held: groups of the evaluation rows; TFMA has no slice of any other.
    """
    thresholds, left_out, untested = [], [], []
    compared: dict[Labels, None] = {}
    for limit in policy.release_gate.limits:
        why = _lacking(limit, policy, held)
        if why == "":
            thresholds += _thresholds(limit, contract, held)
        elif why == _NO_CROSS_SLICE:
            compared[limit.slice.attributes] = None
        elif why == _NO_POOLED_RANKING:
            untested.append(limit)
        reasons = [why, _no_interval(limit, has_threshold=why == "")]
        left_out += [Unexpressed(limit.rule, "tfma", reason) for reason in reasons if reason]
    return CompiledLimits(tuple(thresholds), tuple(compared), tuple(left_out), tuple(untested))


def _lacking(limit: Limit, policy: Policy, held: Combinations) -> str:
    """Why TFMA has no threshold for a limit; empty where it has."""
    metric, attributes = limit.metric, limit.slice.attributes
    if metric.of_group not in _METRICS:
        return _NO_METRIC
    if any(set(p.attributes) <= set(attributes) for p in policy.release_gate.pools):
        return _NO_POOLED_RANKING if metric in RANKING else _NO_POOLS
    if metric.is_ratio:
        return _NO_RATIO
    if metric.is_difference:
        return _NO_CROSS_SLICE if len(held[attributes]) <= _MOST_GROUPS else _TOO_MANY_GROUPS
    return ""


def _no_interval(limit: Limit, *, has_threshold: bool) -> str:
    """What is lost of a limit on the worse bound: TFMA's threshold is the weaker test."""
    if limit.tested_on == "point":
        return ""
    if limit.champion is not None:
        return _NO_CHANGE_INTERVAL
    return _NO_INTERVALS if has_threshold else ""


def _thresholds(limit: Limit, contract: Contract, held: Combinations) -> list[NativeThreshold]:
    attributes, groups = limit.slice.attributes, limit.slice.groups
    if groups and groups not in held[attributes]:
        return []  # no slice would come of it; the limit is closed for want of cases
    columns = [contract.column(a).group_column for a in attributes]
    where = (
        config_pb2.SlicingSpec(feature_values=dict(zip(columns, groups, strict=True)))
        if groups
        else config_pb2.SlicingSpec(feature_keys=columns)
    )
    return [NativeThreshold(limit, str(limit.metric), where, _bounds(limit))]


def _bounds(limit: Limit) -> Any:
    """TFMA's change is the candidate's figure less the baseline's, as the policy's is."""
    found = config_pb2.MetricThreshold()
    at_least = limit.at_least is not None
    edge = limit.at_least if limit.at_least is not None else limit.at_most
    if limit.champion is None:
        side = "lower_bound" if at_least else "upper_bound"
        getattr(found.value_threshold, side).value = edge
        return found
    found.change_threshold.direction = (
        config_pb2.MetricDirection.HIGHER_IS_BETTER
        if at_least
        else config_pb2.MetricDirection.LOWER_IS_BETTER
    )
    side = "absolute" if limit.champion.change is Change.ABSOLUTE else "relative"
    getattr(found.change_threshold, side).value = edge
    return found
