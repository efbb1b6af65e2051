"""The stores that lineage is read back from, by name. A store's framework is imported here only."""

from __future__ import annotations

from pathlib import Path

from components.contract.errors import InputError
from components.lineage.graph import LineageStore


def native_store(stack: str, home: Path) -> LineageStore:
    """The store that a stack keeps by itself: MLMD of ``tfx``, MLflow of ``pytorch``.

    Raises:
        InputError: there is no such stack.
    """
    if stack == "tfx":
        from components.stacks.tfx_stack.mlmd_lineage import MlmdLineage

        return MlmdLineage(home)
    if stack == "pytorch":
        from components.stacks.pytorch_stack.mlflow_lineage import MlflowLineage

        return MlflowLineage(home)
    raise InputError(f"no stack {stack!r}", where="--stack", expected="tfx or pytorch")


def evidence_store(home: Path, stack: str | None = None) -> LineageStore:
    """The signed evidence of a home; only that of one stack, where it is named."""
    from components.audit.evidence_lineage import EvidenceLineage

    return EvidenceLineage(home, stack)
