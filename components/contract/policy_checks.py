"""Whether a policy fits its contract and does not contradict itself."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import combinations

from components.contract.contract import Contract, Role
from components.contract.errors import InputError
from components.contract.features import model_inputs
from components.contract.policy import (
    MISSING,
    Change,
    DriftStatistic,
    Limit,
    Metric,
    Mitigation,
    Policy,
    Pool,
    Slice,
)

_CHANCE = 0.5
"""AUC of a score that says nothing."""

_PAIRED_INTERVALS = (Metric.ROC_AUC, Metric.BRIER)
"""Metrics whose difference from the champion's has an interval; see ``components.checks``."""


def check_policy(policy: Policy, contract: Contract) -> None:
    """Refuse a policy that names what the contract lacks, or that no model could satisfy.

    Raises:
        InputError: names the file, the field and what would be right.
    """
    if policy.dataset != contract.name:
        raise _refuse(policy, "dataset", f"policy is for {policy.dataset}", contract.name)
    shares = policy.splits
    if not math.isclose(shares.train + shares.validation + shares.evaluation, 1.0, abs_tol=1e-9):
        raise _refuse(
            policy, "splits", "shares do not sum to 1", "train + validation + evaluation = 1"
        )
    _check_data_gate(policy, contract)
    _check_candidates(policy, contract)
    _check_decision(policy, contract)
    _check_pools(policy, contract)
    _check_limits(policy, contract)
    _check_contradictions(policy)
    _check_enough_limits(policy, contract)


def _refuse(policy: Policy, field: str, what: str, expected: str) -> InputError:
    return InputError(what, where=f"{policy.path}, field {field}", expected=expected)


def _check_data_gate(policy: Policy, contract: Contract) -> None:
    gate = policy.data_gate
    if both := set(gate.baseline_spans) & set(gate.current_spans):
        what = f"span {min(both)} is baseline and current"
        raise _refuse(policy, "data_gate", what, "disjoint spans")
    low, high = gate.row_ratio_at_least, gate.row_ratio_at_most
    if low is not None and high is not None and low > high:
        what = "at_least is above at_most"
        raise _refuse(policy, "data_gate.row_ratio", what, "at_least <= at_most")
    if gate.baseline_spans and contract.span is None:
        raise _refuse(
            policy,
            "data_gate.baseline_spans",
            f"{contract.path.name} has no span column",
            "first_release with its grounds, or a column with the role span",
        )
    names = {c.name for c in contract.columns}
    watched = {c.name for c in contract.columns if c.role in (Role.FEATURE, Role.PROTECTED)}
    for column in gate.columns:
        if column not in watched:
            known = column in names
            raise _refuse(
                policy,
                "data_gate.drift.columns",
                f"{column} is not watched for drift" if known else f"unknown column {column}",
                f"a feature or a protected column of {contract.path.name}",
            )
    limits = {"default": gate.default, **{f"columns.{k}": v for k, v in gate.columns.items()}}
    for field, limit in limits.items():
        if limit.statistic is not DriftStatistic.PSI and limit.at_most > 1:
            what = f"threshold {limit.at_most:g} is outside the range of {limit.statistic}"
            raise _refuse(policy, f"data_gate.drift.{field}", what, "a number up to 1")


def _check_candidates(policy: Policy, contract: Contract) -> None:
    for name, candidate in policy.candidates.items():
        field = f"candidates.{name}"
        for column in (*candidate.protected_features, *candidate.mitigate_by):
            _require_protected(policy, contract, field, column)
        if bool(candidate.protected_features) != bool(candidate.protected_grounds):
            raise _refuse(
                policy,
                field,
                "protected_features and protected_grounds do not go together",
                "grounds for every protected attribute that is also a feature, and only there",
            )
        if (candidate.mitigation is Mitigation.NONE) == bool(candidate.mitigate_by):
            raise _refuse(
                policy,
                field,
                f"mitigation {candidate.mitigation} and mitigate_by do not go together",
                "mitigate_by with a mitigation, and only there",
            )
        penalised = candidate.mitigation is Mitigation.OPPORTUNITY_PENALTY
        if penalised != (candidate.penalty_strength > 0):
            raise _refuse(
                policy,
                field,
                f"mitigation {candidate.mitigation} and penalty_strength do not go together",
                "penalty_strength with mitigation: opportunity_penalty, and only there",
            )
        if not model_inputs(contract, candidate):
            what = "the model would see no column"
            raise _refuse(policy, field, what, "at least one feature")


