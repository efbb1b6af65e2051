"""A whole run of the real TFX pipeline whose MLMD is a PostgreSQL server's."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tfx.dsl.compiler import constants
from tfx.utils import path_utils

from components.audit.evidence_lineage import EvidenceLineage
from components.lineage.graph import EdgeKind, NodeKind
from components.lineage.receipts import RECEIPT
from components.stacks.process import ReleaseProcess
from components.stacks.store_uris import MLMD_VARIABLE
from components.stacks.tfx_stack import mlmd_names as names
from components.stacks.tfx_stack import native_records, stage_nodes
from components.stacks.tfx_stack.mlmd_lineage import MlmdLineage
from components.stacks.tfx_stack.stage_artifacts import PUSHED_DESTINATION
from pipelines import tfx_pipeline
from tests.components.stacks.tfx_stack.native_runs import Clinic

pgserver = pytest.importorskip("pgserver", reason="no PostgreSQL for this Python")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ReleaseProcess]:
    """The run: a model that keeps its limits with ease."""
    # Not in pytest's directory, which is closed to the user that the server runs as.
    folder = Path(tempfile.mkdtemp(prefix="assay-pg-"))
    folder.chmod(0o755)
    server = pgserver.get_server(folder / "data", cleanup_mode="delete")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(MLMD_VARIABLE, server.get_uri("mlmd"))
        process = Clinic.open(tmp_path_factory.mktemp("served")).start()
        tfx_pipeline.run(process)
        tfx_pipeline.settle(process, process.close())
        yield process
    server.cleanup()
    shutil.rmtree(folder)


def test_a_server_tells_of_a_run_what_the_evidence_tells(released: ReleaseProcess) -> None:
    home = Path(released.spec.home)
    native = MlmdLineage(home).read().graph
    evidence = EvidenceLineage(home, "tfx").read().graph
    assert native.nodes.keys() == evidence.nodes.keys()
    assert native.edges == evidence.edges
    for name, node in native.nodes.items():
        known = evidence.nodes[name].attributes
        assert {k: v for k, v in node.attributes.items() if k in known} == {
            k: v for k, v in known.items() if k in node.attributes
        }
    assert native.nodes[f"run/{released.spec.run_id}"].attributes["outcome"] == "released"
    assert not (home / "stores").exists()


def test_what_tfx_left_is_known_by_its_content(released: ReleaseProcess) -> None:
    graph = MlmdLineage(Path(released.spec.home)).read().graph
    stage = f"stage/{released.spec.run_id}/ingest"
    made = graph.into(stage, EdgeKind.GENERATED_BY, NodeKind.ARTIFACT)
    recorded = released.chain.records()[0].body["outputs"]
    assert {n.key for n in made} == {o["sha256"] for o in recorded.values()}


def test_the_receipt_is_written(released: ReleaseProcess) -> None:
    assert (released.spec.directory / RECEIPT).is_file()


def test_a_run_that_was_killed_is_known_as_begun(released: ReleaseProcess) -> None:
    home = Path(released.spec.home)
    begun = released.spec.run_id
    native_records.begin_run(released)
    node = MlmdLineage(home).read([begun]).graph.nodes[f"run/{begun}"]
    assert node.attributes["candidate"] == "plain"


def test_names_are_those_of_tfx() -> None:
    assert path_utils.serving_model_path("model") == f"model/{names.SERVING_FORMAT}"
    assert names.PUSHED_DESTINATION == PUSHED_DESTINATION
    assert names.RUN_CONTEXT == constants.PIPELINE_RUN_CONTEXT_TYPE_NAME
    assert {getattr(stage_nodes, n).__name__ for n in names.STAGE_NODES} == set(names.STAGE_NODES)
