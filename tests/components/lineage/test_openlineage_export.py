"""OpenLineage events: valid by the standard's schemas and ours, and nothing that nobody knows."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import ValidationError

from components.contract.errors import EvidenceError
from components.lineage.graph import EdgeKind, GraphBuilder, LineageGraph, NodeKind
from components.lineage.openlineage_export import openlineage_events, run_uuid
from tests.components.lineage.openlineage_spec import OURS, check_event, check_facet
from tests.components.lineage.sample_graph import (
    DATA,
    DOCUMENTS,
    GIT,
    MODEL,
    RUN,
    SIGNATURE,
    WAIVER,
    builder,
    clock,
    graph,
)

Event = dict[str, Any]


def events(of: LineageGraph, documents: Any = DOCUMENTS) -> list[Event]:
    """The events of a graph, each checked against every schema that it names."""
    found = [json.loads(line) for line in openlineage_events(of, documents).splitlines()]
    for event in found:
        check_event(event)
    return found


@pytest.fixture(scope="module")
def exported() -> list[Event]:
    """The events of the sample."""
    return events(graph())


def one(found: list[Event], stage: str, kind: str) -> Event:
    """The one event of a stage and of a kind; the run's own where the stage is empty."""
    job = f"clinic.tfx.{stage}" if stage else "clinic.tfx"
    (event,) = [e for e in found if e["job"]["name"] == job and e["eventType"] == kind]
    return event


def test_every_facet_of_the_standard_and_of_ours_is_written(exported: list[Event]) -> None:
    names = {name for event in exported for name in check_event(event)}
    assert names == {
        "parent", "test", "schema", "version", "columnLineage", "dataQualityAssertions",
        "sourceCodeLocation", "assay_run", "assay_policy", "assay_verdict", "assay_evidence",
        "assay_figures", "assay_release", "assay_model", "assay_rows",
    }  # fmt: skip
    assert len(list(OURS.glob("*.json"))) == len([n for n in names if n.startswith("assay_")])


def test_each_stage_starts_and_ends_once_within_its_run(exported: list[Event]) -> None:
    kinds = [(e["job"]["name"].removeprefix("clinic.tfx"), e["eventType"]) for e in exported]
    assert kinds == [
        ("", "START"),
        (".ingest", "START"),
        (".ingest", "COMPLETE"),
        (".data_gate", "START"),
        (".data_gate", "COMPLETE"),
        (".train", "START"),
        (".train", "COMPLETE"),
        (".release_gate", "START"),
        (".release_gate", "FAIL"),
        (".push", "START"),
        (".push", "COMPLETE"),
        (".score", "START"),
        (".score", "COMPLETE"),
        ("", "COMPLETE"),
    ]
    for event in exported[1:-1]:
        parent = event["run"]["facets"]["parent"]
        assert parent["run"]["runId"] == exported[0]["run"]["runId"] == run_uuid(RUN)
        assert parent["job"] == {"namespace": "assay", "name": "clinic.tfx"}
    assert "parent" not in exported[0]["run"]["facets"]
    assert exported[1]["eventTime"] == clock(2)


def test_run_ids_are_of_version_5_and_differ(exported: list[Event]) -> None:
    ids = {e["run"]["runId"] for e in exported}
    assert len(ids) == 7
    assert {UUID(i).version for i in ids} == {5}
    assert run_uuid("r", "train") != run_uuid("r/train") != run_uuid("r")
    assert run_uuid("r", "train") == "03b6a946-8f4a-53a0-ac35-e41568f2ee40"


def test_the_dataset_has_its_version_columns_and_rows(exported: list[Event]) -> None:
    for stage in ("ingest", "data_gate", "train", "release_gate", "score"):
        (data,) = [d for d in one(exported, stage, "START")["inputs"] if d["name"] == "clinic"]
        assert data["facets"]["version"]["datasetVersion"] == DATA
        fields = data["facets"]["schema"]["fields"]
        assert fields == [
            {"name": "age", "type": "number"},
            {"name": "sex", "type": "string"},
            {"name": "ill", "type": "integer"},
        ]
        assert data["facets"]["assay_rows"]["rows"] == "1200"
    assert {d["name"] for d in one(exported, "push", "START")["inputs"]} == {"clinic.tfx.model"}


def test_the_data_gate_asserts_rule_by_rule_and_inconclusive_is_no_success(
    exported: list[Event],
) -> None:
    (data,) = one(exported, "data_gate", "COMPLETE")["inputs"]
    assert data["inputFacets"]["dataQualityAssertions"]["assertions"] == [
        {
            "assertion": "nulls",
            "column": "age",
            "name": "nulls:age",
            "params": {"status": "PASS"},
            "success": True,
        },
        {
            "assertion": "row_count",
            "name": "row_count:least",
            "params": {"status": "INCONCLUSIVE"},
            "success": False,
        },
    ]
    (before,) = one(exported, "data_gate", "START")["inputs"]
    assert before["inputFacets"] == {}


