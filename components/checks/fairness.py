"""Rates by group and the gaps between groups, with intervals that cost by group, not by row."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import numpy as np

from components.checks.measurement import Measurement
from components.checks.performance import Flags, Floats
from components.contract.policy import Metric

_RATE_OF = {
    Metric.TPR_DIFFERENCE: "tpr",
    Metric.FPR_DIFFERENCE: "fpr",
    Metric.SELECTION_RATE_DIFFERENCE: "selection_rate",
}


@dataclass(frozen=True, slots=True)
class GroupRates:
    """How often the rows of one group are selected; ``hits`` out of ``cases`` for each rate.

    Rates: ``selection_rate`` over all rows, ``tpr`` over positives, ``fpr`` over negatives.
    """

    group: str
    hits: dict[str, int]
    cases: dict[str, int]

    def rate(self, name: str, attribute: str, confidence: float) -> Measurement:
        """One rate with Wilson's interval (Wilson, 1927); NaN without cases."""
        from statsmodels.stats.proportion import proportion_confint

        hits, cases = self.hits[name], self.cases[name]
        where = f"{attribute}={self.group}"
        if cases == 0:
            return Measurement(name, math.nan, 0, slice=where)
        low, high = proportion_confint(hits, cases, alpha=1 - confidence, method="wilson")
        return Measurement(name, hits / cases, cases, slice=where, low=float(low), high=float(high))


def group_rates(
    labels: Flags, scores: Floats, groups: list[str | None], threshold: float
) -> list[GroupRates]:
    """Counts for each group, in the groups' order.

    Args:
        labels: shape (n,), true for positives.
        scores: shape (n,); a row is selected when its score is at or above ``threshold``. A score
            that is not a number says nothing, so a group that has one counts as without cases.
        groups: n group labels; rows without one (None) form the group ``(missing)``.
        threshold: decision threshold, inclusive.
    """
    selected = scores >= threshold
    names = np.array([g if g is not None else "(missing)" for g in groups])
    rates = []
    for group in sorted(set(names.tolist())):
        held = names == group
        if not np.isfinite(scores[held]).all():
            none = dict.fromkeys(_RATE_OF.values(), 0)
            rates.append(GroupRates(group, hits=none, cases=none))
            continue
        rates.append(
            GroupRates(
                group=group,
                hits={
                    "selection_rate": int((held & selected).sum()),
                    "tpr": int((held & selected & labels).sum()),
                    "fpr": int((held & selected & ~labels).sum()),
                },
                cases={
                    "selection_rate": int(held.sum()),
                    "tpr": int((held & labels).sum()),
                    "fpr": int((held & ~labels).sum()),
                },
            )
        )
    return rates


def largest_gap(
    metric: Metric, rates: list[GroupRates], attribute: str, confidence: float
) -> Measurement:
    """Largest difference of a rate between any two groups of an attribute.

    0 means that all groups are treated alike, 1 that one group always and another never is. For
    the true positive rate this is the equal opportunity difference of Hardt, Price and Srebro
    (2016). The interval is Newcombe's for two independent proportions (method 10, Statistics in
    Medicine, 1998), for the pair of groups with the largest gap. NaN when a group has no cases, or
    there is only one group.
    """
    from statsmodels.stats.proportion import confint_proportions_2indep

    name = _RATE_OF[metric]
    fewest = min((r.cases[name] for r in rates), default=0)
    if len(rates) < 2 or fewest == 0:
        return Measurement(str(metric), math.nan, fewest, slice=attribute)
    ordered = sorted(rates, key=lambda r: r.hits[name] / r.cases[name])
    low_group, high_group = ordered[0], ordered[-1]
    gap = (high_group.hits[name] / high_group.cases[name]) - (
        low_group.hits[name] / low_group.cases[name]
    )
    with warnings.catch_warnings():
        # A group with no hits, or nothing but hits, divides by zero on the way to a sound limit.
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = confint_proportions_2indep(
            high_group.hits[name],
            high_group.cases[name],
            low_group.hits[name],
            low_group.cases[name],
            compare="diff",
            method="newcomb",
            alpha=1 - confidence,
        )
    return Measurement(str(metric), gap, fewest, slice=attribute, low=float(low), high=float(high))
