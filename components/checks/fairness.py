"""Rates by group and comparisons between groups, with intervals that cost by group, not by row."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from components.checks.calibration import bias_and_error, calibration_bias, calibration_error
from components.checks.measurement import Measurement
from components.checks.tallies import Floats, Integers, Tally
from components.contract.policy import COMPARISONS, RATES, Metric, Slice

Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Proportion:
    """A rate as counts: ``hits`` out of ``cases``."""

    hits: int
    cases: int

    @property
    def value(self) -> float:
        """The rate; NaN without cases."""
        return self.hits / self.cases if self.cases else math.nan


def proportions(held: Tally) -> dict[Metric, Proportion]:
    """The four rates of a group; without cases where a score is no number in [0, 1].

    Selection rate: selected of all rows. True positive rate (recall): selected of positives. False
    positive rate: selected of negatives. Positive predictive value (precision): positives of
    selected rows. Each is in [0, 1].
    """
    if held.invalid:
        return {m: Proportion(0, 0) for m in RATES}
    return counted(
        rows=held.rows,
        positives=held.positives,
        selected=held.selected,
        true_positives=held.true_positives,
    )


def counted(
    *, rows: int, positives: int, selected: int, true_positives: int
) -> dict[Metric, Proportion]:
    """The four rates out of the counts of a confusion matrix."""
    return {
        Metric.SELECTION_RATE: Proportion(selected, rows),
        Metric.TPR: Proportion(true_positives, positives),
        Metric.FPR: Proportion(selected - true_positives, rows - positives),
        Metric.PPV: Proportion(true_positives, selected),
    }


def rates(found: Mapping[Metric, Proportion], confidence: float) -> list[Measurement]:
    """Each rate with Wilson's interval (JASA, 1927) from statsmodels; NaN without cases."""
    from statsmodels.stats.proportion import proportion_confint

    measured = []
    for metric, rate in found.items():
        if rate.cases == 0:
            measured.append(Measurement(str(metric), math.nan, 0))
            continue
        low, high = proportion_confint(rate.hits, rate.cases, alpha=1 - confidence, method="wilson")
        measured.append(
            Measurement(str(metric), rate.value, rate.cases, low=float(low), high=float(high))
        )
    return measured


def group_measurements(
    groups: Mapping[Labels, Tally], attributes: Labels, confidence: float
) -> list[Measurement]:
    """Rates and calibration of every group, and every comparison between them."""
    slice_ = Slice(attributes)
    found = []
    for labels, held in groups.items():
        own = rates(proportions(held), confidence)
        own += [calibration_bias(held, confidence), calibration_error(held, confidence)]
        where = slice_.group(labels).name
        found += [replace(m, slice=where, of=slice_.name) for m in own]
    by_group = {g: proportions(held) for g, held in groups.items()}
    for metric in COMPARISONS:
        if metric.of_group is Metric.CALIBRATION_BIAS:
            found.append(largest_bias_difference(list(groups.values()), slice_, confidence))
        else:
            found.append(
                compare(metric, [r[metric.of_group] for r in by_group.values()], slice_, confidence)
            )
    return found


def compare(
    metric: Metric, groups: Sequence[Proportion], where: Slice, confidence: float
) -> Measurement:
    """Largest difference, or smallest ratio, of a rate between any two groups.

    A difference of 0 and a ratio of 1 mean that all groups are treated alike; a difference of 1 and
    a ratio of 0 that one group always or never is what another never or sometimes is. For the true
    positive rate the difference is the equal opportunity difference of Hardt, Price and Srebro
    (2016); the ratio of selection rates is the impact ratio of the four-fifths rule (29 CFR 1607.4
    D).

    The interval of a pair is Newcombe's for a difference (method 10, Statistics in Medicine, 1998;
    from statsmodels) and MOVER-R for a ratio (Donner and Zou, Statistical Methods in Medical
    Research, 2012): both make one interval of the two rates' Wilson intervals, so that neither is
    without width where everybody or nobody is selected. Every pair is looked at both ways round,
    each at ``1 - (1 - confidence) / pairs`` (Bonferroni), so that the interval holds for the worst
    pair whichever it is; with two groups it is the plain one. NaN when a group has no cases, there
    is only one group, or, for a ratio, nobody is selected. ``n`` is the cases of the smallest
    group.
    """
    fewest = min((g.cases for g in groups), default=0)
    if len(groups) < 2 or fewest == 0:
        return Measurement(str(metric), math.nan, fewest, slice=where.name)
    ordered = sorted(groups, key=lambda g: (g.value, g.cases))
    if metric.is_ratio and ordered[-1].hits == 0:
        return Measurement(str(metric), math.nan, fewest, slice=where.name)
    low_rate, high_rate = ordered[0].value, ordered[-1].value
    value = low_rate / high_rate if metric.is_ratio else high_rate - low_rate
    first, second = np.triu_indices(len(ordered), 1)
    hits, cases = np.array([g.hits for g in ordered]), np.array([g.cases for g in ordered])
    alpha = (1 - confidence) / len(first)
    if metric.is_ratio:
        low, high = _ratio_intervals(hits, cases, first, second, alpha)
        # A pair's ratio may truly be above 1: then the smallest is that of the pair turned round.
        low = np.minimum(low, 1 / high)
        return Measurement(
            str(metric),
            value,
            fewest,
            slice=where.name,
            low=float(low.min()),
            high=min(1.0, float(high.min())),
        )
    low, high = _difference_intervals(hits, cases, second, first, alpha)
    high = np.maximum(high, -low)  # the same for a difference that may truly be below 0
    return Measurement(
        str(metric),
        value,
        fewest,
        slice=where.name,
        low=max(0.0, float(low.max())),
        high=float(high.max()),
    )