def test_a_closed_gate_says_by_which_rule_and_by_which_figures(exported: list[Event]) -> None:
    facets = one(exported, "release_gate", "FAIL")["run"]["facets"]
    assert facets["assay_verdict"]["status"] == "FAIL"
    assert facets["assay_verdict"]["waiver"] == WAIVER
    (test,) = facets["test"]["tests"]
    assert (test["name"], test["status"], test["type"]) == ("limit:auc", "fail", "limit")
    assert facets["assay_figures"]["figures"] == [
        {"name": "roc_auc", "slice": "overall", "value": "0.8"},
        {"name": "selection_rate_ratio", "slice": "sex", "value": "0.71"},
    ]
    assert facets["assay_evidence"]["record"] == f"{8:064d}"
    assert facets["assay_policy"]["policy"] == "7" * 64


def test_scores_come_from_the_models_inputs_and_those_of_a_champion_do_not(
    exported: list[Event],
) -> None:
    made = {
        d["name"]: d["facets"].get("columnLineage", {}).get("fields")
        for event in exported
        for d in event["outputs"]
    }
    inputs = [{"namespace": "assay", "name": "clinic", "field": "age"}]
    for name in ("train.scores", "release_gate.predictions", "score.predictions"):
        (field,) = made[f"clinic.tfx.{name}"]["score"]["inputFields"]
        transformations = field.pop("transformations")
        assert [t["type"] for t in transformations] == ["DIRECT"]
        assert [field] == inputs
    assert made["clinic.tfx.release_gate.champion_predictions"] is None
    assert made["clinic.tfx.ingest.rows"] is None


def test_a_model_goes_by_one_name_with_digest_seed_and_signature(exported: list[Event]) -> None:
    trained = {d["name"]: d for d in one(exported, "train", "COMPLETE")["outputs"]}
    (pushed,) = one(exported, "push", "COMPLETE")["outputs"]
    (taken,) = one(exported, "push", "START")["inputs"]
    assert trained["clinic.tfx.model"]["facets"] == pushed["facets"] == taken["facets"]
    model = pushed["facets"]["assay_model"]
    assert (model["sha256"], model["seed"], model["signature"]) == (MODEL, "7", SIGNATURE)


def test_what_a_stage_took_in_goes_by_the_name_of_what_another_left(exported: list[Event]) -> None:
    (made,) = one(exported, "ingest", "COMPLETE")["outputs"]
    taken = {d["name"]: d["facets"]["version"] for d in one(exported, "score", "START")["inputs"]}
    assert taken[made["name"]] == made["facets"]["version"]


def test_the_code_is_a_git_revision_without_a_place(exported: list[Event]) -> None:
    for event in exported:
        source = event["job"]["facets"]["sourceCodeLocation"]
        assert (source["type"], source["version"]) == ("git", GIT)
        assert source["url"] == f"swh:1:rev:{GIT}"


def test_the_end_of_the_run_says_what_it_came_to(exported: list[Event]) -> None:
    start, end = exported[0]["run"]["facets"], exported[-1]["run"]["facets"]
    assert "outcome" not in start["assay_run"]
    assert end["assay_run"]["outcome"] == "released"
    assert end["assay_evidence"]["record"] == "9" * 64
    release = end["assay_release"]
    assert (release["release"], release["model"]) == ("clinic/tfx/2", MODEL)
    assert (release["supersedes"], release["waiver"]) == ("1", WAIVER)


@pytest.mark.parametrize(
    ("outcome", "ends"),
    [
        ("released", ["COMPLETE"]),
        ("blocked", ["FAIL"]),
        ("interrupted", ["ABORT"]),
        ("unfinished", []),
    ],
)
def test_a_rejection_is_not_a_crash_and_neither_is_a_success(outcome: str, ends: list[str]) -> None:
    found = [e for e in events(builder(outcome).build()) if e["job"]["name"] == "clinic.tfx"]
    assert [e["eventType"] for e in found] == ["START", *ends]


@pytest.mark.parametrize(
    ("status", "kind"), [("INCONCLUSIVE", "FAIL"), ("FAILED", "ABORT"), ("PASS", "COMPLETE")]
)
def test_how_a_stage_ended(status: str, kind: str) -> None:
    build = GraphBuilder()
    run = build.node(NodeKind.RUN, "r")
    stage = build.node(
        NodeKind.STAGE, "r/train", status=status, started=clock(1), finished=clock(2)
    )
    build.edge(stage, EdgeKind.PART_OF, run)
    assert [e["eventType"] for e in events(build.build())] == ["START", kind]


def test_what_the_graph_does_not_know_is_left_out() -> None:
    """A bare run: no dataset, code, policy or figures; nor anything empty in their place."""
    build = GraphBuilder()
    run = build.node(NodeKind.RUN, "r")
    for stage, times in (("train", {"started": clock(1)}), ("push", {"finished": clock(2)})):
        node = build.node(NodeKind.STAGE, f"r/{stage}", **times)
        build.edge(node, EdgeKind.PART_OF, run)
    (event,) = events(build.build())
    assert (event["job"]["name"], event["eventType"]) == ("run.train", "START")
    assert (event["inputs"], event["outputs"], event["job"]["facets"]) == ([], [], {})
    assert list(event["run"]["facets"]) == ["parent"]


