"""What MLflow alone tells of real runs, held against the signed evidence of the same runs."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from pathlib import Path

import pytest

from components.audit.evidence_lineage import EvidenceLineage
from components.lineage.commitments import artifact_nonce, load_or_create_row_key
from components.lineage.evidence_keys import HomeKeys
from components.lineage.graph import EdgeKind, LineageGraph, Node, NodeKind
from components.lineage.receipts import ENTRIES, RECEIPT, parse_receipt, read_entries
from components.lineage.row_key import row_key_path
from components.stacks.process import ReleaseProcess
from components.stacks.pytorch_stack.mlflow_lineage import MlflowLineage
from pipelines import pytorch_pipeline
from tests.components.stacks.pytorch_stack.conftest import Settled
from tests.components.stacks.pytorch_stack.runs import NAME, mlflow_run, store

GOLDEN = Path(__file__).with_name("mlflow_graph.json")
UNKNOWN = {
    NodeKind.ARTIFACT: {"name", "type"},
    NodeKind.MODEL: {"name", "type"},
}
"""What the evidence knows of a thing and MLflow does not; figures of few people come to it."""


@pytest.fixture(scope="module")
def native(settled: Settled) -> LineageGraph:
    """The graph that MLflow gives."""
    return MlflowLineage(settled.home).read().graph


@pytest.fixture(scope="module")
def evidence(settled: Settled) -> LineageGraph:
    """The graph that the evidence gives, without the run that never came to MLflow."""
    runs = {p.name for p in (settled.home / "runs").iterdir()} - {settled.refused.spec.run_id}
    return EvidenceLineage(settled.home, "pytorch").read(runs).graph


def test_mlflow_has_the_same_things_as_the_evidence(native, evidence) -> None:
    assert native.nodes.keys() == evidence.nodes.keys()
    assert len(native.of_kind(NodeKind.RUN)) == 4
    assert len(native.of_kind(NodeKind.RELEASE)) == 3


def test_mlflow_relates_them_as_the_evidence_does(native, evidence) -> None:
    assert set(native.edges) == set(evidence.edges)
    relations = {e.kind for e in native.edges}
    assert relations == set(EdgeKind)


def test_mlflow_says_of_them_what_the_evidence_says(native, evidence) -> None:
    for name, node in evidence.nodes.items():
        held, shown = dict(native.nodes[name].attributes), dict(node.attributes)
        alias = held.pop("alias", None)
        assert alias is None or node.kind is NodeKind.RELEASE
        left_out = {k for k in shown.keys() - held.keys() if not k.startswith("figure:")}
        assert left_out == UNKNOWN.get(node.kind, set()), name
        assert {k: shown[k] for k in held} == held, name


def test_the_gates_figures_are_mapped_back_exactly(settled: Settled, native, evidence) -> None:
    gate = f"stage/{settled.released.spec.run_id}/release_gate"
    told = {k for k in native.nodes[gate].attributes if k.startswith("figure:")}
    known = {k for k in evidence.nodes[gate].attributes if k.startswith("figure:")}
    assert {"figure:roc_auc@overall", "figure:tpr@sex=f", "figure:tpr_difference@sex"} <= told
    assert told == known  # what tells of one to ten people is in neither


def test_the_data_gates_figures_and_every_finding_are_known(settled, native, evidence) -> None:
    gate = f"stage/{settled.released.spec.run_id}/data_gate"
    told, known = (
        {
            k: v
            for k, v in graph.nodes[gate].attributes.items()
            if k.startswith(("figure:", "finding:"))
        }
        for graph in (native, evidence)
    )
    assert told == known
    assert len([k for k in told if k.startswith("figure:")]) > 3
    closed = f"stage/{settled.blocked.spec.run_id}/release_gate"
    assert "FAIL" in native.nodes[closed].attributes.values()


def test_the_head_is_the_closing_records(settled: Settled, native) -> None:
    for process in (settled.released, settled.blocked, settled.back):
        run = native.nodes[f"run/{process.spec.run_id}"].attributes
        assert run["head"] == process.chain.records()[-1].digest
        assert run["native_id"] == mlflow_run(process).info.run_id


def test_the_alias_stands_on_the_last_release(settled: Settled, native) -> None:
    held = {
        n.attributes["run"]: n.attributes.get("alias") for n in native.of_kind(NodeKind.RELEASE)
    }
    assert held == {
        settled.released.spec.run_id: None,
        settled.superseding.spec.run_id: None,
        settled.back.spec.run_id: "champion",
    }


def test_the_graph_of_a_run_is_the_golden_one(settled: Settled) -> None:
    """Names of things, attributes and relations; what differs by run or machine is masked."""
    graph = MlflowLineage(settled.home).read([settled.released.spec.run_id]).graph
    assert _masked(graph, settled.released.spec.run_id) == json.loads(GOLDEN.read_text())


def _masked(graph: LineageGraph, run: str) -> dict[str, object]:
    names = {name: _mask(name, run) for name in graph.nodes}
    models = {n.id for n in graph.of_kind(NodeKind.MODEL)}
    return {
        "nodes": sorted(
            [names[n.id], {k: _mask_value(k, v, run) for k, v in _shown(n)}]
            for n in graph.nodes.values()
            if n.id not in models and n.kind is not NodeKind.ARTIFACT
        ),
        "edges": sorted(
            [names[e.source], str(e.kind), names[e.target], e.role] for e in graph.edges
        ),
    }


def _shown(node: Node) -> list[tuple[str, str]]:
    """Attributes but for figures of groups: which of them rest on few people is up to the model."""
    held = sorted(node.attributes.items())
    return [(k, v) for k, v in held if not k.startswith("figure:") or k.endswith("@overall")]


def _mask(text: str, run: str) -> str:
    return re.sub(r"[0-9a-f]{64}", "<sha256>", text.replace(run, "<run>"))


def _mask_value(name: str, value: str, run: str) -> str:
    if name.startswith("figure:"):
        return "<number>"
    masked = _mask(value, run)
    masked = re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+\+00:00", "<time>", masked)
    masked = re.sub(r"^[0-9a-f]{32}$", "<mlflow run>", masked)
    return re.sub(r" \d+(\.\w+)+(\+\w+)?", " <version>", masked) if name == "tools" else masked


def test_a_run_can_be_read_alone(settled: Settled) -> None:
    whole = MlflowLineage(settled.home).read()
    for process in (settled.released, settled.back):
        run = process.spec.run_id
        alone = MlflowLineage(settled.home).read([run])
        assert set(alone.entries) == {run}
        assert alone.entries[run] == whole.entries[run]
        assert {n.key for n in alone.graph.of_kind(NodeKind.RUN)} == {run}
        assert alone.queries == whole.queries
    assert MlflowLineage(settled.home).read(["another"]).graph.nodes == {}


def receipt_of(process: ReleaseProcess) -> dict[str, str]:
    """The list that a run's receipt signs."""
    directory = process.spec.directory
    receipt = parse_receipt(
        (directory / RECEIPT).read_bytes(),
        process.spec.run_id,
        process.chain.records()[-1].digest,
        HomeKeys(Path(process.spec.home)).trusted(),
    )
    assert receipt.store == "mlflow"
    assert receipt.entries == len(read_entries(directory, receipt))
    return read_entries(directory, receipt)