def _difference_intervals(
    hits: Integers, cases: Integers, one: Integers, other: Integers, alpha: float
) -> tuple[Floats, Floats]:
    from statsmodels.stats.proportion import confint_proportions_2indep

    with warnings.catch_warnings():
        # A group with no hits, or nothing but hits, divides by zero on the way to a sound limit.
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = confint_proportions_2indep(
            hits[one], cases[one], hits[other], cases[other],
            compare="diff", method="newcomb", alpha=alpha,
        )  # fmt: skip
    return np.atleast_1d(low), np.atleast_1d(high)


def _ratio_intervals(
    hits: Integers, cases: Integers, one: Integers, other: Integers, alpha: float
) -> tuple[Floats, Floats]:
    """MOVER-R from Wilson's limits; the upper limit of a ratio over no hits is infinite."""
    from statsmodels.stats.proportion import proportion_confint

    rates = hits / cases
    least, most = proportion_confint(hits, cases, alpha=alpha, method="wilson")
    product = rates[one] * rates[other]

    def root(numerator: Floats, denominator: Floats) -> Floats:
        found: Floats = np.sqrt(np.maximum(product**2 - numerator * denominator, 0.0))
        return found

    with np.errstate(divide="ignore", invalid="ignore"):
        numerator = least[one] * (2 * rates[one] - least[one])
        denominator = most[other] * (2 * rates[other] - most[other])
        # The same as (product - root) / denominator, which would be 0 / 0 at a denominator of 0.
        low = numerator / (product + root(numerator, denominator))
        numerator = most[one] * (2 * rates[one] - most[one])
        denominator = least[other] * (2 * rates[other] - least[other])
        high = (product + root(numerator, denominator)) / denominator
    return (
        np.where(hits[one] == 0, 0.0, low),
        np.where(hits[other] == 0, np.inf, high),
    )


def largest_bias_difference(
    groups: Sequence[Tally], where: Slice, confidence: float
) -> Measurement:
    """Largest difference of calibration bias between any two groups; 0 is alike, 2 is worst.

    It says by how much more the risk of one group is overstated than that of another. The interval
    of a pair is Welch's, normal; over all pairs as in ``compare``. NaN when there are fewer than
    two groups, or one of them has fewer than two rows or a score that is no number.
    """
    from scipy.stats import norm

    name = str(Metric.CALIBRATION_BIAS_DIFFERENCE)
    fewest = min((0 if g.invalid else g.rows for g in groups), default=0)
    if len(groups) < 2 or fewest < 2:
        return Measurement(name, math.nan, fewest, slice=where.name)
    means, errors = (np.array(x) for x in zip(*(bias_and_error(g) for g in groups), strict=True))
    first, second = np.triu_indices(len(groups), 1)
    gaps = np.abs(means[first] - means[second])
    z = float(norm.ppf(1 - (1 - confidence) / len(first) / 2))
    half = z * np.hypot(errors[first], errors[second])
    return Measurement(
        name,
        float(gaps.max()),
        fewest,
        slice=where.name,
        low=max(0.0, float((gaps - half).max())),
        high=min(2.0, float((gaps + half).max())),
    )
