"""A whole run whose MLflow store is a PostgreSQL server's, read back as from a file."""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import create_engine, text

from components.audit.evidence_lineage import EvidenceLineage
from components.contract.errors import InputError
from components.lineage.graph import LineageGraph
from components.lineage.receipts import ENTRIES
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack.mlflow_lineage import MlflowLineage
from components.stacks.pytorch_stack.mlflow_schema import schema_revisions
from components.stacks.pytorch_stack.mlflow_store import open_store
from components.stacks.store_uris import MLFLOW_VARIABLE
from tests.components.stacks.pytorch_stack.conftest import ended

pgserver = pytest.importorskip("pgserver", reason="no PostgreSQL for this Python")

PASSWORD = "open/sesame"
"""Made up, and in need of quoting."""


@dataclass(frozen=True)
class Served:
    """A run in a home whose MLflow store is at ``uri``."""

    uri: str
    process: ReleaseProcess


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    """A database of its own on a real server, for a user with a password."""
    # Not in pytest's directory, which is closed to the user that the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="assay-pg-"))
    folder.chmod(0o755)
    server = pgserver.get_server(folder / "data", cleanup_mode="delete")
    engine = create_engine(_with_driver(server.get_uri()), isolation_level="AUTOCOMMIT")
    with engine.connect() as admin:
        admin.execute(text(f"CREATE USER ann PASSWORD '{PASSWORD}'"))
        admin.execute(text("CREATE DATABASE assay OWNER ann"))
    at = server.get_uri("assay").partition("@")[2]
    yield f"postgresql://ann:{quote(PASSWORD, safe='')}@{at}"
    engine.dispose()
    server.cleanup()
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def served(uri: str, make_process, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A run that was released."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MLFLOW_VARIABLE, uri)
        process = make_process("fair", home=tmp_path_factory.mktemp("served"))
        yield Served(uri, ended(process, "released"))


def _with_driver(uri: str) -> str:
    return uri.replace("postgresql://", "postgresql+psycopg2://", 1)


def shape(graph: LineageGraph) -> dict[str, dict[str, str]]:
    """What the evidence and MLflow both know of each thing."""
    return {n.id: dict(n.attributes) for n in graph.nodes.values()}


def test_the_server_tells_what_the_evidence_tells(served: Served) -> None:
    native = MlflowLineage(Path(served.process.spec.home)).read()
    evidence = EvidenceLineage(Path(served.process.spec.home), "pytorch").read().graph
    assert native.graph.nodes.keys() == evidence.nodes.keys()
    assert native.graph.edges == evidence.edges
    for name, held in shape(native.graph).items():
        held.pop("alias", None)
        assert held.items() <= evidence.nodes[name].attributes.items()
    run = native.graph.nodes[f"run/{served.process.spec.run_id}"].attributes
    assert run["head"] == served.process.chain.records()[-1].digest
    assert not (Path(served.process.spec.home) / "stores" / "mlflow.sqlite").exists()


def test_the_receipt_signs_what_the_server_holds(served: Served) -> None:
    run, directory = served.process.spec.run_id, served.process.spec.directory
    reading = MlflowLineage(Path(served.process.spec.home)).read([run])
    signed = json.loads((directory / ENTRIES).read_bytes())["entries"]
    assert signed == reading.entries[run]
    assert len(signed) > 300
    assert reading.queries < 25


def test_the_password_is_in_no_file(served: Served) -> None:
    secrets = (PASSWORD.encode(), quote(PASSWORD, safe="").encode())
    files = [p for p in Path(served.process.spec.home).rglob("*") if p.is_file()]
    assert len(files) > 30
    assert not [p for p in files if any(s in p.read_bytes() for s in secrets)]


def test_an_unknown_database_or_user_is_told_without_the_password(
    served: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    for wrong in (
        served.uri.replace("/assay?", "/nothing?"),
        served.uri.replace("//ann:", "//bob:"),
    ):
        monkeypatch.setenv(MLFLOW_VARIABLE, wrong)
        for attempt in (MlflowLineage(tmp_path).read, lambda: open_store(tmp_path)):
            with pytest.raises(InputError) as told:
                attempt()
            shown = "\n".join([str(told.value), caplog.text, *capfd.readouterr()])
            assert "***" in str(told.value)
            assert "has no such database or user" in str(told.value)
            assert PASSWORD not in shown
            assert quote(PASSWORD, safe="") not in shown


def test_a_server_of_an_older_mlflow_is_told(served: Served, tmp_path: Path) -> None:
    engine = create_engine(_with_driver(served.uri))
    latest = schema_revisions()[1]
    change = text("UPDATE alembic_version SET version_num = :revision")
    try:
        with engine.begin() as connection:
            connection.execute(change, {"revision": "cc1f77228345"})
        with pytest.raises(InputError, match="is of an older MLflow"):
            MlflowLineage(tmp_path).read()
        with pytest.raises(InputError, match="is of an older MLflow"):
            open_store(tmp_path)
    finally:
        with engine.begin() as connection:
            connection.execute(change, {"revision": latest})
        engine.dispose()


def test_a_server_that_has_no_store_yet_is_told(served: Served, monkeypatch, tmp_path) -> None:
    monkeypatch.setenv(MLFLOW_VARIABLE, served.uri.replace("/assay?", "/postgres?"))
    with pytest.raises(InputError, match="is no MLflow store"):
        MlflowLineage(tmp_path).read()