def test_a_receipt_signs_what_mlflow_holds_also_when_later_runs_have_come(settled) -> None:
    held = MlflowLineage(settled.home).read().entries
    for process in (settled.released, settled.blocked, settled.superseding, settled.back):
        assert receipt_of(process) == held[process.spec.run_id]
        assert len(held[process.spec.run_id]) > 100 or process is settled.back


def test_a_run_that_never_came_to_mlflow_has_a_receipt_of_nothing(settled: Settled) -> None:
    assert receipt_of(settled.refused) == {}
    assert settled.refused.spec.run_id not in MlflowLineage(settled.home).read().entries


def test_the_digest_of_a_receipt_cannot_be_guessed(settled: Settled) -> None:
    process = settled.released
    document = json.loads((process.spec.directory / ENTRIES).read_bytes())
    key = load_or_create_row_key(row_key_path(settled.home))
    assert document["nonce"] == artifact_nonce(key, f"{process.spec.run_id}:native-entries")


@pytest.fixture
def copy(settled: Settled, tmp_path: Path) -> Path:
    """The home once more, to be changed."""
    shutil.copytree(settled.home, tmp_path / "home")
    return tmp_path / "home"


def again(home: Path, process: ReleaseProcess) -> ReleaseProcess:
    """A run as the copied home has it."""
    return ReleaseProcess.open(home / "runs" / process.spec.run_id)


