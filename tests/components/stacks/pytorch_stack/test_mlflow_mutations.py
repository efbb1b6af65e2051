"""Edits of a real MLflow store, of its files and its receipts: each is found and named."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from components.audit.differences import Difference, Kind
from components.audit.mutation_check import StackCheck, check_stack
from components.contract.errors import InputError
from components.lineage.receipts import ENTRIES, RECEIPT
from components.stacks.pytorch_stack.mlflow_lineage import MlflowLineage
from tests.components.stacks.pytorch_stack.conftest import Settled
from tests.components.stacks.pytorch_stack.runs import mlflow_run


@pytest.fixture(scope="module")
def copied(settled: Settled, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home once more, to be changed."""
    home = tmp_path_factory.mktemp("changed") / "home"
    shutil.copytree(settled.home, home)
    return home


@pytest.fixture
def home(settled: Settled, copied: Path) -> Iterator[Path]:
    """The copied home, its store as it was."""
    shutil.copyfile(settled.home / "stores" / "mlflow.sqlite", copied / "stores" / "mlflow.sqlite")
    yield copied


@pytest.fixture
def uuid(settled: Settled) -> str:
    """What MLflow calls the first run that was released."""
    return str(mlflow_run(settled.released).info.run_id)


def _check(home: Path, run: str | None = None) -> StackCheck:
    return check_stack(home, "pytorch", MlflowLineage(home), run)


