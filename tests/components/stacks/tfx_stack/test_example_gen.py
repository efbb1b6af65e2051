"""Canonical rows to tf.Examples and back: nothing lost, nothing invented."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from components.checks.preprocessing import as_text
from components.contract.policy import MISSING
from components.datasets.canonical import ROW_COLUMN, SPLITS, rows_root
from components.stacks.process import ReleaseProcess
from components.stacks.tfx_stack.example_columns import (
    LABEL_FEATURE,
    ExampleColumn,
    Kind,
    example_columns,
    to_lists,
)
from components.stacks.tfx_stack.example_records import (
    serialized_batches,
    split_files,
    write_rows,
)


def _decoded(examples_uri: str, split: str) -> list[tf.train.Example]:
    return [
        tf.train.Example.FromString(record)
        for batch in serialized_batches(split_files(examples_uri, split))
        for record in batch.numpy()
    ]


def _cell(example: tf.train.Example, column: ExampleColumn) -> object:
    feature = example.features.feature[column.name]
    if column.kind.is_integer:
        values = list(feature.int64_list.value)
    elif column.kind is Kind.FLOAT:
        values = list(feature.float_list.value)
    else:
        values = list(feature.bytes_list.value)
    assert len(values) <= 1
    return values[0] if values else None


def _expected(value: object, column: ExampleColumn) -> object:
    if column.kind is Kind.LABEL:
        return int(value == 1)
    if column.kind is Kind.GROUP:
        return (MISSING if value is None else str(value)).encode()
    if value is None or column.kind in (Kind.INTEGER, Kind.ROW):
        return value
    return np.float32(value) if column.kind is Kind.FLOAT else as_text(value).encode()


def test_every_cell_survives_the_round_trip(process: ReleaseProcess, examples_uri: str) -> None:
    columns = example_columns(process.contract)
    kinds = {c.kind for c in columns}
    assert kinds == {Kind.INTEGER, Kind.FLOAT, Kind.TEXT, Kind.GROUP, Kind.LABEL, Kind.ROW}
    seen_null = False
    for split in SPLITS:
        rows = pa.concat_tables(pq.read_table(f) for f in process.dataset.files(split=split))
        examples = _decoded(examples_uri, split)
        assert len(examples) == rows.num_rows > 0
        for column in columns:
            source = rows[column.source].to_pylist()
            seen_null = seen_null or None in source
            assert [_cell(e, column) for e in examples] == [_expected(v, column) for v in source]
    assert seen_null


def test_the_rows_read_back_have_the_manifest_roots(
    process: ReleaseProcess, examples_uri: str, tmp_path: Path
) -> None:
    rows = pq.read_table(write_rows(examples_uri, list(SPLITS), tmp_path / "rows.parquet"))
    for split in SPLITS:
        held = rows.filter(pa.compute.equal(rows["split"], split))
        assert rows_root(held[ROW_COLUMN].to_pylist()) == process.dataset.root(split)


def test_not_a_number_is_no_value() -> None:
    batch = pa.RecordBatch.from_pydict({"x": [1.0, float("nan"), None]})
    lists = to_lists(batch, [ExampleColumn("x", "x", Kind.FLOAT)])
    assert lists.column(0).to_pylist() == [[1.0], None, None]


def test_bins_hold_what_the_referee_counts_in_them() -> None:
    batch = pa.RecordBatch.from_pydict({"x": [-1.0, 0.0, 0.5, 1.0, 9.0, None]})
    column = ExampleColumn("d", "x", Kind.BIN, edges=(0.0, 1.0))
    labels = [cell[0].decode() for cell in to_lists(batch, [column]).column(0).to_pylist()]
    assert labels == ["bin 000", "bin 001", "bin 001", "bin 002", "bin 002", MISSING]


def test_the_label_feature_follows_the_contract(process: ReleaseProcess) -> None:
    (label,) = [c for c in example_columns(process.contract) if c.name == LABEL_FEATURE]
    batch = pa.RecordBatch.from_pydict({label.source: [1, 0, 2]})
    assert to_lists(batch, [label]).column(0).to_pylist() == [[1], [0], [0]]
