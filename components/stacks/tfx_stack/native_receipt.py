"""The receipt of what MLMD holds of a run once it is over."""

from __future__ import annotations

from pathlib import Path

from components.lineage.commitments import artifact_nonce
from components.lineage.graph import Entries
from components.lineage.receipts import RECEIPT, write_receipt
from components.lineage.row_key import read_row_key
from components.stacks.process import ReleaseProcess
from components.stacks.tfx_stack.mlmd_lineage import MlmdLineage
from components.stacks.tfx_stack.mlmd_links import Links
from components.stacks.tfx_stack.mlmd_rows import RunEntries, read_rows
from components.stacks.tfx_stack.mlmd_store import is_there


def write(process: ReleaseProcess) -> None:
    """Sign what MLMD holds of a closed run; nothing, if the run never came to MLMD.

    A receipt that is there stays: what MLMD holds today may have been changed since, and must not
    be signed as what it held then.

    Raises:
        InputError: the store cannot be used.
    """
    directory, run_id = process.spec.directory, process.spec.run_id
    if (directory / RECEIPT).exists():
        return
    home = Path(process.spec.home)
    nonce = artifact_nonce(read_row_key(home), f"{run_id}:native-entries")
    entries: Entries = {}
    if is_there(home):
        entries = RunEntries(read_rows(home, [run_id]), Links(home)).get(run_id, {})
    head = process.chain.records()[-1].digest
    write_receipt(directory, head, MlmdLineage.name, entries, nonce, process.chain.keys)
