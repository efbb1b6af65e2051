"""What is done to a home after a release: each fault in a copy of its own, then both audits."""

from __future__ import annotations

import os
import secrets
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import yaml

from components.compare.fault_catalogue import FAULTS
from components.compare.faults import Cell, Column, Moment, Outcome
from components.contract.errors import AssayError
from components.lineage.actor import actor
from components.lineage.durable import writable_directory
from components.lineage.evidence import chain_of
from components.lineage.keys import KeyPair, new_key, public_text
from components.release.records import read_releases
from components.release.waiver_requests import Asked, request_waiver
from components.release.waiver_terms import Waiver
from pipelines.catalogue import find
from pipelines.fault_audit import ask
from pipelines.launch import Order, execute, prepare, prepare_release

_PEOPLE = ("ann", "bob")
_EVIDENCE_ALONE = ("record_removed", "waiver_replayed")
"""What neither stack has by itself: nothing there could be spoilt."""


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


@dataclass(frozen=True, slots=True)
class Aftermath:
    """Faults after a release, in a matrix' folder."""

    folder: Path
    columns: tuple[Column, ...] = (Column.NATIVE, Column.ASSAY)

    def cells(self, stack: str, faults: Sequence[str]) -> Iterator[Cell]:
        """The native and the assay cells of faults that come after a release."""
        due = [f for f in FAULTS if f.name in faults and f.moment is Moment.AFTER]
        for fault in due:
            if stack not in fault.stacks:
                for column in self.columns:
                    yield _inexpressible(fault.name, stack, column, "the stack has no such store")
                continue
            if fault.name in _EVIDENCE_ALONE:
                what = "the stack keeps no evidence and no waivers"
                yield _inexpressible(fault.name, stack, Column.NATIVE, what)
            if fault.name not in SPOIL:
                yield self._replayed(fault.name, stack)
                continue
            spoilt = self._copy(fault.name, stack)
            SPOIL[fault.name](spoilt)
            for column in self.columns:
                if column is Column.ASSAY or fault.name not in _EVIDENCE_ALONE:
                    yield self._asked(fault.name, spoilt, column)

    def _asked(self, fault: str, spoilt: Spoilt, column: Column) -> Cell:
        told = ask(spoilt.home, spoilt.stack, column)
        outcome = Outcome.AT_AUDIT if told.message else Outcome.MISSED
        message = told.message or "nothing differs"
        where = spoilt.home.relative_to(self.folder)
        return Cell(
            fault, spoilt.stack, column, outcome, "audit" if told.message else "", told.tool,
            message[:500], told.seconds, f"{where}, as it stands: ask it again",
        )  # fmt: skip

    def _replayed(self, fault: str, stack: str) -> Cell:
        """A run whose gate is closed, a waiver of a month ago that was good for a week, a release.

        Who asks is told the gate's answer, so the cell is that of the run that was to release it.
        """
        home = self.folder / "homes" / f"{fault}-{stack}"
        shutil.rmtree(home, ignore_errors=True)
        keys = writable_directory(self.folder / "keys" / stack)
        signer, cosigner = (new_key(keys, f"{name}-{secrets.token_hex(4)}") for name in _PEOPLE)
        policy = self._waivable(stack, signer, cosigner)
        order = Order(stack, "mitigated", policy)
        (blocked,) = prepare(find("schemas", "rand_hie"), [order], home, None)
        execute([blocked], lambda spec, record: None)
        then = datetime.now(UTC) - timedelta(days=30)
        last = f"{then + timedelta(days=7):%Y-%m-%d}"
        asked = Asked(
            "release_gate",
            "a trial of a week",
            last,
            signer.private,
            cosigner.private,
            actor(),
            then,
        )
        answer = request_waiver(blocked.directory, asked)
        if not isinstance(answer.result, Waiver):
            raise AssayError(f"the waiver was not granted in the first place: {answer.result}")
        began = time.perf_counter()
        released = prepare_release(blocked.directory, "the waiver of last month")
        execute([released], lambda spec, record: None)
        seconds = time.perf_counter() - began
        records = chain_of(released.directory).records()
        gate, last_record = records[0], records[-1]
        stopped = last_record.body["outcome"] == "blocked"
        return Cell(
            fault, stack, Column.ASSAY,
            Outcome.BEFORE_RELEASE if stopped else Outcome.MISSED,
            gate.stage if stopped else "", "assay release" if stopped else "",
            str(last_record.body["reason"])[:500], seconds,
            f"{released.directory.relative_to(self.folder)}, record {gate.stage}, "
            f"sha256 {gate.digest}",
        )  # fmt: skip

    def _waivable(self, stack: str, signer: KeyPair, cosigner: KeyPair) -> Path:
        """The pilot's policy with a calibration that no model reaches, and two people's keys."""
        document = yaml.safe_load(find("policies", "rand_hie_pilot").read_bytes())
        for limit in document["release_gate"]["limits"]:
            if limit["id"] == "calibration":
                limit["at_most"] = 0.0001
        document["waivers"] = {
            "max_days": 30,
            "signers": {_PEOPLE[0]: public_text(signer.raw)},
            "cosigners": {_PEOPLE[1]: public_text(cosigner.raw)},
        }
        path = writable_directory(self.folder / "policies") / f"waivable-{stack}.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
        return path

    def _copy(self, fault: str, stack: str) -> Spoilt:
        base = self._base(stack)
        home = self.folder / "homes" / f"{fault}-{stack}"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(base, home, symlinks=True)
        release = read_releases(home, "rand_hie", stack)[-1]
        return Spoilt(home, home / "runs" / release.run, stack)

    def _base(self, stack: str) -> Path:
        """A home with one released run, made once."""
        home = self.folder / "homes" / f"released-{stack}"
        if not any((home / "releases").rglob("*.json")):
            shutil.rmtree(home, ignore_errors=True)
            order = Order(stack, "mitigated", find("policies", "rand_hie_pilot"))
            specs = prepare(find("schemas", "rand_hie"), [order], home, None)
            execute(specs, lambda spec, record: None)
            if not any((home / "releases").rglob("*.json")):
                raise AssayError("the run without a fault was not released, so nothing is compared")
            for column in self.columns:
                if message := ask(home, stack, column).message:
                    raise AssayError(f"a home without a fault fails its audit: {message}")
        return home


def _inexpressible(fault: str, stack: str, column: Column, why: str) -> Cell:
    return Cell(fault, stack, column, Outcome.NOT_EXPRESSIBLE, "", "", why, 0.0, "nothing was run")
