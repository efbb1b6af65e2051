"""Opening an MLMD store: by URI, and what is told in one line where it cannot be opened."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from ml_metadata.metadata_store import ListOptions
from ml_metadata.proto import metadata_store_pb2 as pb

from components.contract.errors import EvidenceError, InputError
from components.stacks.store_uris import MLMD_VARIABLE
from components.stacks.tfx_stack import mlmd_links
from components.stacks.tfx_stack import mlmd_names as names
from components.stacks.tfx_stack.mlmd_lineage import MlmdLineage
from components.stacks.tfx_stack.mlmd_rows import read_rows, text_of
from components.stacks.tfx_stack.mlmd_store import CountedStore, connection, prepare

pgserver = pytest.importorskip("pgserver", reason="no PostgreSQL for this Python")

PASSWORD = "open/sesame?"
"""Made up, and in need of quoting."""

_HOLD = (
    "import sqlite3, sys\n"
    "held = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
    "held.execute('BEGIN EXCLUSIVE')\n"
    "print('held', flush=True)\n"
    "sys.stdin.read()\n"
)


@pytest.fixture(autouse=True)
def _in_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(MLMD_VARIABLE, raising=False)


def fill(home: Path, runs: int) -> None:
    """So many runs, each with an execution of a stage, an output and an event."""
    store = CountedStore(home, writable=True)
    context = store.put_context_type(pb.ContextType(name=names.RUN_CONTEXT))
    stage = store.put_execution_type(pb.ExecutionType(name="room.IngestStage"))
    stock = store.put_execution_type(pb.ExecutionType(name="room.ParquetExampleGen"))
    examples = store.put_artifact_type(pb.ArtifactType(name="Examples"))
    made: dict[str, list[Any]] = {"contexts": [], "executions": [], "artifacts": []}
    for number in range(runs):
        run = f"20260101T000000Z-tfx-plain-{number:06d}"
        ours = {names.RUN: run, "assay_dataset": "clinic", "assay_outcome": "blocked"}
        made["contexts"].append(_row(pb.Context(type_id=context, name=run), ours))
        told = {names.RUN: run, names.STAGE: "ingest", "assay_status": "FAIL"}
        made["executions"].append(_row(pb.Execution(type_id=stage), told))
        made["executions"].append(_row(pb.Execution(type_id=stock), {names.RUN: run}))
        held = {names.RUN: run, names.SHA256: f"{number:064x}"}
        uri = f"/somewhere/runs/{run}/native/ParquetExampleGen/examples/1"
        made["artifacts"].append(_row(pb.Artifact(type_id=examples, uri=uri), held))
    contexts = store.put_contexts(made["contexts"])
    executions = store.put_executions(made["executions"])
    artifacts = store.put_artifacts(made["artifacts"])
    events = []
    for artifact, execution in zip(artifacts, executions[1::2], strict=True):
        event = pb.Event(artifact_id=artifact, execution_id=execution, type=pb.Event.OUTPUT)
        event.path.steps.add().key = "examples"
        event.milliseconds_since_epoch = 1
        events.append(event)
    store.put_events(events)
    store.put_attributions_and_associations(
        [
            pb.Attribution(artifact_id=a, context_id=c)
            for a, c in zip(artifacts, contexts, strict=True)
        ],
        [
            pb.Association(execution_id=e, context_id=contexts[i // 2])
            for i, e in enumerate(executions)
        ],
    )


def _row(row: Any, properties: dict[str, str]) -> Any:
    for name, value in properties.items():
        row.custom_properties[name].string_value = value
    return row


def test_a_thousand_runs_take_as_many_calls_as_two(tmp_path: Path) -> None:
    fill(tmp_path / "few", 2)
    fill(tmp_path / "many", 1000)
    few, many = MlmdLineage(tmp_path / "few").read(), MlmdLineage(tmp_path / "many").read()
    assert (len(few.entries), len(many.entries)) == (2, 1000)
    assert len(many.graph.nodes) == 3 * 1000  # runs, stages and examples
    assert few.queries == many.queries == 7
    run = "20260101T000000Z-tfx-plain-000999"
    one = MlmdLineage(tmp_path / "many").read([run])
    assert one.queries == 7
    assert one.entries[run] == many.entries[run]
    assert len(one.graph.nodes) == 3


def test_the_links_of_a_thousand_runs_take_two_statements(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 1000)
    asked: list[str] = []

    def watched(*arguments: Any, **named: Any) -> sqlite3.Connection:
        database = connect(*arguments, **named)
        database.set_trace_callback(asked.append)
        return database

    connect = sqlite3.connect
    entries = MlmdLineage(tmp_path).read().entries
    monkeypatch.setattr(mlmd_links.sqlite3, "connect", watched)
    for held in entries.values():
        links = [path for path in held if path.startswith(("association/", "attribution/"))]
        assert len(links) == 3
    assert len(asked) == 2


def test_links_of_a_store_that_broke_meanwhile_are_told(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    entries = MlmdLineage(tmp_path).read().entries
    (tmp_path / "stores" / "mlmd.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(EvidenceError, match="cannot be used"):
        dict(entries)


def test_calls_are_counted_where_they_are_made(tmp_path: Path) -> None:
    fill(tmp_path, 120)
    store = CountedStore(tmp_path)
    assert len(store.get_artifacts()) == 120
    assert store.calls == 1
    assert len(store.get_artifacts(ListOptions(filter_query="id > 0"))) == 120
    assert store.calls == 3  # two pages


@pytest.mark.parametrize(
    "value, text",
    [
        (pb.Value(), ""),
        (pb.Value(int_value=7), "7"),
        (pb.Value(double_value=0.1), "0.1"),
        (pb.Value(double_value=float("nan")), "NaN"),
        (pb.Value(string_value="a\nb"), "a\nb"),
        (pb.Value(bool_value=True), "True"),
    ],
)
def test_a_value_is_text(value: Any, text: str) -> None:
    assert text_of(value) == text


def test_a_struct_is_the_same_text_in_whatever_order() -> None:
    one, other = pb.Value(), pb.Value()
    one.struct_value.update({"b": 1, "a": "x"})
    other.struct_value.update({"a": "x", "b": 1})
    assert text_of(one) == text_of(other) == '{"a": "x", "b": 1.0}'


def test_a_long_text_is_told_by_its_digest(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    store = CountedStore(tmp_path, writable=True)
    (context,) = store.get_contexts()
    context.custom_properties["assay_reason"].string_value = "x" * 2001
    store.put_contexts([context])
    ((_, entries),) = MlmdLineage(tmp_path).read().entries.items()
    told = entries[f"context/{context.id}/custom_property/assay_reason"]
    assert told.startswith("2001 characters with SHA-256 ")


# What cannot be opened


def one_line(home: Path) -> str:
    """The error of reading a home's store."""
    with pytest.raises(InputError) as caught:
        read_rows(home)
    told = str(caught.value)
    assert "\n" not in told
    return told


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    assert "is not there" in one_line(tmp_path)
    assert not (tmp_path / "stores").exists()