def _edit(home: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(home / "stores" / "mlflow.sqlite") as database:
        assert database.execute(statement, values).rowcount >= 1
    database.close()


def _told(found: StackCheck) -> set[tuple[Kind, str, str | None, str | None]]:
    return {(d.kind, d.where, d.old, d.new) for d in found.differences}


def _of(found: StackCheck, kind: Kind) -> list[Difference]:
    return [d for d in found.differences if d.kind is kind]


def test_a_store_that_nobody_touched_differs_in_nothing(settled: Settled, home: Path) -> None:
    found = _check(home)
    assert found.differences == ()
    assert len(found.runs) == 5
    assert found.entries > 1000
    assert found.files.checked > 60
    assert found.files.gone == 0
    for run in (settled.blocked, settled.refused, settled.back):
        alone = _check(home, run.spec.run_id)
        assert (alone.differences, alone.runs) == ((), (run.spec.run_id,))


def test_an_edited_tag(settled: Settled, home: Path, uuid: str) -> None:
    policy = settled.released.spec.policy
    _edit(home, "UPDATE tags SET value = 'f' WHERE run_uuid = ? AND key = 'assay.policy'", uuid)
    found = _check(home)
    assert (Kind.EDITED, f"run/{uuid}/tag/assay.policy", policy, "f") in _told(found)
    run = settled.released.spec.run_id
    assert (Kind.CONTRADICTS, f"run/{run}/policy", policy, "f") in _told(found)
    assert len(found.differences) == 2
    assert {d.run for d in found.differences} == {run}
    assert _told(_check(home, run)) == _told(found)
    assert _check(home, settled.blocked.spec.run_id).differences == ()


def test_an_edited_outcome_of_a_blocked_run(settled: Settled, home: Path) -> None:
    uuid = str(mlflow_run(settled.blocked).info.run_id)
    _edit(
        home,
        "UPDATE tags SET value = 'released' WHERE run_uuid = ? AND key = 'assay.outcome'",
        uuid,
    )
    told = _told(_check(home))
    assert (Kind.EDITED, f"run/{uuid}/tag/assay.outcome", "blocked", "released") in told
    run = settled.blocked.spec.run_id
    assert (Kind.CONTRADICTS, f"run/{run}/outcome", "blocked", "released") in told


def test_an_edited_parameter(home: Path, uuid: str) -> None:
    _edit(home, "UPDATE params SET value = '99' WHERE run_uuid = ? AND key = 'epochs'", uuid)
    assert _told(_check(home)) == {(Kind.EDITED, f"run/{uuid}/param/epochs", "2", "99")}


def test_an_edited_metric(settled: Settled, home: Path, uuid: str) -> None:
    with sqlite3.connect(home / "stores" / "mlflow.sqlite") as database:
        key, old = database.execute(
            "SELECT key, value FROM latest_metrics WHERE run_uuid = ? AND key LIKE '%roc_auc%'"
            " ORDER BY key",
            (uuid,),
        ).fetchone()
    database.close()
    _edit(home, "UPDATE metrics SET value = 0.999 WHERE run_uuid = ? AND key = ?", uuid, key)
    _edit(home, "UPDATE latest_metrics SET value = 0.999 WHERE run_uuid = ? AND key = ?", uuid, key)
    edited = _of(_check(home), Kind.EDITED)
    assert len(edited) == 2
    for difference in edited:
        assert key in difference.where
        assert str(old) in str(difference.old)
        assert "0.999" in str(difference.new)


def test_a_deleted_run(settled: Settled, home: Path, uuid: str) -> None:
    """Purged to the last row."""
    with sqlite3.connect(home / "stores" / "mlflow.sqlite") as database:
        for table in ("tags", "params", "metrics", "latest_metrics", "runs"):
            database.execute(f"DELETE FROM {table} WHERE run_uuid = ?", (uuid,))  # noqa: S608
    database.close()
    found = _check(home)
    run = settled.released.spec.run_id
    deleted = _of(found, Kind.DELETED_RUN)
    assert [(d.run, d.where) for d in deleted] == [(run, f"run/{run}")]
    assert str(deleted[0].old).endswith(" entries")


def test_a_run_that_was_put_into_the_bin(home: Path, uuid: str) -> None:
    """What ``mlflow runs delete`` does."""
    _edit(home, "UPDATE runs SET lifecycle_stage = 'deleted' WHERE run_uuid = ?", uuid)
    assert _told(_check(home)) == {
        (Kind.EDITED, f"run/{uuid}/lifecycle_stage", "active", "deleted")
    }


def test_a_deleted_row_and_an_added_one(home: Path, uuid: str) -> None:
    _edit(home, "DELETE FROM params WHERE run_uuid = ? AND key = 'epochs'", uuid)
    _edit(home, "INSERT INTO tags (run_uuid, key, value) VALUES (?, 'note', 'all is well')", uuid)
    assert _told(_check(home)) == {
        (Kind.DELETED, f"run/{uuid}/param/epochs", "2", None),
        (Kind.ADDED, f"run/{uuid}/tag/note", None, "all is well"),
    }


def test_a_moved_alias_and_a_deleted_one(settled: Settled, home: Path) -> None:
    """The alias stands on version 3, which the way back gave it."""
    release = "release/clinic/pytorch/3/alias"
    _edit(home, "UPDATE registered_model_aliases SET version = 1 WHERE alias = 'champion'")
    assert _told(_check(home)) == {(Kind.ALIAS, release, "3", "1")}
    _edit(home, "UPDATE registered_model_aliases SET version = 77 WHERE alias = 'champion'")
    assert _told(_check(home)) == {(Kind.ALIAS, release, "3", None)}
    _edit(home, "DELETE FROM registered_model_aliases WHERE alias = 'champion'")
    found = _check(home)
    assert _told(found) == {(Kind.ALIAS, release, "3", None)}
    assert {d.run for d in found.differences} == {settled.back.spec.run_id}


def test_a_deleted_version_of_the_model(home: Path) -> None:
    _edit(home, "DELETE FROM model_version_tags WHERE version = 2")
    _edit(home, "DELETE FROM model_versions WHERE version = 2")
    found = _check(home)
    assert [d.where for d in _of(found, Kind.DELETED) if d.where.startswith("release/")] == [
        "release/clinic/pytorch/2"
    ]


_REGISTRY = {
    "version 99": (
        "INSERT INTO model_versions (name, version, source, current_stage, status, workspace)"
        " VALUES ('assay-clinic', 99, '/elsewhere', 'None', 'READY', 'default')"
    ),
    "alias production": (
        "INSERT INTO registered_model_aliases (alias, version, name, workspace)"
        " VALUES ('production', 1, 'assay-clinic', 'default')"
    ),
    "description": "UPDATE registered_models SET description = 'all is well'",
    "tag approved": (
        "INSERT INTO registered_model_tags (key, value, name, workspace)"
        " VALUES ('approved', 'yes', 'assay-clinic', 'default')"
    ),
}


@pytest.mark.parametrize(
    ("what", "place"),
    [
        ("version 99", "models:/assay-clinic/99"),
        ("alias production", "models:/assay-clinic/1"),
        ("description", "models:/assay-clinic"),
        ("tag approved", "models:/assay-clinic"),
    ],
)
def test_what_was_added_to_the_registry(
    settled: Settled, home: Path, what: str, place: str
) -> None:
    _edit(home, _REGISTRY[what])
    assert _told(_check(home)) == {(Kind.ADDED, f"release/clinic/pytorch/{what}", None, place)}
    assert _check(home, settled.released.spec.run_id).differences == ()


def test_what_others_register_and_what_mlflow_deleted_is_left_alone(home: Path) -> None:
    _edit(home, _REGISTRY["version 99"].replace("'None'", "'Deleted_Internal'"))
    _edit(home, _REGISTRY["version 99"].replace("assay-clinic", "another"))
    _edit(home, _REGISTRY["alias production"].replace("assay-clinic", "another"))
    assert _check(home).differences == ()


def test_a_run_that_no_evidence_knows(home: Path, uuid: str) -> None:
    """A copy of a run under another name."""
    other = "20261124T000000Z-pytorch-plain-ffffff"
    with sqlite3.connect(home / "stores" / "mlflow.sqlite") as database:
        columns = [c[1] for c in database.execute("PRAGMA table_info(runs)")]
        taken = ", ".join({"run_uuid": "'x'", "name": f"'{other}'"}.get(c, c) for c in columns)
        database.execute(
            f"INSERT INTO runs SELECT {taken} FROM runs WHERE run_uuid = ?",  # noqa: S608
            (uuid,),
        )
        database.execute(
            "INSERT INTO tags (run_uuid, key, value) VALUES ('x', 'assay.run_id', ?)", (other,)
        )
    database.close()
    assert _told(_check(home)) == {(Kind.ADDED_RUN, f"run/{other}", None, None)}


def _flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def _registered(home: Path) -> Path:
    return sorted((home / "stores" / "mlartifacts").rglob("model.onnx"))[0]


FILES: list[tuple[str, Callable[[Path, Path], Path]]] = [
    ("the registry's model", lambda home, run: _registered(home)),
    ("the model", lambda home, run: run / "artifacts" / "native" / "model.onnx"),
    ("scores", lambda home, run: run / "artifacts" / "predictions.parquet"),
    ("kept scores", lambda home, run: run / "artifacts" / "train-scores.parquet"),
    ("a report", lambda home, run: run / "artifacts" / "native" / "release-gate.json"),
]


@pytest.mark.parametrize("place", [f[1] for f in FILES], ids=[f[0] for f in FILES])
def test_a_changed_byte_of_a_file(
    settled: Settled, home: Path, place: Callable[[Path, Path], Path]
) -> None:
    path = place(home, home / "runs" / settled.released.spec.run_id)
    sound = path.read_bytes()
    _flip(path)
    try:
        found = _check(home)
    finally:
        path.write_bytes(sound)
    # Of a file that MLflow keeps the receipt has the digest as well.
    (difference,) = [d for d in found.differences if d.kind is not Kind.EDITED]
    assert (difference.kind, difference.where) == (Kind.FILE, path.relative_to(home).as_posix())
    assert difference.old != difference.new
    edited = [d.where.rpartition("/file/")[2] for d in _of(found, Kind.EDITED)]
    assert edited == (["artifacts/model.onnx"] if "stores" in path.relative_to(home).parts else [])


def test_changed_packaging_of_a_registered_model(settled: Settled, home: Path) -> None:
    folder = _registered(home).parent
    packaging, added, gone = folder / "MLmodel", folder / "code" / "x.py", folder / "conda.yaml"
    sound = {path: path.read_bytes() for path in (packaging, gone)}
    packaging.write_bytes(sound[packaging] + b"\n")
    added.parent.mkdir()
    added.write_text("print()")
    gone.unlink()
    try:
        found = _check(home)
    finally:
        added.unlink()
        added.parent.rmdir()
        for path, raw in sound.items():
            path.write_bytes(raw)
    told = [(d.kind, d.where.rpartition("/file/artifacts/")[2]) for d in found.differences]
    assert told == [
        (Kind.EDITED, "MLmodel"),
        (Kind.ADDED, "code/x.py"),
        (Kind.DELETED, "conda.yaml"),
    ]


def test_an_added_link_in_a_runs_folder_is_not_followed(home: Path, uuid: str) -> None:
    link = home / "stores" / "mlartifacts" / uuid / "artifacts" / "link"
    link.symlink_to(home / "runs")
    try:
        told = _told(_check(home))
    finally:
        link.unlink()
    assert told == {(Kind.ADDED, f"run/{uuid}/file/artifacts/link", None, "no regular file")}


@pytest.mark.parametrize("name", [RECEIPT, ENTRIES])
def test_a_changed_receipt_or_list(settled: Settled, home: Path, name: str) -> None:
    run = settled.released.spec.run_id
    path = home / "runs" / run / name
    sound = path.read_bytes()
    _flip(path)
    try:
        found = _check(home)
    finally:
        path.write_bytes(sound)
    assert [(d.kind, d.run) for d in found.differences] == [(Kind.RECEIPT, run)]


def test_as_many_statements_for_one_run_as_for_all(settled: Settled, home: Path) -> None:
    assert _check(home).queries == _check(home, settled.released.spec.run_id).queries


def test_a_store_that_is_not_there_is_bad_input(home: Path) -> None:
    (home / "stores" / "mlflow.sqlite").unlink()
    with pytest.raises(InputError):
        _check(home)
