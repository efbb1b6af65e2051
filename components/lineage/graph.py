"""The lineage graph: data, code, runs, models, verdicts and releases, as read back from a store.

However a store keeps it, a thing has the same node id and its attributes the same names, so that
what two stores say of one thing can be held against each other. Relations are those of W3C PROV
(https://www.w3.org/TR/prov-o/): an edge leads from what depends to what it depends on.

Node ids are ``<kind>/<key>``:

====================== ======================= ===================================================
kind                   key                     attributes
====================== ======================= ===================================================
``dataset``            dataset version         ``name``, ``rows_root``, ``rows``
``contract, policy``   SHA-256                 ``dataset``
``code``               revision text           --
``environment``        SHA-256                 --
``run``                run id                  ``stack``, ``candidate``, ``dataset``, ``actor``,
                                               ``started``, ``finished``, ``outcome``, ``reason``,
                                               ``head``, ``continues``, ``seed``, ``native_id``
``stage``              run id ``/`` stage      ``status``, ``reason``, ``started``, ``finished``,
                                               ``tools``, ``native_id``, ``record`` (SHA-256 of
                                               its evidence record); each rule's status as
                                               ``finding:<rule>``; of a gate its figures, as
                                               ``figure:<name>@<slice>``
``artifact``           SHA-256                 ``name``, ``type``, ``location``
``model``              SHA-256                 ``name``, ``type``, ``location``, ``seed``
``release``            dataset/stack/number    ``kind``, ``at``, ``actor``, ``reason``, ``run``,
                                               ``model``, ``supersedes``, ``waiver``, ``version``
``waiver``             SHA-256                 ``reason``, ``expires``, ``signer``, ``cosigner``
``actor``              name                    --
====================== ======================= ===================================================

An attribute that a store does not know is absent, never empty. All values are text; times are ISO
8601 in UTC, digests are SHA-256 in hex, numbers are decimal strings.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Protocol

from components.contract.errors import EvidenceError


class NodeKind(StrEnum):
    """What a node stands for."""

    DATASET = "dataset"
    CONTRACT = "contract"
    POLICY = "policy"
    CODE = "code"
    ENVIRONMENT = "environment"
    RUN = "run"
    STAGE = "stage"
    ARTIFACT = "artifact"
    MODEL = "model"
    RELEASE = "release"
    WAIVER = "waiver"
    ACTOR = "actor"


class EdgeKind(StrEnum):
    """How one node depends on another; the names of PROV where PROV has one."""

    USED = "used"
    """A run or stage took a thing in."""
    GENERATED_BY = "wasGeneratedBy"
    """A thing came out of a stage; a release came out of a run."""
    PART_OF = "wasPartOf"
    """A stage belongs to a run."""
    ASSOCIATED_WITH = "wasAssociatedWith"
    """A run or release was an actor's doing."""
    DERIVED_FROM = "wasDerivedFrom"
    """A release hands out a model; a model was derived from a dataset version."""
    INFORMED_BY = "wasInformedBy"
    """A run went on from another; a release superseded another."""


