"""Canonical ingest: the same bytes for both stacks, cut by person, named by content.

A dataset version is a directory ``<split>/span=<span>.parquet`` with ``manifest.json``. Splits
depend only on a salted hash of the entity, so a person's rows are all in one split, whatever else
is in the data. Each row carries its keyed commitment (``assay_row``) and the group labels of the
protected columns (``assay_group_<column>``), so that both stacks slice alike.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.contract.contract import Column, Contract, LogicalType
from components.contract.errors import EvidenceError, InputError
from components.contract.policy import Policy, Splits
from components.datasets.sources import RowSource, open_source, source_columns
from components.lineage.commitments import commit_rows, encode_rows
from components.lineage.digests import canonical_json, sha256_file
from components.lineage.durable import sync_directory, writable_directory, write_atomically
from components.lineage.merkle import root
from components.profile.compute import connect, literal, quote

SCHEMA_VERSION = "assay-manifest/v1"
ROW_COLUMN = "assay_row"
SPLITS = ("train", "validation", "evaluation")
NO_SPAN = "all"
_BUCKETS = 10_000
_SQL_TYPES = {
    LogicalType.STRING: "VARCHAR",
    LogicalType.INTEGER: "BIGINT",
    LogicalType.NUMBER: "DOUBLE",
    LogicalType.BOOLEAN: "BOOLEAN",
}


@dataclass(frozen=True, slots=True)
class Dataset:
    """A canonical dataset version on disk.

    ``version`` is the SHA-256 of ``manifest.json``, in hex; it covers every other digest.
    """

    directory: Path
    manifest: dict[str, Any]
    version: str

    def files(
        self, *, split: str | None = None, spans: tuple[str, ...] | None = None
    ) -> list[Path]:
        """Parquet files of a split, of some spans, or of both; in the manifest's order."""
        return [
            self.directory / part["file"]
            for name, whole in self.manifest["splits"].items()
            for span, part in whole["spans"].items()
            if split in (None, name) and (spans is None or span in spans)
        ]

    def rows(self, split: str) -> int:
        """Number of rows in a split."""
        return int(self.manifest["splits"][split]["rows"])

    def root(self, split: str) -> str:
        """Merkle root, in hex, over a split's row commitments in rising order."""
        return str(self.manifest["splits"][split]["root"])

    @property
    def spans(self) -> tuple[str, ...]:
        """Every span that has rows, in rising order."""
        return tuple(sorted({s for w in self.manifest["splits"].values() for s in w["spans"]}))

    @classmethod
    def open(cls, directory: Path) -> Dataset:
        """Open a dataset version and check every file against its digest.

        Raises:
            EvidenceError: names a file that is missing, was added, or is not what was written.
        """
        raw = (directory / "manifest.json").read_bytes()
        dataset = cls(directory, json.loads(raw), hashlib.sha256(raw).hexdigest())
        known = {
            p["file"]: p["sha256"]
            for w in dataset.manifest["splits"].values()
            for p in w["spans"].values()
        }
        present = {str(p.relative_to(directory)) for p in directory.rglob("*.parquet")}
        if different := present ^ set(known):
            raise EvidenceError(f"{directory}: {min(different)} is missing or was added")
        for name, digest in known.items():
            if sha256_file(directory / name) != digest:
                raise EvidenceError(f"{directory / name} is not the file that was ingested")
        return dataset


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
    _require_columns(contract, source)
    parent = writable_directory(home / "datasets" / contract.name)
    staging = Path(tempfile.mkdtemp(prefix=".ingest-", dir=parent))
    try:
        manifest = _write(contract, policy, source, row_key, staging)
        raw = canonical_json(manifest)
        write_atomically(staging / "manifest.json", raw)
        target = parent / hashlib.sha256(raw).hexdigest()[:16]
        if not target.exists():
            staging.rename(target)
            sync_directory(parent)
    except OSError as error:
        raise InputError(
            f"cannot be written ({error.strerror})",
            where=str(parent),
            expected="a disk with room (`--home DIR`)",
        ) from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Dataset.open(target)


def _require_columns(contract: Contract, source: RowSource) -> None:
    present = set(source_columns(source))
    missing = [c.name for c in contract.columns if c.name not in present]
    if missing:
        raise InputError(
            f"column {missing[0]} of the contract is not in the data",
            where=", ".join(str(f) for f in source.files),
            expected=f"the columns of {contract.path}",
        )


