"""PROV-JSON: PROV's own library reads back the very document, and it says what the graph says."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prov.model import ProvDocument

from components.contract.errors import EvidenceError
from components.lineage.graph import EdgeKind, GraphBuilder, LineageGraph, NodeKind
from components.lineage.prov_export import prov_document, prov_json
from tests.components.lineage.sample_graph import CODE, DATA, MODEL, RUN, clock, graph


def read(content: bytes) -> ProvDocument:
    """What the library's own deserialiser makes of some bytes."""
    return ProvDocument.deserialize(io.BytesIO(content), format="json")


@pytest.fixture(scope="module")
def exported() -> dict[str, Any]:
    """The sample as JSON."""
    document: dict[str, Any] = json.loads(prov_json(graph()))
    return document


def pairs(document: dict[str, Any], relation: str, first: str, second: str) -> set[tuple[str, str]]:
    """Both ends of every relation of a kind, without their prefix."""
    return {
        (r[f"prov:{first}"].removeprefix("assay:"), r[f"prov:{second}"].removeprefix("assay:"))
        for r in document.get(relation, {}).values()
    }


def test_the_library_reads_the_very_document_back() -> None:
    content = prov_json(graph())
    assert read(content) == prov_document(graph())
    assert read(content) != prov_document(LineageGraph(graph().nodes, graph().edges[1:]))
    assert prov_json(graph()) == content


def test_runs_and_stages_are_activities_with_their_times(exported: dict[str, Any]) -> None:
    assert set(exported["activity"]) == {f"assay:run/{RUN}"} | {
        f"assay:stage/{RUN}/{s}"
        for s in ("ingest", "data_gate", "train", "release_gate", "push", "score")
    }
    run = exported["activity"][f"assay:run/{RUN}"]
    assert (run["prov:startTime"], run["prov:endTime"]) == (clock(0), clock(59))
    assert run["assay:outcome"] == "released"
    assert run["prov:type"] == "assay:run"
    stage = exported["activity"][f"assay:stage/{RUN}/train"]
    assert stage["dcterms:isPartOf"]["$"] == f"assay:run/{RUN}"


def test_an_actor_is_an_agent_and_all_else_an_entity(exported: dict[str, Any]) -> None:
    assert set(exported["agent"]) == {"assay:actor/ana"}
    kinds = {name.removeprefix("assay:").partition("/")[0] for name in exported["entity"]}
    assert kinds == {
        "dataset", "contract", "policy", "code", "environment", "artifact", "model", "release",
        "waiver",
    }  # fmt: skip
    model = exported["entity"][f"assay:model/{MODEL}"]
    assert (model["assay:seed"], model["prov:type"]) == ("7", "assay:model")


def test_each_relation_is_provs_own(exported: dict[str, Any]) -> None:
    assert (f"run/{RUN}", f"dataset/{DATA}") in pairs(exported, "used", "activity", "entity")
    made = pairs(exported, "wasGeneratedBy", "entity", "activity")
    assert {(f"model/{MODEL}", f"stage/{RUN}/{s}") for s in ("train", "push")} <= made
    assert ("release/clinic/tfx/2", f"run/{RUN}") in made
    assert pairs(exported, "wasAssociatedWith", "activity", "agent") == {
        (f"run/{RUN}", "actor/ana")
    }
    assert pairs(exported, "wasAttributedTo", "entity", "agent") == {
        ("release/clinic/tfx/2", "actor/ana")
    }
    assert pairs(exported, "wasDerivedFrom", "generatedEntity", "usedEntity") == {
        (f"model/{MODEL}", f"dataset/{DATA}"),
        ("release/clinic/tfx/2", f"model/{MODEL}"),
        ("release/clinic/tfx/2", "release/clinic/tfx/1"),
    }
    roles = {r.get("prov:role") for r in exported["wasGeneratedBy"].values()}
    assert {"model", "serving_model", "predictions", None} <= roles


def test_a_run_that_went_on_from_another_was_informed_by_it() -> None:
    build = GraphBuilder()
    build.edge(build.node(NodeKind.RUN, "b"), EdgeKind.INFORMED_BY, build.node(NodeKind.RUN, "a"))
    document = json.loads(prov_json(build.build()))
    assert pairs(document, "wasInformedBy", "informed", "informant") == {("run/b", "run/a")}


def test_every_edge_is_there_once(exported: dict[str, Any]) -> None:
    relations = (
        "used", "wasGeneratedBy", "wasAssociatedWith", "wasAttributedTo", "wasDerivedFrom",
        "wasInformedBy",
    )  # fmt: skip
    written = sum(len(exported.get(r, {})) for r in relations)
    part_of = sum("dcterms:isPartOf" in a for a in exported["activity"].values())
    assert written + part_of == len(graph().edges)


def test_what_a_name_may_not_hold_is_percent_encoded(exported: dict[str, Any]) -> None:
    (name,) = [n for n in exported["entity"] if n.startswith("assay:code/")]
    assert " " not in name
    assert name == "assay:code/" + CODE.replace(" ", "%20").replace(":", "%3A")


def test_reasons_figures_and_findings_of_verdicts_stay(exported: dict[str, Any]) -> None:
    text = json.dumps(exported)
    for word in ("too few", "figure", "finding", "0.71"):
        assert word not in text
    waiver = next(v for k, v in exported["entity"].items() if k.startswith("assay:waiver/"))
    assert waiver["assay:reason"] == "a pilot"


def test_what_makes_no_sense_in_prov_is_refused() -> None:
    build = GraphBuilder()
    build.edge(build.node(NodeKind.MODEL, "a"), EdgeKind.USED, build.node(NodeKind.CODE, "b"))
    with pytest.raises(EvidenceError, match="model/a cannot stand in used with code/b"):
        prov_json(build.build())


def test_a_time_that_is_none_is_refused() -> None:
    build = GraphBuilder()
    build.node(NodeKind.STAGE, "r/train", finished="12:30")
    with pytest.raises(EvidenceError, match="stage/r/train: finished is no time"):
        prov_json(build.build())


@given(
    keys=st.lists(st.text(min_size=1, max_size=8), min_size=1, max_size=4, unique=True),
    text=st.text(min_size=1, max_size=20),
)
def test_any_text_goes_there_and_back(keys: list[str], text: str) -> None:
    build = GraphBuilder()
    run = build.node(NodeKind.RUN, "r", candidate=text, started=clock(1))
    for key in keys:
        build.edge(run, EdgeKind.USED, build.node(NodeKind.CODE, key, name=text), role=text)
    made = build.build()
    content = prov_json(made)
    assert read(content) == prov_document(made)
    assert len(json.loads(content)["entity"]) == len(keys)
