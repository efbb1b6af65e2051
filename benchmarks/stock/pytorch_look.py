"""What MLflow tells somebody who looks at a model in use after its release."""

from __future__ import annotations

from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException

from benchmarks.stock.pytorch_quickstart import ALIAS, DATABASE, MODEL, connect
from benchmarks.stock.runs import DATA, LABEL, ROWS, WORK, Said, features, tool


def look(home: Path) -> list[Said]:
    """Load the model behind the alias, open its run, hold digest and metrics against it."""
    connect(home)
    client, said = mlflow.MlflowClient(), []
    version = client.get_model_version_by_alias(MODEL, ALIAS)
    rows = pd.read_csv(home / DATA / ROWS)

    def tell(stage: str, message: str) -> None:
        said.append(Said(stage, tool("mlflow"), message, home / WORK / DATABASE))

    try:
        model = mlflow.pyfunc.load_model(f"models:/{MODEL}@{ALIAS}")
        model.predict(rows[features()].to_numpy(np.float32)[:2])
    except Exception as error:  # noqa: BLE001 - whatever a spoilt file breaks is what is measured
        tell("load_model", f"the model in use cannot be loaded: {type(error).__name__}")
    try:
        run = client.get_run(version.run_id)
    except MlflowException as error:
        tell("get_run", f"the run behind the model in use: {error.error_code}")
        return said
    logged = run.inputs.dataset_inputs[0].dataset
    again = mlflow.data.from_pandas(rows, source=str(home / DATA / ROWS), targets=LABEL)
    if again.digest != logged.digest:
        tell("mlflow.data", "the file has another digest than the run's dataset")
    # MLflow keeps an evaluation's figures twice: with the run, and with the model it judged.
    model_id = version.source.rpartition("/")[2]
    for metric in client.get_logged_model(model_id).metrics or []:
        history = client.get_metric_history(run.info.run_id, metric.key)
        if metric.run_id == run.info.run_id and metric.value not in {m.value for m in history}:
            tell("get_logged_model", f"{metric.key} of the model is not that of its run")
            break
    return said
