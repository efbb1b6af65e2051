"""Answers: golden ones, and that each of them stands on facts that can be taken away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from components.audit.answers import Answer, Respondent, Status
from components.audit.evidence_lineage import EvidenceLineage
from components.audit.paths import KEY
from components.audit.question_catalogue import load_catalogue
from components.audit.questions import Question, Wanted
from components.audit.readings import readings_json, take_reading
from components.contract.errors import EvidenceError
from components.lineage.graph import (
    Edge,
    EdgeKind,
    GraphBuilder,
    LineageGraph,
    Node,
    NodeKind,
)
from tests.asked_home import GOLDEN, STACKS, golden_answers

CATALOGUE = load_catalogue()
QUESTIONS = {q.id: q for q in CATALOGUE.questions}


@pytest.fixture(scope="module")
def graphs(asked_home: Path) -> dict[str, LineageGraph]:
    """What the evidence says of each stack."""
    return {s: EvidenceLineage(asked_home, s).read().graph for s in STACKS}


@pytest.fixture(scope="module")
def graph(graphs: dict[str, LineageGraph]) -> LineageGraph:
    """What the evidence says of one stack."""
    return graphs["tfx"]


def ask(graph: LineageGraph, question: str) -> Answer:
    """The answer to one of the shipped questions."""
    return Respondent(graph, "evidence").answer(QUESTIONS[question])


def changed(
    graph: LineageGraph,
    nodes: Callable[[Node], Node | None] = lambda node: node,
    edges: Callable[[Edge], bool] = lambda _: True,
) -> LineageGraph:
    """A graph with some nodes changed or, with their edges, left out, and some edges left out."""
    kept = {n.id: n for n in map(nodes, graph.nodes.values()) if n is not None}
    return LineageGraph(
        kept, [e for e in graph.edges if edges(e) and {e.source, e.target} <= kept.keys()]
    )


def without(node: Node, names: Iterable[str]) -> Node:
    """A node that does not say some things."""
    left_out = set(names)
    return Node(node.id, node.kind, {k: v for k, v in node.attributes.items() if k not in left_out})


@pytest.mark.parametrize("stack", STACKS)
def test_golden_answers(graphs: dict[str, LineageGraph], stack: str) -> None:
    graph = graphs[stack]
    answers = Respondent(graph, "evidence").answer_all(CATALOGUE.questions)
    golden = json.loads((GOLDEN / f"{stack}.json").read_text())
    assert golden_answers(graph, answers) == golden
    assert {a.status for a in answers} == {Status.ANSWERED}


def test_the_release_in_force_is_the_last_of_its_history(graph: LineageGraph) -> None:
    answer = ask(graph, "A1")
    assert {f.about for f in answer.facts} == {"release/insurer/tfx/3"}
    facts = {f.name: f for f in answer.facts}
    model = facts["model, SHA-256"]
    assert model.value == graph.nodes["release/insurer/tfx/3"].attributes["model"]
    assert (model.node, model.attribute) == (f"model/{model.value}", KEY)
    assert facts["in use since"].node == "release/insurer/tfx/3"


def test_every_fact_says_where_it_was_read(graph: LineageGraph) -> None:
    for question in CATALOGUE.questions:
        for fact in ask(graph, question.id).facts:
            node = graph.nodes[fact.node]
            assert fact.value == (
                node.key if fact.attribute == KEY else node.attributes[fact.attribute]
            )
            assert fact.about in graph.nodes


# What is taken away is missed.


def taken_away(graph: LineageGraph, wanted: Wanted, answer: Answer) -> LineageGraph:
    """The graph without what one fact of an answer was read from."""
    facts = [f for f in answer.facts if f.name == wanted.name]
    read = {(f.node, f.attribute) for f in facts}
    ends = {node for node, _ in read}
    if wanted.path.attribute == KEY:
        step = wanted.path.steps[-1]

        def stays(edge: Edge) -> bool:
            return (
                edge.kind != step.edge or (edge.target if step.along else edge.source) not in ends
            )

        return changed(graph, edges=stays)
    return changed(graph, lambda n: without(n, (a for node, a in read if node == n.id)))


@pytest.mark.parametrize("question", QUESTIONS.values(), ids=lambda q: q.id)
def test_an_answer_without_one_of_its_facts_is_none(
    graph: LineageGraph, question: Question
) -> None:
    whole = ask(graph, question.id)
    named = {f.name for f in whole.facts}
    for wanted in question.facts:
        if wanted.name not in named:
            continue
        answer = ask(taken_away(graph, wanted, whole), question.id)
        assert answer.status is not Status.ANSWERED
        assert answer.missing


def test_each_question_but_those_without_a_case_rests_on_facts(graph: LineageGraph) -> None:
    empty = {q for q in QUESTIONS if not ask(graph, q).facts}
    assert empty == {"B11", "D5"}


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_store_that_knows_nothing_answers_nothing(question: str) -> None:
    answer = ask(LineageGraph({}, []), question)
    assert answer.status is Status.IMPOSSIBLE
    assert answer.facts == ()
    assert "the store names no" in answer.missing[0].what


def stock_store() -> LineageGraph:
    """What a store holds by itself that nobody filled: a run, and a model in a registry."""
    built = GraphBuilder()
    run = built.node(
        NodeKind.RUN,
        "20261122T120000Z-tfx-plain-1a2b3c",
        started="2026-11-22T12:00:00+00:00",
        finished="2026-11-22T12:01:00+00:00",
        actor="ana",
        native_id="7",
    )
    release = built.node(NodeKind.RELEASE, "insurer/tfx/1", version="1")
    built.edge(release, EdgeKind.GENERATED_BY, run)
    return built.build()


def test_what_a_stock_store_cannot_say() -> None:
    graph = stock_store()
    assert ask(graph, "B7").status is Status.ANSWERED
    started = ask(graph, "A3")
    assert (started.status, len(started.facts)) == (Status.PARTIAL, 1)
    for question in ("A1", "B2", "B3", "B5", "B6", "B10", "C3", "C7", "D1", "D2", "D4"):
        assert ask(graph, question).status is Status.IMPOSSIBLE
    excused = ask(graph, "B5")
    assert [m.what for m in excused.missing] == ["release/insurer/tfx/1 has no kind"]


def test_one_run_among_many_that_does_not_say_makes_an_answer_partial(graph: LineageGraph) -> None:
    run = graph.of_kind(NodeKind.RUN)[0].id
    answer = ask(changed(graph, lambda n: without(n, ["actor"]) if n.id == run else n), "B7")
    assert answer.status is Status.PARTIAL
    assert [(m.about, m.what) for m in answer.missing] == [(run, f"{run} has no actor")]
    assert sum(f.name == "actor" for f in answer.facts) == 4


def test_a_run_that_does_not_say_how_it_ended_may_have_been_blocked(graph: LineageGraph) -> None:
    run = next(n.id for n in graph.of_kind(NodeKind.RUN) if n.attributes["outcome"] == "released")
    answer = ask(changed(graph, lambda n: without(n, ["outcome"]) if n.id == run else n), "A5")
    assert answer.status is Status.PARTIAL
    assert [m.what for m in answer.missing] == [f"{run} has no outcome"]


def test_that_there_was_no_release_is_an_answer_only_where_every_run_says_how_it_ended(
    graph: LineageGraph,
) -> None:
    def blocked(node: Node) -> Node | None:
        if node.kind is NodeKind.RELEASE:
            return None
        stopped = node.attributes.get("outcome") != "released"
        return node if node.kind is not NodeKind.RUN or stopped else None

    nothing = changed(graph, blocked)
    answer = ask(nothing, "A1")
    assert (answer.status, answer.about, answer.facts) == (Status.ANSWERED, 0, ())
    mute = changed(nothing, lambda n: without(n, ["outcome"]))
    assert ask(mute, "A1").status is Status.IMPOSSIBLE
    lost = changed(graph, lambda n: None if n.kind is NodeKind.RELEASE else n)
    assert ask(lost, "A1").status is Status.IMPOSSIBLE


def test_a_waiver_that_the_store_does_not_hold_is_missed(graph: LineageGraph) -> None:
    answer = ask(changed(graph, lambda n: None if n.kind is NodeKind.WAIVER else n), "B5")
    assert answer.status is Status.IMPOSSIBLE
    assert all("has no edge to used waiver" in m.what for m in answer.missing)


def test_a_release_without_a_number_is_a_broken_store() -> None:
    built = GraphBuilder()
    built.node(NodeKind.RELEASE, "insurer/tfx/last")
    with pytest.raises(EvidenceError, match="release/insurer/tfx/last has no number"):
        ask(built.build(), "A1")


def test_ten_releases_are_counted_and_not_spelt() -> None:
    built = GraphBuilder()
    for number in range(1, 11):
        built.node(NodeKind.RELEASE, f"insurer/tfx/{number}", actor="ana")
    (fact,) = ask(built.build(), "B1").facts
    assert fact.about == "release/insurer/tfx/10"


def test_a_reading_counts_files_and_statuses(asked_home: Path) -> None:
    reading = take_reading("tfx", EvidenceLineage(asked_home, "tfx"), CATALOGUE)
    assert reading.count(Status.ANSWERED) == len(CATALOGUE.questions)
    assert reading.queries > 40
    document = readings_json(CATALOGUE, [reading])
    (held,) = document["readings"]
    assert [a["question"] for a in held["answers"]] == [q["id"] for q in document["questions"]]
    assert held["answers"][0]["facts"][0]["store"] == "evidence"
    json.dumps(document, allow_nan=False)
