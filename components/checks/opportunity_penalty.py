"""The opportunity penalty: what both stacks add to the loss so that groups are found alike."""

from __future__ import annotations

import numpy as np

from components.checks.tallies import Flags, Floats


def opportunity_penalty(scores: Floats, labels: Flags, members: Floats, strength: float) -> float:
    """Squared distance of each group's mean score among positives from that of all positives.

    ``strength * sum over groups of (mean score of the group's positives - mean score of all
    positives) ** 2``, over one batch, groups without a positive left out: a smooth stand-in for
    equal true positive rates (Hardt, Price and Srebro, 2016) in the manner of the penalties of
    Beutel and others (AIES, 2019). 0 means that every group's positives score alike on average.

    Args:
        scores: shape (n,), in [0, 1].
        labels: shape (n,), true for positives.
        members: shape (n, groups), 1 where a row is in a group of one of the attributes, else 0.
        strength: above 0; the weight beside the batch's mean cross-entropy.
    """
    if not labels.any():
        return 0.0
    held = members[labels]
    counts = held.sum(axis=0)
    means = (held * scores[labels, None]).sum(axis=0) / np.maximum(counts, 1)
    apart = (means - scores[labels].mean()) ** 2
    return strength * float(apart[counts > 0].sum())
