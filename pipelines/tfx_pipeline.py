"""The TFX pipeline: wiring only. ``build_pipeline`` reads top to bottom as its DAG."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.stacks.model_signing import beside
from components.stacks.process import ReleaseProcess
from components.stacks.stages import Stage
from pipelines.tfx_release_pipeline import (
    build_release_pipeline,
    is_open,
    pipeline_of,
    push_and_score,
)

_ROOM = "components.stacks.tfx_stack"


def build_pipeline(process: ReleaseProcess, *, beam_args: Sequence[str] = ()) -> Any:
    """The release process of one run as a TFX pipeline.

    Every stage ends in a node that records it. What follows a stage that can close the run stands
    in a conditional, so a closed gate skips it and the pipeline still completes.

    Args:
        process: the run; its compiled schemas are written by ``write_schemas`` beforehand.
        beam_args: Beam options; the in-process runner with one worker where there are none.
    """
    from components.stacks.tfx_stack import local_run, native_properties, native_records
    from components.stacks.tfx_stack import scoring_nodes as scoring
    from components.stacks.tfx_stack import stage_nodes as stage
    from components.stacks.tfx_stack import vocabulary as tfx
    from components.stacks.tfx_stack.contract_to_tfmd import compile_drift
    from components.stacks.tfx_stack.parquet_example_gen import (
        BASELINE,
        CURRENT,
        ParquetExampleGen,
    )
    from components.stacks.tfx_stack.preprocessing import transform_settings
    from components.stacks.tfx_stack.release_stage import evaluation_config
    from components.stacks.tfx_stack.statistics_options import statistics_options
    from components.stacks.tfx_stack.verified_evaluator import Evaluator

    run = str(process.spec.directory)
    native = process.spec.directory / "native"

    example_gen = ParquetExampleGen(run_directory=run)
    examples = example_gen.outputs["examples"]
    ingest = stage.IngestStage(examples=examples, run_directory=run)
    nodes = [example_gen, ingest]

    with tfx.Cond(is_open(ingest)):
        schema = tfx.Importer(
            source_uri=str(native / local_run.CONTRACT_SCHEMA),
            artifact_type=tfx.Schema,
            custom_properties=native_records.schema_properties(process),
        ).with_id("ContractSchema")
        statistics_gen = tfx.StatisticsGen(
            examples=example_gen.outputs["span_examples"],
            schema=schema.outputs["result"],
            stats_options=statistics_options(process.contract, process.policy),
        )
        statistics = stage.StatisticsStage(
            statistics=statistics_gen.outputs["statistics"], run_directory=run
        )
        example_validator = tfx.ExampleValidator(
            statistics=statistics_gen.outputs["statistics"], schema=schema.outputs["result"]
        )
        # ExampleValidator never compares with an earlier span; this one does nothing else.
        drift_validator = tfx.DistributionValidator(
            statistics=statistics_gen.outputs["statistics"],
            baseline_statistics=statistics_gen.outputs["statistics"],
            config=compile_drift(process.contract, process.policy),
            include_split_pairs=[(CURRENT, BASELINE)],
        )
        data_gate = stage.DataGate(
            anomalies=example_validator.outputs["anomalies"],
            drift=drift_validator.outputs["anomalies"],
            statistics=statistics_gen.outputs["statistics"],
            run_directory=run,
        )
        data_gate.add_upstream_node(statistics)
        nodes += [schema, statistics_gen, statistics, example_validator, drift_validator, data_gate]

        with tfx.Cond(is_open(data_gate)):
            # What a model may look at when it scores: its inputs, no label, no group, no person.
            input_schema = tfx.Importer(
                source_uri=str(native / local_run.INPUT_SCHEMA),
                artifact_type=tfx.Schema,
                custom_properties=native_properties.run_properties(process),
            ).with_id("InputSchema")
            transform = tfx.Transform(
                examples=examples,
                schema=input_schema.outputs["result"],
                preprocessing_fn=f"{_ROOM}.preprocessing.preprocessing_fn",
                splits_config=tfx.SplitsConfig(analyze=["train"], transform=[]),
                custom_config=transform_settings(process),
                materialize=False,
                disable_analyzer_cache=True,
                disable_statistics=True,
            )
            transform_stage = stage.TransformStage(
                transform_graph=transform.outputs["transform_graph"],
                examples=examples,
                run_directory=run,
            )
            nodes += [input_schema, transform, transform_stage]

            with tfx.Cond(is_open(transform_stage)):
                trainer = tfx.Trainer(
                    run_fn=f"{_ROOM}.training.run_fn",
                    examples=examples,
                    transform_graph=transform.outputs["transform_graph"],
                    train_args=tfx.TrainArgs(splits=["train"]),
                    eval_args=tfx.EvalArgs(splits=["validation"]),
                    custom_config={"run_directory": run},
                )
                model = trainer.outputs["model"]
                scores = scoring.TrainedModelScores(
                    model=model, examples=examples, run_directory=run
                )
                train = stage.TrainStage(
                    model=model,
                    model_run=trainer.outputs["model_run"],
                    scores=scores.outputs["scores"],
                    run_directory=run,
                )
                nodes += [trainer, scores, train]

                # TFMA breaks down on a score that is no number, and quotes the row: a model that
                # diverged is blocked before it gets there.
                with tfx.Cond(is_open(train)):
                    champion = None
                    if process.champion_run is not None:
                        fetched = scoring.ChampionModel(run_directory=run)
                        champion = fetched.outputs["model"]
                        nodes += [fetched]
                    evaluator = Evaluator(
                        examples=examples,
                        model=model,
                        baseline_model=champion,
                        eval_config=evaluation_config(process),
                        example_splits=["evaluation"],
                        run_directory=run,
                    )
                    release_gate = stage.ReleaseGate(
                        evaluation=evaluator.outputs["evaluation"],
                        examples=examples,
                        scores=scores.outputs["scores"],
                        model=model,
                        champion=champion,
                        run_directory=run,
                    )
                    nodes += [evaluator, release_gate]

                    with tfx.Cond(is_open(release_gate)):
                        blessing = release_gate.outputs["blessing"]
                        nodes += push_and_score(process, model, blessing, examples)

    return pipeline_of(process, nodes, beam_args)


def run(process: ReleaseProcess, *, beam_args: Sequence[str] = ()) -> None:
    """Run the pipeline of one run to its end, open or blocked, on this machine.

    Args:
        process: the run, with no stage recorded yet.
        beam_args: Beam options, passed through to every Beam pipeline.

    Raises:
        Exception: whatever a node broke down with; a closed gate is not an error.
    """
    from components.stacks.tfx_stack.quiet_start import prepare_environment, quiet

    prepare_environment()
    with quiet():
        from components.stacks.tfx_stack import local_run, native_records

        local_run.write_schemas(process)
        native_records.begin_run(process)
        try:
            local_run.run_locally(build_pipeline(process, beam_args=beam_args), process)
        finally:
            native_records.stamp_run(process)


def release(process: ReleaseProcess, *, beam_args: Sequence[str] = ()) -> None:
    """The last stages of a run that releases what another run trained; none if its gate is closed.

    The gate is judged again from stored scores, which takes no framework.

    Args:
        process: the run, with no stage recorded yet.
        beam_args: Beam options, passed through to every Beam pipeline.

    Raises:
        EvidenceError: what was judged is not there any more, or not the same.
    """
    if not process.rejudge():
        return
    from components.stacks.tfx_stack.quiet_start import prepare_environment, quiet

    prepare_environment()
    with quiet():
        from components.stacks.tfx_stack import local_run, native_records

        pipeline = build_release_pipeline(process, beam_args=beam_args)
        native_records.begin_run(process)
        try:
            local_run.run_locally(pipeline, process)
        finally:
            native_records.stamp_run(process)


def settle(process: ReleaseProcess, outcome: str) -> None:
    """Bring MLMD and the serving directory into line with a closed run.

    What it pushed is taken out of the serving directory again, unless the run was released. MLMD
    is told how the run ended, and a receipt signs what MLMD holds of it. A run that never came to
    MLMD has nothing to settle there, and its receipt says that. Done twice it comes to the same.
    """
    pushed = next((r for r in process.chain.records() if r.stage == Stage.PUSH), None)
    if outcome != "released" and pushed is not None:
        location = Path(process.spec.home) / str(pushed.body["facts"]["location"])
        withdrawn = process.spec.directory / "native" / "withdrawn"
        for path, target in ((location, withdrawn), (beside(location), beside(withdrawn))):
            if path.exists():
                shutil.move(path, target)
    from components.stacks.tfx_stack import mlmd_store, native_receipt, native_records

    if mlmd_store.is_there(Path(process.spec.home)):
        native_records.stamp_run(process)
    native_receipt.write(process)
