"""docs/choosing.md rests on lines that exist, and what it says of a direction is what they say."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable

import pytest

from benchmarks.harness import RESULTS
from components.audit.answers import Answer, Status
from components.audit.readings import Reading
from components.compare.audit_score import audit_score_table
from components.compare.comparison import Line, parse_tables
from components.compare.cost import cost_tables
from components.compare.fault_catalogue import FAULTS
from components.compare.parity import parity_table
from components.contract.json_schema import ROOT

GUIDE = (ROOT / "docs" / "choosing.md").read_text("utf-8")
_REFERENCE = re.compile(r"\[([a-z_]+): ([^\]]+)\]")
_DIRECTION = re.compile(r"(.+), (tfx|pytorch) ([<>=]) (tfx|pytorch|\d+)")
_SIGNS: dict[str, Callable[[object, object], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "=": operator.eq,
}
# Whose lines exist only for two real runs of the same rows.
_OF_RUNS = {("agreement", "decided alike")}


def _bullets() -> list[str]:
    """The points of the lists under "Which stack" and "What the lines do not say", each as one."""
    parts = GUIDE.split("\n## ")[1:]
    assert [p.partition("\n")[0] for p in parts] == ["Which stack", "What the lines do not say"]
    found = [b for p in parts for b in re.split(r"\n- ", p)[1:]]
    return [" ".join(b.split()) for b in found]


def _sentences(bullet: str) -> list[str]:
    """Its sentences; what is bold at its beginning is the advice that they stand for."""
    text = re.sub(r"^\*\*.*?\*\* ", "", bullet)
    return [s for s in re.split(r"(?<=\.) ", text) if s]


@pytest.fixture(scope="module")
def lines() -> dict[tuple[str, str], Line]:
    """Every line that a comparison can have, by table and name, with what it says here."""
    readings = [
        Reading(stack, store, (Answer("A1", store, Status.ANSWERED, 1, (), (), 0.0),), 1, 0.0)
        for stack, native in (("tfx", "mlmd"), ("pytorch", "mlflow"))
        for store in (native, "evidence")
    ]
    newest = max(RESULTS.glob("cost-tables-*.json"), key=lambda p: p.stem.rpartition("-")[2])
    tables = [
        *cost_tables({}),
        *parse_tables(newest.read_bytes(), newest.name),
        parity_table({}),
        audit_score_table(readings),
    ]
    return {(table.name, line.name): line for table in tables for line in table.lines}


def test_every_sentence_names_the_line_that_it_rests_on() -> None:
    bullets = _bullets()
    assert len(bullets) > 10
    for bullet in bullets:
        for sentence in _sentences(bullet):
            assert re.search(_REFERENCE.pattern + r"\.$", sentence), sentence


def test_every_line_that_is_named_exists(lines: dict[tuple[str, str], Line]) -> None:
    faults = {("faults", f.name) for f in FAULTS}
    for table, rest in _REFERENCE.findall(" ".join(GUIDE.split())):
        stated = _DIRECTION.fullmatch(rest)
        name = stated[1] if stated else rest
        assert (table, name) in {*lines, *faults, *_OF_RUNS} or (table, name) == ("table", "line")


def test_every_direction_is_what_the_line_says(lines: dict[tuple[str, str], Line]) -> None:
    checked = 0
    for table, rest in _REFERENCE.findall(" ".join(GUIDE.split())):
        if stated := _DIRECTION.fullmatch(rest):
            name, left, sign, right = stated.groups()
            values = lines[table, name].values
            other = float(right) if right.isdigit() else values[right]
            assert _SIGNS[sign](values[left], other), f"{table}: {rest}, but {dict(values)}"
            checked += 1
    assert checked > 5


def test_no_figure_is_copied_into_the_text() -> None:
    """Figures change; what stays is where to read them."""
    prose = _REFERENCE.sub("", " ".join(_bullets()))
    assert not re.search(r"\d", prose)


def test_the_legacy_and_the_greenfield_case_are_among_them() -> None:
    assert "legacy" in GUIDE
    assert "greenfield" in GUIDE
