"""What a stack's own store says of data and models, held against the files that lie on disk.

Nothing signed is looked at: this is as far as an auditor comes who has the store and the files.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path

from components.contract.errors import EvidenceError, InputError
from components.datasets.canonical import Dataset
from components.lineage.digests import sha256_tree
from components.lineage.graph import EdgeKind, Entries, LineageGraph, NodeKind, StoreReading

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
    of_runs = [t for e in reading.entries.values() for t in (*_pushed(e, home), *_figures(e))]
    return [*_datasets(graph, home), *_registered(graph, kept), *of_runs, *_releases(graph)]


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


def _registered(graph: LineageGraph, kept: Collection[str]) -> Iterator[str]:
    """A registry keeps a model's file itself."""
    for node in graph.of_kind(NodeKind.MODEL):
        location = node.attributes.get("location", "")
        if location.startswith("models:/") and node.key not in kept:
            yield f"no file of {location} has the digest that it is registered with"


def _pushed(entries: Entries, home: Path) -> Iterator[str]:
    """A store that keeps no files names the folder that a model was pushed to, and its digest."""
    for key, destination in entries.items():
        artifact, found, _ = key.partition("/custom_property/pushed_destination")
        if not found:
            continue
        place = "serving/" + str(destination).rpartition("/serving/")[2]
        path = home / place
        if not path.resolve().is_relative_to(home.resolve()) or not path.is_dir():
            yield f"no model is at {place}, where the store says that it was pushed"
        elif sha256_tree(path) != entries.get(f"{artifact}/custom_property/assay_sha256"):
            yield f"the model at {place} has another digest than in the store"


def _figures(entries: Entries) -> Iterator[str]:
    """MLflow keeps a figure twice, with the run and with the model that it is about."""
    of_models: dict[str, set[str]] = defaultdict(set)
    for key, value in entries.items():
        kind, _, rest = key.partition("/")
        if kind == "logged_model" and "/metric/" in rest:
            of_models[rest.partition("/metric/")[2].rsplit("/", 2)[0]].add(str(value))
    for key, value in entries.items():
        name = key.partition("/latest_metric/")[2]
        figure = str(value).partition(" at step ")[0]
        if name in of_models and figure not in of_models[name]:
            yield f"{name} of the run is another than that of its model"


def _releases(graph: LineageGraph) -> Iterator[str]:
    for node in graph.of_kind(NodeKind.RELEASE):
        run = node.attributes.get("run", "")
        found = graph.nodes.get(f"run/{run}")
        if found is None:
            yield f"release {node.key} is of a run that the store does not know"
        elif found.attributes.get("outcome", "released") != "released":
            yield f"release {node.key} is of a run that was not released"
        elif not graph.into(found.id, EdgeKind.PART_OF):
            yield f"release {node.key} is of a run without any stage"
    numbered = [n for n in graph.of_kind(NodeKind.RELEASE) if n.attributes.get("version")]
    if numbered and not any(
        _CHAMPION in n.attributes.get("alias", "").split(", ") for n in numbered
    ):
        yield "the alias of the model in use is on no release"