def test_without_the_contract_no_column_is_named() -> None:
    found = events(graph(), {})
    names = {name for event in found for name in check_event(event)}
    assert not {"schema", "columnLineage"} & names
    (data,) = one(found, "data_gate", "COMPLETE")["inputs"]
    judged = data["inputFacets"]["dataQualityAssertions"]["assertions"]
    assert [a["name"] for a in judged] == ["nulls:age", "row_count:least"]
    assert not any("column" in a for a in judged)


def test_a_store_that_names_two_policies_is_not_believed_about_either() -> None:
    build = builder()
    build.edge(f"run/{RUN}", EdgeKind.USED, build.node(NodeKind.POLICY, "e" * 64))
    facets = one(events(build.build()), "train", "COMPLETE")["run"]["facets"]
    assert facets["assay_policy"].keys() == {"_producer", "_schemaURL", "contract"}


def test_no_reason_of_a_verdict_is_handed_out(exported: list[Event]) -> None:
    assert "too few" not in json.dumps(exported)


@pytest.mark.parametrize("code", ["assay 1.0", "git:main", f"git:{'a' * 41}", "x-git:" + GIT])
def test_code_without_a_revision_has_no_location(code: str) -> None:
    build = GraphBuilder()
    run = build.node(NodeKind.RUN, "r", started=clock(0))
    build.edge(run, EdgeKind.USED, build.node(NodeKind.CODE, code))
    (event,) = events(build.build())
    assert event["job"]["facets"] == {}
    assert event["run"]["facets"]["assay_run"]["code"] == code


def test_a_time_that_is_none_is_refused() -> None:
    build = GraphBuilder()
    build.node(NodeKind.RUN, "r", started="this morning")
    with pytest.raises(EvidenceError, match="run/r: started is no time"):
        openlineage_events(build.build(), {})


def test_the_same_graph_gives_the_same_bytes_in_whatever_order_it_was_built() -> None:
    first = graph()
    turned = LineageGraph(
        dict(reversed(first.nodes.items())), [*reversed(first.edges), *first.edges]
    )
    content = openlineage_events(first, DOCUMENTS)
    assert content == openlineage_events(turned, DOCUMENTS)
    assert content.endswith(b"\n")
    assert all(line for line in content.splitlines())


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("assay_model", {"sha256": "short"}),
        ("assay_model", {"weights": "1"}),
        ("assay_verdict", {"_schemaURL": "urn:assay:other"}),
        ("assay_figures", {"figures": [{"name": "n", "slice": "s", "value": "high"}]}),
        ("parent", {"run": {"runId": "no-uuid"}}),
        ("test", {"tests": [{"name": "n", "status": "maybe"}]}),
        ("version", {"datasetVersion": 1}),
    ],
)
def test_the_schemas_refuse_what_is_not_so(
    exported: list[Event], name: str, change: dict[str, Any]
) -> None:
    """The check that all other tests here lean on finds faults."""
    holders = [h for e in exported for h in (e["run"], *e["inputs"], *e["outputs"])]
    facet = next(h["facets"][name] for h in holders if name in h["facets"])
    check_facet(name, facet)
    with pytest.raises((ValidationError, KeyError)):
        check_facet(name, {**facet, **change})


@pytest.mark.parametrize("field", ["run", "job", "eventTime", "producer"])
def test_an_event_that_lacks_what_the_standard_requires_is_refused(
    exported: list[Event], field: str
) -> None:
    with pytest.raises(ValidationError):
        check_event({k: v for k, v in exported[1].items() if k != field} | _rest(field))


def _rest(field: str) -> Event:
    """What the check itself walks over must be there, though not as it should be."""
    return {"run": {"run": {}}, "job": {"job": {}}}.get(field, {})


_TEXT = st.text(max_size=12)


@given(
    attributes=st.dictionaries(
        st.sampled_from(["candidate", "actor", "continues", "native_id", "dataset"]), _TEXT
    ),
    rule=_TEXT.filter(bool),
    key=_TEXT.filter(bool),
)
def test_whatever_a_store_says_comes_out_as_valid_events(
    attributes: dict[str, str], rule: str, key: str
) -> None:
    build = GraphBuilder()
    run = build.node(NodeKind.RUN, key, started=clock(0), **attributes)
    stage = build.node(
        NodeKind.STAGE, f"{key}/data_gate", status="PASS", started=clock(1), finished=clock(2)
    )
    build.note(stage, f"finding:{rule}", "PASS")
    build.edge(stage, EdgeKind.PART_OF, run)
    build.edge(run, EdgeKind.USED, build.node(NodeKind.DATASET, DATA, name=rule))
    found = [json.loads(x) for x in openlineage_events(build.build(), {}).split(b"\n") if x]
    assert [e["eventType"] for e in found] == ["START", "START", "COMPLETE"]
    for event in found[1:]:
        check_event(event)
    assert found[2]["run"]["facets"]["test"]["tests"][0]["name"] == rule
