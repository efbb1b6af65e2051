"""What of a native store's figures and findings may be handed out: what names declared groups."""

from __future__ import annotations

from components.contract.contract import Contract
from components.contract.policy import Policy
from components.lineage.graph import EdgeKind, GraphBuilder, LineageGraph, NodeKind
from pipelines.lineage_details import Bound, declared_only

DECLARED = {
    "figure:roc_auc@overall",
    "figure:tpr_difference@sex*age",
    "figure:selection_rate@age=young",
    "figure:selection_rate@sex*age=pool",
    "finding:limit:auc",
    "finding:nulls:cost",
    "finding:agreement:tpr:age=old",
}
UNDECLARED = {
    "figure:selection_rate@sex=f",
    "figure:selection_rate@age=young*sex=f",
    "figure:selection_rate@ward=A",
    "figure:selection_rate@age=young*x",
    "figure:selection_rate@age=99",
    "finding:agreement:tpr:sex=f",
    "finding:agreement:tpr:sex=f:age",
    "finding:agreement:tpr:sex=(missing)",
}


def _graph() -> LineageGraph:
    build = GraphBuilder()
    run = build.node(NodeKind.RUN, "r")
    stage = build.node(NodeKind.STAGE, "r/release_gate", status="PASS", reason="a=b")
    build.edge(stage, EdgeKind.PART_OF, run)
    for name in DECLARED | UNDECLARED:
        build.note(stage, name, "0.5")
    return build.build()


def _kept(graph: LineageGraph) -> set[str]:
    found = graph.nodes["stage/r/release_gate"].attributes
    assert (found["status"], found["reason"]) == ("PASS", "a=b")
    return {name for name in found if name.startswith(("figure:", "finding:"))}


def test_groups_that_the_contract_declares_are_no_secret(clinic: Contract, rules: Policy) -> None:
    assert _kept(declared_only(_graph(), {"r": Bound(clinic, rules)})) == DECLARED


def test_without_the_contract_no_group_is_named() -> None:
    assert _kept(declared_only(_graph(), {})) == {n for n in DECLARED if "=" not in n}


def test_columns_and_model_inputs_are_the_contracts_and_the_candidates(
    clinic: Contract, rules: Policy
) -> None:
    bound = Bound(clinic, rules)
    assert bound.documents("plain").model_inputs == (
        "age", "sex", "ward", "cost", "smoker", "under_40"
    )  # fmt: skip
    assert bound.documents("fair").model_inputs == ("ward", "cost", "smoker")
    assert bound.documents(None).model_inputs == bound.documents("nobody").model_inputs == ()
    assert bound.documents("fair").columns[:3] == (
        ("person", "string"), ("year", "integer"), ("age", "number")
    )  # fmt: skip
