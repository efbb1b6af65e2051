"""The opportunity penalty in torch; ``components.checks.opportunity_penalty`` is its definition."""

from __future__ import annotations

import torch


def opportunity_penalty(
    scores: torch.Tensor, labels: torch.Tensor, members: torch.Tensor, strength: float
) -> torch.Tensor:
    """Squared distance of each group's mean score among positives from that of all positives.

    Summed over the groups that have a positive in the batch, times ``strength``; 0 without any.

    Args:
        scores: shape (n,), in [0, 1].
        labels: shape (n,), 1 for positives, else 0.
        members: shape (n, groups), 1 where a row is in a group, else 0.
        strength: the weight beside the batch's mean cross-entropy.

    Returns:
        A scalar through which gradients flow to ``scores``.
    """
    positive = labels > 0
    if not positive.any():
        return scores.new_zeros(())
    held, found = members[positive], scores[positive]
    counts = held.sum(dim=0)
    means = (held * found.unsqueeze(1)).sum(dim=0) / counts.clamp(min=1)
    apart = (means - found.mean()) ** 2
    return strength * apart[counts > 0].sum()
