"""What a stage took in and left behind, as the datasets of OpenLineage.

A dataset's name stays the same from run to run, and its version is the SHA-256 of its content. The
canonical dataset goes by its own name, a model by ``<dataset>.<stack>.model``, any other artifact
by ``<dataset>.<stack>.<stage>.<output>``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openlineage.client.event_v2 import InputDataset, OutputDataset

from components.contract.stages import Stage
from components.lineage import openlineage_facets as facets
from components.lineage.graph import EdgeKind, LineageGraph, Node, NodeKind
from components.lineage.openlineage_facets import PRODUCER
from components.lineage.run_documents import RunDocuments

NAMESPACE = "assay"
_SCORES = frozenset({"scores", "predictions"})
"""Outputs that hold the run's own model's scores, in a column of the next name."""
_SCORE = "score"
_SCORE_COLUMNS = (("assay_row", "binary"), (_SCORE, "number"))
_READS_NO_ROWS = frozenset({str(Stage.PUSH)})
"""Stages that have no business with the canonical dataset; each of the others reads it."""
_THINGS = frozenset({NodeKind.MODEL, NodeKind.ARTIFACT})
_SIGNATURE = "model_signature"
"""Output of the stage that trained: the signature file of its model."""


@dataclass(frozen=True, slots=True)
class RunDatasets:
    """The datasets of one run's stages.

    ``job`` is the name that the run's job goes by, ``signatures`` what ``model_signatures`` gives.
    """

    graph: LineageGraph
    run: Node
    job: str
    documents: RunDocuments | None
    signatures: Mapping[str, str]

    def inputs(self, stage: Node, findings: Mapping[str, str]) -> list[InputDataset]:
        """The run's dataset where the stage reads rows, and the models and artifacts it used.

        Args:
            stage: the stage's node.
            findings: status of each rule that was held against the dataset; none before it was.
        """
        used = {n.id: n for n in self.graph.out(stage.id, EdgeKind.USED)}
        if stage_name(stage) not in _READS_NO_ROWS:
            used |= {n.id: n for n in self._read()}
        found = []
        for node in (used[key] for key in sorted(used)):
            if node.kind == NodeKind.DATASET:
                found.append(self._dataset_input(node, findings))
            elif node.kind in _THINGS:
                name = self._name_of_input(node)
                found.append(InputDataset(NAMESPACE, name, facets=self._content(node)))
        return found

    def outputs(self, stage: Node) -> list[OutputDataset]:
        """The models and artifacts that a stage left, by the names that it gave them."""
        found = {}
        for edge in self.graph.edges_into(stage.id, EdgeKind.GENERATED_BY):
            node = self.graph.nodes[edge.source]
            if node.kind not in _THINGS:
                continue
            about = self._content(node)
            if edge.role in _SCORES:
                about |= self._score()
            name = self._name(stage, node, edge.role)
            found[name, node.id] = OutputDataset(NAMESPACE, name, facets=about)
        return [found[key] for key in sorted(found)]

    def _read(self) -> list[Node]:
        """The dataset version that the run is about; a store may hold none, or more than one."""
        return self.graph.out(self.run.id, EdgeKind.USED, NodeKind.DATASET)

    def _dataset_input(self, node: Node, findings: Mapping[str, str]) -> InputDataset:
        about: dict[str, Any] = {"version": facets.version(node.key)}
        columns = self.documents.columns if self.documents else ()
        if columns:
            about["schema"] = facets.schema(columns)
        root, rows = node.attributes.get("rows_root"), node.attributes.get("rows")
        if root or rows:
            about["assay_rows"] = facets.AssayRowsDatasetFacet(root, rows, producer=PRODUCER)
        judged: dict[str, Any] = {}
        if findings:
            known = frozenset(name for name, _ in columns)
            judged["dataQualityAssertions"] = facets.assertions(findings, known)
        return InputDataset(NAMESPACE, _dataset_name(node), inputFacets=judged, facets=about)

    def _score(self) -> dict[str, Any]:
        """Which columns a score is made out of, where contract and policy are known."""
        data = self._read()
        if self.documents is None or not self.documents.model_inputs or len(data) != 1:
            return {}
        lineage = facets.column_lineage(
            _SCORE, NAMESPACE, _dataset_name(data[0]), self.documents.model_inputs
        )
        return {"schema": facets.schema(_SCORE_COLUMNS), "columnLineage": lineage}

    def _name(self, stage: Node, node: Node, role: str) -> str:
        if node.kind == NodeKind.MODEL:
            return f"{self.job}.model"
        return f"{self.job}.{stage_name(stage)}.{role or node.attributes.get('name', 'output')}"

    def _name_of_input(self, node: Node) -> str:
        """A thing that was taken in goes by the name that a stage of the run gave it."""
        if node.kind == NodeKind.MODEL:
            return f"{self.job}.model"
        for edge in self.graph.edges_out(node.id, EdgeKind.GENERATED_BY):
            if edge.target.startswith(f"{NodeKind.STAGE}/{self.run.key}/"):
                return self._name(self.graph.nodes[edge.target], node, edge.role)
        return f"sha256:{node.key}"

    def _content(self, node: Node) -> dict[str, Any]:
        found: dict[str, Any] = {"version": facets.version(node.key)}
        if node.kind == NodeKind.MODEL:
            held = node.attributes
            found["assay_model"] = facets.AssayModelDatasetFacet(
                node.key,
                type=held.get("type"),
                seed=held.get("seed"),
                signature=self.signatures.get(node.id),
                producer=PRODUCER,
            )
        return found


def model_signatures(graph: LineageGraph) -> dict[str, str]:
    """SHA-256 of the signature file, by model node: the stage that left one left the other."""
    found: dict[str, str] = {}
    for edge in graph.edges:
        if edge.kind == EdgeKind.GENERATED_BY and edge.role == _SIGNATURE:
            for model in graph.into(edge.target, EdgeKind.GENERATED_BY, NodeKind.MODEL):
                found.setdefault(model.id, graph.nodes[edge.source].key)
    return found


def stage_name(node: Node) -> str:
    """Name of the stage that a stage's node is of."""
    return node.key.rpartition("/")[2]


def _dataset_name(node: Node) -> str:
    return node.attributes.get("name") or f"sha256:{node.key}"