def _check_decision(policy: Policy, contract: Contract) -> None:
    """Who is told no is told why: an adverse outcome and its reasons go together."""
    rules = policy.decision
    if (rules.adverse is None) == bool(rules.reasons):
        what = "adverse and reasons do not go together"
        raise _refuse(policy, "decision", what, "reasons with an adverse outcome, and only there")
    seen = {i.name for c in policy.candidates.values() for i in model_inputs(contract, c)}
    for column in rules.reasons:
        if column not in seen:
            what = f"no candidate's model sees column {column}"
            expected = f"a column of {contract.path.name} that a model sees"
            raise _refuse(policy, "decision.reasons.columns", what, expected)


def _require_protected(policy: Policy, contract: Contract, field: str, column: str) -> None:
    protected = sorted(c.name for c in contract.protected)
    if column in protected:
        return
    known = column in {c.name for c in contract.columns}
    raise _refuse(
        policy,
        field,
        f"{column} is not a protected column" if known else f"unknown column {column}",
        f"one of {', '.join(protected)}"
        if protected
        else f"a column with the role protected in {contract.path.name}",
    )


def _require_groups(policy: Policy, contract: Contract, field: str, slice_: Slice) -> None:
    """Attributes are protected, and labels are among those that the contract declares."""
    for column in slice_.attributes:
        _require_protected(policy, contract, field, column)
    if len(slice_.groups) != len(slice_.attributes):
        return  # every group, or the one label of a pool
    for column, label in zip(slice_.attributes, slice_.groups, strict=True):
        gate = policy.release_gate
        declared = contract.column(column).group_labels
        known = {gate.pooled((column,), (g,))[0] for g in declared} | {*declared, MISSING}
        if declared and label not in known:
            what = f"{column} has no group {label}"
            raise _refuse(policy, field, what, "one of " + ", ".join(sorted(known)))


def _check_pools(policy: Policy, contract: Contract) -> None:
    seen: set[tuple[tuple[str, ...], tuple[str, ...]]] = set()
    for i, pool in enumerate(policy.release_gate.pools):
        field = f"release_gate.pools[{i}]"
        for group in pool.groups:
            if len(group) != len(pool.attributes):
                what = f"group {', '.join(group)} does not fit {'*'.join(pool.attributes)}"
                raise _refuse(policy, field, what, "a label for each attribute")
            _require_groups(policy, contract, field, Slice(pool.attributes, group))
            own = tuple(
                policy.release_gate.pooled((a,), (g,))[0]
                for a, g in zip(pool.attributes, group, strict=True)
            )
            if len(group) > 1 and own != group:
                what = f"group {', '.join(group)} is counted as {', '.join(own)} already"
                raise _refuse(policy, field, what, "labels after the pools of one column")
            if (pool.attributes, group) in seen:
                what = f"group {', '.join(group)} is pooled twice"
                raise _refuse(policy, field, what, "each group in one pool")
            seen.add((pool.attributes, group))
        _check_pool_name(policy, contract, field, pool)


def _check_pool_name(policy: Policy, contract: Contract, field: str, pool: Pool) -> None:
    """A pool takes in the groups that it lists and no other, whatever it is called."""
    same = [p for p in policy.release_gate.pools if p.attributes == pool.attributes]
    taken = len([p for p in same if p.into == pool.into]) > 1
    if len(pool.attributes) == 1:
        declared = contract.column(pool.attributes[0]).group_labels
        taken |= pool.into in {*declared, MISSING} and (pool.into,) not in pool.groups
    if taken:
        what = f"into {pool.into} is the name of another group"
        raise _refuse(policy, field, what, "a name of its own, or of one of the pooled groups")


def _check_limits(policy: Policy, contract: Contract) -> None:
    seen: set[str] = set()
    for i, limit in enumerate(policy.release_gate.limits):
        field = f"release_gate.limits[{i}]"
        if limit.id in seen:
            raise _refuse(policy, field, f"limit {limit.id} appears twice", "unique ids")
        seen.add(limit.id)
        _require_groups(policy, contract, field, limit.slice)
        pooled = Slice(
            limit.slice.attributes,
            policy.release_gate.pooled(limit.slice.attributes, limit.slice.groups)
            if limit.slice.groups
            else (),
        )
        if pooled != limit.slice:
            what = f"{limit.slice.name} is counted within {pooled.name}"
            raise _refuse(policy, field, what, "a group that is not pooled, or the pool")
        if limit.metric.compares_groups and (not limit.slice.attributes or limit.slice.groups):
            what = f"{limit.metric} of {limit.slice.name} compares nothing"
            raise _refuse(policy, field, what, "a slice of one or two protected columns")
        if limit.metric.is_difference and limit.at_least is not None:
            what = f"{limit.metric} at least {limit.at_least:g} asks for unequal treatment"
            raise _refuse(policy, field, what, "at_most with a difference")
        if limit.metric.is_ratio and limit.at_most is not None:
            what = f"{limit.metric} at most {limit.at_most:g} asks for unequal treatment"
            raise _refuse(policy, field, what, "at_least with a ratio")
        if limit.champion is not None:
            _check_champion(policy, field, limit, limit.champion.change)
            continue
        _require_test(policy, field, limit)
        low, high = limit.metric.range
        if not low <= _threshold(limit) <= high:
            what = f"threshold {_threshold(limit):g} is outside the range of {limit.metric}"
            raise _refuse(policy, field, what, f"a number from {low:g} to {high:g}")