def _cell(column: Column, contract: Contract) -> str:
    """SQL for a column's text with the contract's missing markers and empty text as null."""
    name = quote(column.name)
    markers = ", ".join(literal(m) for m in ("", *contract.missing_markers))
    return f"CASE WHEN {name}::VARCHAR IN ({markers}) THEN NULL ELSE {name} END"


def _typed(column: Column, contract: Contract) -> str:
    cell = _cell(column, contract)
    return f"TRY_CAST({cell} AS {_SQL_TYPES[column.logical_type]})"


def _failed(column: Column, contract: Contract) -> str:
    """SQL that counts the cells that hold something, but nothing of the contract's type."""
    cell, typed = _cell(column, contract), _typed(column, contract)
    return f"count(*) FILTER (WHERE {cell} IS NOT NULL AND {typed} IS NULL)"


def _group(column: Column) -> str:
    """SQL for a protected column's group label; null where the column is null."""
    name = quote(column.name)
    if column.bands is None:
        return f"{name}::VARCHAR"
    cases = " ".join(
        f"WHEN {name} < {edge!r} THEN {literal(label)}"
        for edge, label in zip(column.bands.edges, column.bands.labels, strict=False)
    )
    last = literal(column.bands.labels[-1])
    return f"CASE WHEN {name} IS NULL THEN NULL {cases} ELSE {last} END"


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
    with connect() as database:
        try:
            table, unparseable = _read(database, contract, source)
        except duckdb.Error as error:
            raise InputError(
                f"cannot be read ({type(error).__name__})",
                where=", ".join(str(f) for f in source.files),
                expected="a whole file of the declared format",
            ) from error
    _require_two_classes(contract, table, source)
    names = [c.name for c in contract.columns]
    commitments = list(commit_rows(row_key, encode_rows(table.select(names))))
    table = table.append_column(ROW_COLUMN, pa.array(commitments, pa.binary(32)))
    splits = [split_of(str(e), policy.splits) for e in table[contract.entity.name].to_pylist()]
    table = table.append_column("_split", pa.array(splits))
    manifest_splits = {}
    for split in SPLITS:
        part = table.filter(pc.equal(table["_split"], split)).drop_columns(["_split"])
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


def _read(
    database: duckdb.DuckDBPyConnection, contract: Contract, source: RowSource
) -> tuple[pa.Table, dict[str, int]]:
    columns = ", ".join(f"{_typed(c, contract)} AS {quote(c.name)}" for c in contract.columns)
    groups = ", ".join(f"{_group(c)} AS {quote(c.group_column)}" for c in contract.protected)
    select = (
        f"SELECT *{', ' + groups if groups else ''} FROM (SELECT {columns} FROM ({source.sql}))"  # noqa: S608
    )
    first = [contract.entity, *([contract.span] if contract.span else [])]
    order = [quote(c.name) for c in (*first, *contract.columns)]
    table = database.sql(f"{select} ORDER BY {', '.join(order)}").to_arrow_table()
    failed = ", ".join(_failed(c, contract) for c in contract.columns)
    counts = database.execute(f"SELECT {failed} FROM ({source.sql})").fetchall()[0]  # noqa: S608
    found = {c.name: n for c, n in zip(contract.columns, counts, strict=True) if n}
    return table, found


def _require_two_classes(contract: Contract, table: pa.Table, source: RowSource) -> None:
    classes = pc.count_distinct(table[contract.label.name]).as_py()
    if classes < 2:
        raise InputError(
            f"label {contract.label.name} has {classes} class",
            where=", ".join(str(f) for f in source.files),
            expected="rows with the positive value and rows without it",
        )


def _write_split(contract: Contract, part: pa.Table, split: str, staging: Path) -> dict[str, Any]:
    (staging / split).mkdir()
    keys = (
        [NO_SPAN] * part.num_rows
        if contract.span is None
        else [NO_SPAN if v is None else str(v) for v in part[contract.span.name].to_pylist()]
    )
    spans = {}
    for i, span in enumerate(sorted(set(keys))):
        rows = part.filter(pa.array([k == span for k in keys]))
        name = f"{split}/span-{i:04d}.parquet"
        pq.write_table(rows, staging / name, compression="zstd", version="2.6")
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
