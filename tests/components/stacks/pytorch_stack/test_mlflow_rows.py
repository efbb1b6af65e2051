"""How an MLflow store is read: statements, however many runs; and stores that cannot be read."""

from __future__ import annotations

import logging
import shutil
import sqlite3
from pathlib import Path

import pytest
from mlflow.store.db.utils import _get_latest_schema_revision

from components.contract.errors import EvidenceError, InputError
from components.stacks.pytorch_stack.mlflow_lineage import MlflowLineage
from components.stacks.pytorch_stack.mlflow_rows import read_rows, require_usable
from components.stacks.pytorch_stack.mlflow_schema import schema_revisions
from components.stacks.pytorch_stack.mlflow_store import open_store
from components.stacks.store_uris import MLFLOW_VARIABLE

RUNS = 1_000


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home whose store MLflow has just made."""
    home = tmp_path_factory.mktemp("made")
    open_store(home)
    return home


@pytest.fixture
def home(empty: Path, tmp_path: Path) -> Path:
    """A copy of it, to be changed."""
    shutil.copytree(empty, tmp_path / "home")
    return tmp_path / "home"


def database(home: Path) -> Path:
    """The file of a home's store."""
    return home / "stores" / "mlflow.sqlite"


def filled(home: Path, count: int) -> Path:
    """Runs, each with tags, parameters, 40 metrics, an input, a model and its released version."""
    names = [(f"{i:032x}", f"20260101T000000Z-pytorch-plain-{i:06x}", i) for i in range(count)]
    stages = ("ingest", "statistics", "train", "release_gate", "push", "score")
    with sqlite3.connect(database(home)) as made:
        made.execute(
            "INSERT INTO datasets VALUES ('d', 0, 'clinic-train', 'abc', 's', '{}', '', '')"
        )
        made.execute("INSERT INTO registered_models (name, workspace) VALUES ('m', 'default')")
        for uuid, run, number in names:
            made.execute(
                "INSERT INTO runs (run_uuid, name, lifecycle_stage, experiment_id, start_time)"
                " VALUES (?, ?, 'active', 0, ?)",
                (uuid, run, number),
            )
            tags = {
                "assay.run_id": run, "assay.stack": "pytorch", "assay.dataset": "clinic",
                "assay.dataset_version": "v", "assay.outcome": "released",
                **{f"assay.stage.{s}": "PASS" for s in stages},
                **{f"assay.output.{s}.report": f"{number:064x}" for s in stages},
            }  # fmt: skip
            made.executemany(
                "INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)",
                [(k, v, uuid) for k, v in tags.items()],
            )
            made.executemany(
                "INSERT INTO params (key, value, run_uuid) VALUES (?, '1', ?)",
                [(f"p{i}", uuid) for i in range(10)],
            )
            metrics = [("tpr/sex/" + chr(97 + i), i / 40, number, uuid) for i in range(40)]
            for table in ("metrics", "latest_metrics"):
                made.executemany(
                    "INSERT INTO TABLE (key, value, timestamp, run_uuid, step, is_nan)"
                    " VALUES (?, ?, ?, ?, 0, 0)".replace("TABLE", table),
                    metrics,
                )
            made.execute("INSERT INTO inputs VALUES (?, 'DATASET', 'd', 'RUN', ?, 0)", (uuid, uuid))
            made.execute("INSERT INTO input_tags VALUES (?, 'assay.rows', '7')", (uuid,))
            made.execute(
                "INSERT INTO logged_models (model_id, experiment_id, name, artifact_location,"
                " creation_timestamp_ms, last_updated_timestamp_ms, status, lifecycle_stage,"
                " source_run_id) VALUES (?, 0, 'm', '', 0, 0, 2, 'active', ?)",
                (f"m-{number}", uuid),
            )
            made.execute(
                "INSERT INTO model_versions (name, version, run_id, workspace) VALUES"
                " ('m', ?, ?, 'default')",
                (number + 1, uuid),
            )
            held = {"assay.sha256": f"{number:064x}", "assay.release": str(number + 1)}
            made.executemany(
                "INSERT INTO model_version_tags (key, value, name, version, workspace) VALUES"
                " (?, ?, 'm', ?, 'default')",
                [(k, v, number + 1) for k, v in held.items()],
            )
    return home


def test_a_thousand_runs_take_no_more_statements_than_two(empty: Path, tmp_path: Path) -> None:
    homes = [tmp_path / "two", tmp_path / "thousand"]
    for home, count in zip(homes, (2, RUNS), strict=True):
        shutil.copytree(empty, home)
        filled(home, count)
    two, thousand = (MlflowLineage(home).read() for home in homes)
    assert thousand.queries == two.queries
    assert two.queries < 25
    assert (len(two.entries), len(thousand.entries)) == (2, RUNS)
    assert len(thousand.graph.nodes) > 8 * RUNS
    name = next(iter(two.entries))
    assert thousand.entries[name] == two.entries[name]
    assert len(thousand.entries[name]) > 100
    assert two.graph.nodes.keys() <= thousand.graph.nodes.keys()
    assert MlflowLineage(homes[1]).read([name]).queries == two.queries


def test_a_store_without_runs_is_an_empty_graph(empty: Path) -> None:
    found = MlflowLineage(empty).read()
    assert (found.graph.nodes, len(found.entries)) == ({}, 0)


