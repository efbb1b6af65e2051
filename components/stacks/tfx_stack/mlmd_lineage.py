"""Lineage read back from an MLMD store alone."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

from components.contract.stages import Stage
from components.lineage.graph import EdgeKind, GraphBuilder, NodeKind, StoreReading
from components.stacks.tfx_stack import mlmd_names as names
from components.stacks.tfx_stack.mlmd_links import Links
from components.stacks.tfx_stack.mlmd_rows import (
    Properties,
    Rows,
    RunEntries,
    plain,
    properties_of,
    read_rows,
    text_of,
    type_name,
)

_SEED = "assay_seed"
_MODELS = ("model", "serving_model")
_MODEL_USERS = (Stage.RELEASE_GATE, Stage.PUSH, Stage.SCORE)
_OF_RUN = (
    "stack", "candidate", "dataset", "actor", "started", "finished", "outcome", "reason", "head",
    "continues", "seed",
)  # fmt: skip
_OF_RECORD = {"status": "verdict", "reason": "reason", "record": "record_sha256"}
_OF_FILE = ("name", "kind", "sha256")
_OF_WAIVER = ("reason", "expires", "signer", "cosigner")
_OF_STAGE = ("status", "reason", "started", "finished", "tools", "record")


class MlmdLineage:
    """The MLMD store of a home, or of the URI that ``ASSAY_MLMD_URI`` names.

    A database that several homes share is read as one. With ``dataset`` only its runs are read.
    """

    name = "mlmd"

    def __init__(self, home: Path, dataset: str | None = None) -> None:
        self.home, self.dataset = home, dataset

    def read(self, runs: Collection[str] | None = None) -> StoreReading:
        """All that MLMD holds of every run, or of some; as many calls for a thousand as for one.

        Raises:
            InputError: the store is not there, locked, or of an older or newer MLMD.
            EvidenceError: it is there, and broken.
        """
        rows = read_rows(self.home, runs)
        if self.dataset is not None:
            rows = rows.of({r for r in rows.runs if _dataset_of(rows, r) == self.dataset})
        graph = GraphBuilder()
        readers = {run: _RunReader(graph, rows, run) for run in rows.runs if run in rows.contexts}
        for reader in readers.values():
            reader.read()
        releases = {r.release for r in readers.values() if r.release}
        for run, reader in readers.items():
            origin = reader.bound.get("assay_continues", "")
            if origin in readers:
                graph.edge(f"run/{run}", EdgeKind.INFORMED_BY, f"run/{origin}")
            if reader.release and reader.superseded in releases:
                graph.edge(reader.release, EdgeKind.INFORMED_BY, reader.superseded)
        return StoreReading(graph.build(), RunEntries(rows, Links(self.home)), rows.calls)


def _dataset_of(rows: Rows, run: str) -> str:
    context = rows.contexts.get(run)
    return properties_of(context).get("assay_dataset", "") if context else ""


class _RunReader:
    """Puts what MLMD holds of one run into a graph."""

    def __init__(self, graph: GraphBuilder, rows: Rows, run: str) -> None:
        self.graph, self.rows, self.run = graph, rows, run
        self.context = rows.contexts[run]
        self.bound = properties_of(self.context)
        self.node = f"{NodeKind.RUN}/{run}"
        self.data: str | None = None
        self.stages: dict[Stage, tuple[Any, Properties]] = {}
        self.made: dict[tuple[Stage, str], Any] = {}
        self.records: dict[Stage, Any] = {}
        self.release: str = ""
        self.superseded: str = ""

    def read(self) -> None:
        """The run, its stages in their order, and the release that came of it."""
        self._add_run()
        self._sort()
        for stage in Stage:
            if stage in self.stages:
                self._add_stage(stage, *self.stages[stage])
        if "assay_release_number" in self.bound:
            self._add_release()

    def _add_run(self) -> None:
        graph, bound = self.graph, self.bound
        told = {k: bound.get(f"assay_{k}") for k in _OF_RUN}
        graph.node(NodeKind.RUN, self.run, native_id=str(self.context.id), **told)
        dataset = bound.get("assay_dataset")
        for kind in (NodeKind.CONTRACT, NodeKind.POLICY, NodeKind.CODE, NodeKind.ENVIRONMENT):
            if key := bound.get(f"assay_{kind}"):
                is_document = kind in (NodeKind.CONTRACT, NodeKind.POLICY)
                thing = graph.node(kind, key, dataset=dataset if is_document else None)
                graph.edge(self.node, EdgeKind.USED, thing)
        if version := bound.get("assay_dataset_version"):
            self.data = graph.node(
                NodeKind.DATASET,
                version,
                name=dataset,
                rows_root=bound.get("assay_rows_root"),
                rows=bound.get("assay_rows"),
            )
            graph.edge(self.node, EdgeKind.USED, self.data)
        if actor := bound.get("assay_actor"):
            graph.edge(self.node, EdgeKind.ASSOCIATED_WITH, graph.node(NodeKind.ACTOR, actor))

    def _sort(self) -> None:
        """Find the execution of each stage, and the artifact of each output of a stock node."""
        held = {a.id: a for a in self.rows.artifacts.get(self.run, ())}
        for execution in self.rows.executions.get(self.run, ()):
            node = names.node_of(type_name(self.rows.types, execution.type_id))
            stage = names.STAGE_NODES.get(node)
            if stage is not None and names.STAGE in execution.custom_properties:
                self.stages[stage] = (execution, properties_of(execution))
            for event in self.rows.events.get(execution.id, ()):
                if event.type != event.OUTPUT or event.artifact_id not in held:
                    continue
                key = plain(event.path.steps[0].key) if event.path.steps else ""
                if (output := names.STAGE_OUTPUTS.get((node, key))) is not None:
                    self.made[output] = held[event.artifact_id]
                elif stage is not None and key == "record":
                    self.records[stage] = held[event.artifact_id]

    def _add_stage(self, stage: Stage, execution: Any, told: Properties) -> None:
        graph, key = self.graph, f"{self.run}/{stage}"
        said = {k: told.get(f"assay_{k}") for k in _OF_STAGE}
        if (record := self.records.get(stage)) is not None:
            # What the pipeline's own conditionals went by.
            held = {plain(k): text_of(v) for k, v in record.properties.items()}
            said |= {k: held.get(v) for k, v in _OF_RECORD.items()}
        node = graph.node(NodeKind.STAGE, key, native_id=str(execution.id), **said)
        graph.edge(node, EdgeKind.PART_OF, self.node)
        for word, document in (("figure", names.FIGURES), ("finding", names.FINDINGS)):
            for name, value in _document(told, document).items():
                graph.note(node, f"{word}:{name}", str(value))
        if stage is Stage.INGEST and self.data:
            graph.edge(node, EdgeKind.USED, self.data)
        waiver = {k: str(v) for k, v in _document(told, names.WAIVER).items()}
        if sha256 := waiver.pop("sha256", ""):
            known = {k: waiver.get(k) for k in _OF_WAIVER}
            graph.edge(node, EdgeKind.USED, graph.node(NodeKind.WAIVER, sha256, **known))
        self._add_outputs(stage, node, told)
        if stage in _MODEL_USERS and (pushed := self._digest(Stage.PUSH, "serving_model")):
            graph.edge(node, EdgeKind.USED, graph.node(NodeKind.MODEL, pushed))

    def _add_outputs(self, stage: Stage, node: str, told: Properties) -> None:
        """What is an artifact of MLMD's own, and what MLMD holds no more of than its digest."""
        graph = self.graph
        for name, file in _files(told).items():
            thing = graph.node(
                NodeKind.ARTIFACT, file["sha256"], name=file["name"], type=file["kind"]
            )
            graph.edge(thing, EdgeKind.GENERATED_BY, node, role=name)
        for (of, name), artifact in self.made.items():
            digest = self._digest(of, name) if of is stage else None
            if digest is None:
                continue
            location = self._location(artifact)
            folder = names.SERVING_FORMAT if name == "model" else location.rpartition("/")[2]
            known = {"name": folder, "type": "directory", "location": location}
            if name in _MODELS:
                thing = graph.node(NodeKind.MODEL, digest, **known, seed=self.bound.get(_SEED))
                if self.data:
                    graph.edge(thing, EdgeKind.DERIVED_FROM, self.data)
            else:
                thing = graph.node(NodeKind.ARTIFACT, digest, **known)
            graph.edge(thing, EdgeKind.GENERATED_BY, node, role=name)

    def _digest(self, stage: Stage, name: str) -> str | None:
        artifact = self.made.get((stage, name))
        if artifact is None or names.SHA256 not in artifact.custom_properties:
            return None
        return plain(artifact.custom_properties[names.SHA256].string_value) or None

    def _location(self, artifact: Any) -> str:
        """Where it is in the home; a home that was moved still says it alike."""
        address = plain(artifact.uri)
        if names.PUSHED_DESTINATION in artifact.custom_properties:
            address = plain(artifact.custom_properties[names.PUSHED_DESTINATION].string_value)
        for folder in ("runs", "serving"):
            _, found, rest = address.partition(f"/{folder}/")
            if found:
                return f"{folder}/{rest}"
        return address

    def _add_release(self) -> None:
        graph, bound = self.graph, self.bound
        held = {f: bound.get(f"assay_release_{f}", "") for f in names.RELEASE}
        number, before = held.pop("number"), held["supersedes"]
        history = f"{NodeKind.RELEASE}/{bound.get('assay_dataset')}/{bound.get('assay_stack')}"
        if before not in ("", "0"):
            self.superseded = f"{history}/{before}"
        else:
            held["supersedes"] = ""
        self.release = node = graph.node(NodeKind.RELEASE, f"{history}/{number}".partition("/")[2])
        for field, value in {**held, "run": self.run}.items():
            graph.note(node, field, value)
        graph.edge(node, EdgeKind.GENERATED_BY, self.node)
        if model := held["model"]:
            graph.edge(node, EdgeKind.DERIVED_FROM, graph.node(NodeKind.MODEL, model))
        if actor := held["actor"]:
            graph.edge(node, EdgeKind.ASSOCIATED_WITH, graph.node(NodeKind.ACTOR, actor))


def _document(told: Properties, name: str) -> dict[str, Any]:
    """A property that is JSON; one that somebody edited into none says nothing of the lineage."""
    if name not in told:
        return {}
    try:
        found = json.loads(told[name])
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _files(told: Properties) -> dict[str, dict[str, str]]:
    """Outputs of which MLMD holds no more than name, kind and digest."""
    return {
        name: file
        for name, file in _document(told, names.OUTPUTS).items()
        if isinstance(file, dict) and all(isinstance(file.get(k), str) for k in _OF_FILE)
    }
