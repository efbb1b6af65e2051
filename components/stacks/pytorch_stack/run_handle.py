"""Which MLflow run stands for a run of the release process; told without starting MLflow."""

from __future__ import annotations

import json
from pathlib import Path

from components.contract.errors import EvidenceError
from components.lineage.digests import canonical_json
from components.lineage.durable import write_atomically
from components.stacks.process import ReleaseProcess


def save(process: ReleaseProcess, mlflow_run: str) -> None:
    """Note the MLflow run's id in the run's artifacts."""
    write_atomically(_path(process), canonical_json({"mlflowRun": mlflow_run}))


def load(process: ReleaseProcess) -> str:
    """The MLflow run's id, also in another process.

    Raises:
        EvidenceError: there is none.
    """
    try:
        return str(json.loads(_path(process).read_bytes())["mlflowRun"])
    except OSError as error:
        raise EvidenceError(f"run {process.spec.run_id} has no MLflow run") from error


def is_saved(process: ReleaseProcess) -> bool:
    """Whether an MLflow run was begun for this run of the process."""
    return _path(process).exists()


def _path(process: ReleaseProcess) -> Path:
    return process.artifacts / "mlflow-run.json"
