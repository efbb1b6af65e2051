"""What MLMD alone tells of runs, held against what the evidence tells."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from ml_metadata.proto import metadata_store_pb2 as pb

from components.audit.evidence_lineage import EvidenceLineage
from components.audit.mutations import compare_entries
from components.contract.errors import InputError
from components.lineage.evidence_keys import HomeKeys
from components.lineage.graph import EdgeKind, LineageGraph, NodeKind
from components.lineage.receipts import RECEIPT, parse_receipt, read_entries
from components.stacks.process import ReleaseProcess
from components.stacks.tfx_stack import mlmd_names as names
from components.stacks.tfx_stack.mlmd_lineage import MlmdLineage
from components.stacks.tfx_stack.mlmd_store import CountedStore
from pipelines import tfx_pipeline
from tests.components.stacks.tfx_stack import native_runs
from tests.components.stacks.tfx_stack.native_runs import Clinic


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> list[ReleaseProcess]:
    """In one home: a released run, a second one, and the first model released again."""
    clinic = Clinic.open(tmp_path_factory.mktemp("mlmd"))
    first = clinic.start()
    assert native_runs.run(first) == "released"
    second = clinic.start()
    assert native_runs.run(second) == "released"
    again = clinic.start(continues=first)
    assert native_runs.run(again) == "released"
    return [first, second, again]


@pytest.fixture
def home(history: list[ReleaseProcess], tmp_path: Path) -> Path:
    """A copy of the home, to be changed."""
    return Path(shutil.copytree(home_of(history), tmp_path / "home"))


def home_of(history: list[ReleaseProcess]) -> Path:
    """Where these runs are."""
    return Path(history[0].spec.home)


def shared(one: LineageGraph, other: LineageGraph) -> tuple[dict[str, Any], dict[str, Any]]:
    """The attributes that both have, of the things that both have."""
    # The plain stack's files are no directories of TFX's, so what lies where is left out.
    files = (NodeKind.ARTIFACT, NodeKind.MODEL)
    things = [n.id for n in one.nodes.values() if n.kind not in files]
    pairs = [(one.nodes[n].attributes, other.nodes[n].attributes) for n in things]
    both = [({k: a[k] for k in a if k in b}, {k: b[k] for k in b if k in a}) for a, b in pairs]
    found, expected = zip(*both, strict=True)
    return dict(zip(things, found, strict=True)), dict(zip(things, expected, strict=True))


def edit(home: Path, statement: str, *values: object) -> None:
    """Change the store behind MLMD's back; something must change."""
    with sqlite3.connect(home / "stores" / "mlmd.sqlite") as database:
        assert database.execute(statement, values).rowcount


def test_it_has_the_things_and_edges_of_the_evidence(history: list[ReleaseProcess]) -> None:
    native = MlmdLineage(home_of(history)).read().graph
    evidence = EvidenceLineage(home_of(history), "tfx").read().graph
    assert native.nodes.keys() == evidence.nodes.keys()
    assert native.edges == evidence.edges
    found, expected = shared(native, evidence)
    assert found == expected


def test_it_knows_of_a_run_what_an_auditor_asks(history: list[ReleaseProcess]) -> None:
    graph = MlmdLineage(home_of(history)).read().graph
    again = history[2].spec
    run = graph.nodes[f"run/{again.run_id}"].attributes
    assert {k: run[k] for k in ("stack", "candidate", "dataset", "actor", "outcome")} == {
        "stack": "tfx", "candidate": "plain", "dataset": "clinic", "actor": again.actor,
        "outcome": "released",
    }  # fmt: skip
    assert run["head"] == history[2].chain.records()[-1].digest
    assert run["continues"] == history[0].spec.run_id
    used = graph.out(f"run/{again.run_id}", EdgeKind.USED)
    assert {n.key for n in used} == {
        again.dataset_version, again.contract, again.policy, again.code, again.environment,
    }  # fmt: skip
    (data,) = graph.of_kind(NodeKind.DATASET)
    assert data.attributes["rows_root"] == history[0].dataset.manifest["root"]
    releases = {n.key: n.attributes for n in graph.of_kind(NodeKind.RELEASE)}
    assert [releases[f"clinic/tfx/{i}"]["kind"] for i in (1, 2, 3)] == [
        "release", "release", "rollback",
    ]  # fmt: skip
    assert releases["clinic/tfx/3"]["supersedes"] == "2"
    assert "supersedes" not in releases["clinic/tfx/1"]


