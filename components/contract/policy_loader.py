"""From a policy YAML file to a Policy, checked against the contract it is for."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import Any

from components.contract.contract import Contract, Role
from components.contract.errors import InputError
from components.contract.features import model_inputs
from components.contract.json_schema import validate
from components.contract.policy import (
    Candidate,
    DataGatePolicy,
    DriftLimit,
    DriftStatistic,
    Limit,
    Metric,
    Policy,
    ReleaseGatePolicy,
    Splits,
    Training,
)
from components.contract.strict_yaml import load_yaml

SCHEMA = "policy-v1.schema.json"
_IN_UNIT_INTERVAL = (0.0, 1.0)


def load_policy(path: Path, contract: Contract) -> Policy:
    """Load a policy and check that it fits the contract.

    Raises:
        InputError: names the file, the field and what would be right: an unknown key, a wrong
            type, a column the contract does not have, a threshold outside its metric's range.
    """
    document, raw = load_yaml(path)
    validate(document, SCHEMA, path)
    gate, release = document["data_gate"], document["release_gate"]
    policy = Policy(
        name=document["name"],
        dataset=document["dataset"],
        purpose=document["purpose"],
        path=path,
        digest=hashlib.sha256(raw).hexdigest(),
        splits=Splits(**document["splits"]),
        data_gate=DataGatePolicy(
            baseline_spans=tuple(gate.get("baseline_spans", ())),
            current_spans=tuple(gate.get("current_spans", ())),
            min_rows=gate["min_rows"],
            bins=gate["bins"],
            max_categories=gate["max_categories"],
            default=_drift_limit(gate["drift"]["default"]),
            columns={k: _drift_limit(v) for k, v in gate["drift"].get("columns", {}).items()},
            row_ratio_at_least=gate.get("row_ratio", {}).get("at_least"),
            row_ratio_at_most=gate.get("row_ratio", {}).get("at_most"),
            first_release=gate.get("first_release", {}).get("grounds"),
        ),
        training=Training(
            **{**document["training"], "hidden": tuple(document["training"]["hidden"])}
        ),
        candidates={k: _candidate(k, v) for k, v in document["candidates"].items()},
        decision_threshold=document["decision"]["threshold"],
        release_gate=ReleaseGatePolicy(
            **{**release, "limits": tuple(_limit(item) for item in release["limits"])}
        ),
    )
    _check(policy, contract)
    return policy


def _drift_limit(raw: dict[str, Any]) -> DriftLimit:
    return DriftLimit(DriftStatistic(raw["statistic"]), raw["at_most"])


def _candidate(name: str, raw: dict[str, Any]) -> Candidate:
    return Candidate(
        name=name,
        description=raw["description"],
        protected_features=tuple(raw["protected_features"]),
        mitigation=raw["mitigation"],
        reweigh_by=tuple(raw.get("reweigh_by", ())),
    )


def _limit(raw: dict[str, Any]) -> Limit:
    return Limit(
        id=raw["id"],
        metric=Metric(raw["metric"]),
        attribute=raw.get("attribute"),
        at_least=raw.get("at_least"),
        at_most=raw.get("at_most"),
        tested_on=raw["tested_on"],
        min_n=raw["min_n"],
        grounds=raw["grounds"],
    )


def _check(policy: Policy, contract: Contract) -> None:
    def refuse(field: str, what: str, expected: str) -> InputError:
        return InputError(what, where=f"{policy.path}, field {field}", expected=expected)

    if policy.dataset != contract.name:
        raise refuse("dataset", f"policy is for {policy.dataset}", contract.name)
    shares = policy.splits
    if not math.isclose(shares.train + shares.validation + shares.evaluation, 1.0, abs_tol=1e-9):
        raise refuse("splits", "shares do not sum to 1", "train + validation + evaluation = 1")
    if both := set(policy.data_gate.baseline_spans) & set(policy.data_gate.current_spans):
        raise refuse("data_gate", f"span {min(both)} is baseline and current", "disjoint spans")
    ratio = policy.data_gate.row_ratio_at_least, policy.data_gate.row_ratio_at_most
    if None not in ratio and ratio[0] > ratio[1]:  # type: ignore[operator]
        raise refuse("data_gate.row_ratio", "at_least is above at_most", "at_least <= at_most")
    if policy.data_gate.baseline_spans and contract.span is None:
        raise refuse(
            "data_gate.baseline_spans",
            f"{contract.path.name} has no span column",
            "first_release with its grounds, or a column with the role span",
        )
    names = {c.name for c in contract.columns}
    watched = {c.name for c in contract.columns if c.role in (Role.FEATURE, Role.PROTECTED)}
    for column in policy.data_gate.columns:
        if column not in watched:
            raise refuse(
                "data_gate.drift.columns",
                f"{column} is not watched for drift"
                if column in names
                else f"unknown column {column}",
                f"a feature or a protected column of {contract.path.name}",
            )
    _check_drift_limits(policy)
    protected = {c.name for c in contract.protected}
    for name, candidate in policy.candidates.items():
        field = f"candidates.{name}"
        for column in (*candidate.protected_features, *candidate.reweigh_by):
            if column not in protected:
                raise refuse(
                    field,
                    f"{column} is not a protected column",
                    "one of " + ", ".join(sorted(protected)),
                )
        if (candidate.mitigation == "reweighing") != bool(candidate.reweigh_by):
            raise refuse(
                field,
                "reweighing and reweigh_by do not go together",
                "reweigh_by with mitigation: reweighing, and only there",
            )
        if not model_inputs(contract, candidate):
            raise refuse(field, "the model would see no column", "at least one feature")
    _check_limits(policy, protected)
    _check_enough_limits(policy, protected)


def _check_enough_limits(policy: Policy, protected: set[str]) -> None:
    """A gate without a limit on accuracy, or blind to a protected group, would open by default."""
    limits = policy.release_gate.limits
    where = f"{policy.path}, field release_gate.limits"
    if not any(x.metric is Metric.ROC_AUC and x.at_least is not None for x in limits):
        raise InputError(
            "accuracy has no limit", where=where, expected="a limit on roc_auc with at_least"
        )
    held = {x.attribute for x in limits if x.metric is Metric.TPR_DIFFERENCE}
    if blind := sorted(protected - held):
        raise InputError(
            f"protected column {blind[0]} has no equal-opportunity limit",
            where=where,
            expected="a limit on tpr_difference for each protected column",
        )


def _check_drift_limits(policy: Policy) -> None:
    gate = policy.data_gate
    limits = {"default": gate.default, **{f"columns.{k}": v for k, v in gate.columns.items()}}
    for field, limit in limits.items():
        if limit.statistic is not DriftStatistic.PSI and limit.at_most > 1:
            raise InputError(
                f"threshold {limit.at_most:g} is outside the range of {limit.statistic}",
                where=f"{policy.path}, field data_gate.drift.{field}",
                expected="a number up to 1",
            )


def _check_limits(policy: Policy, protected: set[str]) -> None:
    seen: set[str] = set()
    for i, limit in enumerate(policy.release_gate.limits):
        where = f"{policy.path}, field release_gate.limits[{i}]"
        if limit.id in seen:
            raise InputError(f"limit {limit.id} appears twice", where=where, expected="unique ids")
        seen.add(limit.id)
        if limit.metric.is_group_difference != (limit.attribute is not None):
            raise InputError(
                f"{limit.metric} and attribute do not fit",
                where=where,
                expected="an attribute with a group difference, and only there",
            )
        if limit.attribute is not None and limit.attribute not in protected:
            raise InputError(
                f"{limit.attribute} is not a protected column",
                where=where,
                expected="one of " + ", ".join(sorted(protected)),
            )
        if limit.metric.is_group_difference and limit.at_least is not None:
            raise InputError(
                f"{limit.metric} at least {limit.at_least:g} asks for unequal treatment",
                where=where,
                expected="at_most with a group difference",
            )
        threshold = limit.at_least if limit.at_least is not None else limit.at_most
        low, high = _IN_UNIT_INTERVAL
        if threshold is None or not low <= threshold <= high:
            raise InputError(
                f"threshold {threshold} is outside the range of {limit.metric}",
                where=where,
                expected="a number from 0 to 1",
            )
