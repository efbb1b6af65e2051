"""How well scores rank people, with intervals: area under ROC, and average precision."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from components.checks.measurement import Measurement
from components.checks.tallies import Flags, Floats, Integers
from components.contract.policy import EVERYBODY, Metric, Slice


@dataclass(frozen=True, slots=True)
class Ranked:
    """How many positives and negatives hold each different score, in rising order of score.

    Both have shape (number of different scores,). ``valid`` is False where a score is no number in
    [0, 1]; then nothing is counted.
    """

    positives: Integers
    negatives: Integers
    valid: bool

    @classmethod
    def of(cls, labels: Flags, scores: Floats) -> Ranked:
        """Count labels by score; O(n log n), by one sort of machine words.

        A double in [0, 1] sorts like its bits and leaves the highest bit free, so score and label
        fit into one word.
        """
        if not ((scores >= 0) & (scores <= 1)).all():
            empty = np.empty(0, np.int64)
            return cls(empty, empty, valid=False)
        words = (scores + 0.0).view(np.uint64)  # adding zero makes -0.0 and 0.0 one value
        words <<= np.uint64(1)
        words |= labels
        words.sort()
        if not len(words):
            return cls(np.empty(0, np.int64), np.empty(0, np.int64), valid=True)
        values = words >> np.uint64(1)
        last = np.flatnonzero(np.append(values[1:] != values[:-1], True))
        up_to = np.cumsum((words & np.uint64(1)).astype(np.int64))[last]
        positives = np.diff(up_to, prepend=0)
        return cls(positives, np.diff(last, prepend=-1) - positives, valid=True)

    @property
    def fewest(self) -> int:
        """Rows of the smaller class."""
        return int(min(self.positives.sum(), self.negatives.sum()))

    @property
    def area(self) -> float:
        """Area under the ROC curve, ties counting half; NaN if a class is absent."""
        if self.fewest == 0:
            return math.nan
        return float((self.positives * self.beaten).sum() / self.positives.sum())

    @property
    def beaten(self) -> Floats:
        """For each different score, the share of negatives that a positive there beats."""
        beaten: Floats = (np.cumsum(self.negatives) - self.negatives / 2) / self.negatives.sum()
        return beaten


def roc_auc(ranked: Ranked, confidence: float, where: Slice = EVERYBODY) -> Measurement:
    """Area under the ROC curve with DeLong's interval.

    The chance that a positive scores above a negative, ties counting half; 0.5 is chance, 1 is
    perfect. The variance is DeLong, DeLong and Clarke-Pearson (Biometrics, 1988), by midranks as in
    Sun and Xu (IEEE Signal Processing Letters, 2014). The interval is normal, clipped to [0, 1].
    It is too narrow where classes are small and the area is near 1: with 30 cases and an area of
    0.95 its lower end is above the truth one time in nine instead of one in forty. An area of
    exactly 0 or 1 has a variance of 0, which says nothing: there it has no interval.
    NaN if a class is absent or a score is no number in [0, 1]. ``n`` is the smaller class.
    """
    from scipy.stats import norm

    auc, fewest = ranked.area, ranked.fewest
    if fewest < 2 or auc in (0.0, 1.0):
        return _measured(Metric.ROC_AUC, auc, fewest, where)
    p, q = ranked.positives, ranked.negatives
    m, n = int(p.sum()), int(q.sum())
    above = (m - np.cumsum(p) + p / 2) / m  # for a negative: share of positives that beat it
    variance = float((p * (ranked.beaten - auc) ** 2).sum()) / (m - 1) / m
    variance += float((q * (above - auc) ** 2).sum()) / (n - 1) / n
    half = float(norm.ppf((1 + confidence) / 2)) * math.sqrt(variance)
    return _measured(Metric.ROC_AUC, auc, fewest, where, max(0.0, auc - half), min(1.0, auc + half))


def average_precision(ranked: Ranked, confidence: float, where: Slice = EVERYBODY) -> Measurement:
    """Average precision: precision at each different score, weighted by the recall it adds.

    The step-wise sum of scikit-learn's ``average_precision_score``, without interpolation; the
    share of positives is chance, 1 is perfect. The interval is that of
    ``average_precision_interval``. NaN without positives or with a score that is no number in
    [0, 1]. ``n`` is the number of positives.
    """
    p, both = ranked.positives, ranked.positives + ranked.negatives
    m = int(p.sum())
    if m == 0:
        return _measured(Metric.AVERAGE_PRECISION, math.nan, m, where)
    caught = m - np.cumsum(p) + p
    flagged = both.sum() - np.cumsum(both) + both
    value = float((p * caught / flagged).sum() / m)
    low, high = average_precision_interval(value, m, confidence)
    return _measured(Metric.AVERAGE_PRECISION, value, m, where, low, high)


def average_precision_interval(
    value: float, positives: int, confidence: float
) -> tuple[float | None, float | None]:
    """Logit interval of Boyd, Eng and Page (ECML PKDD, 2013), which needs no scores.

    ``logit(AP) ± z / sqrt(m AP (1 - AP))`` with m positives. There is none at 0 and at 1.
    """
    from scipy.special import expit, logit
    from scipy.stats import norm

    if not 0 < value < 1:
        return None, None
    half = float(norm.ppf((1 + confidence) / 2)) / math.sqrt(positives * value * (1 - value))
    low, high = (float(expit(logit(value) + side * half)) for side in (-1, 1))
    return low, high


def _measured(
    metric: Metric,
    value: float,
    n: int,
    where: Slice,
    low: float | None = None,
    high: float | None = None,
) -> Measurement:
    of = Slice(where.attributes).name if where.groups else ""
    return Measurement(str(metric), value, n, slice=where.name, low=low, high=high, of=of)