def test_it_knows_a_gates_figures_and_no_small_groups(history: list[ReleaseProcess]) -> None:
    run = history[0].spec.run_id
    graph = MlmdLineage(home_of(history)).read().graph
    known = graph.nodes[f"stage/{run}/release_gate"].attributes
    body = next(r.body for r in history[0].chain.records() if r.stage == "release_gate")
    figures = {f"figure:{m['name']}@{m['slice']}": m for m in body["nativeMeasurements"]}
    assert not [m for m in figures.values() if m["n"] is not None and 0 < m["n"] < 11]
    for name, measured in figures.items():
        shown = measured["value"] if (measured["n"] or 0) >= 11 else None
        assert known.get(name) == shown, name


def test_an_artifact_is_where_it_lies_in_the_home(history: list[ReleaseProcess]) -> None:
    graph = MlmdLineage(home_of(history)).read().graph
    run = history[0].spec.run_id
    (model,) = graph.into(f"stage/{run}/train", EdgeKind.GENERATED_BY, NodeKind.MODEL)
    assert model.key == history[0].model
    assert model.attributes["location"] == f"runs/{run}/native/Trainer/model/1"


def test_a_moved_home_tells_the_same(history: list[ReleaseProcess], home: Path) -> None:
    before = MlmdLineage(home_of(history)).read().graph
    after = MlmdLineage(home).read().graph
    assert (after.nodes, after.edges) == (before.nodes, before.edges)


def test_one_run_is_read_as_it_is_read_among_all(history: list[ReleaseProcess]) -> None:
    home, run = home_of(history), history[1].spec.run_id
    whole, one = MlmdLineage(home).read(), MlmdLineage(home).read([run])
    assert [n.key for n in one.graph.of_kind(NodeKind.RUN)] == [run]
    assert dict(one.entries) == {run: whole.entries[run]}
    for node in one.graph.nodes:
        assert node in whole.graph.nodes
    many = MlmdLineage(home).read([run, "a", "b", "c", "d", "e"])
    assert many.entries.keys() == {run}
    assert many.graph.nodes == one.graph.nodes


def test_only_one_dataset_is_read_where_it_is_asked_for(history: list[ReleaseProcess]) -> None:
    home = home_of(history)
    assert MlmdLineage(home, "clinic").read().graph.nodes == MlmdLineage(home).read().graph.nodes
    other = MlmdLineage(home, "other").read()
    assert not other.graph.nodes
    assert not dict(other.entries)


@pytest.mark.parametrize("run", ["", "x' OR name = 'y", "a\\", "../x"])
def test_what_is_no_run_id_is_refused(history: list[ReleaseProcess], run: str) -> None:
    with pytest.raises(InputError, match="no run"):
        MlmdLineage(home_of(history)).read([run])


def test_other_pipelines_in_the_same_store_are_left_out(home: Path) -> None:
    before = MlmdLineage(home).read()
    store = CountedStore(home, writable=True)
    kind = store.get_context_type(names.RUN_CONTEXT).id
    store.put_contexts([pb.Context(type_id=kind, name="somebody-elses")])
    after = MlmdLineage(home).read()
    assert after.graph.nodes == before.graph.nodes
    assert after.entries.keys() == before.entries.keys()


def test_the_receipt_signs_what_the_store_holds(history: list[ReleaseProcess]) -> None:
    now = MlmdLineage(home_of(history)).read().entries
    for process in history:
        directory, head = process.spec.directory, process.chain.records()[-1].digest
        trusted = HomeKeys(home_of(history)).trusted()
        receipt = parse_receipt((directory / RECEIPT).read_bytes(), directory.name, head, trusted)
        assert receipt.store == "mlmd"
        signed = read_entries(directory, receipt)
        assert signed == now[directory.name]
        kinds = {path.partition("/")[0] for path in signed}
        assert kinds == {
            "context", "execution", "artifact", "event", "association", "attribution"
        }  # fmt: skip


EDITS = {
    "context": "UPDATE ContextProperty SET string_value = 'x' WHERE name = 'assay_outcome'",
    "verdict": "UPDATE ArtifactProperty SET string_value = 'x' WHERE name = 'verdict'",
    "digest": "UPDATE ArtifactProperty SET string_value = 'x' WHERE name = 'assay_sha256'",
    "address": "UPDATE Artifact SET uri = 'x'",
    "artifact state": "UPDATE Artifact SET state = 1",
    "execution state": "UPDATE Execution SET last_known_state = 1",
    "stage": "UPDATE ExecutionProperty SET string_value = 'x' WHERE name = 'assay_tools'",
    "event": "UPDATE Event SET milliseconds_since_epoch = 7",
    "event path": "UPDATE EventPath SET step_key = 'x' WHERE is_index_step = 0",
    "new property": "INSERT INTO ContextProperty (context_id, name, is_custom_property,"
    " string_value) SELECT id, 'x', 1, 'y' FROM Context",
    "vacuumed": "DELETE FROM Event",
}


