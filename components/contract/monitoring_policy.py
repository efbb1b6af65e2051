"""The policy's limits for decisions in production."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.contract.strict_yaml import load_yaml

DATA_GATE = "data_gate"


@dataclass(frozen=True, slots=True)
class MonitoringPolicy:
    """Limits, each in [0, 1] and inclusive, and the fewest cases that they are judged on.

    ``score_drift_at_most`` is a Jensen-Shannon divergence in bits; a gap is the largest difference
    of a rate between groups; ``calibration_bias_at_most`` holds for the bias either way; the others
    are shares. ``input_drift`` is ``data_gate`` where the inputs are judged under that gate's
    drift limits. None: there is no such limit.
    """

    min_n: int
    score_drift_at_most: float
    selection_gap_at_most: float
    review_share_at_most: float
    input_drift: str | None = None
    labelled_share_at_least: float | None = None
    auc_at_least: float | None = None
    tpr_gap_at_most: float | None = None
    fpr_gap_at_most: float | None = None
    calibration_bias_at_most: float | None = None
    overturned_share_at_most: float | None = None

    @property
    def needs_labels(self) -> bool:
        """Whether there is a limit that only later labels can be held against."""
        return any(
            limit is not None
            for limit in (
                self.labelled_share_at_least,
                self.auc_at_least,
                self.tpr_gap_at_most,
                self.fpr_gap_at_most,
                self.calibration_bias_at_most,
                self.overturned_share_at_most,
            )
        )


def load_monitoring(path: Path) -> MonitoringPolicy | None:
    """The section ``monitoring`` of a policy that was loaded before; None where it has none."""
    document, _ = load_yaml(path)
    section = document.get("monitoring")
    return None if section is None else MonitoringPolicy(**section)
