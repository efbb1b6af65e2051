"""A lineage graph as OpenLineage run events, one JSON document a line (https://openlineage.io).

Each run is a job's run, each of its stages another whose parent it is. An event says only what the
graph knows: one whose time the store does not know is left out, as is a facet without content.
What ended with PASS ends in COMPLETE; what kept a gate closed ends in FAIL, so that nobody goes on
from it; what was broken off ends in ABORT. The same graph gives the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import attr
from openlineage.client.event_v2 import (
    InputDataset,
    Job,
    OutputDataset,
    Run,
    RunEvent,
    RunState,
)

from components.contract.stages import Stage
from components.lineage import openlineage_facets as facets
from components.lineage.graph import EdgeKind, LineageGraph, Node, NodeKind
from components.lineage.openlineage_datasets import (
    NAMESPACE,
    RunDatasets,
    model_signatures,
    stage_name,
)
from components.lineage.openlineage_facets import PRODUCER
from components.lineage.run_documents import RunDocuments

_FINDING, _FIGURE = "finding:", "figure:"
_ENDS = {
    "PASS": RunState.COMPLETE,
    "released": RunState.COMPLETE,
    "FAIL": RunState.FAIL,
    "INCONCLUSIVE": RunState.FAIL,
    "blocked": RunState.FAIL,
}
_UNFINISHED = "unfinished"
_ORDER = {str(stage): number for number, stage in enumerate(Stage)}
Facets = dict[str, Any]


def openlineage_events(graph: LineageGraph, documents: Mapping[str, RunDocuments]) -> bytes:
    """All runs of a graph as newline-delimited JSON, in run and stage order.

    Args:
        graph: the lineage.
        documents: by run id, what its contract and policy say; runs may be absent.

    Raises:
        EvidenceError: a time in the graph is none.
    """
    signatures = model_signatures(graph)
    runs = (
        _RunEvents(graph, run, documents.get(run.key), signatures)
        for run in graph.of_kind(NodeKind.RUN)
    )
    return "".join(_line(event) for run in runs for event in run.all()).encode()


def run_uuid(run: str, stage: str = "") -> str:
    """The UUID that a run, or one of its stages, has in OpenLineage: version 5, of its name."""
    return str(uuid5(NAMESPACE_URL, f"urn:assay:run:{run}/{stage}"))


class _RunEvents:
    """The events of one run."""

    def __init__(
        self,
        graph: LineageGraph,
        run: Node,
        documents: RunDocuments | None,
        signatures: Mapping[str, str],
    ) -> None:
        self.graph, self.run = graph, run
        known = (run.attributes.get("dataset"), run.attributes.get("stack"))
        self.job = ".".join(part for part in known if part) or str(NodeKind.RUN)
        self.datasets = RunDatasets(graph, run, self.job, documents, signatures)
        code = self._used(NodeKind.CODE)
        source = facets.source_code(code) if code else None
        self.job_facets: Facets = {"sourceCodeLocation": source} if source else {}

    def all(self) -> list[RunEvent]:
        """START of the run, START and end of its stages, and the run's end."""
        stages = sorted(
            self.graph.into(self.run.id, EdgeKind.PART_OF, NodeKind.STAGE),
            key=lambda n: (_ORDER.get(stage_name(n), len(_ORDER)), n.id),
        )
        outcome = self.run.attributes.get("outcome")
        found = self._event(self.run, "started", RunState.START, self._run_facets(None))
        for stage in stages:
            found += self._of_stage(stage)
        end = {**self._run_facets(outcome), **self._came_to()}
        return found + self._event(self.run, "finished", _end(outcome), end)

    def _of_stage(self, stage: Node) -> list[RunEvent]:
        findings = _prefixed(stage, _FINDING)
        judged = findings if stage_name(stage) == Stage.DATA_GATE else {}
        about: Facets = {"parent": facets.parent(run_uuid(self.run.key), NAMESPACE, self.job)}
        inputs = self.datasets.inputs(stage, {})
        start = self._event(stage, "started", RunState.START, about, inputs)
        about = {**about, **self._policy(), **self._stage_facets(stage, findings)}
        inputs, outputs = self.datasets.inputs(stage, judged), self.datasets.outputs(stage)
        end = _end(stage.attributes.get("status"))
        return start + self._event(stage, "finished", end, about, inputs, outputs)

    def _event(
        self,
        node: Node,
        time: str,
        state: RunState | None,
        about: Facets,
        inputs: list[InputDataset] | None = None,
        outputs: list[OutputDataset] | None = None,
    ) -> list[RunEvent]:
        """One event, or none where the graph does not know when it was or what."""
        at = node.time(time)
        if at is None or state is None:
            return []
        stage = stage_name(node) if node.kind == NodeKind.STAGE else ""
        job = f"{self.job}.{stage}" if stage else self.job
        event = RunEvent(
            eventTime=at.isoformat(),
            eventType=state,
            producer=PRODUCER,
            run=Run(run_uuid(self.run.key, stage), about),
            job=Job(NAMESPACE, job, self.job_facets),
            inputs=inputs or [],
            outputs=outputs or [],
        )
        return [event]

    def _run_facets(self, outcome: str | None) -> Facets:
        known = self.run.attributes
        names = ("stack", "candidate", "actor", "seed", "continues")
        about = facets.AssayRunRunFacet(
            runId=self.run.key,
            **{name: known.get(name) for name in names},
            nativeId=known.get("native_id"),
            outcome=outcome,
            code=self._used(NodeKind.CODE),
            environment=self._used(NodeKind.ENVIRONMENT),
            producer=PRODUCER,
        )
        return {"assay_run": about, **self._policy()}

    def _policy(self) -> Facets:
        policy, contract = self._used(NodeKind.POLICY), self._used(NodeKind.CONTRACT)
        if policy is None and contract is None:
            return {}
        return {"assay_policy": facets.AssayPolicyRunFacet(policy, contract, producer=PRODUCER)}

    def _came_to(self) -> Facets:
        """The record that closed the run, and its release."""
        found: Facets = _evidence(self.run.attributes.get("head"))
        names = ("kind", "at", "model", "supersedes", "waiver", "version")
        for release in self.graph.into(self.run.id, EdgeKind.GENERATED_BY, NodeKind.RELEASE):
            known = {name: release.attributes.get(name) for name in names}
            found["assay_release"] = facets.AssayReleaseRunFacet(
                release.key, **known, producer=PRODUCER
            )
        return found

    def _stage_facets(self, stage: Node, findings: Mapping[str, str]) -> Facets:
        found: Facets = _evidence(stage.attributes.get("record"))
        waivers = self.graph.out(stage.id, EdgeKind.USED, NodeKind.WAIVER)
        if status := stage.attributes.get("status"):
            found["assay_verdict"] = facets.AssayVerdictRunFacet(
                status, waivers[0].key if waivers else None, producer=PRODUCER
            )
        if findings:
            found["test"] = facets.tests(findings)
        if figures := _figures(stage):
            found["assay_figures"] = facets.AssayFiguresRunFacet(figures, producer=PRODUCER)
        return found

    def _used(self, kind: NodeKind) -> str | None:
        """Key of what the run was bound to, of one kind; a store that names two knows neither."""
        found = self.graph.out(self.run.id, EdgeKind.USED, kind)
        return found[0].key if len(found) == 1 else None


def _line(event: RunEvent) -> str:
    """An event as JSON without what is None; the library's own way takes three times as long."""
    document = attr.asdict(event, filter=lambda _, value: value is not None)
    document["eventType"] = document["eventType"].value
    return json.dumps(document, sort_keys=True, separators=(",", ":"), allow_nan=False) + "\n"


def _end(status: str | None) -> RunState | None:
    """How something ended that has this status or outcome; what is not known to have, has not."""
    if status is None or status == _UNFINISHED:
        return None
    return _ENDS.get(status, RunState.ABORT)


def _evidence(record: str | None) -> Facets:
    if record is None:
        return {}
    return {"assay_evidence": facets.AssayEvidenceRunFacet(record, producer=PRODUCER)}


def _prefixed(node: Node, prefix: str) -> dict[str, str]:
    return {
        name.removeprefix(prefix): value
        for name, value in sorted(node.attributes.items())
        if name.startswith(prefix)
    }


def _figures(stage: Node) -> list[dict[str, str]]:
    found = []
    for figure, value in _prefixed(stage, _FIGURE).items():
        name, _, where = figure.partition("@")
        found.append({"name": name, "slice": where, "value": value})
    return found