@pytest.mark.parametrize("name", EDITS)
def test_every_edit_shows_by_its_path(home: Path, name: str) -> None:
    before = {run: dict(held) for run, held in MlmdLineage(home).read().entries.items()}
    edit(home, EDITS[name])
    after = MlmdLineage(home).read().entries
    for run, then in before.items():
        assert compare_entries(run, then, after[run]), run


DELETIONS = [
    "DELETE FROM Context WHERE id IN (SELECT context_id FROM ContextProperty"
    " WHERE name = 'assay_run' AND string_value = ?)",
    "DELETE FROM Artifact WHERE id IN (SELECT artifact_id FROM ArtifactProperty"
    " WHERE name = 'assay_run' AND string_value = ?)",
    "DELETE FROM Execution WHERE id IN (SELECT execution_id FROM ExecutionProperty"
    " WHERE name = 'assay_run' AND string_value = ?)",
]


def test_a_deleted_run_is_gone(history: list[ReleaseProcess], home: Path) -> None:
    run = history[1].spec.run_id
    for statement in DELETIONS:
        edit(home, statement, run)
    reading = MlmdLineage(home).read()
    assert run not in reading.entries
    assert f"run/{run}" not in reading.graph.nodes


def test_an_edited_figure_contradicts_the_evidence(
    history: list[ReleaseProcess], home: Path
) -> None:
    # A figure that tells of no small group, and so is in the store and in the evidence.
    old, new = 'brier@overall":"0', 'brier@overall":"1'
    changed = "SET string_value = replace(string_value, ?, ?) WHERE name = 'assay_figures'"
    edit(home, f"UPDATE ExecutionProperty {changed}", old, new)
    stage = f"stage/{history[0].spec.run_id}/release_gate"
    edited = MlmdLineage(home).read().graph.nodes[stage].attributes["figure:brier@overall"]
    evidence = EvidenceLineage(home, "tfx").read().graph.nodes[stage]
    assert edited == "1" + evidence.attributes["figure:brier@overall"][1:]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"rows": 1}', '{"rows": {"sha256": 1}}'])
def test_a_document_that_is_none_any_more_says_nothing(
    history: list[ReleaseProcess], home: Path, text: str
) -> None:
    for name in (names.OUTPUTS, names.FIGURES, names.WAIVER):
        columns = "(execution_id, name, is_custom_property, string_value)"
        values = "SELECT id, ?, 1, ? FROM Execution"
        edit(home, f"INSERT OR REPLACE INTO ExecutionProperty {columns} {values}", name, text)
    graph = MlmdLineage(home).read().graph
    run = history[0].spec.run_id
    roles = {e.role for e in graph.edges if e.target == f"stage/{run}/ingest"}
    assert "rows" not in roles
    assert graph.nodes[f"stage/{run}/ingest"].attributes["status"] == "PASS"


def test_settling_again_puts_right_what_was_changed(
    history: list[ReleaseProcess], home: Path
) -> None:
    run = history[0].spec.run_id
    process = ReleaseProcess.open(home / "runs" / run)
    signed = (process.spec.directory / RECEIPT).read_bytes()
    before = dict(MlmdLineage(home).read().entries[run])
    edit(home, EDITS["context"])
    edit(home, EDITS["stage"])
    edit(home, "UPDATE ArtifactProperty SET string_value = 'x' WHERE name = 'assay_sha256' AND"
         " artifact_id IN (SELECT id FROM Artifact WHERE uri LIKE '%/Trainer/%')")  # fmt: skip
    tfx_pipeline.settle(process, "released")
    assert dict(MlmdLineage(home).read().entries[run]) == before
    assert (process.spec.directory / RECEIPT).read_bytes() == signed


def test_a_blocked_run_has_its_outcome_and_a_receipt(tmp_path: Path) -> None:
    process = Clinic.open(tmp_path, least_auc=0.9999).start()
    assert native_runs.run(process) == "blocked"
    graph = MlmdLineage(tmp_path / "home").read().graph
    run = graph.nodes[f"run/{process.spec.run_id}"].attributes
    closing = process.chain.records()[-1].body
    assert (run["outcome"], run["reason"]) == ("blocked", closing["reason"])
    assert not graph.of_kind(NodeKind.RELEASE)
    assert (process.spec.directory / RECEIPT).is_file()


def test_a_run_that_never_came_to_mlmd_has_an_empty_receipt(tmp_path: Path) -> None:
    process = Clinic.open(tmp_path).start()
    tfx_pipeline.settle(process, process.close(interrupted="a test"))
    head, trusted = process.chain.records()[-1].digest, HomeKeys(tmp_path / "home").trusted()
    raw = (process.spec.directory / RECEIPT).read_bytes()
    receipt = parse_receipt(raw, process.spec.run_id, head, trusted)
    assert (receipt.entries, receipt.store) == (0, "mlmd")
    assert not (tmp_path / "home" / "stores").exists()
