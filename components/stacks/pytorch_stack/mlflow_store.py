"""The MLflow store of a home, and the MLflow run that stands for a run of the release process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from components.lineage.durable import writable_directory
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack import run_handle
from components.stacks.pytorch_stack.mlflow_rows import require_usable, store_uri
from components.stacks.pytorch_stack.tag_texts import shortened

_TAGS_AT_ONCE = 100
_DEFAULT_EXPERIMENT = "0"


def open_store(home: Path) -> MlflowClient:
    """A client of the home's MLflow store; made, with its schema, on first use.

    MLflow's fluent calls, which its model flavours use, are pointed at the same store.

    Raises:
        InputError: the store cannot be opened, is locked, or is of another MLflow.
    """
    writable_directory(home.resolve() / "stores")
    uri = store_uri(home)
    require_usable(uri)
    mlflow.set_tracking_uri(uri)
    mlflow.set_registry_uri(uri)
    return MlflowClient(uri, uri)


def registered_name(dataset: str) -> str:
    """Name of a dataset's registered model."""
    return f"assay-{dataset}"


@dataclass(frozen=True, slots=True)
class TrackedRun:
    """The MLflow run of one run of the release process."""

    client: MlflowClient
    run_id: str
    experiment_id: str

    @classmethod
    def start(cls, process: ReleaseProcess) -> TrackedRun:
        """Begin the MLflow run, tagged with every digest that the process is bound to."""
        home = Path(process.spec.home)
        client = open_store(home)
        experiment_id = _experiment(client, registered_name(process.spec.dataset), home)
        run = client.create_run(experiment_id, tags=_tags(process), run_name=process.spec.run_id)
        tracked = cls(client, run.info.run_id, experiment_id)
        tracked.log_params(_params(process))
        run_handle.save(process, run.info.run_id)
        return tracked

    @classmethod
    def of(cls, process: ReleaseProcess) -> TrackedRun:
        """The MLflow run that ``start`` began, also in another process.

        Raises:
            EvidenceError: there is none.
        """
        handle = run_handle.load(process)
        client = open_store(Path(process.spec.home))
        run = client.get_run(handle)
        return cls(client, run.info.run_id, run.info.experiment_id)

    @contextmanager
    def active(self) -> Iterator[None]:
        """Make it the run that MLflow's fluent calls write to; afterwards it goes on."""
        with mlflow.start_run(run_id=self.run_id):
            yield
        self.client.update_run(self.run_id, status="RUNNING")

    def log_params(self, params: Mapping[str, object]) -> None:
        """Record parameters, as text."""
        held = [Param(k, str(v)) for k, v in params.items()]
        self.client.log_batch(self.run_id, params=held)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        """Record figures of one step; NaN is recorded as NaN."""
        from mlflow.utils.time import get_current_time_millis

        now = get_current_time_millis()
        held = [Metric(k, float(v), now, step) for k, v in metrics.items()]
        self.client.log_batch(self.run_id, metrics=held)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; a long text is cut at what every MLflow store can hold."""
        held = [RunTag(k, shortened(v)) for k, v in tags.items()]
        for first in range(0, len(held), _TAGS_AT_ONCE):
            self.client.log_batch(self.run_id, tags=held[first : first + _TAGS_AT_ONCE])

    def log_file(self, path: Path, directory: str) -> None:
        """Copy a file into the run's artifacts."""
        self.client.log_artifact(self.run_id, str(path), directory)


def _experiment(client: MlflowClient, name: str, home: Path) -> str:
    if (found := client.get_experiment_by_name(name)) is not None:
        return str(found.experiment_id)
    if not client.search_runs([_DEFAULT_EXPERIMENT], max_results=1):
        # MLflow makes it with the directory that the user happens to stand in; nothing of ours
        # belongs there, and an auditor should not have to wonder about it.
        client.delete_experiment(_DEFAULT_EXPERIMENT)
    location = (home.resolve() / "stores" / "mlartifacts").as_uri()
    return str(client.create_experiment(name, artifact_location=location))


def _tags(process: ReleaseProcess) -> dict[str, str]:
    spec = process.spec
    return {
        **continues(process),
        "assay.run_id": spec.run_id,
        "assay.stack": spec.stack,
        "assay.candidate": spec.candidate,
        "assay.contract": spec.contract,
        "assay.policy": spec.policy,
        "assay.dataset": spec.dataset,
        "assay.dataset_version": spec.dataset_version,
        "assay.rows_root": str(process.dataset.manifest["root"]),
        "assay.code": spec.code,
        "assay.environment": spec.environment,
        "assay.lock": spec.lock,
        "assay.sbom": spec.sbom,
        "assay.image": spec.image,
        "assay.seed": str(process.policy.training.seed),
        "assay.started": spec.started,
        "assay.actor": spec.actor,
        "assay.outcome": "running",
        "mlflow.user": spec.actor,
        "mlflow.source.name": "assay",
        "mlflow.source.type": "PROJECT",
    }


def continues(process: ReleaseProcess) -> dict[str, str]:
    """Tags of a run that releases what another run trained; none of any other."""
    spec = process.spec
    if spec.continues is None:
        return {}
    return {"assay.continues": spec.continues, "assay.continues_reason": spec.reason or ""}


def _params(process: ReleaseProcess) -> dict[str, object]:
    training, candidate = process.policy.training, process.candidate
    return {
        "epochs": training.epochs,
        "batch_size": training.batch_size,
        "learning_rate": training.learning_rate,
        "weight_decay": training.weight_decay,
        "dropout": training.dropout,
        "hidden": "x".join(map(str, training.hidden)),
        "seed": training.seed,
        "min_category_count": training.min_category_count,
        "mitigation": candidate.mitigation,
        "mitigate_by": ",".join(candidate.mitigate_by) or "none",
        "penalty_strength": candidate.penalty_strength,
        "protected_features": ",".join(candidate.protected_features) or "none",
        "decision_threshold": process.policy.decision_threshold,
    }
