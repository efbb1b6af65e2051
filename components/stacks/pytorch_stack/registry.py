"""The MLflow model registry: a version for each pushed model, and the alias of the live one."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import mlflow
import numpy as np
import onnx
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec

from components.contract.errors import EvidenceError
from components.lineage.digests import sha256_file
from components.release.records import Release, read_releases
from components.stacks.model_signing import verified_content
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack.frameworks import versions
from components.stacks.pytorch_stack.mlflow_store import (
    TrackedRun,
    continues,
    registered_name,
)
from components.stacks.pytorch_stack.onnx_export import FEATURES, MODEL_FILE, OUTPUT
from components.stacks.pytorch_stack.preprocessing import FittedInput, Kind
from components.stacks.pytorch_stack.tag_texts import shortened

CHAMPION = "champion"
RELEASED = "released"
_VERSION_TAG = "assay.model_version"


@dataclass(frozen=True, slots=True)
class PushedModel:
    """A registered model version and its serving file, as read back from the registry."""

    name: str
    version: str
    file: Path
    sha256: str

    @property
    def location(self) -> str:
        """Where the registry has it, without any path of a machine."""
        return f"models:/{self.name}/{self.version}"


def push(
    process: ReleaseProcess,
    run: TrackedRun,
    model: Path,
    fitted: tuple[FittedInput, ...],
    directory: Path,
) -> PushedModel:
    """Log and register a model file, and read it back; the alias stays where it is.

    The file is read once, and what is logged is what was verified.

    Raises:
        ModelSignatureError: it is not what the run trained and signed.
        EvidenceError: the registry gives back another file than was logged.
    """
    content = verified_content(process.spec, model)
    name = registered_name(process.spec.dataset)
    tags = _tags(process)
    # Made here, in the run's own experiment: left to itself MLflow would put the model into its
    # default experiment, whose files land in whatever directory the user stands in.
    made = run.client.create_logged_model(
        run.experiment_id, name, source_run_id=run.run_id, tags=tags, model_type="onnx"
    )
    logged = mlflow.onnx.log_model(
        onnx.load_model_from_string(content),
        name=name,
        model_id=made.model_id,
        run_id=run.run_id,
        signature=signature(fitted),
        pip_requirements=[f"{k}=={v}" for k, v in versions("onnx", "onnxruntime").items()],
        onnx_execution_providers=["CPUExecutionProvider"],
        save_as_external_data=False,
    )
    version = _register(run, name, logged.model_uri, logged.model_id, tags)
    pushed = fetch(run.client, name, version, directory)
    if pushed.sha256 != hashlib.sha256(content).hexdigest():
        raise EvidenceError(f"registry gives back another file than was pushed: {pushed.location}")
    run.set_tags({_VERSION_TAG: version})
    run.client.set_model_version_tag(name, version, "assay.sha256", pushed.sha256)
    return pushed


def signature(fitted: tuple[FittedInput, ...]) -> ModelSignature:
    """Columns in, scores and features out, as ONNX has them; from the fit, never from rows.

    Tensors and not columns: of a model with columns MLflow flattens every output to one cell a
    row, and the features are several.
    """
    inputs = [
        TensorSpec(np.dtype("str" if f.kind is Kind.TEXT else "float64"), (-1,), f.name)
        for f in fitted
    ]
    width = sum(f.width for f in fitted)
    outputs = [
        TensorSpec(np.dtype("float32"), (-1,), OUTPUT),
        TensorSpec(np.dtype("float32"), (-1, width), FEATURES),
    ]
    return ModelSignature(Schema(inputs), Schema(outputs))


def fetch(client: MlflowClient, name: str, version: str, directory: Path) -> PushedModel:
    """Copy a version's one serving file out of the registry's artifact store."""
    directory.mkdir(parents=True, exist_ok=True)
    uri = client.get_model_version_download_uri(name, version)
    file = Path(
        mlflow.artifacts.download_artifacts(
            artifact_uri=f"{uri}/{MODEL_FILE}", dst_path=str(directory)
        )
    )
    return PushedModel(name, version, file, sha256_file(file))


def champion(client: MlflowClient, name: str) -> str | None:
    """The version that the alias names, if there is one."""
    version = client.get_registered_model(name).aliases.get(CHAMPION)
    return None if version is None else str(version)


def pushed_version(run: TrackedRun) -> str | None:
    """The version that a run pushed; None where it has not pushed any."""
    version = run.client.get_run(run.run_id).data.tags.get(_VERSION_TAG)
    return None if version is None else str(version)


def settle(process: ReleaseProcess, run: TrackedRun, outcome: str) -> None:
    """Tag the version that a run pushed, if it did; give it the alias if its release stands.

    The release history says which one stands: settled again, an earlier run's version does not
    take the alias back.
    """
    name, version = registered_name(process.spec.dataset), pushed_version(run)
    if version is None:
        return
    tags = {"assay.outcome": outcome}
    known = read_releases(Path(process.spec.home), process.spec.dataset, process.spec.stack)
    own = next((r for r in known if r.run == process.spec.run_id), None)
    if outcome == RELEASED and own is not None:
        tags |= _release_tags(own)
    for key, value in tags.items():
        run.client.set_model_version_tag(name, version, key, shortened(value))
    if outcome == RELEASED and own is not None and own is known[-1]:
        run.client.set_registered_model_alias(name, CHAMPION, version)


def _release_tags(own: Release) -> dict[str, str]:
    """What the release history says of a release; what it does not say has no tag."""
    said = {
        "assay.release": str(own.number),
        "assay.kind": own.kind,
        "assay.at": own.at.isoformat(timespec="microseconds"),
        "assay.actor": own.actor,
        "assay.reason": own.reason,
        "assay.supersedes": str(own.supersedes or ""),
        "assay.waiver": own.waiver,
    }
    return {key: value for key, value in said.items() if value}


def _register(run: TrackedRun, name: str, source: str, model_id: str, tags: dict[str, str]) -> str:
    try:
        run.client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        run.client.create_registered_model(name)
    made = run.client.create_model_version(
        name, source, run_id=run.run_id, tags=tags, model_id=model_id
    )
    return str(made.version)


def _tags(process: ReleaseProcess) -> dict[str, str]:
    spec = process.spec
    return {
        **continues(process),
        "assay.run_id": spec.run_id,
        "assay.candidate": spec.candidate,
        "assay.contract": spec.contract,
        "assay.policy": spec.policy,
        "assay.dataset_version": spec.dataset_version,
    }
