"""The receipt of what MLflow holds of a run once it is over."""

from __future__ import annotations

from pathlib import Path

from components.lineage.commitments import artifact_nonce
from components.lineage.receipts import RECEIPT, write_receipt
from components.lineage.row_key import read_row_key
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack import run_handle
from components.stacks.pytorch_stack.mlflow_lineage import MlflowLineage


def write(process: ReleaseProcess) -> None:
    """Sign what MLflow holds of a closed run; nothing, if the run never came to MLflow.

    A receipt that is there stays: what MLflow holds today may have been changed since, and must
    not be signed as what it held then.
    """
    directory, run_id = process.spec.directory, process.spec.run_id
    if (directory / RECEIPT).exists():
        return
    home = Path(process.spec.home)
    nonce = artifact_nonce(read_row_key(home), f"{run_id}:native-entries")
    store = MlflowLineage(home)
    entries = store.read([run_id]).entries[run_id] if run_handle.is_saved(process) else {}
    head = process.chain.records()[-1].digest
    write_receipt(directory, head, store.name, entries, nonce, process.chain.keys)
