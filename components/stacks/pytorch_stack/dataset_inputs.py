"""The canonical dataset as MLflow dataset inputs, named by all of its content."""

from __future__ import annotations

from typing import Any

from mlflow.data.dataset_source import DatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag
from mlflow.types import ColSpec, DataType, Schema

from components.contract.contract import Contract, LogicalType
from components.datasets.canonical import SPLITS, Dataset
from components.stacks.pytorch_stack.mlflow_store import TrackedRun

_MLFLOW_TYPES = {
    LogicalType.STRING: DataType.string,
    LogicalType.INTEGER: DataType.long,
    LogicalType.NUMBER: DataType.double,
    LogicalType.BOOLEAN: DataType.boolean,
}
_CONTEXTS = {"train": "training", "validation": "validation", "evaluation": "evaluation"}
DIGEST_LENGTH = 36
"""What MLflow's database has room for; the whole digests stand in the input's tags."""


class CanonicalSource(DatasetSource):
    """Names a split of a canonical dataset version, wherever a machine keeps it."""

    def __init__(self, dataset: str, version: str, split: str) -> None:
        self._named = {"dataset": dataset, "version": version, "split": split}

    @staticmethod
    def _get_source_type() -> str:
        return "assay_canonical"

    def load(self) -> Any:
        """Not from here: rows are read where the manifest can be checked."""
        raise NotImplementedError("open it with components.datasets.canonical.Dataset")

    @staticmethod
    def _can_resolve(raw_source: Any) -> bool:
        return False

    @classmethod
    def _resolve(cls, raw_source: Any) -> CanonicalSource:
        raise NotImplementedError

    def to_dict(self) -> dict[str, str]:
        """Dataset, version and split."""
        return dict(self._named)

    @classmethod
    def from_dict(cls, source_dict: dict[Any, Any]) -> CanonicalSource:
        """The source that ``to_dict`` described."""
        return cls(**source_dict)


def log_dataset_inputs(run: TrackedRun, dataset: Dataset, contract: Contract) -> None:
    """Record each split as an input of the MLflow run.

    MLflow's own digest covers the first 10,000 rows with 32 bits; here the digest is the
    beginning of the split's Merkle root, and root, version and contract stand in tags in full.
    """
    schema = Schema([ColSpec(_MLFLOW_TYPES[c.logical_type], c.name) for c in contract.columns])
    inputs = []
    for split in SPLITS:
        described = MetaDataset(
            CanonicalSource(contract.name, dataset.version, split),
            name=f"{contract.name}-{split}",
            digest=dataset.root(split)[:DIGEST_LENGTH],
            schema=schema,
        )
        tags = {
            "mlflow.data.context": _CONTEXTS[split],
            "assay.dataset_version": dataset.version,
            "assay.rows_root": dataset.root(split),
            "assay.rows": str(dataset.rows(split)),
            "assay.contract": contract.digest,
        }
        inputs.append(
            DatasetInput(described._to_mlflow_entity(), [InputTag(k, v) for k, v in tags.items()])
        )
    run.client.log_inputs(run.run_id, inputs)
