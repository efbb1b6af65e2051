"""What is done to a released state, as whoever can reach the files and the database may do it."""

from __future__ import annotations

import csv
import json
import os
import sqlite3
import struct
import zipfile
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path

from benchmarks.stock.runs import DATA, ROWS, WORK
from components.contract.errors import AssayError

_INPUT = {"tfx": f"{DATA}/csv/train/{ROWS}", "pytorch": f"{DATA}/{ROWS}"}
_DATABASE = {"tfx": f"{WORK}/metadata.db", "pytorch": f"{WORK}/mlflow.sqlite"}
_MODEL = {"tfx": f"{WORK}/serving_model/**/variables.data-*", "pytorch": f"{WORK}/**/*.pt2"}

_ZIP_HEADER = 30
"""Bytes of a member's local header, whose last four are the lengths of its name and extra field."""


def spoil(fault: str, stack: str, home: Path) -> None:
    """Do a fault to a home.

    Raises:
        AssayError: nothing was changed, so the fault would prove nothing.
    """
    if fault in _STATEMENTS:
        _change(home / _DATABASE[stack], *_STATEMENTS[fault])
    else:
        _FILES[fault](stack, home)


def _edit_row(stack: str, home: Path) -> None:
    """The last row's income grows by one; its file says when."""
    path = home / _INPUT[stack]
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    column = rows[0].index("income")
    rows[-1][column] = str(float(rows[-1][column]) + 1)
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def _edit_file(stack: str, home: Path) -> None:
    """One digit in the middle of the file becomes another; size and times are kept."""
    path = home / _INPUT[stack]
    before, content = path.stat(), bytearray(path.read_bytes())
    place = next(i for i in range(len(content) // 2, len(content)) if 0x30 <= content[i] <= 0x39)
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _loosen_schema(stack: str, home: Path) -> None:
    if stack == "tfx":
        path, old, new = home / WORK / "schema" / "schema.pbtxt", "min_fraction: 1.0", ""
        text = path.read_text("utf-8")
        widened = text.replace(old, new)
    else:
        path = home / WORK / "gx" / "expectations" / "expectations.json"
        text = path.read_text("utf-8")
        suite = json.loads(text)
        for expectation in suite["expectations"]:
            if "max_value" in expectation["kwargs"]:
                expectation["kwargs"]["max_value"] = 1e12
        widened = json.dumps(suite, indent=2)
    if widened == text:
        raise AssayError("the schema has no such bound")
    path.write_text(widened, "utf-8")


def _edit_model(stack: str, home: Path) -> None:
    """One byte among the weights."""
    path = max(home.glob(_MODEL[stack]), key=lambda p: p.stat().st_size)
    content = bytearray(path.read_bytes())
    content[_weight(path) if stack == "pytorch" else len(content) // 2] ^= 1
    path.write_bytes(content)


def _weight(archive: Path) -> int:
    """The place of a byte of the largest weight in a zip file whose members are not packed."""
    with zipfile.ZipFile(archive) as members:
        weights = [m for m in members.infolist() if "/weights/weight_" in m.filename]
        largest = max(weights, key=lambda m: m.file_size)
    header = archive.read_bytes()[largest.header_offset :][:_ZIP_HEADER]
    name, extra = struct.unpack_from("<HH", header, _ZIP_HEADER - 4)
    return int(largest.header_offset + _ZIP_HEADER + name + extra + largest.file_size // 2)


def _change(database: Path, *statements: str) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        changed = sum(connection.execute(s).rowcount for s in statements)
    if changed <= 0:
        raise AssayError(f"nothing was changed in {database.name}")


_FILES: Mapping[str, Callable[[str, Path], None]] = {
    "row_edited": _edit_row,
    "file_edited": _edit_file,
    "schema_loosened": _loosen_schema,
    "model_edited": _edit_model,
}
_STATEMENTS: Mapping[str, tuple[str, ...]] = {
    "mlflow_run_deleted": tuple(
        f"DELETE FROM {t}"  # noqa: S608 - tables of MLflow's own
        for t in ("latest_metrics", "metrics", "params", "tags", "runs")
    ),
    "mlflow_metric_edited": (
        "UPDATE metrics SET value = value + 0.05 WHERE key = 'roc_auc'",
        "UPDATE latest_metrics SET value = value + 0.05 WHERE key = 'roc_auc'",
    ),
    "alias_moved": (
        "CREATE TEMP TABLE again AS SELECT * FROM model_versions WHERE version = 1",
        "UPDATE again SET version = 2",
        "INSERT INTO model_versions SELECT * FROM again",
        "UPDATE registered_model_aliases SET version = 2",
    ),
    "mlmd_property_edited": (
        'UPDATE ExecutionProperty SET string_value = \'{"learning_rate": 0.1, "skew": false}\' '
        "WHERE name = 'custom_config'",
    ),
    "mlmd_run_deleted": (
        "DELETE FROM Event",
        "DELETE FROM Association",
        "DELETE FROM Execution",
    ),
}
