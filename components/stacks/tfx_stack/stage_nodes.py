"""The pipeline's nodes that record a stage, or bless a model.

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
from components.stacks.tfx_stack.recorded_artifacts import serving_directory
from components.stacks.tfx_stack.stage_artifacts import (
    PUSHED_DESTINATION,
    Scores,
    StageRecord,
    features_file,
    run_stage,
    scores_file,
)


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
def ReleaseGate(
    evaluation: InputArtifact[ModelEvaluation],
    examples: InputArtifact[Examples],
    scores: InputArtifact[Scores],
    model: InputArtifact[Model],
    record: OutputArtifact[StageRecord],
    blessing: OutputArtifact[ModelBlessing],
    run_directory: Parameter[str],
    champion: InputArtifact[Model] = None,  # type: ignore[assignment]
) -> None:
    """Record ``release_gate``; bless the model where TFMA and the referee both pass it.

    Evaluator writes a blessing of its own. Pusher is not wired to that one: it knows nothing of
    what TFMA's thresholds cannot say, nor of the referee.
    """
    from components.stacks.tfx_stack.release_stage import Judged, release_gate_result

    process = ReleaseProcess.open(Path(run_directory))
    judged = Judged(
        evaluation.uri,
        examples.uri,
        scores_file(scores.uri),
        features_file(scores.uri),
        compared=serving_directory(champion.uri) if champion else None,
    )
    blessed = run_stage(
        process, Stage.RELEASE_GATE, lambda: release_gate_result(process, judged), record
    )
    _bless(blessing, model, blessed, process)


@component
def RejudgedBlessing(
    model: InputArtifact[Model],
    blessing: OutputArtifact[ModelBlessing],
    run_directory: Parameter[str],
) -> None:
    """Bless the model of another run where this run's gate, judged again, is open."""
    process = ReleaseProcess.open(Path(run_directory))
    _bless(blessing, model, process.next_stage() is Stage.PUSH, process)


def _bless(blessing: ModelBlessing, model: Model, blessed: bool, process: ReleaseProcess) -> None:
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
