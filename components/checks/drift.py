"""Drift, defined once: how far a column's distribution has moved from the baseline's.

Every statistic works on two vectors of counts over the same bins or categories. Nulls are a
category of their own, so a column that goes missing has drifted.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt

from components.checks.measurement import Finding, Measurement, Status, within
from components.checks.suppression import told_count
from components.contract.clauses import drift_clauses, drifting_columns
from components.contract.contract import Contract
from components.contract.policy import DataGatePolicy, DriftStatistic
from components.profile.profile import ColumnProfile, Profile

PSI_EPSILON = 1e-4
"""Share that stands in for an empty bin in PSI, so that one empty bin is large but not infinite."""

_Counts = npt.NDArray[np.float64]


def jensen_shannon(p: _Counts, q: _Counts) -> float:
    """Jensen-Shannon divergence, base 2, of two count vectors of equal length.

    ``JSD = H((P + Q) / 2) - (H(P) + H(Q)) / 2`` (Lin, 1991). In [0, 1]: 0 for equal shares, 1 for
    disjoint ones. It is the square of what scipy and Evidently call the distance. NaN if either
    side is empty.
    """
    p, q = _shares(p), _shares(q)
    middle = (p + q) / 2
    return (_kullback_leibler(p, middle) + _kullback_leibler(q, middle)) / 2


def l_infinity(p: _Counts, q: _Counts) -> float:
    """Largest absolute difference of shares, in [0, 1]; NaN if either side is empty."""
    return float(np.max(np.abs(_shares(p) - _shares(q))))


def psi(p: _Counts, q: _Counts) -> float:
    """Population stability index, ``sum((q - p) * ln(q / p))``, 0 or above; NaN if a side is empty.

    Shares below ``PSI_EPSILON`` are raised to it (Siddiqi, Credit Risk Scorecards, 2006).
    """
    p, q = np.maximum(_shares(p), PSI_EPSILON), np.maximum(_shares(q), PSI_EPSILON)
    return float(np.sum((q - p) * np.log(q / p)))


def _shares(counts: _Counts) -> _Counts:
    total = counts.sum()
    return counts / total if total > 0 else np.full_like(counts, math.nan)


def _kullback_leibler(p: _Counts, q: _Counts) -> float:
    if np.isnan(p).any() or np.isnan(q).any():
        return math.nan
    held = p > 0
    return float(np.sum(p[held] * np.log2(p[held] / q[held])))


_STATISTICS = {
    DriftStatistic.JENSEN_SHANNON: jensen_shannon,
    DriftStatistic.L_INFINITY: l_infinity,
    DriftStatistic.PSI: psi,
}


def drift_findings(
    current: Profile | None,
    baseline: Profile | None,
    contract: Contract,
    policy: DataGatePolicy,
    unusable: str | None = None,
) -> list[Finding]:
    """One finding for every drift clause: ``row_ratio:<side>`` and ``drift:<column>``.

    No baseline, one that is ``unusable`` for the reason given, too few rows on either side, a
    column that a side lacks, more categories than were counted, or another set of bin edges: each
    is INCONCLUSIVE, with its reason. Only where the policy declares a first release, and there is
    no baseline, do the clauses pass without being judged, and say so.
    """
    rules = [c.rule for c in drift_clauses(contract, policy)]
    if baseline is None and unusable is None and policy.first_release is not None:
        return first_release_findings(rules)
    if unusable is None and baseline is None:
        unusable = "there is no baseline"
    if unusable is None and current is None:
        unusable = "there are no current rows"
    if unusable is not None or current is None or baseline is None:
        return [Finding(r, Status.INCONCLUSIVE, f"{r} unknown: {unusable}") for r in rules]
    columns = [_column_drift(n, current, baseline, policy) for n in drifting_columns(contract)]
    return [*_row_ratio(current, baseline, policy), *columns]


def first_release_findings(rules: Iterable[str]) -> list[Finding]:
    """What every engine says of rules that need a baseline when a first release is declared."""
    reason = "not judged: the policy declares a first release, there is no baseline"
    return [Finding(rule, Status.PASS, f"{rule} {reason}") for rule in rules]


def _row_ratio(current: Profile, baseline: Profile, policy: DataGatePolicy) -> Iterator[Finding]:
    ratio = current.rows / baseline.rows if baseline.rows else math.nan
    measured = Measurement("current rows by baseline rows", ratio, current.rows)
    least, most = policy.row_ratio_at_least, policy.row_ratio_at_most
    if least is not None:
        yield within("row_ratio:least", measured, at_least=least)
    if most is not None:
        yield within("row_ratio:most", measured, at_most=most)


def _column_drift(
    name: str, current: Profile, baseline: Profile, policy: DataGatePolicy
) -> Finding:
    rule, limit = f"drift:{name}", policy.limit_for(name)

    def unknown(reason: str) -> Finding:
        return Finding(rule, Status.INCONCLUSIVE, f"drift of {name} unknown: {reason}")

    fewest = min(baseline.rows, current.rows)
    if fewest < policy.min_rows:
        return unknown(
            f"{told_count(fewest)} rows on one side, at least {policy.min_rows} required"
        )
    before, after = baseline.columns.get(name), current.columns.get(name)
    if before is None or after is None:
        return unknown("one side lacks the column")
    vectors = count_vectors(before, after)
    if vectors is None:
        return unknown("the two sides were not counted in the same bins, or not one by one")
    value = _STATISTICS[limit.statistic](*vectors)
    measurement = Measurement(str(limit.statistic), value, fewest, slice=name)
    return within(rule, measurement, at_most=limit.at_most)


def count_vectors(before: ColumnProfile, after: ColumnProfile) -> tuple[_Counts, _Counts] | None:
    """Counts of both sides over the same bins or categories, nulls last; None if they differ."""
    if before.counts is None and after.counts is None and before.bins and after.bins:
        # One bin for all values would find any two sides alike.
        if before.edges != after.edges or (not before.edges and any(before.bins)):
            return None
        rows = [[*side.bins, side.nulls] for side in (before, after)]
    elif before.counts is not None and after.counts is not None:
        categories = sorted(set(before.counts) | set(after.counts))
        rows = [
            [*((side.counts or {}).get(c, 0) for c in categories), side.nulls]
            for side in (before, after)
        ]
    else:
        return None
    return np.array(rows[0], dtype=np.float64), np.array(rows[1], dtype=np.float64)
