"""Native figures of the release gate under the referee's names and slices."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from fairlearn.metrics import MetricFrame, count

from components.checks.measurement import Measurement
from components.checks.release import slices_measured
from components.contract.policy import (
    COMPARISONS,
    MISSING,
    RATES,
    Metric,
    Policy,
    ReleaseGatePolicy,
    Slice,
)
from components.stacks.pytorch_stack.frameworks import tool
from components.stacks.pytorch_stack.native_metrics import (
    LIBRARIES,
    OF_DECISIONS,
    OF_SCORES,
    Cases,
    Floats,
    Labels,
    invalid,
)

_OF_GROUPS = (*RATES, Metric.CALIBRATION_BIAS, Metric.CALIBRATION_ERROR)
_ON_REQUEST = (Metric.ROC_AUC, Metric.AVERAGE_PRECISION, Metric.BRIER)
"""Of a group only where a limit is on them."""

_CASES = {
    "rows": count,
    "positives": lambda labels, _: labels.sum(),
    "selected": lambda _, selected: selected.sum(),
}


@dataclass(frozen=True, slots=True)
class EvaluationRows:
    """What is known of the evaluation rows beside their scores.

    ``labels`` has shape (n,), 1 for positives. ``groups`` has n labels for each protected
    attribute, None where a row has none; ``declared``, those that count even without rows.
    """

    labels: Labels
    groups: Mapping[str, Sequence[str | None]]
    declared: Mapping[str, Sequence[str]]


def measure(rows: EvaluationRows, scores: Floats, policy: Policy) -> tuple[Measurement, ...]:
    """Figures of everybody, of every group of each attribute and pair, and between groups.

    Args:
        rows: labels and groups.
        scores: shape (n,); a row is selected when its score is at or above the policy's threshold.
        policy: its pools are applied; what limits of it ask for beside the usual is measured too.
    """
    found = _overall(rows.labels, scores, policy.decision_threshold)
    for attributes in slices_measured(rows.groups):
        found.extend(_of_groups(rows, scores, attributes, policy))
    return tuple(found)


def _overall(labels: Labels, scores: Floats, threshold: float) -> list[Measurement]:
    cases = Cases.of(labels, scores, threshold)
    selected = (scores >= threshold).astype(np.int64)
    figures = {m: f(labels, scores) for m, f in OF_SCORES.items()}
    figures |= {m: f(labels, selected) for m, f in OF_DECISIONS.items()}
    return [
        Measurement(
            str(metric),
            float(value) if cases.behind(metric) else math.nan,
            cases.behind(metric),
            source=tool(LIBRARIES[metric]),
        )
        for metric, value in figures.items()
    ]


def _of_groups(
    rows: EvaluationRows, scores: Floats, attributes: tuple[str, ...], policy: Policy
) -> list[Measurement]:
    """The figures of every group of some attributes, and every comparison between them."""
    rules = policy.release_gate
    names = _group_names(rows.groups, attributes, rules)
    wanted = {x.metric for x in rules.limits if x.slice.attributes == attributes}
    metrics = [*_OF_GROUPS, *(m for m in _ON_REQUEST if m in wanted)]
    frames = _frames(rows.labels, scores, policy.decision_threshold, names, metrics)
    held = pd.concat([f.by_group for f in frames.values()], axis=1)
    cases = {name: Cases() for name in _declared(rows.declared, attributes, rules)}
    for name, row in held.iterrows():
        counted = (int(row[k]) for k in (*_CASES, "invalid"))
        cases[str(name)] = Cases(*counted)
    found = [
        Measurement(
            str(metric),
            float(held[str(metric)][name]) if own.behind(metric) else math.nan,
            own.behind(metric),
            slice=name,
            source=_source(metric),
            of=Slice(attributes).name,
        )
        for name, own in sorted(cases.items())
        for metric in metrics
    ]
    return [*found, *_comparisons(frames, list(cases.values()), Slice(attributes).name)]


def _frames(
    labels: Labels,
    scores: Floats,
    threshold: float,
    names: npt.NDArray[np.object_],
    metrics: Sequence[Metric],
) -> dict[str, MetricFrame]:
    """fairlearn's frames: one of decisions with counts of cases, one of scores."""
    kinds: dict[str, tuple[dict[str, Any], Any]] = {
        "decisions": (
            {**{str(m): OF_DECISIONS[m] for m in metrics if m in OF_DECISIONS}, **_CASES},
            (scores >= threshold).astype(np.int64),
        ),
        "scores": (
            {**{str(m): OF_SCORES[m] for m in metrics if m in OF_SCORES}, "invalid": invalid},
            scores,
        ),
    }
    return {
        kind: MetricFrame(
            metrics=functions, y_true=labels, y_pred=predicted, sensitive_features=names
        )
        for kind, (functions, predicted) in kinds.items()
    }


def _comparisons(
    frames: Mapping[str, MetricFrame], cases: Sequence[Cases], where: str
) -> list[Measurement]:
    """fairlearn's largest difference and smallest ratio between groups; NaN where one is unknown.

    Left to itself fairlearn compares the groups that have a figure and says nothing of the others.
    """
    with warnings.catch_warnings():
        # A ratio of rates that are all 0 divides by zero; it is NaN, as it should be.
        warnings.simplefilter("ignore", RuntimeWarning)
        differences, ratios = (
            pd.concat([getattr(f, how)(method="between_groups") for f in frames.values()])
            for how in ("difference", "ratio")
        )
    found = []
    for metric in COMPARISONS:
        own = metric.of_group
        known = [0 if c.invalid else c.behind(own) for c in cases]
        fewest = min(known, default=0)
        enough = fewest >= (2 if own is Metric.CALIBRATION_BIAS else 1) and len(known) > 1
        value = float((differences if metric.is_difference else ratios)[str(own)])
        found.append(
            Measurement(
                str(metric),
                value if enough else math.nan,
                fewest,
                slice=where,
                source=_source(own),
            )
        )
    return found


def _group_names(
    groups: Mapping[str, Sequence[str | None]],
    attributes: tuple[str, ...],
    rules: ReleaseGatePolicy,
) -> npt.NDArray[np.object_]:
    """Name of each row's group, shape (n,), pools applied.

    One name and not a column for each attribute: a pool of pairs is no pair of labels.
    """
    held = pd.DataFrame({a: [MISSING if g is None else g for g in groups[a]] for a in attributes})
    codes, combinations = pd.MultiIndex.from_frame(held).factorize()
    names = [Slice(attributes, rules.pooled(attributes, c)).name for c in combinations]
    return np.array(names, dtype=object)[codes]


def _declared(
    declared: Mapping[str, Sequence[str]], attributes: tuple[str, ...], rules: ReleaseGatePolicy
) -> list[str]:
    """Names of the groups of one attribute that must be there even without rows."""
    if len(attributes) > 1:
        return []
    labels = declared[attributes[0]]
    return [Slice(attributes, rules.pooled(attributes, (g,))).name for g in labels]


def _source(metric: Metric) -> str:
    """fairlearn takes the groups apart; what it calls on each may be another tool's."""
    library = LIBRARIES[metric]
    if library == "fairlearn":
        return tool(library)
    return f"{tool('fairlearn')} with {tool(library)}"
