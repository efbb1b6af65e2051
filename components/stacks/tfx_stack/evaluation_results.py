"""Reads what TFMA measured back as Measurements, and its verdict with the policy's limits.

TFMA counts; the intervals around its counts are those of ``components.checks``. Nothing here
looks at a score: that is the referee's part.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import tensorflow_model_analysis as tfma

from components.checks.fairness import GroupRates, largest_gap
from components.checks.gates import release_gate
from components.checks.measurement import Finding, Measurement, Status, Verdict, conclude
from components.contract.contract import Contract
from components.contract.policy import Metric, Policy
from components.stacks.tfx_stack.evaluation_config import AUC, COUNT, MATRIX, MSE, native_limits

Metrics = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SliceFigures:
    """TFMA's figures of one slice; ``attribute`` is empty for all rows."""

    attribute: str
    group: str
    metrics: Metrics


def read_slices(evaluation_uri: str) -> list[SliceFigures]:
    """Every slice of a TFMA evaluation with its metrics by name."""
    found = []
    for key, by_output in tfma.load_eval_result(evaluation_uri).slicing_metrics:
        attribute, group = key[0] if key else ("", "")
        values = by_output[""][""]
        text = group.decode() if isinstance(group, bytes) else str(group)
        found.append(SliceFigures(attribute, text, {n: _value(v) for n, v in values.items()}))
    return found


def _value(value: Mapping[str, Any]) -> Any:
    """TFMA's JSON form of a metric: a number, or the matrix at the policy's threshold."""
    if "doubleValue" in value:
        return float(value["doubleValue"])
    matrices = value.get("confusionMatrixAtThresholds", {}).get("matrices", [])
    return matrices[0] if len(matrices) == 1 else None


def measurements(
    slices: list[SliceFigures], contract: Contract, policy: Policy
) -> tuple[Measurement, ...]:
    """TFMA's figures under the referee's names and slices; what TFMA lacks is absent."""
    confidence = policy.release_gate.confidence
    found = list(_overall(slices, confidence))
    for column in contract.protected:
        held = [s for s in slices if s.attribute == column.group_column]
        rates = [r for r in map(group_counts, held) if r is not None]
        for rate in rates:
            found += [rate.rate(n, column.name, confidence) for n in rate.cases]
        found += [
            largest_gap(metric, rates, column.name, confidence)
            for metric in Metric
            # A group whose counts TFMA could not give makes every gap of the attribute unknown.
            if metric.is_group_difference and rates and len(rates) == len(held)
        ]
    source = f"tfma {tfma.__version__}"
    return tuple(replace(m, source=source) for m in found)


def _overall(slices: list[SliceFigures], confidence: float) -> Iterator[Measurement]:
    for figures in slices:
        counts = None if figures.attribute else group_counts(figures)
        if counts is None:
            continue
        positives, negatives = counts.cases["tpr"], counts.cases["fpr"]
        if AUC in figures.metrics:
            yield auc_with_interval(figures.metrics[AUC], positives, negatives, confidence)
        if MSE in figures.metrics:
            yield Measurement("brier", float(figures.metrics[MSE]), positives + negatives)


def group_counts(figures: SliceFigures) -> GroupRates | None:
    """Hits and cases of a slice out of TFMA's confusion matrix; None where they do not add up."""
    matrix, rows = figures.metrics.get(MATRIX), figures.metrics.get(COUNT)
    if matrix is None or rows is None:
        return None
    cells = [float(matrix.get(n, 0.0)) for n in _CELLS]
    if not all(math.isfinite(c) for c in cells) or sum(cells) != rows:
        return None
    tp, fp, tn, fn = (int(c) for c in cells)
    return GroupRates(
        group=figures.group,
        hits={"selection_rate": tp + fp, "tpr": tp, "fpr": fp},
        cases={"selection_rate": int(rows), "tpr": tp + fn, "fpr": fp + tn},
    )


_CELLS = ("truePositives", "falsePositives", "trueNegatives", "falseNegatives")


def auc_with_interval(auc: float, positives: int, negatives: int, confidence: float) -> Measurement:
    """AUC with the interval of Hanley and McNeil (Radiology, 1982), which needs counts alone.

    The standard error comes from the area and the class sizes under exponential scores. NaN for
    an absent class.
    """
    from scipy.stats import norm

    fewest = min(positives, negatives)
    if fewest == 0 or not math.isfinite(auc):
        return Measurement("roc_auc", math.nan, fewest)
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    variance = (
        auc * (1 - auc) + (positives - 1) * (q1 - auc**2) + (negatives - 1) * (q2 - auc**2)
    ) / (positives * negatives)
    half = float(norm.ppf((1 + confidence) / 2)) * math.sqrt(max(variance, 0.0))
    return Measurement("roc_auc", auc, fewest, low=max(0.0, auc - half), high=min(1.0, auc + half))


def native_verdict(
    found: tuple[Measurement, ...],
    slices: list[SliceFigures],
    expected_groups: Mapping[str, set[str]],
    validation: Any | None,
    policy: Policy,
) -> Verdict:
    """TFMA's validation, the slices that had to be there, and every limit on TFMA's figures.

    Args:
        found: as given by ``measurements``.
        slices: as given by ``read_slices``.
        expected_groups: for each group column, the groups that the evaluation rows hold.
        validation: TFMA's ValidationResult; None where it wrote none.
        policy: the policy.
    """
    present = {(s.attribute, s.group) for s in slices}
    missing = [
        Finding(
            f"slice:{attribute}",
            Status.INCONCLUSIVE,
            f"TFMA has no slice for {len(absent)} group(s) of {attribute}",
        )
        for attribute, groups in expected_groups.items()
        if (absent := [g for g in groups if (attribute, g) not in present])
    ]
    own = validation_findings(validation, policy)
    return conclude([*own, *missing, *release_gate(found, policy).findings])


def validation_findings(validation: Any | None, policy: Policy) -> list[Finding]:
    """TFMA's own word on its thresholds; silence where it had some is INCONCLUSIVE.

    ``validation_ok`` alone does not open anything: TFMA also says so of slices it never saw.
    """
    if not native_limits(policy):
        return []
    if validation is None or not validation.validation_details.slicing_details:
        return [Finding("tfma", Status.INCONCLUSIVE, "TFMA validated nothing")]
    if validation.missing_thresholds or validation.missing_slices or validation.rubber_stamp:
        return [Finding("tfma", Status.INCONCLUSIVE, "TFMA lacked a threshold or a slice")]
    failed = sorted(
        {
            failure.metric_key.name
            for per_slice in validation.metric_validations_per_slice
            for failure in per_slice.failures
        }
    )
    if failed or not validation.validation_ok:
        named = ", ".join(failed) or "the model"
        return [Finding("tfma", Status.FAIL, f"TFMA's validation rejects {named}")]
    return [Finding("tfma", Status.PASS, "TFMA's validation passes its thresholds")]
