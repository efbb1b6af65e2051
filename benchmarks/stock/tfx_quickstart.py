"""TFX as its own tutorials wire it: data validation, training, evaluation, push.

README.md names the page that each function follows.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import tensorflow_model_analysis as tfma
from ml_metadata.proto import metadata_store_pb2
from tensorflow_metadata.proto.v0 import anomalies_pb2
from tensorflow_model_analysis.proto import config_pb2
from tfx import v1 as tfx

from benchmarks.stock.runs import (
    DATA,
    LABEL,
    ROWS,
    WORK,
    YEAR,
    Run,
    Said,
    Settings,
    auc_limits,
    judged,
    tool,
)
from benchmarks.stock.runs import settings as usual
from benchmarks.stock.tfx_trainer import SIGNATURE
from components.stacks.tfx_stack.beam_options import beam_options

NAME, SCHEMA, DATABASE, SERVING = "rand-hie", "schema/schema.pbtxt", "metadata.db", "serving_model"
CSV = "csv"
SLICE = "female"
"""Figures are told for its values too, without a threshold: what the tutorial does by its label."""

_INPUT = tfx.proto.Input(
    splits=[
        tfx.proto.Input.Split(name="train", pattern="train/*"),
        tfx.proto.Input.Split(name="eval", pattern="eval/*"),
    ]
)


def run(home: Path, settings: Settings, found: Run) -> None:
    """One run, from the CSV files to the model in the serving folder.

    Args:
        home: with ``data/rows.csv``; the first run there makes the schema.
        settings: how the tutorial's pipeline is called.
        found: filled in as things happen, so that a breakdown leaves what came before it.
    """
    work = home / WORK
    if not (work / SCHEMA).exists() or settings.baseline != usual().baseline:
        make_schema(home, settings)
    cut(home)
    checked, models = outputs(home, "ExampleValidator/anomalies"), outputs(home, "Trainer/model")
    found.database = work / DATABASE
    try:
        tfx.orchestration.LocalDagRunner().run(pipeline(home, settings))
    finally:
        found.at = _failed_node(found.database), tool("tfx")
        found.trained = len(outputs(home, "Trainer/model")) > len(models)
        for folder in outputs(home, "ExampleValidator/anomalies")[len(checked) :]:
            found.said += anomalies(folder)
    blessing = outputs(home, "Evaluator/blessing")[-1]
    if (blessing / "NOT_BLESSED").exists():
        file = outputs(home, "Evaluator/evaluation")[-1] / "validations.tfrecord"
        found.stopped = Said(
            "Evaluator", tool("tensorflow-model-analysis"), _refusal(file.parent), file
        )
        return
    message = "the model was blessed and pushed"
    found.released = Said("Pusher", tool("tfx"), message, pushed(home) / "saved_model.pb")


def _failed_node(database: Path) -> str:
    """The component that MLMD says has failed; empty where none has."""
    with closing(sqlite3.connect(database)) as connection:
        row = connection.execute(
            "SELECT Type.name FROM Execution JOIN Type ON Type.id = type_id "
            "WHERE last_known_state = ? ORDER BY Execution.id DESC LIMIT 1",
            (metadata_store_pb2.Execution.FAILED,),
        ).fetchone()
    return str(row[0]).rpartition(".")[2] if row else ""


def pushed(home: Path) -> Path:
    """The folder of the model that is served."""
    return max((home / WORK / SERVING).iterdir(), key=lambda p: int(p.name))


def outputs(home: Path, node: str) -> list[Path]:
    """The folders of all that a node has put out, the last one last."""
    folders = (home / WORK / "pipelines" / NAME / node).glob("*")
    return sorted((f for f in folders if any(f.iterdir())), key=lambda p: int(p.name))


def cut(home: Path, years: tuple[str, ...] = ()) -> None:
    """Write the rows of the people that models are judged on apart; cells stay as they are.

    Args:
        home: with ``data/rows.csv``.
        years: the only ones that are wanted; all of them where none is named.
    """
    rows = pd.read_csv(home / DATA / ROWS, dtype=str, keep_default_na=False)
    if years:
        rows = rows[rows[YEAR].isin(years)]
    mask = judged(rows)
    for split, part in (("eval", rows[mask]), ("train", rows[~mask])):
        folder = home / DATA / CSV / split
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        part.to_csv(folder / ROWS, index=False)


def make_schema(home: Path, settings: Settings) -> None:
    """The first tutorial's pipeline: a schema is inferred, and put where the second reads it."""
    cut(home, () if settings.baseline == usual().baseline else settings.baseline)
    example_gen = tfx.components.CsvExampleGen(str(home / DATA / CSV), input_config=_INPUT)
    statistics_gen = tfx.components.StatisticsGen(examples=example_gen.outputs["examples"])
    schema_gen = tfx.components.SchemaGen(
        statistics=statistics_gen.outputs["statistics"], infer_feature_shape=True
    )
    nodes = [example_gen, statistics_gen, schema_gen]
    name = f"{NAME}-schema"
    tfx.orchestration.LocalDagRunner().run(_pipeline(home, name, f"{name}.db", nodes))
    made = max((home / WORK / "pipelines" / name).rglob("schema.pbtxt"), key=_number)
    target = home / WORK / SCHEMA
    target.parent.mkdir(exist_ok=True)
    shutil.copy(made, target)


