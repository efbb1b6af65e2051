"""A lineage graph as W3C PROV-JSON (https://www.w3.org/Submission/prov-json/), by the library prov.

Runs and stages are activities, actors are agents, all else are entities. A graph's relations are
PROV's own but for one: that a stage is part of a run is Dublin Core's ``isPartOf``. The reasons of
verdicts, and figures and findings stay behind: they are about people, and provenance is not.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from components.contract.errors import EvidenceError
from components.lineage.digests import canonical_json
from components.lineage.graph import Edge, EdgeKind, LineageGraph, Node, NodeKind

if TYPE_CHECKING:
    from prov.model import ProvDocument

NAMESPACE = "urn:assay:lineage:"
_DCTERMS = "http://purl.org/dc/terms/"
_ACTIVITIES = frozenset({NodeKind.RUN, NodeKind.STAGE})
_TIMES = ("started", "finished")
_OWN = frozenset({*_TIMES, "reason"})
"""Attributes of an activity that have a place of their own in PROV, or none."""
_STAY = ("figure:", "finding:")


def prov_json(graph: LineageGraph) -> bytes:
    """A graph as PROV-JSON, canonical: the same graph gives the same bytes.

    Raises:
        EvidenceError: a time in the graph is none, or an edge is of a kind that its ends rule out.
    """
    stream = io.StringIO()
    prov_document(graph).serialize(stream, format="json")
    return canonical_json(json.loads(stream.getvalue())) + b"\n"


def prov_document(graph: LineageGraph) -> ProvDocument:
    """A graph as a document of the library prov.

    Raises:
        EvidenceError: as of ``prov_json``.
    """
    from prov.model import ProvDocument

    document = ProvDocument()
    document.add_namespace("assay", NAMESPACE)
    document.add_namespace("dcterms", _DCTERMS)
    for key in sorted(graph.nodes):
        _add_node(document, graph, graph.nodes[key])
    for edge in graph.edges:
        if edge.kind != EdgeKind.PART_OF:
            _add_edge(document, graph, edge)
    return document


def _add_node(document: ProvDocument, graph: LineageGraph, node: Node) -> None:
    name = _name(node.id)
    attributes: list[tuple[str, Any]] = [("prov:type", f"assay:{node.kind}")]
    attributes += [
        (f"assay:{key}", value)
        for key, value in sorted(node.attributes.items())
        if not key.startswith(_STAY) and not (node.kind in _ACTIVITIES and key in _OWN)
    ]
    if node.kind in _ACTIVITIES:
        for whole in graph.out(node.id, EdgeKind.PART_OF):
            attributes.append(("dcterms:isPartOf", document.valid_qualified_name(_name(whole.id))))
        started, finished = (node.time(t) for t in _TIMES)
        document.activity(name, started, finished, attributes)
    elif node.kind == NodeKind.ACTOR:
        document.agent(name, attributes)
    else:
        document.entity(name, attributes)


def _add_edge(document: ProvDocument, graph: LineageGraph, edge: Edge) -> None:
    """One relation; its kind and whether its source is an activity say which of PROV's it is."""
    source, target = _name(edge.source), _name(edge.target)
    active = graph.nodes[edge.source].kind in _ACTIVITIES
    role: Mapping[str, str] | None = {"prov:role": edge.role} if edge.role else None
    match edge.kind, active:
        case EdgeKind.USED, True:
            document.used(source, target, other_attributes=role)
        case EdgeKind.GENERATED_BY, False:
            document.wasGeneratedBy(source, target, other_attributes=role)
        case EdgeKind.ASSOCIATED_WITH, True:
            document.wasAssociatedWith(source, target, other_attributes=role)
        case EdgeKind.ASSOCIATED_WITH, False:
            document.wasAttributedTo(source, target, other_attributes=role)
        case EdgeKind.INFORMED_BY, True:
            document.wasInformedBy(source, target, other_attributes=role)
        case (EdgeKind.INFORMED_BY, False) | (EdgeKind.DERIVED_FROM, False):
            document.wasDerivedFrom(source, target, other_attributes=role)
        case _:
            raise EvidenceError(f"{edge.source} cannot stand in {edge.kind} with {edge.target}")


def _name(node: str) -> str:
    """A node's qualified name; what a local name may not hold is percent-encoded."""
    return "assay:" + quote(node, safe="/")
