"""Reading tf.Example records back, in file order, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from components.datasets.canonical import ROW_COLUMN

BATCH_ROWS = 4096


def split_files(examples_uri: str, split: str) -> list[str]:
    """Record files of one split of an Examples artifact, in name order."""
    return sorted(tf.io.gfile.glob(f"{examples_uri}/Split-{split}/*"))


def serialized_batches(files: list[str]) -> Iterator[tf.Tensor]:
    """Serialized examples, as text tensors of shape (up to BATCH_ROWS,)."""
    if files:
        yield from tf.data.TFRecordDataset(files, "GZIP").batch(BATCH_ROWS)


def row_commitments(serialized: tf.Tensor) -> list[bytes]:
    """The rows' commitments, as written into their examples.

    Raises:
        tf.errors.InvalidArgumentError: an example has none.
    """
    spec = {ROW_COLUMN: tf.io.FixedLenFeature([], tf.string)}
    return list(tf.io.parse_example(serialized, spec)[ROW_COLUMN].numpy())


def write_rows(examples_uri: str, splits: list[str], target: Path) -> Path:
    """Write the commitment of every example of every split, read from the records themselves."""
    columns: dict[str, list] = {"split": [], ROW_COLUMN: []}
    for split in splits:
        for serialized in serialized_batches(split_files(examples_uri, split)):
            rows = row_commitments(serialized)
            columns["split"] += [split] * len(rows)
            columns[ROW_COLUMN] += rows
    table = pa.table(
        {
            "split": pa.array(columns["split"], pa.string()),
            ROW_COLUMN: pa.array(columns[ROW_COLUMN], pa.binary(32)),
        }
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, target, compression="zstd")
    return target
