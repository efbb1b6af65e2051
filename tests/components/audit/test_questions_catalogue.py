"""The two catalogues: what ships, and that nothing unknown gets in."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.audit.paths import ATTRIBUTES, KEY, parse_path
from components.audit.question_catalogue import QUESTIONS, REGULATIONS, load_catalogue
from components.contract.errors import InputError
from components.lineage.graph import EdgeKind, NodeKind

Document = dict[str, Any]


def test_what_ships_has_the_exhibits_and_every_rule_is_served() -> None:
    catalogue = load_catalogue()
    assert len(catalogue.questions) >= 30
    assert min(Counter(q.exhibit for q in catalogue.questions).values()) >= 8
    assert {s for q in catalogue.questions for s in q.serves} == set(catalogue.regulations)
    assert len({q.text for q in catalogue.questions}) == len(catalogue.questions)
    assert "Counsel decides" in catalogue.note


def test_every_rule_that_is_asked_for_is_there() -> None:
    wanted = {
        "hipaa-164.312-b", "hipaa-164.312-c", "hipaa-164.316-b-2", "cfr-45-92.210", "cms-0057-f",
        "cfr-42-422.101-c", "cfr-21-11.10-e", "eu-ai-act-annex-iv", "nist-ai-rmf",
        "naic-bulletin", "sr-11-7", "sr-26-2", *(f"eu-ai-act-{n}" for n in range(10, 16)),
    }  # fmt: skip
    assert set(load_catalogue().regulations) == wanted


def written(folder: Path, source: Path, change: Callable[[Document], object]) -> Path:
    """A shipped file with one change."""
    document = yaml.safe_load(source.read_text())
    change(document)
    path = folder / source.name
    # As plain JSON first, or what stands twice would be written as an anchor and its alias.
    path.write_text(yaml.safe_dump(json.loads(json.dumps(document)), sort_keys=False))
    return path


def refused(questions: Path = QUESTIONS, regulations: Path = REGULATIONS) -> str:
    """What loading says."""
    with pytest.raises(InputError) as caught:
        load_catalogue(questions, regulations)
    return str(caught.value)


def first(document: Document) -> Document:
    """The first question."""
    found: Document = document["questions"][0]
    return found


BAD: dict[str, tuple[Callable[[Document], object], str]] = {
    "key": (lambda d: first(d).update(answer="yes"), "answer"),
    "top": (lambda d: d.update(more={}), "more"),
    "id": (lambda d: first(d).update(id="E1"), "questions[0].id"),
    "twice": (lambda d: d["questions"].append(first(d)), "A1 stands twice"),
    "rule": (lambda d: first(d).update(serves=["hipaa"]), "no regulation 'hipaa'"),
    "no rule": (lambda d: first(d).update(serves=[]), "questions[0].serves"),
    "kind": (lambda d: first(d).update(about={"kind": "patient"}), "questions[0].about.kind"),
    "in force": (
        lambda d: first(d).update(about={"kind": "run", "in_force": True}),
        "a run is not in force",
    ),
    "stage": (
        lambda d: first(d)["about"].update(stage="train"),
        "a release has no stage",
    ),
    "where": (lambda d: first(d)["about"].update(where={"colour": ["red"]}), "no 'colour'"),
    "fact where": (lambda d: first(d)["facts"][0].update(where={"colour": ["red"]}), "'colour'"),
    "none unless": (
        lambda d: first(d)["about"]["none_unless"].update(where={"colour": ["red"]}),
        "no 'colour'",
    ),
    "path": (lambda d: first(d)["facts"][0].update(path="at"), "names no attribute"),
    "attribute": (lambda d: first(d)["facts"][0].update(path=".hue"), "a release has no 'hue'"),
    "edge": (lambda d: first(d)["facts"][0].update(path="ate>run.key"), "'ate>run' is no step"),
    "no facts": (lambda d: first(d).update(facts=[]), "questions[0].facts"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_question_that_no_graph_could_answer_is_refused(tmp_path: Path, case: str) -> None:
    change, expected = BAD[case]
    message = refused(questions=written(tmp_path, QUESTIONS, change))
    assert expected in message
    assert "questions.yaml" in message
    assert "\n" not in message


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d["regulations"]["sr-11-7"].update(in_force=True),
        lambda d: d["regulations"]["sr-11-7"].pop("status"),
        lambda d: d["regulations"]["sr-11-7"].update(as_of="today"),
        lambda d: d["regulations"].pop("sr-11-7"),
        lambda d: d.pop("note"),
    ],
)
def test_a_regulation_has_its_fields_and_no_other(
    tmp_path: Path, change: Callable[[Document], object]
) -> None:
    message = refused(regulations=written(tmp_path, REGULATIONS, change))
    assert "regulations.yaml" in message


def test_a_path_is_read_as_it_is_written() -> None:
    path = parse_path("wasGeneratedBy>run/wasPartOf<stage:train.tools", NodeKind.RELEASE, "here")
    run, stage = path.steps
    assert (run.edge, run.along, run.kind, run.stage) == (
        EdgeKind.GENERATED_BY, True, NodeKind.RUN, None
    )  # fmt: skip
    assert (stage.edge, stage.along, stage.kind, stage.stage) == (
        EdgeKind.PART_OF, False, NodeKind.STAGE, "train"
    )  # fmt: skip
    assert (path.attribute, path.many) == ("tools", False)
    many = parse_path(".figure:tpr_difference@*", NodeKind.STAGE, "here")
    assert (many.attribute, many.many) == ("figure:tpr_difference@", True)


@pytest.mark.parametrize(
    "text",
    ["", ".", "used>policy", "used>policy.", "used policy.key", "used>policy.figure:auc@overall"]
    + ["used>run:train.key", "used>/.key", ".outcome*", "used>policy//.key", ".key.key"],
)
def test_what_is_no_path(text: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_path(text, NodeKind.RUN, "here")
    assert str(caught.value).startswith("here: ")


def test_every_kind_of_node_has_its_attributes_listed() -> None:
    assert set(ATTRIBUTES) == set(NodeKind)
    assert all(KEY not in names for names in ATTRIBUTES.values())