@dataclass(frozen=True, slots=True)
class Node:
    """A thing. ``id`` is its kind, a slash and its key."""

    id: str
    kind: NodeKind
    attributes: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The id without its kind."""
        return self.id.partition("/")[2]

    def time(self, attribute: str) -> datetime | None:
        """An attribute that holds a time; None where the store does not know it.

        Raises:
            EvidenceError: it holds something else.
        """
        text = self.attributes.get(attribute)
        if text is None:
            return None
        try:
            found = datetime.fromisoformat(text)
        except ValueError:
            found = None
        if found is None or found.tzinfo is None:
            raise EvidenceError(f"{self.id}: {attribute} is no time in ISO 8601 with its zone")
        return found


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """``source`` depends on ``target``; both are node ids. ``role`` says as what, where it matters.

    For an artifact it is the output's name in the stage that made it.
    """

    source: str
    kind: EdgeKind
    target: str
    role: str = ""


class LineageGraph:
    """Nodes by id, and edges. Every edge's two ends are nodes."""

    def __init__(self, nodes: Mapping[str, Node], edges: Collection[Edge]) -> None:
        self.nodes = dict(nodes)
        self.edges = tuple(sorted(set(edges)))
        for edge in self.edges:
            for end in (edge.source, edge.target):
                if end not in self.nodes:
                    raise EvidenceError(f"an edge leads to {end}, which is no node")

    def of_kind(self, kind: NodeKind) -> list[Node]:
        """All nodes of a kind, in id order."""
        return self._by_kind.get(kind, [])

    def out(self, node: str, kind: EdgeKind, to: NodeKind | None = None) -> list[Node]:
        """What a node depends on in one way, in id order."""
        found = (self.nodes[e.target] for e in self._out.get(node, ()) if e.kind == kind)
        return _distinct(n for n in found if to in (None, n.kind))

    def into(self, node: str, kind: EdgeKind, of: NodeKind | None = None) -> list[Node]:
        """What depends on a node in one way, in id order."""
        found = (self.nodes[e.source] for e in self._into.get(node, ()) if e.kind == kind)
        return _distinct(n for n in found if of in (None, n.kind))

    def edges_out(self, node: str, kind: EdgeKind) -> list[Edge]:
        """As ``out``, the edges themselves, for their roles."""
        return [e for e in self._out.get(node, ()) if e.kind == kind]

    def edges_into(self, node: str, kind: EdgeKind) -> list[Edge]:
        """As ``into``, the edges themselves, for their roles."""
        return [e for e in self._into.get(node, ()) if e.kind == kind]

    @cached_property
    def _by_kind(self) -> dict[NodeKind, list[Node]]:
        found: dict[NodeKind, list[Node]] = defaultdict(list)
        for key in sorted(self.nodes):
            found[self.nodes[key].kind].append(self.nodes[key])
        return found

    @cached_property
    def _out(self) -> Mapping[str, list[Edge]]:
        found: dict[str, list[Edge]] = defaultdict(list)
        for edge in self.edges:
            found[edge.source].append(edge)
        return found

    @cached_property
    def _into(self) -> Mapping[str, list[Edge]]:
        found: dict[str, list[Edge]] = defaultdict(list)
        for edge in self.edges:
            found[edge.target].append(edge)
        return found


def _distinct(nodes: Iterator[Node]) -> list[Node]:
    return sorted({n.id: n for n in nodes}.values(), key=lambda n: n.id)


class GraphBuilder:
    """Collects nodes and edges in any order."""

    def __init__(self) -> None:
        self._nodes: dict[str, dict[str, str]] = {}
        self._kinds: dict[str, NodeKind] = {}
        self._edges: set[Edge] = set()

    def node(self, kind: NodeKind, key: str, /, **attributes: str | None) -> str:
        """Add a node, or what more is known of one; returns its id.

        What was said first stays. An attribute that is None or empty is not known.
        """
        name = f"{kind}/{key}"
        self._kinds[name] = kind
        known = self._nodes.setdefault(name, {})
        for attribute, value in attributes.items():
            if value:
                known.setdefault(attribute, value)
        return name

    def note(self, node: str, attribute: str, value: str | None) -> None:
        """As ``node``, for an attribute whose name is no Python name."""
        if value:
            self._nodes[node].setdefault(attribute, value)

    def edge(self, source: str, kind: EdgeKind, target: str, role: str = "") -> None:
        """Add an edge between two node ids."""
        self._edges.add(Edge(source, kind, target, role))

    def build(self) -> LineageGraph:
        """The graph.

        Raises:
            EvidenceError: an edge leads to a node that was never added.
        """
        nodes = {i: Node(i, self._kinds[i], dict(a)) for i, a in self._nodes.items()}
        return LineageGraph(nodes, self._edges)


Entries = Mapping[str, str]
"""Everything that a native store holds of one run, property by property: a path such as
``run/<id>/tag/assay.policy`` and its value as text."""


@dataclass(frozen=True, slots=True)
class StoreReading:
    """What one look into a store gave.

    ``entries`` maps a run id to all that the store holds of that run; evidence has none.
    ``queries`` counts the statements or calls that it took, which must not depend on how many runs
    there are.
    """

    graph: LineageGraph
    entries: Mapping[str, Entries]
    queries: int


class LineageStore(Protocol):
    """A store that lineage can be read back from: MLMD, MLflow, the evidence, or the next one."""

    @property
    def name(self) -> str:
        """``mlmd``, ``mlflow`` or ``evidence``."""

    def read(self, runs: Collection[str] | None = None) -> StoreReading:
        """Read the whole store, or only what it holds of some runs.

        Raises:
            InputError: it is not there, locked, or of a version that is not known.
            EvidenceError: it is there, and broken.
        """
