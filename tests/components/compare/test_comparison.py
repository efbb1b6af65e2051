"""Tables out of files that somebody else wrote, and the verdict that follows from numbers alone."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from components.audit.answers import Status
from components.compare.comparison import Comparison, Line, Table, parse_tables
from components.compare.comparison_verdict import points, verdict
from components.compare.faults import Column, Outcome
from components.contract.errors import InputError
from components.release.run_summary import RunSummary
from tests.compared import comparison, matrix, table

LINE = {"name": "n", "unit": "", "values": {"tfx": 1, "pytorch": None}, "evidence": "e"}
TABLE = {"name": "t", "title": "T", "note": "", "lines": [LINE]}


def test_a_table_comes_back_as_it_was_written() -> None:
    made = Table(
        "t",
        "T",
        "n",
        (Line("a", "s", {"tfx": 1.5, "pytorch": "x", "jax": None}, "e", True, "why"),),
    )
    (read,) = parse_tables(json.dumps([made.to_json()]).encode(), "f.json")
    assert read == made
    assert read.columns == ("tfx", "pytorch", "jax")


def test_estimate_and_note_may_be_left_out() -> None:
    (read,) = parse_tables(json.dumps([TABLE]).encode(), "f.json")
    assert (read.lines[0].estimate, read.lines[0].note) == (False, "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "f.json: is no sound JSON"),
        ("\xff", "f.json: is no sound JSON"),
        ('[{"name": "a", "name": "b"}]', "f.json: is no sound JSON"),
        ("[" * 100_000, "f.json: is no sound JSON"),
        ("{}", "f.json: is no list"),
        ("[1]", "f.json[0]: is no object"),
        (json.dumps([{**TABLE, "more": 1}]), "f.json[0]: has a field 'more'"),
        (json.dumps([{k: v for k, v in TABLE.items() if k != "note"}]), "has no field 'note'"),
        (json.dumps([{**TABLE, "name": " "}]), "f.json[0].name: is empty"),
        (json.dumps([{**TABLE, "title": 1}]), "f.json[0].title: is no text"),
        (json.dumps([{**TABLE, "lines": {}}]), "f.json[0].lines: is no list"),
        (json.dumps([{**TABLE, "lines": [{**LINE, "estimate": 1}]}]), "lines[0].estimate"),
        (json.dumps([{**TABLE, "lines": [{**LINE, "values": {}}]}]), "lines[0].values"),
        (json.dumps([{**TABLE, "lines": [{**LINE, "values": {"a": True}}]}]), "values.a: is no"),
        (json.dumps([{**TABLE, "lines": [{**LINE, "values": {"a": [1]}}]}]), "values.a: is no"),
        ('[{"lines": [{"values": {"a": NaN}}]}]', "f.json: is no sound JSON"),
        (json.dumps([TABLE]).replace(": 1,", ": 1e999,"), "values.tfx: is no value"),
    ],
)
def test_what_is_no_table_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_tables(text.encode("latin-1"), "f.json")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_even_stacks_are_said_to_be_even(pair: list[RunSummary]) -> None:
    made = comparison(pair, faults=matrix())
    assert all(not p.ahead for p in points(made))
    assert "they are even: neither stands up better" in verdict(made)
    assert "both stacks came to the same end: released" in verdict(made)
    assert "cannot be told apart" in verdict(made)


def test_who_is_ahead_on_a_point_and_behind_on_none_stands_up_better(
    pair: list[RunSummary],
) -> None:
    def choose(fault: str, stack: str, column: Column) -> Outcome:
        return Outcome.BEFORE_TRAINING if stack == "tfx" else Outcome.MISSED

    text = verdict(comparison(pair, faults=matrix(choose)))
    assert text.startswith("On what was measured TFX stands up better")
    assert "Of 20 faults that both can be given, with referee and evidence on, TFX stopped 20" in (
        text
    )


def test_where_each_is_ahead_somewhere_neither_is(pair: list[RunSummary]) -> None:
    def choose(fault: str, stack: str, column: Column) -> Outcome:
        ahead = "tfx" if column is Column.STOCK else "pytorch"
        return Outcome.BEFORE_TRAINING if stack == ahead else Outcome.AT_AUDIT

    text = verdict(comparison(pair, faults=matrix(choose)))
    assert text.startswith(
        "Neither stands up better throughout: TFX is ahead in faults stopped (stock), "
        "PyTorch in faults stopped (native) and faults stopped (assay)."
    )


def test_what_was_not_measured_is_said(pair: list[RunSummary]) -> None:
    bare = comparison(pair, asked=False)
    assert "Which stack stands up in an audit was not measured." in verdict(bare)
    assert "Not measured: faults" in verdict(bare)
    assert "an auditor's questions" in verdict(bare)
    half = replace(matrix(), cells=matrix().cells[:10])
    assert "140 cells of the fault matrix" in verdict(comparison(pair, faults=half))


def test_accuracy_that_is_apart_is_said(pair: list[RunSummary]) -> None:
    figures = tuple(
        replace(f, value=0.9, low=0.88, high=0.92) if f.name == "roc_auc" else f
        for f in pair[1].figures
    )
    text = verdict(comparison([pair[0], replace(pair[1], figures=figures)]))
    assert "PyTorch is the more accurate" in text
    none = verdict(comparison([pair[0], replace(pair[1], figures=())]))
    assert "Accuracy was not measured in both" in none


def test_stores_that_are_not_there_are_no_point(pair: list[RunSummary]) -> None:
    names = [p.name for p in points(comparison(pair))]
    assert names == ["questions answered from the signed evidence"]
    assert "a store that is not there" in verdict(comparison(pair))


def test_questions_count_only_where_they_are_answered(pair: list[RunSummary]) -> None:
    made = comparison(pair)
    (point,) = points(made)
    evidence = {r.stack: r for r in made.readings if r.store == "evidence"}
    assert point.counts == {s: evidence[s].count(Status.ANSWERED) for s in ("tfx", "pytorch")}
    assert point.of == len(made.questions) > 0


def test_a_forced_comparison_says_so_first(pair: list[RunSummary]) -> None:
    made: Comparison = comparison(pair, differences=["policy 1a and 2b"], tables=[table()])
    assert verdict(made).startswith("NOT COMPARABLE: policy 1a and 2b.")
    assert made.table("cost") == table()
    assert made.table("other") is None