def test_settling_twice_comes_to_the_same(settled: Settled, copy: Path) -> None:
    before = MlflowLineage(copy).read()
    for process in (settled.released, settled.blocked, settled.refused, settled.back):
        found = again(copy, process)
        receipt = (found.spec.directory / RECEIPT).read_bytes()
        pytorch_pipeline.settle(found, found.chain.records()[-1].body["outcome"])
        assert (found.spec.directory / RECEIPT).read_bytes() == receipt
    after = MlflowLineage(copy).read()
    assert after.graph.nodes == before.graph.nodes
    assert {r: dict(e) for r, e in after.entries.items()} == dict(before.entries.items())


def test_settling_again_brings_mlflow_back_to_the_evidence(settled: Settled, copy: Path) -> None:
    before = MlflowLineage(copy).read()
    with sqlite3.connect(copy / "stores" / "mlflow.sqlite") as database:
        database.execute("UPDATE tags SET value = 'PASS' WHERE key = 'assay.stage.release_gate'")
        database.execute("UPDATE tags SET value = 'released' WHERE key = 'assay.outcome'")
        database.execute("DELETE FROM tags WHERE key LIKE 'assay.output.%'")
        database.execute("UPDATE registered_model_aliases SET version = 1")
    for process in (settled.released, settled.blocked, settled.superseding, settled.back):
        found = again(copy, process)
        pytorch_pipeline.settle(found, found.chain.records()[-1].body["outcome"])
    after = MlflowLineage(copy).read()
    assert after.graph.nodes == before.graph.nodes
    assert after.graph.edges == before.graph.edges


def test_settling_again_signs_nothing_that_was_changed_since(settled: Settled, copy: Path) -> None:
    found = again(copy, settled.released)
    with sqlite3.connect(copy / "stores" / "mlflow.sqlite") as database:
        database.execute("UPDATE params SET value = '99' WHERE key = 'epochs'")
    pytorch_pipeline.settle(found, "released")
    held = MlflowLineage(copy).read().entries[found.spec.run_id]
    changed = {k for k, v in held.items() if receipt_of(found).get(k) != v}
    assert [k.split("/")[-1] for k in changed] == ["epochs"]


def test_a_run_that_died_before_its_receipt_gets_one(settled: Settled, copy: Path) -> None:
    found = again(copy, settled.blocked)
    (found.spec.directory / RECEIPT).unlink()
    (found.spec.directory / ENTRIES).write_bytes(b"half")
    pytorch_pipeline.settle(found, "blocked")
    assert receipt_of(found) == MlflowLineage(copy).read().entries[found.spec.run_id]


def test_an_alias_that_was_moved_shows_in_the_graph_alone(settled: Settled, copy: Path) -> None:
    before = MlflowLineage(copy).read()
    with sqlite3.connect(copy / "stores" / "mlflow.sqlite") as database:
        database.execute("UPDATE registered_model_aliases SET version = 1")
    after = MlflowLineage(copy).read()
    held = {n.key: n.attributes.get("alias") for n in after.graph.of_kind(NodeKind.RELEASE)}
    assert held == {
        "clinic/pytorch/1": "champion", "clinic/pytorch/2": None, "clinic/pytorch/3": None,
    }  # fmt: skip
    assert dict(after.entries.items()) == dict(before.entries.items())
    stands = store(settled.back).get_model_version_by_alias(NAME, "champion")
    assert stands.tags["assay.run_id"] == settled.back.spec.run_id  # in the home itself
