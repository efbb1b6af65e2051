"""What one run, and one release of it, put into a lineage graph."""

from __future__ import annotations

from components.audit.evidence_runs import RunFacts, StageFacts
from components.contract.stages import Stage
from components.lineage.graph import EdgeKind, GraphBuilder, NodeKind
from components.release.records import Release

_MODELS = ("model", "serving_model")
_MODEL_USERS = (Stage.RELEASE_GATE, Stage.PUSH, Stage.SCORE)


def add_run(graph: GraphBuilder, run: RunFacts) -> None:
    """A run, what it took in, whose doing it was, and its stages with what they left behind."""
    inputs = run.inputs
    push = run.stage(Stage.PUSH)
    node = graph.node(
        NodeKind.RUN,
        run.run,
        stack=run.stack,
        candidate=run.candidate,
        dataset=inputs["dataset"],
        actor=run.actor,
        started=run.stages[0].started if run.stages else None,
        finished=run.finished,
        outcome=run.outcome,
        reason=run.reason,
        head=run.head,
        continues=run.continued[0] if run.continued else None,
        seed=inputs["seed"],
        native_id=next((s.facts["mlflowRun"] for s in run.stages if "mlflowRun" in s.facts), None),
    )
    data = graph.node(
        NodeKind.DATASET,
        inputs["datasetVersion"],
        name=inputs["dataset"],
        rows_root=inputs["rowsRoot"],
    )
    used = [
        data,
        graph.node(NodeKind.CONTRACT, inputs["contract"], dataset=inputs["dataset"]),
        graph.node(NodeKind.POLICY, inputs["policy"], dataset=inputs["dataset"]),
        graph.node(NodeKind.CODE, inputs["code"]),
        graph.node(NodeKind.ENVIRONMENT, inputs["environment"]),
    ]
    for thing in used:
        graph.edge(node, EdgeKind.USED, thing)
    graph.edge(node, EdgeKind.ASSOCIATED_WITH, graph.node(NodeKind.ACTOR, run.actor))
    pushed = next((o[3] for o in push.outputs if o[0] == "serving_model"), None) if push else None
    for stage in run.stages:
        _add_stage(graph, run, stage, data, pushed)


def _add_stage(
    graph: GraphBuilder, run: RunFacts, stage: StageFacts, data: str, pushed: str | None
) -> None:
    node = graph.node(
        NodeKind.STAGE,
        f"{run.run}/{stage.stage}",
        status=stage.status,
        reason=stage.reason,
        started=stage.started,
        finished=stage.finished,
        tools=stage.tools,
        record=stage.record,
    )
    for rule, status in stage.findings.items():
        graph.note(node, f"finding:{rule}", status)
    for figure, value in stage.figures.items():
        graph.note(node, f"figure:{figure}", value)
    graph.edge(node, EdgeKind.PART_OF, f"run/{run.run}")
    if stage.stage == Stage.INGEST:
        graph.edge(node, EdgeKind.USED, data)
    if stage.waiver:
        waiver = dict(stage.waiver)
        graph.edge(node, EdgeKind.USED, graph.node(NodeKind.WAIVER, waiver.pop("sha256"), **waiver))
    for name, file, kind, digest in stage.outputs:
        if name in _MODELS:
            thing = graph.node(
                NodeKind.MODEL,
                digest,
                name=file,
                type=kind,
                location=stage.facts.get("location"),
                seed=run.inputs["seed"],
            )
            graph.edge(thing, EdgeKind.DERIVED_FROM, data)
        else:
            thing = graph.node(NodeKind.ARTIFACT, digest, name=file, type=kind)
        graph.edge(thing, EdgeKind.GENERATED_BY, node, role=name)
    if pushed and stage.stage in _MODEL_USERS:
        graph.node(NodeKind.MODEL, pushed)
        graph.edge(node, EdgeKind.USED, f"model/{pushed}")


def add_release(graph: GraphBuilder, release: Release, run: RunFacts) -> None:
    """A release, the run that it came out of and the model that it hands out."""
    push = run.stage(Stage.PUSH)
    node = graph.node(
        NodeKind.RELEASE,
        release_key(release),
        kind=release.kind,
        at=release.at.isoformat(timespec="microseconds"),
        actor=release.actor,
        reason=release.reason,
        run=release.run,
        model=release.model,
        supersedes=str(release.supersedes) if release.supersedes else None,
        waiver=release.waiver,
        version=push.facts.get("modelVersion") if push else None,
    )
    graph.edge(node, EdgeKind.GENERATED_BY, f"run/{release.run}")
    graph.edge(node, EdgeKind.DERIVED_FROM, f"model/{release.model}")
    graph.edge(node, EdgeKind.ASSOCIATED_WITH, graph.node(NodeKind.ACTOR, release.actor))


def release_key(release: Release) -> str:
    """The key of a release's node."""
    return f"{release.dataset}/{release.stack}/{release.number}"
