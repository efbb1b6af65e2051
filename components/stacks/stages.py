"""What each stage must leave behind, and what a stack hands over."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.checks.measurement import Measurement, Verdict
from components.contract.stages import CHAMPION_PREDICTIONS, GATES, PREDICTIONS, Stage

__all__ = [
    "CHAMPION_PREDICTIONS",
    "CONTINUED",
    "GATES",
    "PREDICTIONS",
    "REQUIRED_OUTPUTS",
    "Facts",
    "Hook",
    "Stage",
    "StageResult",
]

CONTINUED = (Stage.RELEASE_GATE, Stage.PUSH, Stage.SCORE)
"""Stages of a run that releases what another run trained."""

Facts = Mapping[str, str | int | bool | None]


REQUIRED_OUTPUTS: Mapping[Stage, frozenset[str]] = {
    Stage.INGEST: frozenset({"rows"}),
    Stage.STATISTICS: frozenset({"statistics"}),
    Stage.DATA_GATE: frozenset({"report"}),
    Stage.TRANSFORM: frozenset({"transform", "features"}),
    Stage.TRAIN: frozenset({"model", "checkpoint", "scores"}),
    Stage.RELEASE_GATE: frozenset({"predictions", "report", "features"}),
    Stage.PUSH: frozenset({"serving_model"}),
    Stage.SCORE: frozenset({"predictions"}),
}
"""Artifacts, by name, that a stack must hand over at each stage.

``rows``: Parquet with the columns ``split`` (text) and ``assay_row`` (32 bytes), one row for each
row that the stack's own reader read. ``features``: Parquet with ``assay_row`` and ``features`` (a
list of floats), the stack's transform of evaluation rows: at the transform stage by the transform
that training uses, at the release gate by the model that would be served. ``scores`` and
``predictions``: Parquet with ``assay_row`` and ``score`` (float64 in [0, 1]), one row for each
evaluation row; ``scores`` come from the network in memory right after training, fed by the
training transform, ``predictions`` from ``model``. ``model`` is the very file or directory that
would be served (ONNX, SavedModel), and ``serving_model``, what was pushed, must be the same to the
byte. The others are the
native tools' own files.
"""


@dataclass(frozen=True, slots=True)
class StageResult:
    """What a stack's hook hands over for one stage.

    ``outputs`` are files or directories, named; their content is digested. ``native`` is the
    native tools' verdict and is required at a gate. ``measurements`` are the native tools' figures
    under the names and slices that the referee uses, so that the two can be compared. ``facts``
    are parameters and native identifiers; ``tools`` names each native tool's version. Nothing here
    may hold a value out of the data.
    """

    outputs: Mapping[str, Path]
    tools: Mapping[str, str]
    native: Verdict | None = None
    measurements: tuple[Measurement, ...] = ()
    facts: Facts = field(default_factory=dict)


Hook = Callable[[], StageResult]
"""A stack's own part of one stage."""