def test_a_setting_behind_a_file_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MLMD_VARIABLE, f"sqlite:///{tmp_path}/none?password=s3cret")
    line = one_line(tmp_path)
    assert f"{tmp_path}/none?password=***: is not there" in line
    assert "s3cret" not in line


@pytest.mark.parametrize("content", [b"", b"no database" * 100])
def test_what_is_no_store_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "stores" / "mlmd.sqlite"
    path.parent.mkdir()
    path.write_bytes(content)
    assert "is no MLMD store" in one_line(tmp_path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("version, told", [(3, "an older MLMD"), (99, "a newer MLMD")])
def test_a_store_of_another_version_is_told(tmp_path: Path, version: int, told: str) -> None:
    fill(tmp_path, 1)
    with sqlite3.connect(tmp_path / "stores" / "mlmd.sqlite") as database:
        database.execute("UPDATE MLMDEnv SET schema_version = ?", (version,))
    assert told in one_line(tmp_path)


def test_a_locked_store_is_told(tmp_path: Path) -> None:
    fill(tmp_path, 1)
    command = [sys.executable, "-c", _HOLD, str(tmp_path / "stores" / "mlmd.sqlite")]
    # In a process of its own: the locks of one process do not keep itself out.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        assert "another process has locked it" in one_line(tmp_path)
        holder.communicate(b"")
    assert len(read_rows(tmp_path).runs) == 1


@pytest.mark.parametrize(
    "uri, told",
    [
        ("oracle://ann:s3cret@h/d", "MLMD has no such store"),
        ("nonsense", "MLMD has no such store"),
        ("postgresql://ann:s3cret@h:port/d", "is no URI"),
        ("postgresql://ann:s3cret@h/d?pool=3", "pool is no setting that MLMD has"),
        ("postgresql://ann:s3cret@h/", "names no database"),
        ("postgresql://h/d", "names no user"),
        ("postgresql:///d?user=ann&password=s3cret", "names no host"),
        ("mysql://ann:s3cret@/d", "names no host"),
    ],
)
def test_a_uri_that_mlmd_cannot_open_is_told_without_its_password(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, told: str
) -> None:
    monkeypatch.setenv(MLMD_VARIABLE, uri)
    line = one_line(tmp_path)
    assert told in line
    assert line.startswith(MLMD_VARIABLE)
    assert "s3cret" not in line


@pytest.mark.parametrize("kind", ["postgresql", "mysql"])
def test_a_server_that_is_not_there_is_told_in_our_words_alone(tmp_path: Path, kind: str) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from components.contract.errors import InputError\n"
        "from components.stacks.tfx_stack.mlmd_lineage import MlmdLineage\n"
        "try:\n"
        "    MlmdLineage(Path(sys.argv[1])).read()\n"
        "except InputError as error:\n"
        "    print(error)\n"
    )
    # In a process of its own: the drivers read how much to say when they are loaded.
    unset = {k: v for k, v in os.environ.items() if k != "GLOG_minloglevel"}
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env={**unset, MLMD_VARIABLE: f"{kind}://ann:s3cret@127.0.0.1:1/mlmd"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "MLMD cannot open it" in told.stdout
    assert told.stderr == ""


def test_a_mysql_uri_is_written_as_mlmd_wants_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(MLMD_VARIABLE, "mysql+pymysql://ann:s3%2Fcret@db/mlmd?unix_socket=/run/my")
    config = connection(tmp_path, read_only=True).mysql
    assert (config.host, config.port, config.user) == ("db", 3306, "ann")
    assert (config.password, config.database, config.socket) == ("s3/cret", "mlmd", "/run/my")
    assert config.skip_db_creation


def test_settings_of_an_encrypted_connection_reach_mlmd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = "postgresql://ann@db:6000/mlmd?sslmode=verify-full&sslrootcert=/ca.pem"
    monkeypatch.setenv(MLMD_VARIABLE, uri)
    config = connection(tmp_path).postgresql
    assert (config.host, config.port, config.dbname) == ("db", "6000", "mlmd")
    assert (config.ssloption.sslmode, config.ssloption.sslrootcert) == ("verify-full", "/ca.pem")
    assert not config.skip_db_creation


# A real PostgreSQL


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    """A PostgreSQL server with a user who has a password."""
    # Not in pytest's directory, which is closed to the user that the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="assay-pg-"))
    folder.chmod(0o755)
    server = pgserver.get_server(folder / "data", cleanup_mode="delete")
    server.psql(f"CREATE USER ann CREATEDB PASSWORD '{PASSWORD}'")
    yield server
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture
def on_server(server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URI of a database that MLMD makes, in force for the test."""
    server.psql("DROP DATABASE IF EXISTS mlmd WITH (FORCE)")
    at = server.get_uri("mlmd").partition("@")[2]
    uri = f"postgresql://ann:{quote(PASSWORD, safe='')}@{at}"
    monkeypatch.setenv(MLMD_VARIABLE, uri)
    yield uri


def test_a_server_tells_what_a_file_tells(
    tmp_path: Path, on_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path, 3)
    served = MlmdLineage(tmp_path).read()
    some = MlmdLineage(tmp_path).read(["20260101T000000Z-tfx-plain-000001"])
    assert not (tmp_path / "stores").exists()
    monkeypatch.delenv(MLMD_VARIABLE)
    fill(tmp_path, 3)
    filed = MlmdLineage(tmp_path).read()
    assert served.graph.nodes == filed.graph.nodes
    assert served.graph.edges == filed.graph.edges
    assert served.queries == filed.queries
    assert dict(some.entries) == {r: served.entries[r] for r in some.entries}
    assert len(some.entries) == 1
    for run, held in filed.entries.items():
        then = {k: v for k, v in held.items() if not k.endswith("/created")}
        now = {k: v for k, v in served.entries[run].items() if not k.endswith("/created")}
        assert now == then
        assert any(path.startswith("attribution/") for path in now)


def test_a_server_holds_texts_as_long_as_tfxs(tmp_path: Path, on_server: str, server: Any) -> None:
    prepare(tmp_path)
    prepare(tmp_path)  # by the next run
    fill(tmp_path, 1)
    store = CountedStore(tmp_path, writable=True)
    (context,) = store.get_contexts()
    text = "".join(chr(ord("a") + i * i % 26) + str(i) for i in range(100_000))
    context.custom_properties["assay_reason"].string_value = text
    store.put_contexts([context])
    (again,) = CountedStore(tmp_path).get_contexts()
    assert text_of(again.custom_properties["assay_reason"]) == text
    indexes = server.psql(
        "\\c mlmd\nSELECT indexdef FROM pg_indexes WHERE indexname LIKE '%string'"
    )
    assert indexes.count('"left"(string_value, 255)') == 3


def test_the_first_store_of_a_server_keeps_backslashes_and_a_file_opened_before_works(
    tmp_path: Path, on_server: str
) -> None:
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from ml_metadata.proto import metadata_store_pb2 as pb\n"
        "from components.stacks.store_uris import MLMD_VARIABLE\n"
        "from components.stacks.tfx_stack.mlmd_store import CountedStore\n"
        "uri = os.environ.pop(MLMD_VARIABLE)\n"
        "filed = CountedStore(Path(sys.argv[1]), writable=True)\n"
        "os.environ[MLMD_VARIABLE] = uri\n"
        "served = CountedStore(Path(sys.argv[1]), writable=True)\n"
        "for store in (served, filed):\n"
        "    kind = store.put_context_type(pb.ContextType(name='kind'))\n"
        "    context = pb.Context(type_id=kind, name='one')\n"
        "    context.custom_properties['text'].string_value = 'back\\\\slash'\n"
        "    store.put_contexts([context])\n"
        "    print(store.get_contexts()[0].custom_properties['text'].string_value)\n"
    )
    # In a process of its own: MLMD's client is taught once in each.
    told = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.splitlines() == ["back\\slash"] * 2


def test_a_database_that_is_not_there_is_not_made(
    tmp_path: Path, on_server: str, server: Any
) -> None:
    line = one_line(tmp_path)
    assert "MLMD cannot open it" in line
    assert "sesame" not in line and "ann:***@" in line
    assert "mlmd" not in server.psql("SELECT datname FROM pg_database")


def test_a_servers_store_of_another_version_is_told(
    tmp_path: Path, on_server: str, server: Any
) -> None:
    fill(tmp_path, 1)
    server.psql("\\c mlmd\nUPDATE mlmdenv SET schema_version = 99")
    assert "is of a newer MLMD" in one_line(tmp_path)
