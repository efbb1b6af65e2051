"""The policy's limits for decisions in production."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.contract.strict_yaml import load_yaml


@dataclass(frozen=True, slots=True)
class MonitoringPolicy:
    """Limits, each in [0, 1], and the fewest decisions that they are judged on.

    ``score_drift_at_most`` is a Jensen-Shannon divergence in bits, ``selection_gap_at_most`` the
    largest difference of selection rates between groups, ``review_share_at_most`` a share.
    """

    min_n: int
    score_drift_at_most: float
    selection_gap_at_most: float
    review_share_at_most: float


def load_monitoring(path: Path) -> MonitoringPolicy | None:
    """The section ``monitoring`` of a policy that was loaded before; None where it has none."""
    document, _ = load_yaml(path)
    section = document.get("monitoring")
    return None if section is None else MonitoringPolicy(**section)
