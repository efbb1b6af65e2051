"""The lineage graph's nouns: what is put in comes out, and nothing hangs in the air."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract.errors import EvidenceError
from components.lineage.graph import Edge, EdgeKind, GraphBuilder, LineageGraph, Node, NodeKind


def _small() -> tuple[LineageGraph, str, str]:
    build = GraphBuilder()
    run = build.node(NodeKind.RUN, "r1", stack="tfx")
    stage = build.node(NodeKind.STAGE, "r1/train")
    build.edge(stage, EdgeKind.PART_OF, run)
    for digest in ("bb", "aa"):
        artifact = build.node(NodeKind.ARTIFACT, digest)
        build.edge(artifact, EdgeKind.GENERATED_BY, stage, role=f"out-{digest}")
    build.edge(build.node(NodeKind.MODEL, "cc"), EdgeKind.GENERATED_BY, stage, role="model")
    build.edge(run, EdgeKind.USED, build.node(NodeKind.CODE, "assay 1 sha256:x"))
    return build.build(), run, stage


def test_an_id_is_the_kind_and_the_key_though_the_key_has_slashes() -> None:
    node = Node("stage/r1/train", NodeKind.STAGE)
    assert node.key == "r1/train"
    assert GraphBuilder().node(NodeKind.RELEASE, "clinic/tfx/1") == "release/clinic/tfx/1"


def test_what_was_said_first_stays_and_what_is_empty_is_not_known() -> None:
    build = GraphBuilder()
    build.node(NodeKind.MODEL, "aa", name="m.onnx", seed=None, type="")
    build.node(NodeKind.MODEL, "aa", name="other", seed="7")
    build.note("model/aa", "figure:auc@overall", "0.7")
    build.note("model/aa", "figure:auc@overall", "0.8")
    build.note("model/aa", "location", None)
    node = build.build().nodes["model/aa"]
    assert node.attributes == {"name": "m.onnx", "seed": "7", "figure:auc@overall": "0.7"}


def test_a_graph_that_was_built_does_not_change_with_its_builder() -> None:
    build = GraphBuilder()
    build.node(NodeKind.RUN, "r1", stack="tfx")
    graph = build.build()
    build.node(NodeKind.RUN, "r1", actor="ana")
    assert graph.nodes["run/r1"].attributes == {"stack": "tfx"}


@pytest.mark.parametrize("end", ["source", "target"])
def test_an_edge_to_nothing_is_refused_by_its_name(end: str) -> None:
    build = GraphBuilder()
    run = build.node(NodeKind.RUN, "r1")
    ends = {"source": run, "target": run, end: "run/lost"}
    build.edge(ends["source"], EdgeKind.INFORMED_BY, ends["target"])
    with pytest.raises(EvidenceError, match="an edge leads to run/lost, which is no node"):
        build.build()


def test_it_is_asked_by_kind_and_by_direction() -> None:
    graph, run, stage = _small()
    assert [n.key for n in graph.of_kind(NodeKind.ARTIFACT)] == ["aa", "bb"]
    assert graph.of_kind(NodeKind.WAIVER) == []
    made = graph.into(stage, EdgeKind.GENERATED_BY)
    assert [n.id for n in made] == ["artifact/aa", "artifact/bb", "model/cc"]
    assert [n.id for n in graph.into(stage, EdgeKind.GENERATED_BY, NodeKind.MODEL)] == ["model/cc"]
    assert [n.id for n in graph.out(stage, EdgeKind.PART_OF)] == [run]
    assert graph.out(stage, EdgeKind.USED) == []
    assert graph.out(run, EdgeKind.USED, NodeKind.DATASET) == []
    assert graph.out("run/nobody", EdgeKind.USED) == graph.into("run/x", EdgeKind.USED) == []


def test_edges_come_with_their_roles() -> None:
    graph, run, stage = _small()
    roles = {e.source: e.role for e in graph.edges_into(stage, EdgeKind.GENERATED_BY)}
    assert roles == {"artifact/aa": "out-aa", "artifact/bb": "out-bb", "model/cc": "model"}
    assert graph.edges_out(stage, EdgeKind.PART_OF) == [Edge(stage, EdgeKind.PART_OF, run)]
    assert graph.edges_out(run, EdgeKind.PART_OF) == []


def test_a_thing_that_was_made_twice_is_one_node_and_two_edges() -> None:
    build = GraphBuilder()
    stage = build.node(NodeKind.STAGE, "r1/train")
    model = build.node(NodeKind.MODEL, "aa")
    for role in ("model", "checkpoint", "model"):
        build.edge(model, EdgeKind.GENERATED_BY, stage, role=role)
    graph = build.build()
    assert [n.id for n in graph.into(stage, EdgeKind.GENERATED_BY)] == [model]
    assert [e.role for e in graph.edges] == ["checkpoint", "model"]


def test_a_time_is_one_with_its_zone_or_none() -> None:
    node = Node("run/r", NodeKind.RUN, {"started": "2026-01-02T03:04:05.000006+00:00"})
    assert node.time("started") == datetime(2026, 1, 2, 3, 4, 5, 6, UTC)
    assert node.time("finished") is None


@pytest.mark.parametrize("text", ["yesterday", "2026-01-02T03:04:05", "2026-01-02", "1e9"])
def test_a_time_that_is_none_is_named_by_its_place(text: str) -> None:
    with pytest.raises(EvidenceError, match="run/r: finished is no time in ISO 8601"):
        Node("run/r", NodeKind.RUN, {"finished": text}).time("finished")


_KEYS = st.tuples(st.sampled_from(NodeKind), st.text("ab/", min_size=1, max_size=3))
_ATTRIBUTES = st.dictionaries(st.sampled_from(["name", "seed"]), st.sampled_from(["", "1", "2"]))


@st.composite
def _parts(draw: st.DrawFn) -> tuple[list[tuple[NodeKind, str, dict[str, str]]], list[Edge]]:
    nodes = draw(st.lists(st.tuples(_KEYS, _ATTRIBUTES), min_size=1, max_size=8))
    named = [(kind, key, attributes) for (kind, key), attributes in nodes]
    ids = st.sampled_from([f"{kind}/{key}" for kind, key, _ in named])
    edge = st.builds(Edge, ids, st.sampled_from(EdgeKind), ids, st.sampled_from(["", "model"]))
    return named, draw(st.lists(edge, max_size=10))


def _built(nodes: list[tuple[NodeKind, str, dict[str, str]]], edges: list[Edge]) -> LineageGraph:
    build = GraphBuilder()
    for kind, key, attributes in nodes:
        build.node(kind, key, **attributes)
    for edge in edges:
        build.edge(edge.source, edge.kind, edge.target, edge.role)
    return build.build()


@given(_parts())
def test_every_edge_is_found_from_both_of_its_ends(
    parts: tuple[list[tuple[NodeKind, str, dict[str, str]]], list[Edge]],
) -> None:
    graph = _built(*parts)
    assert set(graph.edges) == set(parts[1])
    for edge in parts[1]:
        source, target = graph.nodes[edge.source], graph.nodes[edge.target]
        assert target in graph.out(edge.source, edge.kind, target.kind)
        assert source in graph.into(edge.target, edge.kind, source.kind)
        assert edge in graph.edges_out(edge.source, edge.kind)
        assert edge in graph.edges_into(edge.target, edge.kind)
    by_kind = [n for kind in NodeKind for n in graph.of_kind(kind)]
    assert sorted(n.id for n in by_kind) == sorted(graph.nodes)
    assert all(v for n in by_kind for v in n.attributes.values())


@given(_parts(), st.randoms(use_true_random=False))
def test_the_order_of_nodes_and_edges_does_not_matter(
    parts: tuple[list[tuple[NodeKind, str, dict[str, str]]], list[Edge]], chance: object
) -> None:
    nodes, edges = parts
    alone = list({(kind, key): (kind, key, a) for kind, key, a in nodes}.values())
    mixed, turned = list(alone), list(edges)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    chance.shuffle(turned)  # type: ignore[attr-defined]
    one, other = _built(alone, edges), _built(mixed, turned)
    assert one.edges == other.edges
    assert one.nodes == other.nodes
