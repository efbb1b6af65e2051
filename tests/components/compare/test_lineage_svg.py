"""The drawing of the lineage: every node once, every edge, nothing over anything else."""

from __future__ import annotations

from itertools import combinations

import pytest

from components.compare.compare_report_links import Links
from components.compare.lineage_svg import draw
from components.lineage.graph import Edge, EdgeKind, LineageGraph, Node, NodeKind
from components.release.run_summary import RunSummary
from tests.compared import comparison


@pytest.fixture(scope="module")
def graph(pair: list[RunSummary]) -> LineageGraph:
    """The lineage of two released runs."""
    return comparison(pair).graph


def test_every_node_and_edge_is_drawn(graph: LineageGraph) -> None:
    drawn = draw(graph)
    assert {b.node.id for b in drawn.boxes} == graph.nodes.keys()
    assert len(drawn.links) == len(graph.edges)
    anchors = [b.anchor for b in drawn.boxes]
    assert len(set(anchors)) == len(anchors)
    told = sum(len(n) for n in drawn.out.values())
    assert told == sum(len(n) for n in drawn.into.values()) == len(graph.edges)


def test_no_box_lies_on_another_or_outside(graph: LineageGraph) -> None:
    drawn = draw(graph)
    width, height = drawn.box
    for a, b in combinations(drawn.boxes, 2):
        assert abs(a.x - b.x) >= width or abs(a.y - b.y) >= height, (a.label, b.label)
    assert all(0 <= b.x <= drawn.width - width for b in drawn.boxes)
    assert all(0 <= b.y <= drawn.height - height for b in drawn.boxes)


def test_stages_stand_in_their_order_and_what_is_released_on_the_right(
    graph: LineageGraph, pair: list[RunSummary]
) -> None:
    boxes = {b.node.id: b for b in draw(graph).boxes}
    stages = [boxes[f"stage/{pair[0].run_id}/{s.stage}"].y for s in pair[0].stages]
    assert stages == sorted(set(stages))
    releases = [b.x for b in boxes.values() if b.node.kind is NodeKind.RELEASE]
    assert len(releases) == 2
    assert set(releases) == {max(b.x for b in boxes.values())}


def test_a_run_that_continues_another_and_what_hangs_loose_are_drawn_too() -> None:
    nodes = {
        i: Node(i, kind)
        for i, kind in (
            ("run/a", NodeKind.RUN), ("run/b", NodeKind.RUN), ("model/m", NodeKind.MODEL),
            ("waiver/w", NodeKind.WAIVER), ("artifact/x", NodeKind.ARTIFACT),
        )
    }  # fmt: skip
    graph = LineageGraph(nodes, [Edge("run/b", EdgeKind.USED, "run/a")])
    drawn = draw(graph)
    assert len(drawn.boxes) == 5
    (link,) = drawn.links
    assert link.path.startswith("M")


def test_nothing_at_all_can_be_drawn() -> None:
    drawn = draw(LineageGraph({}, ()))
    assert (drawn.boxes, drawn.links) == ((), ())
    assert drawn.height > 0


def test_links_lead_to_records_and_only_to_what_is_there(pair: list[RunSummary]) -> None:
    run = pair[0]
    links = Links(run.directory, {run.run_id: run.directory}, None)
    text = f"see {run.run_id}, record release_gate; and no/such/file, `make`"
    pieces = list(links.pieces(text))
    assert "".join(p.text for p in pieces) == text
    (href,) = [p.href for p in pieces if p.href]
    assert href == "evidence/0006-release_gate.json"
    (href,) = [p.href for p in links.pieces(f"{run.run_id}, record nothing") if p.href]
    assert href == "evidence"


def test_labels_are_short(graph: LineageGraph) -> None:
    assert all(0 < len(b.label) <= 25 for b in draw(graph).boxes)
