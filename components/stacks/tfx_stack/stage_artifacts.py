"""Artifact types of our own in MLMD: a stage's record, and scores."""

from __future__ import annotations

from pathlib import Path

from tfx.types import standard_artifacts
from tfx.types.artifact import Artifact, Property, PropertyType

from components.stacks.process import ReleaseProcess
from components.stacks.stages import Hook, Stage
from components.stacks.tfx_stack.native_records import note_content


class StageRecord(Artifact):
    """One stage's outcome. What follows it runs only where ``is_open`` is 1."""

    TYPE_NAME = "AssayStageRecord"
    PROPERTIES = {
        "stage": Property(type=PropertyType.STRING),
        "is_open": Property(type=PropertyType.INT),
        "verdict": Property(type=PropertyType.STRING),
        "reason": Property(type=PropertyType.STRING),
        "record_sha256": Property(type=PropertyType.STRING),
    }


Scores = standard_artifacts.InferenceResult
PUSHED_DESTINATION = "pushed_destination"
"""The custom property in which Pusher says where it put the model."""

SCORES_FILE, FEATURES_FILE = "scores.parquet", "features.parquet"


def scores_file(uri: str) -> Path:
    """Where a Scores artifact keeps its Parquet file."""
    return Path(uri) / SCORES_FILE


def features_file(uri: str) -> Path:
    """Where a Scores artifact keeps the features that an exported model scored by."""
    return Path(uri) / FEATURES_FILE


def run_stage(process: ReleaseProcess, stage: Stage, hook: Hook, record: StageRecord) -> bool:
    """Run one stage of the process and write its outcome on the artifact; whether it is open.

    The artifact is closed until the evidence record stands.
    """
    record.stage, record.is_open = str(stage), 0
    is_open = process.run_stage(stage, hook)
    written = process.chain.records()[-1]
    record.is_open = int(is_open)
    record.verdict = str(written.body["verdict"]["status"])
    record.reason = str(written.body["verdict"]["reason"])
    record.record_sha256 = written.digest
    note_content(record, process)
    return is_open
