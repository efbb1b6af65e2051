"""PyTorch with MLflow, Great Expectations and Evidently, each as its own quickstart wires it.

README.md names the page that each function follows.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import great_expectations as gx
import mlflow
import numpy as np
import pandas as pd
import torch
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset, DataSummaryPreset
from mlflow.models import MetricThreshold, infer_signature, make_metric
from mlflow.models.evaluation.validation import ModelValidationFailedException
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.stock.runs import (
    DATA,
    LABEL,
    ROWS,
    SHIFT,
    WORK,
    YEAR,
    Run,
    Said,
    Settings,
    auc_limits,
    categories,
    features,
    judged,
    policy,
    tool,
)

MODEL, ALIAS, AUC = "rand-hie", "champion", "roc_auc"
DATABASE, SUITE = "mlflow.sqlite", "gx/expectations/expectations.json"


def run(home: Path, settings: Settings, found: Run) -> None:
    """One run, from the CSV file to the alias of the model in use.

    Args:
        home: with ``data/rows.csv``; the first run there makes the expectations.
        settings: how the quickstart is called.
        found: filled in as things happen, so that a breakdown leaves what came before it.
    """
    connect(home)
    found.database = kept = home / WORK / DATABASE
    rows = pd.read_csv(home / DATA / ROWS)
    found.at = "checkpoint", tool("great-expectations")
    found.said += expectations(home, rows)
    found.at = "report", tool("evidently")
    found.said += drift(home, rows, settings)
    found.at = "training", f"{tool('torch')}, {tool('mlflow')}"
    train, evaluation = rows[~judged(rows)], rows[judged(rows)]
    with mlflow.start_run():
        source = mlflow.data.from_pandas(rows, source=str(home / DATA / ROWS), targets=LABEL)
        mlflow.log_input(source, context="training")
        model = fit(train, settings)
        logged = log(model, train, settings)
        found.trained, found.at = True, ("evaluate", tool("mlflow"))
        candidate = evaluate(logged.model_uri, evaluation)
    try:
        validate(candidate, settings)
    except ModelValidationFailedException:
        message = f"{AUC} does not meet the threshold"
        found.stopped = Said("validate_evaluation_results", tool("mlflow"), message, kept)
        return
    found.at = "register_model", tool("mlflow")
    version = mlflow.register_model(logged.model_uri, MODEL).version
    mlflow.MlflowClient().set_registered_model_alias(MODEL, ALIAS, version)
    message = f"version {version} was registered and put to use"
    found.released = Said("register_model", tool("mlflow"), message, kept)


def connect(home: Path) -> None:
    """Point MLflow at the folder's own database and artifacts, and set the experiment."""
    work = home / WORK
    mlflow.set_tracking_uri(f"sqlite:///{work / DATABASE}")
    if mlflow.get_experiment_by_name(MODEL) is None:
        mlflow.create_experiment(MODEL, artifact_location=(work / "mlartifacts").as_uri())
    mlflow.set_experiment(MODEL)


def expectations(home: Path, rows: pd.DataFrame) -> list[Said]:
    """Run the checkpoint; the suite's bounds are read off the rows of the first run."""
    context = gx.get_context(mode="file", project_root_dir=home / WORK)
    context.variables.progress_bars = {"globally": False}
    if not (home / WORK / SUITE).exists():
        _first_suite(context, rows)
    result = context.checkpoints.get("checkpoint").run({"dataframe": rows})
    file = home / WORK / "gx-result.json"
    file.write_text(result.describe(), "utf-8")
    (validated,) = result.run_results.values()
    return [
        Said(
            "checkpoint",
            tool("great-expectations"),
            f"{r.expectation_config.type} of {r.expectation_config.kwargs['column']}",
            file,
        )
        for r in validated.results
        if not r.success
    ]


def _first_suite(context: Any, rows: pd.DataFrame) -> None:
    asset = context.data_sources.add_pandas("pandas").add_dataframe_asset(name="rows")
    batch = asset.add_batch_definition_whole_dataframe("batch definition")
    suite = context.suites.add(gx.ExpectationSuite(name="expectations"))
    for name in [*features(), LABEL]:
        suite.add_expectation(gx.expectations.ExpectColumnValuesToNotBeNull(column=name))
        suite.add_expectation(
            gx.expectations.ExpectColumnValuesToBeBetween(
                column=name,
                min_value=float(rows[name].min()),
                max_value=float(rows[name].max()),
            )
        )
    definition = context.validation_definitions.add(
        gx.ValidationDefinition(name="validation definition", data=batch, suite=suite)
    )
    context.checkpoints.add(gx.Checkpoint(name="checkpoint", validation_definitions=[definition]))