def _check_champion(policy: Policy, field: str, limit: Limit, change: Change) -> None:
    low, high = limit.metric.range
    widest = high - low
    if change is Change.ABSOLUTE and abs(_threshold(limit)) > widest:
        what = f"change {_threshold(limit):g} is outside the range of {limit.metric}"
        raise _refuse(policy, field, what, f"a number from {-widest:g} to {widest:g}")
    if limit.slice.attributes and not limit.metric.compares_groups and not limit.slice.groups:
        what = f"{limit.metric} of {limit.slice.name} is several figures"
        raise _refuse(policy, field, what, "everybody or one group, where a champion is compared")
    paired = change is Change.ABSOLUTE and not limit.slice.attributes
    if limit.tested_on != "point" and not (paired and limit.metric in _PAIRED_INTERVALS):
        raise _refuse(
            policy,
            field,
            f"a change of {limit.metric} of {limit.slice.name} has no interval",
            "tested_on: point, or an absolute change of roc_auc or brier of everybody",
        )


def _threshold(limit: Limit) -> float:
    return limit.at_least if limit.at_least is not None else limit.at_most or 0.0


def _require_test(policy: Policy, field: str, limit: Limit) -> None:
    """A threshold that every value keeps tests nothing, and reads as if it did."""
    low, high = limit.metric.range
    if limit.at_least == low or limit.at_most == high:
        what = f"every value of {limit.metric} keeps the threshold {_threshold(limit):g}"
        raise _refuse(policy, field, what, "a threshold that some values miss")


def _check_contradictions(policy: Policy) -> None:
    """Two limits that no figure satisfies together."""
    for one, other in combinations(policy.release_gate.limits, 2):
        if (one.metric, one.champion and one.champion.change) != (
            other.metric,
            other.champion and other.champion.change,
        ) or not _overlap(one.slice, other.slice):
            continue
        for lower, upper in ((one, other), (other, one)):
            if lower.at_least is None or upper.at_most is None or lower.at_least <= upper.at_most:
                continue
            raise _refuse(
                policy,
                "release_gate.limits",
                f"{lower.id} and {upper.id} contradict each other: {lower.metric} of "
                f"{lower.slice.name} at least {lower.at_least:g} and at most {upper.at_most:g}",
                "limits that a figure can satisfy together",
            )


def _overlap(one: Slice, other: Slice) -> bool:
    """Whether some figure falls under both slices."""
    if one.attributes != other.attributes:
        return False
    return not one.groups or not other.groups or one.groups == other.groups


def _check_enough_limits(policy: Policy, contract: Contract) -> None:
    """A gate without a limit on accuracy, or blind to a protected group, would open by default."""
    field = "release_gate.limits"
    own = list(_own_limits(policy))
    if not any(
        x.metric is Metric.ROC_AUC and (x.at_least or 0) > _CHANCE and not x.slice.attributes
        for x in own
    ):
        what = "accuracy has no limit"
        raise _refuse(
            policy, field, what, "a limit on roc_auc of everybody with at_least above 0.5"
        )
    held = {
        x.slice.attributes for x in own if x.metric in (Metric.TPR_DIFFERENCE, Metric.TPR_RATIO)
    }
    if blind := sorted(c.name for c in contract.protected if (c.name,) not in held):
        raise _refuse(
            policy,
            field,
            f"protected column {blind[0]} has no equal-opportunity limit",
            "a limit on tpr_difference or tpr_ratio for each protected column",
        )


def _own_limits(policy: Policy) -> Iterator[Limit]:
    """Limits on the model itself: one on a change may be met by two bad models."""
    return (x for x in policy.release_gate.limits if x.champion is None)
