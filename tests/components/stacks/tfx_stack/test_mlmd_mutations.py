"""Edits of a real MLMD store: each is found and named, with what was there and what is."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from ml_metadata.metadata_store import ListOptions
from ml_metadata.proto import metadata_store_pb2 as pb

from components.audit.differences import Difference, Kind
from components.audit.mutation_check import StackCheck, check_stack
from components.contract.errors import InputError
from components.contract.stages import Stage
from components.stacks.process import ReleaseProcess
from components.stacks.tfx_stack.mlmd_lineage import MlmdLineage
from components.stacks.tfx_stack.mlmd_store import CountedStore
from tests.components.stacks.tfx_stack import native_runs
from tests.plain_stack import PRODUCTION, PlainStack, start


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[ReleaseProcess, ReleaseProcess]:
    """In one home: a run that was released, and one that was interrupted."""
    home = tmp_path_factory.mktemp("mlmd_changed") / "home"
    released = start(home, "mitigated")
    assert native_runs.run(released) == "released"
    stopped = start(home, "plain", policy=PRODUCTION)
    plain = PlainStack(stopped)
    stopped.run_stage(Stage.INGEST, lambda: plain.hook(Stage.INGEST))
    native_runs.settled(stopped, stopped.close("a test stopped it"))
    return released, stopped


@pytest.fixture
def home(runs: tuple[ReleaseProcess, ReleaseProcess], tmp_path: Path) -> Iterator[Path]:
    """The home once more, to be changed."""
    shutil.copytree(runs[0].spec.home, tmp_path / "home")
    yield tmp_path / "home"


@pytest.fixture
def run(runs: tuple[ReleaseProcess, ReleaseProcess]) -> str:
    """The run that was released."""
    return runs[0].spec.run_id


def _check(home: Path, run: str | None = None) -> StackCheck:
    return check_stack(home, "tfx", MlmdLineage(home), run)


def _edit(home: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(home / "stores" / "mlmd.sqlite") as database:
        assert database.execute(statement, values).rowcount >= 1
    database.close()


def _one(home: Path, statement: str, *values: object) -> tuple[object, ...]:
    with sqlite3.connect(home / "stores" / "mlmd.sqlite") as database:
        row: tuple[object, ...] = database.execute(statement, values).fetchone()
    database.close()
    return row


def _of(found: StackCheck, kind: Kind) -> list[Difference]:
    return [d for d in found.differences if d.kind is kind]


def _context(home: Path, run: str) -> object:
    (number,) = _one(
        home,
        "SELECT id FROM Context WHERE name = ? AND id IN (SELECT context_id FROM ContextProperty)",
        run,
    )
    return number


def test_a_store_that_nobody_touched_differs_in_nothing(
    runs: tuple[ReleaseProcess, ReleaseProcess], home: Path
) -> None:
    found = _check(home)
    assert found.differences == ()
    assert len(found.runs) == 2
    assert found.entries > 100
    for process in runs:
        alone = _check(home, process.spec.run_id)
        assert (alone.differences, alone.queries) == ((), found.queries)


def test_an_edited_outcome(home: Path, run: str) -> None:
    context = _context(home, run)
    _edit(
        home,
        "UPDATE ContextProperty SET string_value = 'blocked' WHERE context_id = ?"
        " AND name = 'assay_outcome'",
        context,
    )
    found = _check(home)
    (edited,) = _of(found, Kind.EDITED)
    assert (edited.run, edited.old, edited.new) == (run, "released", "blocked")
    assert edited.where.startswith(f"context/{context}/")
    assert edited.where.endswith("/assay_outcome")
    (contradicts,) = _of(found, Kind.CONTRADICTS)
    assert contradicts.where == f"run/{run}/outcome"


def test_an_edited_digest_of_a_model(home: Path, run: str) -> None:
    artifact, name, old = _one(
        home,
        "SELECT artifact_id, name, string_value FROM ArtifactProperty WHERE name = 'assay_sha256'"
        " AND artifact_id IN (SELECT id FROM Artifact WHERE uri LIKE '%/Trainer/%')",
    )
    _edit(
        home,
        "UPDATE ArtifactProperty SET string_value = ? WHERE artifact_id = ? AND name = ?",
        "f" * 64,
        artifact,
        name,
    )
    edited = _of(_check(home), Kind.EDITED)
    assert [(d.run, d.old, d.new) for d in edited] == [(run, old, "f" * 64)]
    assert edited[0].where.startswith(f"artifact/{artifact}/")


def test_an_edited_verdict(home: Path, run: str) -> None:
    _edit(
        home,
        "UPDATE ArtifactProperty SET string_value = 'FAIL' WHERE name = 'verdict' AND artifact_id"
        " IN (SELECT artifact_id FROM ArtifactProperty WHERE string_value = 'release_gate')",
    )
    found = _check(home)
    assert ("PASS", "FAIL") in {(d.old, d.new) for d in _of(found, Kind.EDITED)}
    assert {d.run for d in found.differences} == {run}


def test_an_artifact_that_is_said_to_lie_elsewhere(home: Path, run: str) -> None:
    artifact, old = _one(home, "SELECT id, uri FROM Artifact WHERE uri LIKE '%/Trainer/%'")
    _edit(home, "UPDATE Artifact SET uri = '/elsewhere' WHERE id = ?", artifact)
    edited = {d.where: (d.old, d.new) for d in _of(_check(home), Kind.EDITED)}
    assert f"artifact/{artifact}/uri" in edited
    before, now = edited[f"artifact/{artifact}/uri"]
    assert str(old).endswith(str(before).rpartition("/native/")[2])
    assert now == "/elsewhere"


def test_a_vacuumed_row_and_an_added_one(home: Path, run: str) -> None:
    context = _context(home, run)
    execution, artifact = _one(home, "SELECT execution_id, artifact_id FROM Event ORDER BY id")
    _edit(
        home,
        "DELETE FROM EventPath WHERE event_id IN (SELECT id FROM Event WHERE execution_id = ?)",
        execution,
    )
    _edit(home, "DELETE FROM Event WHERE execution_id = ?", execution)
    _edit(
        home,
        "INSERT INTO ContextProperty (context_id, name, is_custom_property, string_value)"
        " VALUES (?, 'note', 1, 'all is well')",
        context,
    )
    found = _check(home)
    deleted = _of(found, Kind.DELETED)
    assert deleted
    assert all(d.where.startswith(f"event/{execution}/{artifact}/") for d in deleted)
    assert all(d.old is not None and d.new is None for d in deleted)
    (added,) = _of(found, Kind.ADDED)
    assert (added.run, added.old, added.new) == (run, None, "all is well")


@pytest.mark.parametrize(
    ("table", "tied"), [("Association", "execution_id"), ("Attribution", "artifact_id")]
)
def test_a_link_to_a_context_that_was_taken_away_or_made(
    home: Path, run: str, table: str, tied: str
) -> None:
    context, other = _context(home, run), 10**6
    (number,) = _one(home, f"SELECT {tied} FROM {table} WHERE context_id = ?", context)  # noqa: S608
    _edit(
        home,
        f"DELETE FROM {table} WHERE context_id = ? AND {tied} = ?",  # noqa: S608
        context,
        number,
    )
    _edit(home, f"INSERT INTO {table} (context_id, {tied}) VALUES (?, ?)", other, number)  # noqa: S608
    found = _check(home)
    assert [(d.kind, d.run, d.where, d.old, d.new) for d in found.differences] == [
        (Kind.DELETED, run, f"{table.lower()}/{context}/{number}", f"pipeline_run {run}", None),
        (Kind.ADDED, run, f"{table.lower()}/{other}/{number}", None, "no context"),
    ]
    assert _check(home, run).differences == found.differences


@pytest.mark.parametrize("where", ["above", "below"])
def test_a_context_that_was_put_over_or_under_a_runs(home: Path, run: str, where: str) -> None:
    context = _context(home, run)
    pair = (context, 10**6) if where == "above" else (10**6, context)
    _edit(home, "INSERT INTO ParentContext VALUES (?, ?)", *pair)
    (added,) = _check(home).differences
    assert (added.kind, added.run, added.where) == (Kind.ADDED, run, f"parent/{pair[0]}/{pair[1]}")


def test_a_run_that_reads_what_another_left_changes_nothing_of_that_one(
    home: Path, run: str
) -> None:
    """As TFX writes it where a run releases a model once more."""
    store = CountedStore(home, writable=True)
    before = dict(MlmdLineage(home).read().entries[run])
    (model,) = store.get_artifacts(ListOptions(filter_query="uri LIKE '%/Trainer/%'"))
    later = pb.Context(type_id=store.put_context_type(pb.ContextType(name="node")), name="later")
    kind = store.put_execution_type(pb.ExecutionType(name="tfx.components.Importer"))
    reads = (model, pb.Event(artifact_id=model.id, type=pb.Event.INPUT))
    store.put_execution(pb.Execution(type_id=kind), [reads], [later])
    assert MlmdLineage(home).read().entries[run] == before
    _edit(home, "DELETE FROM Event WHERE type = ?", pb.Event.INPUT)
    (added,) = _of(_check(home), Kind.ADDED)
    assert (added.run, added.new) == (run, "node later")


def test_a_deleted_run(home: Path, run: str) -> None:
    ours = "WHERE name = 'assay_run' AND string_value = ?"
    for thing in ("Artifact", "Execution", "Context"):
        _edit(
            home,
            f"DELETE FROM {thing} WHERE id IN"  # noqa: S608
            f" (SELECT {thing.lower()}_id FROM {thing}Property {ours})",
            run,
        )
    for found in (_check(home), _check(home, run)):
        deleted = _of(found, Kind.DELETED_RUN)
        assert [(d.run, d.where) for d in deleted] == [(run, f"run/{run}")]
        assert str(deleted[0].old).endswith(" entries")


def test_a_changed_byte_of_a_pushed_model(home: Path, run: str) -> None:
    path = home / "runs" / run / "artifacts" / "plain" / "pushed.json"
    raw = bytearray(path.read_bytes())
    raw[7] ^= 1
    path.write_bytes(raw)
    (difference,) = _check(home).differences
    assert (difference.kind, difference.where) == (
        Kind.FILE,
        f"runs/{run}/artifacts/plain/pushed.json",
    )


_TRAINED = "(SELECT id FROM Artifact WHERE uri LIKE '%/Trainer/%')"


@pytest.mark.parametrize(
    ("statement", "where", "new"),
    [
        ("UPDATE Artifact SET type_id = 999 WHERE id IN", "/type", "unknown 999"),
        ("UPDATE Artifact SET uri = CAST(x'2F61FF' AS TEXT) WHERE id IN", "/uri", "/a\\xff"),
        (
            "UPDATE ArtifactProperty SET string_value = CAST(x'61FF' AS TEXT)"
            " WHERE name = 'assay_sha256' AND artifact_id IN",
            "/custom_property/assay_sha256",
            "a\\xff",
        ),
    ],
)
def test_a_row_that_mlmd_itself_would_not_make(
    home: Path, run: str, statement: str, where: str, new: str
) -> None:
    _edit(home, f"{statement} {_TRAINED}")
    edited = _of(_check(home), Kind.EDITED)
    assert [(d.run, d.new) for d in edited] == [(run, new)]
    assert edited[0].where.endswith(where)


def test_a_stage_of_a_type_that_is_not_there(home: Path, run: str) -> None:
    (execution,) = _one(
        home,
        "SELECT e.id FROM Execution e JOIN Type t ON t.id = e.type_id"
        " WHERE t.name LIKE '%.IngestStage' ORDER BY e.id",
    )
    _edit(home, "UPDATE Execution SET type_id = 999 WHERE id = ?", execution)
    edited = _of(_check(home), Kind.EDITED)
    assert [(d.where, d.new) for d in edited] == [(f"execution/{execution}/type", "unknown 999")]


def test_a_run_whose_name_is_no_text(home: Path, run: str) -> None:
    _edit(home, "UPDATE Context SET name = CAST(x'61FF' AS TEXT) WHERE name = ?", run)
    (added,) = _of(_check(home), Kind.ADDED_RUN)
    assert added.where == "run/a\\xff"


def test_a_store_that_is_not_there_is_bad_input(home: Path) -> None:
    (home / "stores" / "mlmd.sqlite").unlink()
    with pytest.raises(InputError):
        _check(home)
