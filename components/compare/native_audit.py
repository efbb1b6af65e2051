"""What a stack's own store says of data and models, held against the files that lie on disk.

Nothing signed is looked at: this is as far as an auditor comes who has the store and the files.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from components.contract.errors import EvidenceError, InputError
from components.datasets.canonical import Dataset
from components.lineage.digests import sha256_file, sha256_tree
from components.lineage.graph import EdgeKind, LineageGraph, Node, NodeKind

_CHAMPION = "champion"


def native_audit(graph: LineageGraph, home: Path) -> list[str]:
    """Everything that does not fit together, a sentence each; empty where all does.

    Args:
        graph: what the store says.
        home: the home whose files it speaks of.
    """
    return [*_datasets(graph, home), *_files(graph, home), *_releases(graph)]


def _datasets(graph: LineageGraph, home: Path) -> Iterator[str]:
    for node in graph.of_kind(NodeKind.DATASET):
        directory = home / "datasets" / node.attributes.get("name", "") / node.key
        if not directory.is_dir():
            yield f"dataset version {node.key[:12]} is not on disk"
            continue
        try:
            dataset = Dataset.open(directory)
        except (EvidenceError, InputError):
            yield f"dataset version {node.key[:12]} is not what its manifest says"
            continue
        if dataset.version != node.key:
            yield f"the manifest of dataset version {node.key[:12]} has another digest"


def _files(graph: LineageGraph, home: Path) -> Iterator[str]:
    for kind in (NodeKind.MODEL, NodeKind.ARTIFACT):
        for node in graph.of_kind(kind):
            path = _place(node, home)
            if path is None or not path.exists():
                continue
            found = sha256_tree(path) if path.is_dir() else sha256_file(path)
            if found != node.key:
                name = node.attributes.get("name", node.key[:12])
                yield f"{kind} {name} has another digest on disk than in the store"


def _place(node: Node, home: Path) -> Path | None:
    location = node.attributes.get("location", "")
    if not location or ":" in location:
        return None
    path = (home / location).resolve()
    return path if path.is_relative_to(home.resolve()) else None


def _releases(graph: LineageGraph) -> Iterator[str]:
    for node in graph.of_kind(NodeKind.RELEASE):
        run = node.attributes.get("run", "")
        found = graph.nodes.get(f"run/{run}")
        if found is None:
            yield f"release {node.key} is of a run that the store does not know"
        elif found.attributes.get("outcome", "released") != "released":
            yield f"release {node.key} is of a run that was not released"
    for node in graph.of_kind(NodeKind.MODEL):
        if _CHAMPION in node.attributes.get("alias", "").split(", ") and not any(
            e.kind is EdgeKind.GENERATED_BY and e.source == node.id for e in graph.edges
        ):
            yield f"the model in use, {node.key[:12]}, came out of no run that the store knows"
