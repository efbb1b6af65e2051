"""The eight stages of a release, in the order in which they run."""

from __future__ import annotations

from enum import StrEnum


class Stage(StrEnum):
    """The stages, in the order in which they run."""

    INGEST = "ingest"
    STATISTICS = "statistics"
    DATA_GATE = "data_gate"
    TRANSFORM = "transform"
    TRAIN = "train"
    RELEASE_GATE = "release_gate"
    PUSH = "push"
    SCORE = "score"


GATES = (Stage.DATA_GATE, Stage.RELEASE_GATE)
"""Stages whose native tools must give a verdict of their own."""

PREDICTIONS = "predictions"
CHAMPION_PREDICTIONS = "champion_predictions"
"""Output of the release gate where a champion is compared with: its ``predictions`` of the same
rows, by the model file that its release names."""
