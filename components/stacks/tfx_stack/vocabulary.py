"""TFX's own words, for the pipeline to be written in: only this room imports TFX.

Taken from where they are made: ``tfx.v1`` gathers the same names, and imports Google's cloud
clients on the way, a third of the time that TFX takes to start.
"""

from __future__ import annotations

from tfx.components import (
    DistributionValidator,
    ExampleValidator,
    Pusher,
    StatisticsGen,
    Trainer,
    Transform,
)
from tfx.dsl.components.common.importer import Importer
from tfx.dsl.experimental.conditionals.conditional import Cond
from tfx.orchestration.pipeline import Pipeline
from tfx.proto.pusher_pb2 import PushDestination
from tfx.proto.trainer_pb2 import EvalArgs, TrainArgs
from tfx.proto.transform_pb2 import SplitsConfig
from tfx.types.standard_artifacts import Examples, Model, Schema

__all__ = [
    "Cond",
    "DistributionValidator",
    "EvalArgs",
    "ExampleValidator",
    "Examples",
    "Importer",
    "Model",
    "Pipeline",
    "PushDestination",
    "Pusher",
    "Schema",
    "SplitsConfig",
    "StatisticsGen",
    "TrainArgs",
    "Trainer",
    "Transform",
]
