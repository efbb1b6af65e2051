"""Canonical ingest: the same bytes for both stacks, cut by person, named by content.

A dataset version is a directory ``<split>/span-<number>.parquet`` with ``manifest.json``. Splits
depend only on a salted hash of the entity, so a person's rows are all in one split, whatever else
is in the data. Each row carries its keyed commitment (``assay_row``) and the group labels of the
protected columns (``assay_group_<column>``), so that both stacks slice alike.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.contract.contract import NO_SPAN, Contract
from components.contract.errors import InputError
from components.contract.policy import Policy, Splits
from components.datasets.dataset import ROW_COLUMN, SCHEMA_VERSION, SPLITS, Dataset
from components.datasets.sources import RowSource, open_source, reading, require_columns
from components.datasets.typed_rows import read_typed
from components.lineage.commitments import commit_rows, encode_rows
from components.lineage.digests import canonical_json, sha256_file
from components.lineage.durable import (
    sync_directory,
    sync_file,
    writable_directory,
    write_atomically,
)
from components.lineage.merkle import root
from components.profile.sql import connect

__all__ = [
    "ROW_COLUMN",
    "SCHEMA_VERSION",
    "SPLITS",
    "Dataset",
    "ingest",
    "rows_root",
    "split_of",
]

_SPLIT_COLUMN = "assay_split"
_BUCKETS = 10_000


def rows_root(commitments: list[bytes]) -> str:
    """Merkle root, in hex, over row commitments in rising order, whatever order they come in."""
    return root(sorted(commitments)).hex()


def ingest(
    contract: Contract, policy: Policy, home: Path, row_key: bytes, data: Path | None = None
) -> Dataset:
    """Read the source, cut it by person and span, and write the dataset version, or find it.

    Nothing half-written is ever left behind: the version appears whole, under its own name.

    Raises:
        InputError: a column of the contract is absent, the label has one class, a split is empty,
            the file cannot be read, or the disk refuses.
    """
    source = open_source(contract, data)
    require_columns(contract, source)
    _require_plain_path(home)
    parent = writable_directory(home / "datasets" / contract.name)
    staging = Path(tempfile.mkdtemp(prefix=".ingest-", dir=parent))
    try:
        manifest = _write(contract, policy, source, row_key, staging)
        raw = canonical_json(manifest)
        write_atomically(staging / "manifest.json", raw)
        target = parent / hashlib.sha256(raw).hexdigest()[:16]
        _put_in_place(staging, target)
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror})",
            where=str(parent),
            expected="a disk with room (`--home DIR`)",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Dataset.open(target)


def _require_plain_path(home: Path) -> None:
    # Arrow and Spark take such a folder for a partition, and its name for a cell of every row.
    if folder := next((part for part in home.absolute().parts if "=" in part), None):
        raise InputError(
            f"{folder} would be read as a column",
            where=str(home),
            expected="a home without = in its path (`--home DIR`)",
        )


def _put_in_place(staging: Path, target: Path) -> None:
    try:
        staging.rename(target)
    except OSError:
        # Content is identity: what is there under this name already is the same.
        if not target.is_dir():
            raise
        if not any(target.rglob("*.parquet")):  # its rows were purged, and are here again
            shutil.rmtree(target)
            staging.rename(target)
    sync_directory(target.parent)


def split_of(entity: str, splits: Splits) -> str:
    """The split of a person: SHA-256 of salt and entity, as a fraction, against the shares."""
    digest = hashlib.sha256(f"{splits.salt}\x00{entity}".encode()).digest()
    bucket = int.from_bytes(digest[:8], "big") % _BUCKETS
    if bucket < round(splits.train * _BUCKETS):
        return "train"
    if bucket < round((splits.train + splits.validation) * _BUCKETS):
        return "validation"
    return "evaluation"


def _write(
    contract: Contract, policy: Policy, source: RowSource, row_key: bytes, staging: Path
) -> dict[str, Any]:
    with connect() as database, reading(source):
        table, unparseable = read_typed(database, contract, source)
    _require_two_classes(contract, table, source)
    names = [c.name for c in contract.columns]
    commitments = list(commit_rows(row_key, encode_rows(table.select(names))))
    table = table.append_column(ROW_COLUMN, pa.array(commitments, pa.binary(32)))
    splits = [split_of(str(e), policy.splits) for e in table[contract.entity.name].to_pylist()]
    table = table.append_column(_SPLIT_COLUMN, pa.array(splits))
    manifest_splits = {}
    for split in SPLITS:
        part = table.filter(pc.equal(table[_SPLIT_COLUMN], split)).drop_columns([_SPLIT_COLUMN])
        if part.num_rows == 0:
            raise InputError(
                f"split {split} has no rows",
                where=str(policy.path),
                expected="more people, or a larger share in splits",
            )
        manifest_splits[split] = _write_split(contract, part, split, staging)
    return {
        "schemaVersion": SCHEMA_VERSION,
        "dataset": contract.name,
        "contract": contract.digest,
        "salt": policy.splits.salt,
        "rows": table.num_rows,
        "root": rows_root(commitments),
        "sources": [{"name": f.name, "sha256": sha256_file(f)} for f in source.files],
        "unparseable": unparseable,
        "splits": manifest_splits,
    }


def _require_two_classes(contract: Contract, table: pa.Table, source: RowSource) -> None:
    label = contract.label
    held = [v == label.positive for v in table[label.name].to_pylist() if v is not None]
    if len(set(held)) < 2:
        raise InputError(
            f"label {label.name} has {len(set(held))} class",
            where=source.named,
            expected="rows with the positive value and rows without it",
        )


def _write_split(contract: Contract, part: pa.Table, split: str, staging: Path) -> dict[str, Any]:
    (staging / split).mkdir()
    labels = contract.span_label_column
    cells = [None] * part.num_rows if labels is None else part[labels].to_pylist()
    keys = [NO_SPAN if v is None else str(v) for v in cells]
    spans = {}
    for i, span in enumerate(sorted(set(keys))):
        rows = part.filter(pa.array([k == span for k in keys]))
        name = f"{split}/span-{i:04d}.parquet"
        pq.write_table(rows, staging / name, compression="zstd", version="2.6")
        sync_file(staging / name)
        spans[span] = {
            "file": name,
            "rows": rows.num_rows,
            "root": rows_root(rows[ROW_COLUMN].to_pylist()),
            "sha256": sha256_file(staging / name),
        }
    sync_directory(staging / split)
    return {
        "rows": part.num_rows,
        "root": rows_root(part[ROW_COLUMN].to_pylist()),
        "spans": spans,
    }
