"""TFMA's figures as Measurements, under the referee's names and slices.

TFMA counts, sums and ranks; the intervals around that are those of ``components.checks``. Nothing
here looks at a score: that is the referee's part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import tensorflow_model_analysis as tfma

from components.checks.calibration import brier, calibration_bias, calibration_error
from components.checks.fairness import group_measurements, proportions, rates
from components.checks.measurement import Measurement
from components.checks.release import slices_measured
from components.checks.tallies import CALIBRATION_BINS, Tally
from components.contract.contract import Contract
from components.contract.policy import RATES, Metric, Policy, Slice
from components.stacks.tfx_stack.evaluation_rankings import ranking
from components.stacks.tfx_stack.evaluation_sums import EVERYBODY, Evaluation
from components.stacks.tfx_stack.evaluation_thresholds import (
    RANKING,
    Combinations,
    CompiledLimits,
    Labels,
)

_NOBODY = Tally(0, 0, 0, 0, 0, np.zeros(CALIBRATION_BINS), 0.0, 0.0)


def measurements(
    found: Evaluation,
    contract: Contract,
    policy: Policy,
    held: Combinations,
    limits: CompiledLimits,
) -> tuple[Measurement, ...]:
    """Everything that the referee measures, from TFMA's sums; what TFMA lacks is absent.

    A group that evaluation rows hold and TFMA has no sums of makes every figure of its attributes
    unknown.

    Args:
        found: what TFMA measured.
        contract: the protected attributes and their declared groups.
        policy: pools, confidence, and which rankings of groups are asked for.
        held: groups of the evaluation rows.
        limits: says between which groups TFMA took differences itself.
    """
    confidence = policy.release_gate.confidence
    measured = list(_overall(found, confidence))
    for attributes in slices_measured(c.name for c in contract.protected):
        groups = _group_sums(found, attributes, contract, policy, held[attributes])
        if groups is None:
            continue
        own = group_measurements(groups, attributes, confidence)
        if attributes in limits.compared:
            own = list(_as_tfma_compares(own, found, attributes, held[attributes]))
        measured += [*own, *_on_request(found, groups, attributes, policy, held[attributes])]
    source = f"tfma {tfma.__version__}"
    return tuple(replace(m, source=source) for m in measured)


def _overall(found: Evaluation, confidence: float) -> Iterator[Measurement]:
    everybody = found.sums.get(EVERYBODY)
    if everybody is None:
        return
    for metric in RANKING:
        yield ranking(metric, found.figures[EVERYBODY], everybody, confidence)
    yield brier(everybody, confidence)
    yield calibration_error(everybody, confidence)
    yield calibration_bias(everybody, confidence)
    yield from rates(proportions(everybody), confidence)


def _group_sums(
    found: Evaluation,
    attributes: Labels,
    contract: Contract,
    policy: Policy,
    held: frozenset[Labels],
) -> dict[Labels, Tally] | None:
    """The sums of each group, pools applied; a declared group counts even without rows."""
    pooled = policy.release_gate.pooled
    declared = contract.column(attributes[0]).group_labels if len(attributes) == 1 else ()
    groups = {pooled(attributes, (label,)): _NOBODY for label in declared}
    for labels in held:
        own = found.sums.get((attributes, labels))
        if own is None:
            return None
        group = pooled(attributes, labels)
        groups[group] = _added(groups.get(group, _NOBODY), own)
    return dict(sorted(groups.items()))


def _added(one: Tally, other: Tally) -> Tally:
    return Tally(
        rows=one.rows + other.rows,
        positives=one.positives + other.positives,
        selected=one.selected + other.selected,
        true_positives=one.true_positives + other.true_positives,
        invalid=one.invalid + other.invalid,
        bin_residuals=one.bin_residuals + other.bin_residuals,
        squares=one.squares + other.squares,
        fourths=one.fourths + other.fourths,
    )


def _as_tfma_compares(
    measured: Sequence[Measurement], found: Evaluation, attributes: Labels, held: frozenset[Labels]
) -> Iterator[Measurement]:
    """Differences between groups as TFMA took them; a pair that it did not take leaves none."""
    pairs = list(combinations(sorted(held), 2))
    taken = [found.differences.get(((attributes, a), (attributes, b)), {}) for a, b in pairs]
    for m in measured:
        metric = Metric(m.name)
        if not metric.is_difference or metric.of_group not in RATES or math.isnan(m.value):
            yield m
            continue
        gaps = [abs(d.get(str(metric.of_group), math.nan)) for d in taken]
        if gaps and all(math.isfinite(g) for g in gaps):
            yield replace(m, value=max(gaps))


def _on_request(
    found: Evaluation,
    groups: dict[Labels, Tally],
    attributes: Labels,
    policy: Policy,
    held: frozenset[Labels],
) -> Iterator[Measurement]:
    """Brier score and rankings of groups, where a limit is on them; no ranking of a pool."""
    rules = policy.release_gate
    wanted = {x.metric for x in rules.limits if x.slice.attributes == attributes}
    for group, own in groups.items():
        where = Slice(attributes, group)
        if Metric.BRIER in wanted:
            yield _of_group(brier(own, rules.confidence), where)
        if any(rules.pooled(attributes, g) == group != g for g in held):
            continue
        for metric in RANKING:
            if metric in wanted:
                figures = found.figures.get((attributes, group), {})
                yield _of_group(ranking(metric, figures, own, rules.confidence), where)


def _of_group(m: Measurement, where: Slice) -> Measurement:
    return replace(m, slice=where.name, of=Slice(where.attributes).name)
