"""The pipeline's nodes that record a stage, and the node that scores.

Each opens the run from its directory, so that a node may run in another process or container, and
writes the stage's outcome on a ``StageRecord`` that the pipeline's conditionals look at.

No ``from __future__ import annotations`` here: TFX reads the annotations themselves.
"""

from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.dsl.io import fileio
from tfx.types.standard_artifacts import (
    ExampleAnomalies,
    Examples,
    ExampleStatistics,
    Model,
    ModelBlessing,
    ModelEvaluation,
    ModelRun,
    PushedModel,
    TransformGraph,
)

from components.stacks.process import ReleaseProcess
from components.stacks.stages import Stage
from components.stacks.tfx_stack import stage_hooks
from components.stacks.tfx_stack.native_records import note_content
from components.stacks.tfx_stack.stage_artifacts import (
    Scores,
    StageRecord,
    features_file,
    run_stage,
    scores_file,
)

PUSHED_DESTINATION = "pushed_destination"
"""The custom property in which Pusher says where it put the model."""


@component
def IngestStage(
    examples: InputArtifact[Examples],
    record: OutputArtifact[StageRecord],
    run_directory: Parameter[str],
) -> None:
    """Record ``ingest``: the rows in the records are those of the dataset."""
    process = ReleaseProcess.open(Path(run_directory))
    run_stage(
        process, Stage.INGEST, lambda: stage_hooks.ingest_result(process, examples.uri), record
    )


@component
def StatisticsStage(
    statistics: InputArtifact[ExampleStatistics],
    record: OutputArtifact[StageRecord],
    run_directory: Parameter[str],
) -> None:
    """Record ``statistics``."""
    process = ReleaseProcess.open(Path(run_directory))
    run_stage(
        process,
        Stage.STATISTICS,
        lambda: stage_hooks.statistics_result(process, statistics.uri),
        record,
    )


@component
def DataGate(
    anomalies: InputArtifact[ExampleAnomalies],
    drift: InputArtifact[ExampleAnomalies],
    statistics: InputArtifact[ExampleStatistics],
    record: OutputArtifact[StageRecord],
    run_directory: Parameter[str],
) -> None:
    """Record ``data_gate``: open where TFDV and the referee both pass schema and drift."""
    process = ReleaseProcess.open(Path(run_directory))
    run_stage(
        process,
        Stage.DATA_GATE,
        lambda: stage_hooks.data_gate_result(process, anomalies.uri, drift.uri, statistics.uri),
        record,
    )


@component
def TransformStage(
    transform_graph: InputArtifact[TransformGraph],
    examples: InputArtifact[Examples],
    record: OutputArtifact[StageRecord],
    run_directory: Parameter[str],
) -> None:
    """Record ``transform``: the saved graph gives the referee's features."""
    process = ReleaseProcess.open(Path(run_directory))
    run_stage(
        process,
        Stage.TRANSFORM,
        lambda: stage_hooks.transform_result(process, transform_graph.uri, examples.uri),
        record,
    )


@component
def TrainStage(
    model: InputArtifact[Model],
    model_run: InputArtifact[ModelRun],
    scores: InputArtifact[Scores],
    record: OutputArtifact[StageRecord],
    run_directory: Parameter[str],
) -> None:
    """Record ``train``: closed where the model's scores are no numbers."""
    process = ReleaseProcess.open(Path(run_directory))
    predictions = scores_file(scores.uri)
    run_stage(
        process,
        Stage.TRAIN,
        lambda: stage_hooks.train_result(process, model.uri, model_run.uri, predictions),
        record,
    )


@component
def TrainedModelScores(
    model: InputArtifact[Model],
    examples: InputArtifact[Examples],
    scores: OutputArtifact[Scores],
    run_directory: Parameter[str],
) -> None:
    """Score the raw evaluation rows with the model that training exported; keep its features."""
    from components.stacks.tfx_stack.serving import write_served_features

    directory = str(stage_hooks.serving_directory(model.uri))
    target = features_file(scores.uri)
    write_served_features(directory, examples.uri, stage_hooks.EVALUATION, target)
    _score(directory, examples.uri, scores, run_directory)


@component
def ReleaseGate(
    evaluation: InputArtifact[ModelEvaluation],
    scores: InputArtifact[Scores],
    model: InputArtifact[Model],
    record: OutputArtifact[StageRecord],
    blessing: OutputArtifact[ModelBlessing],
    run_directory: Parameter[str],
) -> None:
    """Record ``release_gate``; bless the model where TFMA and the referee both pass it.

    Evaluator writes a blessing of its own. Pusher is not wired to that one: it knows nothing of
    gaps between groups, nor of the referee.
    """
    process = ReleaseProcess.open(Path(run_directory))
    predictions, features = scores_file(scores.uri), features_file(scores.uri)
    blessed = run_stage(
        process,
        Stage.RELEASE_GATE,
        lambda: stage_hooks.release_gate_result(process, evaluation.uri, predictions, features),
        record,
    )
    fileio.makedirs(blessing.uri)
    (Path(blessing.uri) / ("BLESSED" if blessed else "NOT_BLESSED")).touch()
    blessing.set_int_custom_property("blessed", int(blessed))
    blessing.set_int_custom_property("current_model_id", model.id)
    note_content(blessing, process)


@component
def PushStage(
    pushed_model: InputArtifact[PushedModel],
    record: OutputArtifact[StageRecord],
    run_directory: Parameter[str],
) -> None:
    """Record ``push``: what stands at the destination is the model that was judged."""
    process = ReleaseProcess.open(Path(run_directory))
    destination = pushed_model.get_string_custom_property(PUSHED_DESTINATION)
    run_stage(
        process,
        Stage.PUSH,
        lambda: stage_hooks.push_result(process, destination),
        record,
    )


@component
def PushedModelScores(
    pushed_model: InputArtifact[PushedModel],
    examples: InputArtifact[Examples],
    scores: OutputArtifact[Scores],
    run_directory: Parameter[str],
) -> None:
    """Score the raw evaluation rows with the model that Pusher left at its destination."""
    destination = pushed_model.get_string_custom_property(PUSHED_DESTINATION)
    _score(destination, examples.uri, scores, run_directory)


@component
def ScoreStage(
    pushed_model: InputArtifact[PushedModel],
    scores: InputArtifact[Scores],
    record: OutputArtifact[StageRecord],
    run_directory: Parameter[str],
) -> None:
    """Record ``score``: the pushed model gives the scores that were judged."""
    process = ReleaseProcess.open(Path(run_directory))
    destination = pushed_model.get_string_custom_property(PUSHED_DESTINATION)
    predictions = scores_file(scores.uri)
    run_stage(
        process,
        Stage.SCORE,
        lambda: stage_hooks.score_result(process, destination, predictions),
        record,
    )


def _score(model_directory: str, examples_uri: str, scores: Scores, run_directory: str) -> None:
    from components.stacks.tfx_stack.serving import write_served_scores

    process = ReleaseProcess.open(Path(run_directory))
    target = scores_file(scores.uri)
    write_served_scores(model_directory, examples_uri, stage_hooks.EVALUATION, target)
    note_content(scores, process)
