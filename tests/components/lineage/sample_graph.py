"""A made-up lineage with everything that the graph's vocabulary knows, for tests of the exports."""

from __future__ import annotations

from components.lineage.graph import EdgeKind, GraphBuilder, LineageGraph, NodeKind
from components.lineage.run_documents import RunDocuments

RUN = "20260101T000000Z-tfx-plain-aaaaaa"
GIT = "0123456789abcdef0123456789abcdef01234567"
CODE = f"assay 1.0 sha256:{'c' * 64} git:{GIT} diff:{'d' * 64}"
DOCUMENTS = {
    RUN: RunDocuments((("age", "number"), ("sex", "string"), ("ill", "integer")), ("age",))
}
DATA, MODEL, SIGNATURE, WAIVER = ("1" * 64, "2" * 64, "3" * 64, "4" * 64)


def clock(minute: int) -> str:
    """A time on one morning."""
    return f"2026-01-01T08:{minute:02d}:00.000001+00:00"


def builder(outcome: str = "released") -> GraphBuilder:
    """One run of every stage; the release gate was closed and a waiver excused it."""
    build = GraphBuilder()
    run = build.node(
        NodeKind.RUN, RUN, stack="tfx", candidate="plain", dataset="clinic", actor="ana",
        started=clock(0), finished=clock(59), outcome=outcome, reason="3 people are too few",
        head="9" * 64, seed="7", native_id="12",
    )  # fmt: skip
    data = build.node(NodeKind.DATASET, DATA, name="clinic", rows_root="5" * 64, rows="1200")
    used = (
        build.node(NodeKind.CONTRACT, "6" * 64, dataset="clinic"),
        build.node(NodeKind.POLICY, "7" * 64, dataset="clinic"),
        build.node(NodeKind.CODE, CODE),
        build.node(NodeKind.ENVIRONMENT, "8" * 64),
    )
    for thing in (data, *used):
        build.edge(run, EdgeKind.USED, thing)
    build.edge(run, EdgeKind.ASSOCIATED_WITH, build.node(NodeKind.ACTOR, "ana"))
    for minute, (stage, outputs) in enumerate(_STAGES.items(), start=1):
        _stage(build, stage, outputs, 2 * minute)
    waiver = build.node(
        NodeKind.WAIVER, WAIVER, reason="a pilot", expires="2026-02-01", signer="bo", cosigner="cy"
    )
    build.edge(f"stage/{RUN}/release_gate", EdgeKind.USED, waiver)
    build.edge(f"stage/{RUN}/push", EdgeKind.USED, f"model/{MODEL}")
    build.edge(f"stage/{RUN}/score", EdgeKind.USED, f"artifact/{'a' * 63}1")
    build.edge(f"model/{MODEL}", EdgeKind.DERIVED_FROM, data)
    return build


_STAGES: dict[str, dict[str, str]] = {
    "ingest": {"rows": "a" * 63 + "1"},
    "data_gate": {"report": "a" * 63 + "2"},
    "train": {"model": MODEL, "model_signature": SIGNATURE, "scores": "a" * 63 + "3"},
    "release_gate": {"predictions": "a" * 63 + "4", "champion_predictions": "a" * 63 + "5"},
    "push": {"serving_model": MODEL},
    "score": {"predictions": "a" * 63 + "6"},
}


def _stage(build: GraphBuilder, stage: str, outputs: dict[str, str], minute: int) -> None:
    closed = stage == "release_gate"
    node = build.node(
        NodeKind.STAGE, f"{RUN}/{stage}", status="FAIL" if closed else "PASS",
        reason="3 people are too few" if closed else "all hold", started=clock(minute),
        finished=clock(minute + 1), tools="numpy 2.0", record=f"{minute:064d}",
    )  # fmt: skip
    if stage == "data_gate":
        build.note(node, "finding:nulls:age", "PASS")
        build.note(node, "finding:row_count:least", "INCONCLUSIVE")
    if closed:
        build.note(node, "finding:limit:auc", "FAIL")
        build.note(node, "figure:selection_rate_ratio@sex", "0.71")
        build.note(node, "figure:roc_auc@overall", "0.8")
    build.edge(node, EdgeKind.PART_OF, f"run/{RUN}")
    for role, digest in outputs.items():
        kind = NodeKind.MODEL if "model" in role.split("_")[-1:] else NodeKind.ARTIFACT
        known = {"seed": "7", "type": "file"} if kind == NodeKind.MODEL else {}
        thing = build.node(kind, digest, name=f"{role}.bin", **known)
        build.edge(thing, EdgeKind.GENERATED_BY, node, role=role)


def graph() -> LineageGraph:
    """The run, its release, and the release before it."""
    build = builder()
    before = build.node(NodeKind.RELEASE, "clinic/tfx/1", kind="release", at=clock(0))
    release = build.node(
        NodeKind.RELEASE, "clinic/tfx/2", kind="waived", at=clock(58), actor="ana", run=RUN,
        model=MODEL, supersedes="1", waiver=WAIVER, version="2",
    )  # fmt: skip
    build.edge(release, EdgeKind.GENERATED_BY, f"run/{RUN}")
    build.edge(release, EdgeKind.DERIVED_FROM, f"model/{MODEL}")
    build.edge(release, EdgeKind.ASSOCIATED_WITH, "actor/ana")
    build.edge(release, EdgeKind.INFORMED_BY, before)
    return build.build()
