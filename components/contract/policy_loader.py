"""From a policy YAML file to a Policy, checked against the contract it is for."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from components.contract.contract import Contract
from components.contract.errors import InputError
from components.contract.json_schema import validate
from components.contract.policy import (
    Candidate,
    ChampionLimit,
    Change,
    DataGatePolicy,
    DecisionPolicy,
    DriftLimit,
    DriftStatistic,
    LeakCheck,
    Limit,
    Metric,
    Mitigation,
    OnDrift,
    Policy,
    Pool,
    ReleaseGatePolicy,
    Slice,
    Splits,
    Training,
    WaiverRules,
)
from components.contract.policy_checks import check_policy
from components.contract.strict_yaml import load_yaml

SCHEMA = "policy-v1.schema.json"


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
        training=_training(document["training"]),
        candidates={k: _candidate(k, v) for k, v in document["candidates"].items()},
        decision_threshold=document["decision"]["threshold"],
        leak_check=LeakCheck(
            document["leak_check"]["single_column_auc_at_most"],
            document["leak_check"]["min_n"],
            document["leak_check"]["grounds"],
        ),
        release_gate=ReleaseGatePolicy(
            **{
                **release,
                "limits": tuple(_limit(item, contract) for item in release["limits"]),
                "pools": tuple(_pool(item, contract) for item in release.get("pools", ())),
            }
        ),
        waivers=WaiverRules(**document["waivers"]) if "waivers" in document else None,
        decision=_decision(document["decision"]),
        model_card=document.get("model_card", {}),
    )
    check_policy(policy, contract)
    return policy


def load_candidate(path: Path, name: str) -> Candidate:
    """One candidate of a policy that may be older than today's rules for policies.

    Raises:
        InputError: the file is no YAML, or has no such candidate.
    """
    document, _ = load_yaml(path)
    try:
        return _candidate(name, document["candidates"][name])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"has no candidate {name}", where=str(path), expected="the policy of its run"
        ) from error


def _training(raw: dict[str, Any]) -> Training:
    # YAML takes 1 for an integer, and an optimiser may not.
    real = {k: float(raw[k]) for k in ("learning_rate", "weight_decay", "dropout")}
    return Training(**{**raw, **real, "hidden": tuple(raw["hidden"])})


def _decision(raw: dict[str, Any]) -> DecisionPolicy:
    given, standard = raw.get("reasons", {}), DecisionPolicy()
    return DecisionPolicy(
        on_drift=OnDrift(raw.get("on_drift", standard.on_drift)),
        adverse=raw.get("adverse"),
        reasons=given.get("columns", {}),
        reasons_at_most=given.get("at_most", standard.reasons_at_most),
    )


def _drift_limit(raw: dict[str, Any]) -> DriftLimit:
    return DriftLimit(DriftStatistic(raw["statistic"]), raw["at_most"])


def _candidate(name: str, raw: dict[str, Any]) -> Candidate:
    return Candidate(
        name=name,
        description=raw["description"],
        protected_features=tuple(raw["protected_features"]),
        protected_grounds=raw.get("protected_grounds", ""),
        mitigation=Mitigation(raw["mitigation"]),
        mitigate_by=tuple(raw.get("mitigate_by", ())),
        penalty_strength=raw.get("penalty_strength", 0.0),
    )


def _limit(raw: dict[str, Any], contract: Contract) -> Limit:
    champion = raw.get("champion")
    return Limit(
        id=raw["id"],
        metric=Metric(raw["metric"]),
        slice=_slice(raw.get("slice", ()), contract),
        at_least=raw.get("at_least"),
        at_most=raw.get("at_most"),
        tested_on=raw["tested_on"],
        min_n=raw["min_n"],
        grounds=raw["grounds"],
        champion=ChampionLimit(Change(champion["change"]), champion.get("none_yet"))
        if champion
        else None,
        waive_inconclusive=raw.get("waive_inconclusive", False),
    )


def _slice(raw: str | list[str] | dict[str, str], contract: Contract) -> Slice:
    if isinstance(raw, dict):
        attributes = _ordered(raw, contract)
        return Slice(attributes, tuple(raw[a] for a in attributes))
    return Slice(_ordered(_texts(raw), contract))


def _pool(raw: dict[str, Any], contract: Contract) -> Pool:
    written = _texts(raw["slice"])
    attributes = _ordered(written, contract)
    same = attributes == written
    return Pool(
        attributes=attributes,
        groups=tuple(_texts(g) if same else _texts(g)[::-1] for g in raw["groups"]),
        into=raw["into"],
        grounds=raw["grounds"],
    )


def _ordered(attributes: Iterable[str], contract: Contract) -> tuple[str, ...]:
    """Attributes in the contract's order, which is that of every figure; unknown ones last."""
    order = [c.name for c in contract.columns]
    return tuple(sorted(attributes, key=lambda a: order.index(a) if a in order else len(order)))


def _texts(raw: str | list[str]) -> tuple[str, ...]:
    return (raw,) if isinstance(raw, str) else tuple(raw)
