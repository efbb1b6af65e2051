"""Lineage from evidence: the whole vocabulary, and nothing that was not checked."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from components.audit import evidence_runs
from components.audit.access_log import record_access
from components.audit.evidence_lineage import EvidenceLineage
from components.audit.evidence_runs import read_run, read_runs
from components.audit.paths import ATTRIBUTES, FIGURE, FINDING
from components.contract.errors import EvidenceError, InputError
from components.lineage.evidence import chain_of
from components.lineage.evidence_keys import HomeKeys
from components.lineage.graph import Edge, EdgeKind, LineageGraph, Node, NodeKind
from components.lineage.keys import new_key
from components.release.records import read_releases, write_release
from tests import small_bundle
from tests.asked_home import REASON, STACKS, copied_home, runs_of


@pytest.fixture(scope="module")
def graph(asked_home: Path) -> LineageGraph:
    """What the evidence of one stack says."""
    return EvidenceLineage(asked_home, "tfx").read().graph


@pytest.fixture
def home(asked_home: Path, tmp_path: Path) -> Path:
    """A home to change."""
    return copied_home(asked_home, tmp_path)


def node(graph: LineageGraph, kind: NodeKind, key: str) -> Node:
    """A node that must be there."""
    return graph.nodes[f"{kind}/{key}"]


def only(found: list[Node]) -> Node:
    """The one node of a list."""
    (one,) = found
    return one


def test_every_attribute_is_one_of_the_vocabulary_and_says_something(graph: LineageGraph) -> None:
    assert {n.kind for n in graph.nodes.values()} == set(NodeKind)
    for held in graph.nodes.values():
        for name, value in held.attributes.items():
            assert value
            assert name in ATTRIBUTES[held.kind] or name.startswith((FIGURE, FINDING))


def test_a_run_its_inputs_and_its_stages(graph: LineageGraph, asked_home: Path) -> None:
    run = runs_of(graph)["first"]
    records = chain_of(asked_home / "runs" / run).records()
    held, inputs = node(graph, NodeKind.RUN, run), records[0].body["inputs"]
    assert held.attributes == {
        "stack": "tfx",
        "candidate": "plain",
        "dataset": "insurer",
        "actor": "tester",
        "started": records[0].body["started"],
        "finished": records[-1].body["finished"],
        "outcome": "released",
        "reason": records[-1].body["reason"],
        "head": records[-1].digest,
        "seed": inputs["seed"],
    }
    used = {n.kind: n.key for n in graph.out(held.id, EdgeKind.USED)}
    assert used == {
        NodeKind.DATASET: inputs["datasetVersion"],
        NodeKind.CONTRACT: inputs["contract"],
        NodeKind.POLICY: inputs["policy"],
        NodeKind.CODE: inputs["code"],
        NodeKind.ENVIRONMENT: inputs["environment"],
    }
    data = node(graph, NodeKind.DATASET, inputs["datasetVersion"])
    assert data.attributes == {"name": "insurer", "rows_root": inputs["rowsRoot"], "rows": "6000"}
    assert only(graph.out(held.id, EdgeKind.ASSOCIATED_WITH)).key == "tester"
    assert len(graph.into(held.id, EdgeKind.PART_OF, NodeKind.STAGE)) == 8


def test_a_gate_has_its_verdict_its_findings_and_its_figures(
    graph: LineageGraph, asked_home: Path
) -> None:
    run = runs_of(graph)["stopped"]
    record = chain_of(asked_home / "runs" / run).records()[5]
    held = node(graph, NodeKind.STAGE, f"{run}/release_gate").attributes
    assert (held["status"], held["record"]) == ("FAIL", record.digest)
    assert held["reason"] == record.body["verdict"]["reason"]
    assert held["finding:limit:opportunity-sex"] == "FAIL"
    assert held["finding:limit:auc"] == "PASS"
    native = {(m["name"], m["slice"]): m["value"] for m in record.body["nativeMeasurements"]}
    assert held["figure:roc_auc@overall"] == native["roc_auc", "overall"]
    figures = [name for name in held if name.startswith(FIGURE)]
    assert len(figures) > 50
    assert not any(
        name.startswith(FIGURE)
        for name in node(graph, NodeKind.STAGE, f"{run}/transform").attributes
    )


def test_what_a_stage_left_behind_leads_back_to_it(graph: LineageGraph, asked_home: Path) -> None:
    run = runs_of(graph)["first"]
    for record in chain_of(asked_home / "runs" / run).records()[:-1]:
        for name, output in record.body["outputs"].items():
            kind = NodeKind.MODEL if name in ("model", "serving_model") else NodeKind.ARTIFACT
            made = f"{kind}/{output['sha256']}"
            edge = Edge(made, EdgeKind.GENERATED_BY, f"stage/{run}/{record.stage}", name)
            assert edge in graph.edges


def test_releases_say_what_they_hand_out_and_what_they_replace(
    graph: LineageGraph, asked_home: Path
) -> None:
    runs, known = runs_of(graph), read_releases(asked_home, "insurer", "tfx")
    kinds = [n.attributes["kind"] for n in graph.of_kind(NodeKind.RELEASE)]
    assert kinds == ["release", "waived", "rollback"]
    for release, run in zip(known, ("first", "waived", "put back"), strict=True):
        held = node(graph, NodeKind.RELEASE, f"insurer/tfx/{release.number}")
        assert only(graph.out(held.id, EdgeKind.GENERATED_BY)).key == runs[run]
        assert only(graph.out(held.id, EdgeKind.DERIVED_FROM)).key == release.model
    before = graph.out("release/insurer/tfx/3", EdgeKind.INFORMED_BY)
    assert [n.id for n in before] == ["release/insurer/tfx/2"]
    assert "supersedes" not in node(graph, NodeKind.RELEASE, "insurer/tfx/1").attributes
    back = graph.out(f"run/{runs['put back']}", EdgeKind.INFORMED_BY)
    assert [n.key for n in back] == [runs["first"]]


def test_a_waiver_is_what_the_gate_used(graph: LineageGraph) -> None:
    waiver = only(graph.of_kind(NodeKind.WAIVER))
    gate = only(graph.into(waiver.id, EdgeKind.USED))
    assert gate.key == f"{runs_of(graph)['waived']}/release_gate"
    held = dict(waiver.attributes)
    assert held.pop("expires") > "2026"
    assert held == {"reason": REASON, "signer": "ana", "cosigner": "bo"}


def test_a_stack_or_some_runs_alone(asked_home: Path, graph: LineageGraph) -> None:
    everything = EvidenceLineage(asked_home).read()
    assert everything.entries == {}
    assert {n.attributes["stack"] for n in everything.graph.of_kind(NodeKind.RUN)} == set(STACKS)
    assert len(everything.graph.of_kind(NodeKind.RUN)) == 10
    assert len(graph.of_kind(NodeKind.RUN)) == 5
    run = runs_of(graph)["put back"]
    alone = EvidenceLineage(asked_home).read([run])
    assert [n.key for n in alone.graph.of_kind(NodeKind.RUN)] == [run]
    assert [n.key for n in alone.graph.of_kind(NodeKind.RELEASE)] == ["insurer/tfx/3"]
    assert 0 < alone.queries < everything.queries


def test_many_runs_are_read_by_several_processes(
    asked_home: Path, graph: LineageGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence_runs, "_FEW", 2)
    again = EvidenceLineage(asked_home, "tfx").read().graph
    assert again.nodes == graph.nodes
    assert again.edges == graph.edges


def test_a_run_that_goes_on_is_unfinished_and_one_without_a_record_is_none(
    home: Path, graph: LineageGraph
) -> None:
    run = runs_of(graph)["leaked"]
    for path in (home / "runs" / run / "evidence").glob("*-close.json"):
        path.unlink()
    (home / "runs" / "20261122T120000Z-tfx-plain-1a2b3c" / "evidence").mkdir(parents=True)
    again = EvidenceLineage(home, "tfx").read().graph
    assert node(again, NodeKind.RUN, run).attributes["outcome"] == "unfinished"
    assert "finished" not in node(again, NodeKind.RUN, run).attributes
    assert len(again.of_kind(NodeKind.RUN)) == 5


def rows_said(home: Path) -> set[str | None]:
    """The number of rows of each dataset version, None where it is not known."""
    data = EvidenceLineage(home, "tfx").read().graph.of_kind(NodeKind.DATASET)
    return {d.attributes.get("rows") for d in data}


def test_rows_are_told_by_the_manifest_that_the_records_name_or_by_the_data_gate(
    home: Path, graph: LineageGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = {str(r.rows) for r in read_runs(_directories(home), HomeKeys(home).trusted())}
    assert counted == {"6000", "None"}  # a run that goes on from another has no data gate
    monkeypatch.setattr(evidence_runs, "_ALL_ROWS", "no rule of any record")
    assert rows_said(home) == {"6000"}
    for manifest in (home / "datasets").glob("*/*/manifest.json"):
        manifest.write_bytes(manifest.read_bytes().replace(b"6000", b"9000"))
    assert rows_said(home) == {None}
    monkeypatch.undo()
    assert rows_said(home) == {"6000"}


@pytest.mark.parametrize("counted", [6000, None])
def test_rows_are_not_known_where_the_record_hides_a_small_number(
    tmp_path: Path, counted: int | None
) -> None:
    draft = small_bundle.blocked()
    measured = {"name": "rows", "value": None, "n": counted}
    found = {"rule": "row_count:least", "status": "PASS", "reason": "", "measurement": measured}
    draft.body("data_gate")["referee"]["findings"].append(found)
    for name, raw in small_bundle.sources(draft).items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw)
    run = read_run(tmp_path / "runs" / draft.run, {"home": small_bundle.raw_key("home")})
    assert run is not None
    assert run.rows == counted


def _directories(home: Path) -> list[Path]:
    return sorted((home / "runs").iterdir())


# What is not as it was written.


def flip(path: Path) -> None:
    """Change a byte in the middle of a file."""
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)


def broken(home: Path, stack: str = "tfx") -> str:
    """What reading says of a home that was changed."""
    with pytest.raises(EvidenceError) as caught:
        EvidenceLineage(home, stack).read()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["0001-ingest.json", "0006-release_gate.json", "0009-close.json"])
def test_a_changed_record_is_named_with_its_run(home: Path, graph: LineageGraph, name: str) -> None:
    run = runs_of(graph)["first"]
    flip(home / "runs" / run / "evidence" / name)
    message = broken(home)
    assert run in message
    assert name in message
    EvidenceLineage(home, "pytorch").read()


def test_a_missing_record_is_noticed(home: Path, graph: LineageGraph) -> None:
    run = runs_of(graph)["first"]
    (home / "runs" / run / "evidence" / "0003-data_gate.json").unlink()
    assert run in broken(home)


def test_another_signer_is_not_believed(home: Path) -> None:
    for path in (home / "keys").glob("evidence*"):
        path.unlink()
    new_key(home / "keys", "evidence")
    assert "not trusted" in broken(home)


@pytest.mark.parametrize("name", ["contract.yaml", "policy.yaml"])
def test_a_run_is_bound_to_its_documents(home: Path, graph: LineageGraph, name: str) -> None:
    run = runs_of(graph)["first"]
    path = home / "runs" / run / name
    path.write_text(path.read_text() + "\n")
    assert broken(home) == f"run {run}: {name} is not the one that the run was bound to"
    path.unlink()
    assert f"run {run}: {name} cannot be read" in broken(home)


def test_a_changed_release_is_named(home: Path) -> None:
    flip(home / "releases" / "insurer" / "tfx" / "000002.json")
    assert broken(home).startswith("releases/insurer/tfx: 000002.json")


@pytest.mark.parametrize("field", ["model", "head"])
def test_a_release_is_what_its_run_came_to_whoever_signed_it(home: Path, field: str) -> None:
    last = read_releases(home, "insurer", "tfx")[-1]
    (home / "releases" / "insurer" / "tfx" / "000003.json").unlink()
    held = {k: getattr(last, k) for k in ("run", "candidate", "model", "head", "policy")}
    said = {**held, "contract": last.contract, "actor": "eve", "at": last.at.isoformat()}
    write_release(home, "insurer", "tfx", {**said, field: "0" * 64})
    assert "releases/insurer/tfx/000003.json is not what run" in broken(home)


def test_a_release_without_its_run(home: Path, graph: LineageGraph) -> None:
    shutil.rmtree(home / "runs" / runs_of(graph)["put back"])
    assert "000003.json" in broken(home)


def test_a_run_goes_on_from_one_that_is_there_and_as_it_was(
    home: Path, graph: LineageGraph
) -> None:
    runs = runs_of(graph)
    kept = home / "runs" / runs["stopped"]
    (kept / "evidence" / "0007-close.json").unlink()
    assert f"run {runs['stopped']} is not as it was" in broken(home)
    shutil.rmtree(kept)
    assert f"run {runs['stopped']}, which {runs['waived']} continues" in broken(home)


def test_a_changed_waiver_is_named(home: Path) -> None:
    path = home / "waivers" / "insurer" / "tfx" / "000001.json"
    flip(path)
    assert broken(home).startswith("waivers/insurer/tfx/000001.json: ")


def test_waivers_are_numbered_without_a_gap(home: Path) -> None:
    folder = home / "waivers" / "insurer" / "tfx"
    (folder / "000001.json").rename(folder / "000002.json")
    assert "waivers/insurer/tfx/000002.json" in broken(home)


def test_a_home_without_runs_and_a_run_that_is_not_there(home: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no runs"):
        EvidenceLineage(tmp_path / "nowhere").read()
    for name in ("20261122T120000Z-tfx-plain-000000", "../keys", ".."):
        with pytest.raises(InputError, match="no run"):
            EvidenceLineage(home).read([name])


def test_a_run_that_was_not_imported_is_no_tampering(home: Path) -> None:
    """A bundle brings the whole history of releases, and of its runs those that it is about."""
    runs = runs_of(EvidenceLineage(home, "tfx").read().graph)
    shutil.rmtree(home / "runs" / runs["waived"])
    with pytest.raises(EvidenceError, match=f"run {runs['waived']} is not there"):
        EvidenceLineage(home, "tfx").read()
    record_access(home, "import", [runs["first"]], "sound")
    with pytest.raises(EvidenceError, match="is not there"):  # put back was made here
        EvidenceLineage(home, "tfx").read()
    record_access(home, "import", [runs["put back"]], "sound")
    with pytest.raises(InputError, match=f"has no run {runs['waived']}, which made release 2"):
        EvidenceLineage(home, "tfx").read()