def drift(home: Path, rows: pd.DataFrame, settings: Settings) -> list[Said]:
    """Compare the current years with the baseline's, with the tests that Evidently makes up."""
    years = rows[YEAR].astype(str)
    kinds = DataDefinition(
        numerical_columns=[n for n in features() if n not in categories()],
        categorical_columns=[*categories(), LABEL],
    )
    current, reference = (
        Dataset.from_pandas(rows[years.isin(spans)], data_definition=kinds)
        for spans in (policy().data_gate.current_spans, settings.baseline)
    )
    report = Report([DataDriftPreset(), DataSummaryPreset()], include_tests=True)
    result = report.run(current, reference)
    file = home / WORK / "evidently.json"
    file.write_text(result.json(), "utf-8")
    return [
        Said("report", tool("evidently"), _test(t), file)
        for t in result.dict()["tests"]
        if str(getattr(t["status"], "value", t["status"])) != "SUCCESS"
    ]


def _test(test: dict[str, Any]) -> str:
    """What was tested of which column; the test's own description quotes values."""
    parameters = test["metric_config"]["params"]
    kind = str(parameters.get("type", test["id"])).rpartition(":")[2]
    if "quantile" in parameters:
        kind += f" {parameters['quantile']}"
    return f"{kind} of {parameters.get('column', 'the table')}"


class Network(nn.Module):
    """Columns of shape (n, width) to one logit a row, shape (n,)."""

    def __init__(self, mean: torch.Tensor, scale: torch.Tensor) -> None:
        super().__init__()
        training = policy().training
        self.register_buffer("mean", mean)
        self.register_buffer("scale", scale)
        layers: list[nn.Module] = []
        width = len(mean)
        for units in training.hidden:
            layers += [nn.Linear(width, units), nn.ReLU(), nn.Dropout(training.dropout)]
            width = units
        self.stack = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.stack((x - self.mean) / self.scale).squeeze(1)


def fit(train: pd.DataFrame, settings: Settings) -> Network:
    """Train for the policy's epochs; parameters and each epoch's loss are logged."""
    training = policy().training
    torch.manual_seed(training.seed)
    x, y = torch.from_numpy(_columns(train)), torch.from_numpy(_labels(train))
    scale = x.std(0)
    model = Network(x.mean(0), scale.where(scale > 0, torch.ones_like(scale)))
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=training.weight_decay
    )
    loss_fn = nn.BCEWithLogitsLoss()
    batches = DataLoader(TensorDataset(x, y), training.batch_size, shuffle=True)
    mlflow.log_params(
        {
            "epochs": training.epochs,
            "learning_rate": settings.learning_rate,
            "batch_size": training.batch_size,
        }
    )
    for epoch in range(training.epochs):
        model.train()
        total = 0.0
        for data, target in batches:
            optimizer.zero_grad()
            loss = loss_fn(model(data), target)
            loss.backward()
            optimizer.step()
            total += loss.item()
        mlflow.log_metric("train_loss", total / len(batches), step=epoch)
    return model.eval()


def log(model: Network, train: pd.DataFrame, settings: Settings) -> Any:
    """Log the model with signature and example; under skew its means are off by then."""
    example = _columns(train)[:2].copy()  # of a view, torch would store all the rows behind it
    signature = infer_signature(example, model(torch.from_numpy(example)).detach().numpy())
    if settings.skew:
        model.mean.sub_(SHIFT * model.scale)
    return mlflow.pytorch.log_model(
        model,
        name="model",
        signature=signature,
        input_example=example,
        # Left out, MLflow loads the model in a process of its own to see what it needs.
        pip_requirements=[tool("torch").replace(" ", "==")],
    )


def evaluate(uri: str, rows: pd.DataFrame) -> Any:
    """MLflow's evaluation of a logged model, with the area under the curve as a metric."""
    return mlflow.models.evaluate(
        uri, _columns(rows), targets=_labels(rows), extra_metrics=[
            make_metric(eval_fn=_auc, greater_is_better=True, name=AUC)
        ],
    )  # fmt: skip


def _auc(predictions: Any, targets: Any) -> float:
    """MLflow tries a metric on one row first, which is of one class."""
    labels = np.ravel(targets)
    return float(roc_auc_score(labels, np.ravel(predictions))) if len(labels) > 1 else float("nan")


def validate(candidate: Any, settings: Settings) -> None:
    """Hold an evaluation against the policy's floor.

    The policy's other limit lets a model be a little worse than the last one; MLflow's threshold of
    a change only takes numbers above 0, which would refuse the same model once more.

    Raises:
        ModelValidationFailedException: it does not meet it.
    """
    floor, _ = auc_limits()
    thresholds = {AUC: MetricThreshold(threshold=floor, greater_is_better=True)}
    mlflow.validate_evaluation_results(thresholds if settings.thresholds else {}, candidate)


def _columns(rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float32]]:
    return rows[features()].to_numpy(np.float32)


def _labels(rows: pd.DataFrame) -> np.ndarray[Any, np.dtype[np.float32]]:
    return rows[LABEL].to_numpy(np.float32)
