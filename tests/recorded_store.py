"""A native store for tests: it says what the evidence says, until it is told to say otherwise."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from pathlib import Path

from components.audit.evidence_lineage import EvidenceLineage
from components.lineage.evidence import chain_of
from components.lineage.evidence_keys import HomeKeys
from components.lineage.graph import Edge, LineageGraph, Node, NodeKind, StoreReading
from components.lineage.receipts import write_receipt

Change = Callable[["RecordedStore"], object]


@dataclass
class RecordedStore:
    """Nodes, edges and entries that a test may change; ``looks`` counts how often it was read."""

    nodes: dict[str, Node]
    edges: list[Edge]
    entries: dict[str, dict[str, str]]
    name: str = "mlmd"
    looks: int = 0
    asked: list[Collection[str] | None] = field(default_factory=list)

    def read(self, runs: Collection[str] | None = None) -> StoreReading:
        """What it holds of all runs, or of some."""
        self.looks += 1
        self.asked.append(runs)
        of_runs = (NodeKind.RUN, NodeKind.STAGE)
        nodes = {
            name: node
            for name, node in self.nodes.items()
            if runs is None or node.kind not in of_runs or node.key.split("/")[0] in runs
        }
        edges = [e for e in self.edges if {e.source, e.target} <= nodes.keys()]
        held = {n: e for n, e in self.entries.items() if runs is None or n in runs}
        return StoreReading(LineageGraph(nodes, edges), held, 3)

    def say(self, node: str, attribute: str, value: str) -> None:
        """Another attribute of a node."""
        old = self.nodes[node]
        self.nodes[node] = Node(node, old.kind, {**old.attributes, attribute: value})

    def forget(self, run: str) -> None:
        """All that it holds of a run."""
        del self.entries[run]
        del self.nodes[f"run/{run}"]


def recorded_store(home: Path, stack: str = "tfx") -> RecordedStore:
    """A store that says what the evidence of a home says, each attribute of a run as an entry."""
    graph = EvidenceLineage(home, stack).read().graph
    entries = {
        run.key: {
            f"{node.id}/{name}": value
            for node in (run, *graph.of_kind(NodeKind.STAGE))
            if node.key.split("/")[0] == run.key
            for name, value in node.attributes.items()
        }
        for run in graph.of_kind(NodeKind.RUN)
    }
    return RecordedStore(dict(graph.nodes), list(graph.edges), entries)


def sign_receipts(home: Path, store: RecordedStore) -> None:
    """A receipt of what the store holds of each run."""
    for run, entries in store.entries.items():
        directory = home / "runs" / run
        head = chain_of(directory).records()[-1].digest
        write_receipt(directory, head, store.name, entries, "nonce", HomeKeys(home))