def _number(path: Path) -> int:
    return int(path.parent.name)


def pipeline(home: Path, settings: Settings) -> Any:
    """The second tutorial's pipeline, with the third's resolver, evaluator and pusher."""
    example_gen = tfx.components.CsvExampleGen(str(home / DATA / CSV), input_config=_INPUT)
    statistics_gen = tfx.components.StatisticsGen(examples=example_gen.outputs["examples"])
    schema = tfx.components.ImportSchemaGen(schema_file=str(home / WORK / SCHEMA))
    example_validator = tfx.components.ExampleValidator(
        statistics=statistics_gen.outputs["statistics"], schema=schema.outputs["schema"]
    )
    trainer = tfx.components.Trainer(
        run_fn="benchmarks.stock.tfx_trainer.run_fn",
        examples=example_gen.outputs["examples"],
        schema=schema.outputs["schema"],
        train_args=tfx.proto.TrainArgs(),
        eval_args=tfx.proto.EvalArgs(),
        custom_config={"learning_rate": settings.learning_rate, "skew": settings.skew},
    )
    resolver = tfx.dsl.Resolver(
        strategy_class=tfx.dsl.experimental.LatestBlessedModelStrategy,
        model=tfx.dsl.Channel(type=tfx.types.standard_artifacts.Model),
        model_blessing=tfx.dsl.Channel(type=tfx.types.standard_artifacts.ModelBlessing),
    ).with_id("latest_blessed_model_resolver")
    evaluator = tfx.components.Evaluator(
        examples=example_gen.outputs["examples"],
        model=trainer.outputs["model"],
        baseline_model=resolver.outputs["model"],
        eval_config=eval_config(settings),
        example_splits=["eval"],
    )
    pusher = tfx.components.Pusher(
        model=trainer.outputs["model"],
        model_blessing=evaluator.outputs["blessing"],
        push_destination=tfx.proto.PushDestination(
            filesystem=tfx.proto.PushDestination.Filesystem(
                base_directory=str(home / WORK / SERVING)
            )
        ),
    )
    nodes = [example_gen, statistics_gen, schema, example_validator, trainer, resolver]
    return _pipeline(home, NAME, DATABASE, [*nodes, evaluator, pusher])


def ingest_again(home: Path) -> Any:
    """CsvExampleGen alone, which takes what it made before where its input has not changed."""
    example_gen = tfx.components.CsvExampleGen(str(home / DATA / CSV), input_config=_INPUT)
    return _pipeline(home, NAME, DATABASE, [example_gen], enable_cache=True)


def _pipeline(
    home: Path, name: str, database: str, nodes: list[Any], *, enable_cache: bool = False
) -> Any:
    return tfx.dsl.Pipeline(
        pipeline_name=name,
        pipeline_root=str(home / WORK / "pipelines" / name),
        metadata_connection_config=tfx.orchestration.metadata.sqlite_metadata_connection_config(
            str(home / WORK / database)
        ),
        components=nodes,
        enable_cache=enable_cache,
        beam_pipeline_args=beam_options([]),
    )


def eval_config(settings: Settings) -> Any:
    """The area under the curve of everybody, with the policy's floor and change as thresholds."""
    floor, change = auc_limits()
    threshold = config_pb2.MetricThreshold(
        value_threshold=config_pb2.GenericValueThreshold(lower_bound={"value": floor}),
        change_threshold=config_pb2.GenericChangeThreshold(
            direction=config_pb2.MetricDirection.HIGHER_IS_BETTER, absolute={"value": change}
        ),
    )
    auc = config_pb2.MetricConfig(class_name="AUC")
    if settings.thresholds:
        auc.per_slice_thresholds.add(slicing_specs=[config_pb2.SlicingSpec()], threshold=threshold)
    return config_pb2.EvalConfig(
        model_specs=[
            config_pb2.ModelSpec(label_key=LABEL, signature_name=SIGNATURE, model_type="tf_generic")
        ],
        slicing_specs=[config_pb2.SlicingSpec(), config_pb2.SlicingSpec(feature_keys=[SLICE])],
        metrics_specs=[config_pb2.MetricsSpec(metrics=[auc])],
    )


def anomalies(folder: Path) -> list[Said]:
    """What ExampleValidator found, by feature; its longer description quotes values."""
    found: dict[str, Said] = {}
    for file in sorted(folder.rglob("SchemaDiff.pb")):
        told = anomalies_pb2.Anomalies.FromString(file.read_bytes())
        for name, info in sorted(told.anomaly_info.items()):
            for reason in info.reason:
                message = f"{reason.short_description} in {name}"
                tool_ = tool("tensorflow-data-validation")
                found.setdefault(message, Said("ExampleValidator", tool_, message, file))
        if told.HasField("dataset_anomaly_info"):
            message = "the dataset as a whole has an anomaly"
            found.setdefault(message, Said("ExampleValidator", tool("tfx"), message, file))
    return list(found.values())


def _refusal(evaluation: Path) -> str:
    result = tfma.load_validation_result(str(evaluation))
    if result.missing_thresholds:
        return "not blessed: there are no thresholds"
    failed = {f.metric_key.name for s in result.metric_validations_per_slice for f in s.failures}
    return f"not blessed: {', '.join(sorted(failed))} does not meet the thresholds"
