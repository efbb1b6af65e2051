"""The pipeline's nodes that score the raw evaluation rows, or fetch a model that shall.

No ``from __future__ import annotations`` here: TFX reads the annotations themselves.
"""

from pathlib import Path

from tfx.dsl.component.experimental.annotations import InputArtifact, OutputArtifact, Parameter
from tfx.dsl.component.experimental.decorators import component
from tfx.types.standard_artifacts import Examples, Model, PushedModel
from tfx.utils import path_utils

from components.contract.errors import ProcessError
from components.stacks.model_signing import verified_model
from components.stacks.process import ReleaseProcess
from components.stacks.tfx_stack import recorded_artifacts
from components.stacks.tfx_stack.native_records import note_content
from components.stacks.tfx_stack.stage_artifacts import (
    PUSHED_DESTINATION,
    Scores,
    features_file,
    scores_file,
)
from components.stacks.tfx_stack.stage_hooks import EVALUATION


@component
def TrainedModelScores(
    model: InputArtifact[Model],
    examples: InputArtifact[Examples],
    scores: OutputArtifact[Scores],
    run_directory: Parameter[str],
) -> None:
    """Score the raw evaluation rows with the model that training exported; keep its features."""
    from components.stacks.tfx_stack.serving import write_served_features

    process = ReleaseProcess.open(Path(run_directory))
    directory = verified_model(process.spec, recorded_artifacts.serving_directory(model.uri))
    target = features_file(scores.uri)
    write_served_features(str(directory), examples.uri, EVALUATION, target)
    _score(directory, examples.uri, scores, process)


@component
def ChampionModel(model: OutputArtifact[Model], run_directory: Parameter[str]) -> None:
    """The release that stands, as a Model for TFMA to compare with.

    It is copied from where it was pushed; its digest and its signature are checked.
    """
    process = ReleaseProcess.open(Path(run_directory))
    champion = process.champion_run
    if champion is None:
        raise ProcessError("the champion that this pipeline was made for no longer stands")
    target = Path(path_utils.serving_model_dir(model.uri))
    recorded_artifacts.fetch_champion(Path(process.spec.home), champion, target)
    note_content(model, process)


@component
def PushedModelScores(
    pushed_model: InputArtifact[PushedModel],
    examples: InputArtifact[Examples],
    scores: OutputArtifact[Scores],
    run_directory: Parameter[str],
) -> None:
    """Score the raw evaluation rows with the model that Pusher left at its destination."""
    process = ReleaseProcess.open(Path(run_directory))
    destination = Path(pushed_model.get_string_custom_property(PUSHED_DESTINATION))
    _score(verified_model(process.spec, destination), examples.uri, scores, process)


def _score(model: Path, examples_uri: str, scores: Scores, process: ReleaseProcess) -> None:
    from components.stacks.tfx_stack.serving import write_served_scores

    target = scores_file(scores.uri)
    write_served_scores(str(model), examples_uri, EVALUATION, target)
    note_content(scores, process)
