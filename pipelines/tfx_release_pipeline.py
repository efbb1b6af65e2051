"""The end of every TFX run, and the pipeline of a run that has no more than that. Wiring only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.stacks.process import ReleaseProcess


def push_and_score(process: ReleaseProcess, model: Any, blessing: Any, examples: Any) -> list[Any]:
    """The last two stages of every run."""
    from components.stacks.tfx_stack import scoring_nodes as scoring
    from components.stacks.tfx_stack import stage_nodes as stage
    from components.stacks.tfx_stack import vocabulary as tfx

    run = str(process.spec.directory)
    pusher = tfx.Pusher(
        model=model,
        model_blessing=blessing,
        push_destination=tfx.PushDestination(
            filesystem=tfx.PushDestination.Filesystem(
                base_directory=str(_serving_directory(process))
            )
        ),
    )
    pushed = pusher.outputs["pushed_model"]
    push = stage.PushStage(pushed_model=pushed, run_directory=run)

    with tfx.Cond(is_open(push)):
        served = scoring.PushedModelScores(
            pushed_model=pushed, examples=examples, run_directory=run
        )
        score = stage.ScoreStage(
            pushed_model=pushed, scores=served.outputs["scores"], run_directory=run
        )
    return [pusher, push, served, score]


def build_release_pipeline(process: ReleaseProcess, *, beam_args: Sequence[str] = ()) -> Any:
    """The last two stages of a run that releases what another run trained, as a TFX pipeline.

    Args:
        process: the run; its release gate was judged again and is open.
        beam_args: Beam options, as for ``build_pipeline``.

    Raises:
        EvidenceError: model or examples of the run that trained are not there, or not the same.
    """
    from components.stacks.tfx_stack import recorded_artifacts
    from components.stacks.tfx_stack import stage_nodes as stage
    from components.stacks.tfx_stack import vocabulary as tfx

    trained = tfx.Importer(
        source_uri=str(recorded_artifacts.model_of_origin(process)), artifact_type=tfx.Model
    ).with_id("TrainedModel")
    read = tfx.Importer(
        source_uri=str(recorded_artifacts.examples_of_origin(process)), artifact_type=tfx.Examples
    ).with_id("EvaluatedExamples")
    model, examples = trained.outputs["result"], read.outputs["result"]
    blessing = stage.RejudgedBlessing(model=model, run_directory=str(process.spec.directory))
    nodes = [trained, read, blessing]
    nodes += push_and_score(process, model, blessing.outputs["blessing"], examples)
    return pipeline_of(process, nodes, beam_args)


def pipeline_of(process: ReleaseProcess, nodes: list[Any], beam_args: Sequence[str]) -> Any:
    """Nodes as a pipeline of the run, which MLMD's store in the home knows of."""
    from components.stacks.tfx_stack import native_records
    from components.stacks.tfx_stack import vocabulary as tfx
    from components.stacks.tfx_stack.beam_options import beam_options

    return tfx.Pipeline(
        pipeline_name=f"assay_{process.spec.dataset}",
        pipeline_root=str(process.spec.directory / "native"),
        components=nodes,
        enable_cache=False,
        metadata_connection_config=native_records.connection(Path(process.spec.home)),
        beam_pipeline_args=beam_options(beam_args),
    )


def is_open(stage: Any) -> Any:
    """Whether what follows a stage may run, as a conditional asks it."""
    return stage.outputs["record"].future()[0].property("is_open") == 1


def _serving_directory(process: ReleaseProcess) -> Path:
    return Path(process.spec.home) / "serving" / process.spec.dataset / "tfx"
