"""The decision log: one row for each scored case, by keyed row commitment and never by person."""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from components.lineage.durable import sync_directory, sync_file

SELECTED, NOT_SELECTED = "selected", "not_selected"


def write_decisions(
    path: Path,
    rows: list[bytes],
    scores: npt.NDArray[np.float64],
    *,
    threshold: float,
    run: str,
    model: str,
    policy: str,
    at: datetime,
) -> None:
    """Write a decision log, whole or not at all.

    Args:
        path: Parquet file to write.
        rows: keyed commitments of the scored rows, 32 bytes each.
        scores: shape (len(rows),); at or above ``threshold`` means selected.
        threshold: the policy's decision threshold.
        run: id of the run that released the model.
        model: SHA-256 of the model, in hex.
        policy: SHA-256 of the policy, in hex.
        at: time of the decisions, in UTC.

    Raises:
        ValueError: a score is not a number in [0, 1]; nobody is decided about by a broken model.
    """
    if not ((scores >= 0) & (scores <= 1)).all():
        raise ValueError("a score is not a number in [0, 1]")
    ids = [hashlib.sha256(f"{run}\x00".encode() + row).hexdigest()[:32] for row in rows]
    table = pa.table(
        {
            "decision_id": ids,
            "assay_row": pa.array(rows, pa.binary(32)),
            "score": scores,
            "outcome": np.where(scores >= threshold, SELECTED, NOT_SELECTED),
            "decided_at": pa.array([at] * len(rows), pa.timestamp("us", tz="UTC")),
        }
    ).replace_schema_metadata({"run": run, "model": model, "policy": policy})
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        pq.write_table(table, temporary, compression="zstd")
        sync_file(temporary)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_directory(path.parent)
