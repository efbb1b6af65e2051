"""What a stack's own store says of data and models, held against the files that lie on disk.

Nothing signed is looked at: this is as far as an auditor comes who has the store and the files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from components.contract.errors import EvidenceError, InputError
from components.datasets.canonical import Dataset
from components.lineage.digests import sha256_file, sha256_tree
from components.lineage.graph import LineageGraph, NodeKind, StoreReading

_CHAMPION = "champion"
_KEPT = "/file/"
_NAMED = 16  # a dataset version's folder is named by so many digits of it


def native_audit(reading: StoreReading, home: Path) -> list[str]:
    """Everything that does not fit together, a sentence each; empty where all does.

    Args:
        reading: what the store says, and the digests of the files that it keeps itself.
        home: the home whose files it speaks of.
    """
    graph = reading.graph
    kept = {v for e in reading.entries.values() for k, v in e.items() if _KEPT in k}
    return [*_datasets(graph, home), *_files(graph, home, kept), *_releases(graph)]


def _datasets(graph: LineageGraph, home: Path) -> Iterator[str]:
    for node in graph.of_kind(NodeKind.DATASET):
        directory = home / "datasets" / node.attributes.get("name", "") / node.key[:_NAMED]
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


def _files(graph: LineageGraph, home: Path, kept: Collection[str]) -> Iterator[str]:
    """A model lies where the store says, or in the store's own folders (``models:/``)."""
    for node in graph.of_kind(NodeKind.MODEL):
        location = node.attributes.get("location", "")
        if location.startswith("models:/"):
            if node.key not in kept:
                yield f"no file of {location} has the digest that it is registered with"
            continue
        path = home / location
        if not location or not path.resolve().is_relative_to(home.resolve()) or not path.exists():
            yield f"model {node.key[:12]} is not where the store says"
        elif (sha256_tree(path) if path.is_dir() else sha256_file(path)) != node.key:
            yield f"model {node.key[:12]} has another digest on disk"


def _releases(graph: LineageGraph) -> Iterator[str]:
    for node in graph.of_kind(NodeKind.RELEASE):
        run = node.attributes.get("run", "")
        found = graph.nodes.get(f"run/{run}")
        if found is None:
            yield f"release {node.key} is of a run that the store does not know"
        elif found.attributes.get("outcome", "released") != "released":
            yield f"release {node.key} is of a run that was not released"
    numbered = [n for n in graph.of_kind(NodeKind.RELEASE) if n.attributes.get("version")]
    if numbered and not any(
        _CHAMPION in n.attributes.get("alias", "").split(", ") for n in numbered
    ):
        yield "the alias of the model in use is on no release"
