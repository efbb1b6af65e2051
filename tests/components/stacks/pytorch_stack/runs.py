"""Running a process to its end, and finding it again in MLflow and in its records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack.mlflow_store import open_store, registered_name
from pipelines import pytorch_pipeline

NAME = registered_name("clinic")


def end(process: ReleaseProcess) -> str:
    """Run to the end and close."""
    if process.spec.continues is None:
        pytorch_pipeline.run(process)
    else:
        pytorch_pipeline.release(process)
    outcome = process.close()
    pytorch_pipeline.settle(process, outcome)
    return outcome


def store(process: ReleaseProcess) -> MlflowClient:
    """MLflow's client on the run's store."""
    return open_store(Path(process.spec.home))


def mlflow_runs(process: ReleaseProcess) -> list:
    """The MLflow runs that stand for a run."""
    client = store(process)
    experiment = client.get_experiment_by_name(NAME)
    query = f"tags.`assay.run_id` = '{process.spec.run_id}'"
    return list(client.search_runs([experiment.experiment_id], query))


def mlflow_run(process: ReleaseProcess):
    """The one MLflow run that stands for a run."""
    (found,) = mlflow_runs(process)
    return found


def body_of(process: ReleaseProcess, stage: str) -> dict[str, Any]:
    """The record of a stage."""
    (found,) = [r.body for r in process.chain.records() if r.stage == stage]
    return found
