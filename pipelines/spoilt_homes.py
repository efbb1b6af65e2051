"""What is done to a home after a release, by whoever can reach its files and its databases."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.contract.errors import AssayError


@dataclass(frozen=True, slots=True)
class Spoilt:
    """A home that is to be spoilt: the run that was released in it, and its stack."""

    home: Path
    run: Path
    stack: str

    @property
    def database(self) -> Path:
        """The SQLite file of the stack's own store."""
        return self.home / "stores" / ("mlmd.sqlite" if self.stack == "tfx" else "mlflow.sqlite")

    def change(self, *statements: str) -> None:
        """Change the store's database by SQL, as whoever can reach it may.

        Raises:
            AssayError: nothing was changed, so the fault would prove nothing.
        """
        with closing(sqlite3.connect(self.database)) as database, database:
            changed = sum(database.execute(s).rowcount for s in statements)
        if changed <= 0:
            raise AssayError(f"nothing was changed in {self.database.name}")


def _rows(spoilt: Spoilt) -> Path:
    """The largest file of the training rows."""
    files = (spoilt.home / "datasets").rglob("train/*.parquet")
    return max(files, key=lambda p: p.stat().st_size)


def _edit_row(spoilt: Spoilt) -> None:
    """The very last row: those before it, of training and validation, are some 10,000."""
    path = max((spoilt.home / "datasets").rglob("evaluation/*.parquet"))
    table = pq.read_table(path)
    column = table.schema.get_field_index("income")
    last = pa.array(range(table.num_rows))
    changed = pc.if_else(
        pc.equal(last, table.num_rows - 1), pc.add(table["income"], 1), table["income"]
    )
    field = table.schema.field(column)
    pq.write_table(table.set_column(column, field, changed.cast(field.type)), path)


def _edit_file(spoilt: Spoilt) -> None:
    path = _rows(spoilt)
    before = path.stat()
    _flip(path, before.st_size // 2)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def _loosen_schema(spoilt: Spoilt) -> None:
    path = spoilt.run / "contract.yaml"
    text = path.read_text("utf-8")
    widened = text.replace("maximum: 6}", "maximum: 60}", 1)
    if widened == text:
        raise AssayError("the contract has no such range")
    path.write_text(widened, "utf-8")


def _edit_model(spoilt: Spoilt) -> None:
    pattern = "serving/**/variables.data-*" if spoilt.stack == "tfx" else "stores/**/*.onnx"
    path = max(spoilt.home.glob(pattern), key=lambda p: p.stat().st_size)
    _flip(path, path.stat().st_size // 2)


def _delete_mlflow_run(spoilt: Spoilt) -> None:
    """As ``mlflow gc`` leaves it: the run and all that hangs on it, but not what it registered."""
    tables = ("latest_metrics", "metrics", "params", "tags", "runs")
    spoilt.change(*(f"DELETE FROM {t}" for t in tables))  # noqa: S608 - tables of MLflow's own


def _edit_mlflow_metric(spoilt: Spoilt) -> None:
    spoilt.change(
        "UPDATE metrics SET value = value + 0.05 WHERE key LIKE 'roc_auc%'",
        "UPDATE latest_metrics SET value = value + 0.05 WHERE key LIKE 'roc_auc%'",
    )


def _move_alias(spoilt: Spoilt) -> None:
    """Register the same files once more, by hand, and point the alias there."""
    with closing(sqlite3.connect(spoilt.database)) as database:
        names = [r[1] for r in database.execute("PRAGMA table_info(model_versions)")]
    kept = ", ".join(names)
    again = ", ".join("2" if n == "version" else n for n in names)
    spoilt.change(
        f"INSERT INTO model_versions ({kept}) SELECT {again} FROM model_versions WHERE version = 1",  # noqa: S608 - names of MLflow's own columns
        "UPDATE registered_model_aliases SET version = 2",
    )


def _edit_mlmd_property(spoilt: Spoilt) -> None:
    """Another person released it."""
    spoilt.change(
        "UPDATE ContextProperty SET string_value = 'somebody-else' "
        "WHERE name = 'assay_release_actor'"
    )


def _delete_mlmd_run(spoilt: Spoilt) -> None:
    spoilt.change("DELETE FROM Event", "DELETE FROM Association", "DELETE FROM Execution")


def _remove_record(spoilt: Spoilt) -> None:
    next((spoilt.run / "evidence").glob("*-release_gate.json")).unlink()


SPOIL: Mapping[str, Callable[[Spoilt], None]] = {
    "row_edited": _edit_row,
    "file_edited": _edit_file,
    "schema_loosened": _loosen_schema,
    "model_edited": _edit_model,
    "mlflow_run_deleted": _delete_mlflow_run,
    "mlflow_metric_edited": _edit_mlflow_metric,
    "alias_moved": _move_alias,
    "mlmd_property_edited": _edit_mlmd_property,
    "mlmd_run_deleted": _delete_mlmd_run,
    "record_removed": _remove_record,
}
"""What each fault does to a home."""
