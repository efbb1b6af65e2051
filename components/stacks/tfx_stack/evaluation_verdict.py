"""The native verdict of the release gate: the limits on TFMA's figures, and TFMA's own word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from tensorflow_model_analysis.slicer import slicer_lib

from components.checks.limits import release_gate
from components.checks.measurement import Finding, Measurement, Status, Verdict, conclude
from components.contract.contract import Contract
from components.contract.policy import Limit, Policy, Slice
from components.stacks.tfx_stack.evaluation_sums import Evaluation
from components.stacks.tfx_stack.evaluation_thresholds import (
    Combinations,
    CompiledLimits,
    NativeThreshold,
)

_TFMA = "tfma"
"""Rule of what no limit accounts for: TFMA did not do what it was told."""


def native_verdict(
    measured: Sequence[Measurement],
    policy: Policy,
    compiled: CompiledLimits,
    own_word: Sequence[Finding],
    *,
    has_champion: bool,
) -> Verdict:
    """Every limit on TFMA's figures, confirmed by TFMA's validation, and what went wrong in it.

    Left out are the limits that TFMA has no figure for, which ``compiled`` lists; the referee holds
    the model against them, and finds no native figure to agree with. A change between two models
    is tested on the point, since TFMA has no interval of it.

    Args:
        measured: TFMA's figures, changes against the champion among them.
        policy: the limits.
        compiled: TFMA's thresholds.
        own_word: as from ``validation_findings`` and ``slice_findings``.
        has_champion: whether a champion stands.
    """
    tested = [_as_tested(x) for x in policy.release_gate.limits if x not in compiled.untested]
    rules = replace(policy.release_gate, limits=tuple(tested))
    judged = release_gate(measured, replace(policy, release_gate=rules), has_champion)
    found = judged.findings
    known, rejected = {f.rule for f in found}, {f.rule: f for f in own_word}
    confirmed = [_confirmed(f, rejected) for f in found]
    return conclude([*confirmed, *(f for f in own_word if f.rule not in known)])


def _as_tested(limit: Limit) -> Limit:
    return limit if limit.champion is None else replace(limit, tested_on="point")


def _confirmed(found: Finding, rejected: dict[str, Finding]) -> Finding:
    """The finding, unless it passes what TFMA rejects; TFMA knows nothing of too few cases.

    That is a finding of its own: the tools disagree about one figure, and that is no limit that
    anybody could excuse.
    """
    own = rejected.get(found.rule)
    if own is None or found.status is not Status.PASS:
        return found
    reason = f"{found.reason}; {own.reason}"
    return replace(found, rule=f"{_TFMA}:{found.rule}", status=own.status, reason=reason)


def slice_findings(found: Evaluation, contract: Contract, held: Combinations) -> list[Finding]:
    """INCONCLUSIVE for attributes of which TFMA lacks a group that evaluation rows hold."""
    findings = []
    for attributes, groups in held.items():
        lost = sum((attributes, labels) not in found.sums for labels in groups)
        if lost:
            name = Slice(attributes).name
            reason = f"TFMA has no sums of {lost} group(s) of {name}"
            findings.append(Finding(f"slice:{name}", Status.INCONCLUSIVE, reason))
    return findings


def validation_findings(
    validation: Any | None, compiled: CompiledLimits, contract: Contract
) -> list[Finding]:
    """TFMA's own word on its thresholds: a limit's rule for each that fails, else ``tfma``.

    ``validation_ok`` alone opens nothing: TFMA also says so of slices that it never saw.

    Args:
        validation: TFMA's ValidationResult; None where it wrote none.
        compiled: the thresholds that TFMA was given.
        contract: whose columns TFMA's slices are named by.
    """
    if not compiled.thresholds:
        return []
    if validation is None or not validation.validation_details.slicing_details:
        return [Finding(_TFMA, Status.INCONCLUSIVE, "TFMA validated nothing")]
    if validation.missing_thresholds or validation.rubber_stamp or _missing_slices(validation):
        return [Finding(_TFMA, Status.INCONCLUSIVE, "TFMA lacked a threshold or a slice")]
    failed = list(_failures(validation, compiled, contract))
    if not failed and not validation.validation_ok:
        return [Finding(_TFMA, Status.FAIL, "TFMA's validation rejects the model, not saying why")]
    return failed or [Finding(_TFMA, Status.PASS, "TFMA's validation passes its thresholds")]


def _missing_slices(validation: Any) -> list[Any]:
    """Slices that TFMA did not see.

    It also calls one missing that has failed a threshold, if another limit has the same bound.
    """
    failed = [
        slicer_lib.deserialize_slice_key(v.slice_key)
        for v in validation.metric_validations_per_slice
    ]
    return [
        spec
        for spec in validation.missing_slices
        if not any(slicer_lib.SingleSliceSpec(spec=spec).is_slice_applicable(k) for k in failed)
    ]


def _failures(validation: Any, compiled: CompiledLimits, contract: Contract) -> Iterator[Finding]:
    for per_slice in validation.metric_validations_per_slice:
        key = slicer_lib.deserialize_slice_key(per_slice.slice_key)
        for failure in per_slice.failures:
            name = failure.metric_key.name
            reason = f"TFMA's validation rejects {name}"
            rules = [
                _rule(threshold, key, contract)
                for threshold in compiled.thresholds
                if threshold.metric == name
                and threshold.bounds == failure.metric_threshold
                and threshold.covers(key)
            ]
            for rule in rules or [_TFMA]:
                yield Finding(rule, Status.FAIL, reason)


def _rule(threshold: NativeThreshold, key: Any, contract: Contract) -> str:
    """The limit's rule, with the group where it holds for each of several."""
    limit = threshold.limit
    if not limit.slice.attributes or limit.slice.groups:
        return limit.rule
    named = dict(key)
    labels = tuple(str(named[contract.column(a).group_column]) for a in limit.slice.attributes)
    return f"{limit.rule}:{limit.slice.group(labels).name}"
