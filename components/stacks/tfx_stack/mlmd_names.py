"""What things are called in MLMD: our properties, and which node stands for what.

``native_records`` writes by these names, ``mlmd_lineage`` reads by them.
"""

from __future__ import annotations

from collections.abc import Mapping

from components.contract.stages import Stage

RUN_CONTEXT = "pipeline_run"
"""TFX's type for the context of one run of a pipeline; its name is the run's id."""

PREFIX = "assay_"
"""Begins the name of every custom property of ours."""

RUN, SHA256 = "assay_run", "assay_sha256"
STAGE = "assay_stage"
FIGURES, FINDINGS = "assay_figures", "assay_findings"
OUTPUTS, WAIVER = "assay_outputs", "assay_waiver"

RELEASE = ("number", "kind", "at", "actor", "reason", "model", "supersedes", "waiver")
"""Fields of a release, each ``assay_release_<field>`` on the run's context."""

PUSHED_DESTINATION = "pushed_destination"
"""The custom property in which Pusher says where it put the model."""

SERVING_FORMAT = "Format-Serving"
"""Where in a Model artifact TFX keeps what is served."""

STAGE_NODES: Mapping[str, Stage] = {
    "IngestStage": Stage.INGEST,
    "StatisticsStage": Stage.STATISTICS,
    "DataGate": Stage.DATA_GATE,
    "TransformStage": Stage.TRANSFORM,
    "TrainStage": Stage.TRAIN,
    "ReleaseGate": Stage.RELEASE_GATE,
    "RejudgedBlessing": Stage.RELEASE_GATE,
    "PushStage": Stage.PUSH,
    "ScoreStage": Stage.SCORE,
}
"""The stage that each recording node's execution stands for."""

STAGE_OUTPUTS: Mapping[tuple[str, str], tuple[Stage, str]] = {
    ("ParquetExampleGen", "examples"): (Stage.INGEST, "examples"),
    ("StatisticsGen", "statistics"): (Stage.STATISTICS, "statistics"),
    ("ExampleValidator", "anomalies"): (Stage.DATA_GATE, "report"),
    ("DistributionValidator", "anomalies"): (Stage.DATA_GATE, "drift_report"),
    ("Transform", "transform_graph"): (Stage.TRANSFORM, "transform"),
    ("Trainer", "model"): (Stage.TRAIN, "model"),
    ("Evaluator", "evaluation"): (Stage.RELEASE_GATE, "evaluation"),
    ("Pusher", "pushed_model"): (Stage.PUSH, "serving_model"),
}
"""Stage and name of the output that a stock node's output is; each is a directory."""


def node_of(type_name: str) -> str:
    """A node's class, from the name of its execution's type."""
    return type_name.rpartition(".")[2]
