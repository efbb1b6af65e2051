"""Loading questions and regulations, strictly: what is not known is an error, and names its place.

The two files are data: ``policies/questions.yaml`` and ``policies/regulations.yaml``.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.audit.paths import parse_path, require_attribute
from components.audit.questions import (
    About,
    Catalogue,
    Condition,
    Question,
    Regulation,
    Wanted,
)
from components.contract.errors import InputError
from components.contract.json_schema import ROOT, validate
from components.contract.stages import Stage
from components.contract.strict_yaml import load_yaml
from components.lineage.graph import NodeKind

QUESTIONS = ROOT / "policies" / "questions.yaml"
REGULATIONS = ROOT / "policies" / "regulations.yaml"


def load_catalogue(questions: Path = QUESTIONS, regulations: Path = REGULATIONS) -> Catalogue:
    """Read both files and see that they fit each other.

    Raises:
        InputError: an unknown key, a value that no graph knows, a question's id twice, or a rule
            that no regulation states; names the file and the field.
    """
    rules, _ = load_yaml(regulations)
    validate(rules, "regulations-v1.schema.json", regulations)
    document, _ = load_yaml(questions)
    validate(document, "questions-v1.schema.json", questions)
    known = {name: Regulation(name, **held) for name, held in rules["regulations"].items()}
    found: dict[str, Question] = {}
    for index, held in enumerate(document["questions"]):
        where = f"{questions}, field questions[{index}]"
        if held["id"] in found:
            raise InputError(
                f"{held['id']} stands twice", where=f"{where}.id", expected="each id once"
            )
        if unknown := set(held["serves"]) - known.keys():
            raise InputError(
                f"no regulation {min(unknown)!r}",
                where=f"{where}.serves",
                expected=f"ids of {regulations.name}: " + ", ".join(sorted(known)),
            )
        found[held["id"]] = _question(held, where)
    return Catalogue(tuple(found.values()), document["exhibits"], known, rules["note"])


def _question(held: Mapping[str, Any], where: str) -> Question:
    about = _about(held["about"], f"{where}.about")
    return Question(
        id=held["id"],
        exhibit=held["id"][0],
        text=held["text"],
        serves=tuple(held["serves"]),
        about=about,
        facts=tuple(
            _wanted(fact, about.kind, f"{where}.facts[{index}]")
            for index, fact in enumerate(held["facts"])
        ),
    )


def _about(held: Mapping[str, Any], where: str) -> About:
    kind = NodeKind(held["kind"])
    stage = Stage(held["stage"]) if "stage" in held else None
    if stage is not None and kind is not NodeKind.STAGE:
        raise InputError(f"a {kind} has no stage", where=f"{where}.stage", expected="kind: stage")
    if held.get("in_force") and kind is not NodeKind.RELEASE:
        raise InputError(
            f"a {kind} is not in force", where=f"{where}.in_force", expected="kind: release"
        )
    other = held.get("none_unless")
    return About(
        kind=kind,
        stage=stage,
        where=_condition(held, kind, where),
        in_force=held.get("in_force", False),
        none_unless=None
        if other is None
        else (
            NodeKind(other["kind"]),
            _condition(other, NodeKind(other["kind"]), f"{where}.none_unless"),
        ),
    )


def _wanted(held: Mapping[str, Any], start: NodeKind, where: str) -> Wanted:
    return Wanted(
        name=held["name"],
        path=parse_path(held["path"], start, f"{where}.path"),
        where=_condition(held, start, where),
    )


def _condition(held: Mapping[str, Any], kind: NodeKind, where: str) -> Condition:
    found = held.get("where", {})
    for attribute in found:
        require_attribute(kind, attribute, f"{where}.where")
    return {attribute: tuple(values) for attribute, values in found.items()}
