"""The lineage as a drawing that can be followed: what came from what, from left to right.

Each node is a link to the place on the page that tells of it, so it works by click, by keyboard,
and without a script.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from components.contract.stages import Stage
from components.lineage.graph import Edge, LineageGraph, Node, NodeKind

_COLUMNS = {
    NodeKind.RUN: 1,
    NodeKind.STAGE: 2,
    NodeKind.ARTIFACT: 3,
    NodeKind.MODEL: 3,
    NodeKind.RELEASE: 4,
}
"""Everything else is what runs take in, and stands in the first column."""

_LEFT, _STEP, _ROW, _WIDTH, _HEIGHT, _TOP, _GAP = 8, 232, 32, 176, 24, 34, 16
_TITLES = ("taken in", "runs", "stages", "left behind", "released")
_STAGES = {str(s): i for i, s in enumerate(Stage)}
_MOST_LABEL = 25


@dataclass(frozen=True, slots=True)
class Box:
    """A node where it stands; ``x`` and ``y`` are its upper left corner, in pixels."""

    node: Node
    anchor: str
    label: str
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Link:
    """An edge as a line: ``source`` depends on ``target``, both anchors; ``path`` is SVG's."""

    source: str
    target: str
    kind: str
    path: str


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An edge as its node tells it: how, as what, and the node at the other end."""

    kind: str
    role: str
    label: str
    anchor: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """All boxes and lines, and how large the picture is, in pixels.

    ``out`` and ``into`` have the edges of each node by its anchor.
    """

    boxes: tuple[Box, ...]
    links: tuple[Link, ...]
    out: Mapping[str, Sequence[Neighbour]]
    into: Mapping[str, Sequence[Neighbour]]
    titles: tuple[tuple[float, str], ...]
    width: int
    height: int
    box: tuple[int, int] = (_WIDTH, _HEIGHT)


def draw(graph: LineageGraph) -> Drawing:
    """Lay a graph out: a band for each run, its stages in order, what each left beside it."""
    places = _places(graph)
    roles = {e.source: e.role for e in graph.edges if e.role}
    order = sorted(places, key=lambda n: (places[n][0], places[n][1], n))
    boxes = {
        name: Box(
            graph.nodes[name],
            f"node-{index}",
            _label(graph.nodes[name], roles.get(name, "")),
            _LEFT + _STEP * places[name][0],
            _TOP + places[name][1],
        )
        for index, name in enumerate(order)
    }
    out, into = _neighbours(graph, boxes)
    bottom = max((b.y for b in boxes.values()), default=0)
    return Drawing(
        boxes=tuple(boxes.values()),
        links=tuple(_link(e, boxes) for e in graph.edges),
        out=out,
        into=into,
        titles=tuple((_LEFT + _STEP * i, t) for i, t in enumerate(_TITLES)),
        width=_LEFT * 2 + _STEP * (len(_TITLES) - 1) + _WIDTH,
        height=int(bottom) + _HEIGHT + _GAP,
    )


def _places(graph: LineageGraph) -> dict[str, tuple[int, float]]:
    """Column and distance from the top, in pixels, of every node."""
    places: dict[str, tuple[int, float]] = {}
    top = 0.0
    for run in sorted(graph.of_kind(NodeKind.RUN), key=lambda n: n.key):
        first = top
        for stage in _stages(graph, run):
            left = [n for n in _left_behind(graph, stage) if n.id not in places]
            places[stage.id] = (_COLUMNS[NodeKind.STAGE], top)
            for index, node in enumerate(left):
                places[node.id] = (_COLUMNS[node.kind], top + _ROW * index)
            top += _ROW * max(1, len(left))
        places[run.id] = (_COLUMNS[NodeKind.RUN], first)
        released = [e.source for e in graph.edges if e.target == run.id]
        for index, name in enumerate(r for r in released if r.startswith(f"{NodeKind.RELEASE}/")):
            places[name] = (_COLUMNS[NodeKind.RELEASE], max(first, top - _ROW * (index + 2)))
        top = max(top, first + _ROW) + _GAP
    free: dict[int, float] = defaultdict(float)
    free[_COLUMNS[NodeKind.MODEL]] = free[_COLUMNS[NodeKind.RELEASE]] = top
    for node in graph.nodes.values():
        if node.id not in places:
            column = _COLUMNS.get(node.kind, 0)
            places[node.id] = (column, free[column])
            free[column] += _ROW
    return places


def _stages(graph: LineageGraph, run: Node) -> list[Node]:
    names = {e.source for e in graph.edges if e.target == run.id}
    found = [graph.nodes[n] for n in names if graph.nodes[n].kind is NodeKind.STAGE]
    return sorted(found, key=lambda n: (_STAGES.get(n.key.rpartition("/")[2], 99), n.id))


def _left_behind(graph: LineageGraph, stage: Node) -> list[Node]:
    names = dict.fromkeys(e.source for e in graph.edges if e.target == stage.id)
    kinds = (NodeKind.ARTIFACT, NodeKind.MODEL)
    return [graph.nodes[n] for n in names if graph.nodes[n].kind in kinds]


def _label(node: Node, role: str) -> str:
    """What stands in a box: the shortest that tells it from the others.

    What a stage left behind goes by its role there: a store may call its file by a number.
    """
    told = {
        NodeKind.STAGE: node.key.rpartition("/")[2].replace("_", " "),
        NodeKind.RUN: f"{node.attributes.get('stack', '')} {node.attributes.get('outcome', '')}",
        NodeKind.ARTIFACT: (role or node.attributes.get("name", node.key[:12])).replace("_", " "),
        NodeKind.MODEL: f"{(role or 'model').replace('_', ' ')} {node.key[:8]}",
        NodeKind.RELEASE: f"release {'/'.join(node.key.split('/')[-2:])}",
    }.get(node.kind, f"{node.kind} {node.attributes.get('name') or node.key[:12]}")
    text = " ".join(told.split()) or node.id
    return text if len(text) <= _MOST_LABEL else text[: _MOST_LABEL - 1] + "…"


def _neighbours(
    graph: LineageGraph, boxes: Mapping[str, Box]
) -> tuple[dict[str, list[Neighbour]], dict[str, list[Neighbour]]]:
    out: dict[str, list[Neighbour]] = defaultdict(list)
    into: dict[str, list[Neighbour]] = defaultdict(list)
    for edge in graph.edges:
        a, b = boxes[edge.source], boxes[edge.target]
        kind = re.sub("([A-Z])", r" \1", str(edge.kind)).lower()
        out[a.anchor].append(Neighbour(kind, edge.role, b.label, b.anchor))
        into[b.anchor].append(Neighbour(kind, edge.role, a.label, a.anchor))
    return dict(out), dict(into)


def _link(edge: Edge, boxes: Mapping[str, Box]) -> Link:
    a, b = boxes[edge.source], boxes[edge.target]
    left, right = (b, a) if b.x <= a.x else (a, b)
    x1, y1 = left.x + _WIDTH, left.y + _HEIGHT / 2
    x2, y2 = (right.x, right.y + _HEIGHT / 2)
    if left.x == right.x:
        x2, bend = x1, 24.0
        path = f"M{x1:g} {y1:g}C{x1 + bend:g} {y1:g} {x2 + bend:g} {y2:g} {x2:g} {y2:g}"
    else:
        middle = (x2 - x1) / 2 if x2 - x1 < _STEP else _STEP / 4
        path = f"M{x1:g} {y1:g}C{x1 + middle:g} {y1:g} {x2 - middle:g} {y2:g} {x2:g} {y2:g}"
    return Link(a.anchor, b.anchor, str(edge.kind), path)