def test_runs_of_others_in_the_same_store_are_left_alone(home: Path) -> None:
    client = open_store(home)
    client.create_run("0", run_name="20260101T000000Z-pytorch-plain-000000")
    assert MlflowLineage(home).read().graph.nodes == {}


def refused(home: Path) -> str:
    """What is said of a store that cannot be read, in one line."""
    before = sorted(p for p in home.rglob("*"))
    with pytest.raises(InputError) as told:
        MlflowLineage(home).read()
    assert sorted(p for p in home.rglob("*")) == before
    assert "\n" not in str(told.value)
    return str(told.value)


def test_a_store_that_is_not_there(tmp_path: Path) -> None:
    assert "mlflow.sqlite: is not there; expected a home in which" in refused(tmp_path)


def test_a_store_that_is_locked(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("components.stacks.pytorch_stack.mlflow_rows._SECONDS_FOR_A_LOCK", 0.0)
    held = sqlite3.connect(database(home), isolation_level=None)
    held.execute("BEGIN EXCLUSIVE")
    try:
        with pytest.raises(InputError, match="is locked by another process"):
            MlflowLineage(home).read()
        with pytest.raises(InputError, match="is locked by another process"):
            open_store(home)
    finally:
        held.close()


@pytest.mark.parametrize(
    ("revision", "told"),
    [
        ("cc1f77228345", "is of an older MLflow (schema cc1f77228345); expected revision {latest}: "
                         "`mlflow db upgrade <URI>`"),
        ("ffffffffffff", "is of a newer MLflow (schema ffffffffffff); expected revision {latest}, "
                         "or a newer MLflow here"),
        (None, "is no MLflow store; expected one that MLflow has made"),
    ],
)  # fmt: skip
def test_a_store_of_another_mlflow(home: Path, revision: str | None, told: str) -> None:
    with sqlite3.connect(database(home)) as changed:
        if revision is None:
            changed.execute("DROP TABLE alembic_version")
        else:
            changed.execute("UPDATE alembic_version SET version_num = ?", (revision,))
    assert refused(home).endswith(told.format(latest=_get_latest_schema_revision()))
    with pytest.raises(InputError):
        open_store(home)


def test_the_revisions_are_those_that_mlflow_knows() -> None:
    known, latest = schema_revisions()
    assert latest == _get_latest_schema_revision()
    assert "cc1f77228345" in known
    assert len(known) > 50


@pytest.mark.parametrize("table", ["metrics", "model_version_tags"])
def test_a_table_that_is_gone_is_no_bad_input(home: Path, table: str) -> None:
    with sqlite3.connect(database(home)) as changed:
        changed.execute("DROP TABLE NAME".replace("NAME", table))
    with pytest.raises(EvidenceError, match="is not as MLflow made it"):
        MlflowLineage(home).read()


def test_a_file_that_is_no_database_is_no_bad_input(home: Path) -> None:
    database(home).write_bytes(b"no database at all, but long enough to be taken for one" * 100)
    with pytest.raises(EvidenceError, match="is not as MLflow made it: DatabaseError"):
        MlflowLineage(home).read()


def test_a_broken_value_is_not_quoted(home: Path) -> None:
    filled(home, 1)
    with sqlite3.connect(database(home)) as changed:
        changed.execute("UPDATE tags SET value = CAST(x'736563726574FF' AS TEXT)")
    with pytest.raises(EvidenceError) as told:
        MlflowLineage(home).read()
    assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://ann:opensesame@127.0.0.1:1/assay",
        "postgresql://ann@127.0.0.1:1/assay?password=opensesame",
        "nonsense://ann:opensesame@127.0.0.1/assay",
        "http://ann:opensesame@127.0.0.1:1",
        "postgresql://ann:opensesame@[127.0.0.1/assay",
        "postgresql://ann:opensesame@127.0.0.1:port/assay",
    ],
)
def test_a_password_is_never_told(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    uri: str,
) -> None:
    monkeypatch.setenv(MLFLOW_VARIABLE, uri)
    caplog.set_level(logging.DEBUG)
    for attempt in (MlflowLineage(tmp_path).read, lambda: open_store(tmp_path)):
        with pytest.raises(InputError) as told:
            attempt()
        shown = [str(told.value), caplog.text, *capfd.readouterr()]
        assert not [text for text in shown if "opensesame" in text]
        assert "\n" not in str(told.value)


def test_a_text_that_is_no_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(MLFLOW_VARIABLE, "stores/mlflow.sqlite")
    assert "is no URI of a database that can be opened here" in refused(tmp_path)


def test_a_store_that_is_yet_to_be_made_can_be_written(tmp_path: Path) -> None:
    require_usable(f"sqlite:///{tmp_path / 'new.sqlite'}")
    assert list(tmp_path.iterdir()) == []
    sqlite3.connect(tmp_path / "empty.sqlite").execute("VACUUM").close()
    require_usable(f"sqlite:///{tmp_path / 'empty.sqlite'}")


def test_reading_changes_nothing(home: Path) -> None:
    filled(home, 3)
    before = database(home).read_bytes()
    rows, _ = read_rows(f"sqlite:///{database(home)}")
    assert len(rows["runs"]) == 3
    assert database(home).read_bytes() == before
    assert [p.name for p in (home / "stores").iterdir()] == ["mlflow.sqlite"]
