"""The report: one page that opens from disk, loads nothing, and escapes what it is given."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from pathlib import Path

import pytest

from components.compare.compare_report import MOST_BYTES, to_html, write_comparison
from components.compare.comparison import Line, Table
from components.compare.faults import Outcome
from components.contract.errors import InputError
from components.lineage.graph import LineageGraph, Node, NodeKind
from components.release.run_summary import RunSummary
from tests.compared import HOSTILE, comparison, matrix, table

FORMULA = '=HYPERLINK("http://evil.example")'


def page_of(runs: list[RunSummary], folder: Path, **parts: object) -> str:
    """The page about two runs."""
    return to_html(comparison(runs, **parts), folder).decode()  # type: ignore[arg-type]


def test_the_page_is_self_contained(pair: list[RunSummary], tmp_path: Path) -> None:
    files = write_comparison(comparison(pair, faults=matrix()), tmp_path / "report")
    page = files[0].read_text("utf-8")
    assert files[0].stat().st_size < MOST_BYTES == 1_000_000
    assert not re.search(r"""\ssrc\s*=|url\(|@import|https?:""", page)
    for target in re.findall(r'href="([^"#][^"]*)"', page):
        assert (tmp_path / "report" / target).exists(), target
    for anchor in re.findall(r'href="#([^"]*)"', page):
        assert f'id="{anchor}"' in page, anchor


def test_the_policy_lets_in_the_inline_style_and_script_and_nothing_else(
    pair: list[RunSummary], tmp_path: Path
) -> None:
    page = page_of(pair, tmp_path)
    held = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert held
    rules = dict(rule.split(" ", 1) for rule in held[1].split("; "))
    assert rules.keys() == {
        "default-src", "style-src", "script-src", "base-uri", "form-action"
    }  # fmt: skip
    for kind in ("style", "script"):
        (text,) = re.findall(rf"<{kind}>(.*?)</{kind}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[f"{kind}-src"] == f"'sha256-{digest}'"
    assert not re.search(r"\s(style|on\w+)=", page)
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"


def test_hostile_names_are_only_names(pair: list[RunSummary], tmp_path: Path) -> None:
    run = replace(
        pair[0],
        reason=HOSTILE,
        figures=tuple(
            replace(f, of=HOSTILE, slice=f"{HOSTILE}=</table>") if f.of else f
            for f in pair[0].figures
        ),
        findings=tuple((w, {**f, "rule": f"drift:{HOSTILE}"}) for w, f in pair[0].findings),
        tools={HOSTILE: '"><img src=x>'},
    )
    made = comparison(
        pair,
        faults=matrix(message=HOSTILE),
        tables=[table(title=HOSTILE, line=HOSTILE, evidence=HOSTILE, value=HOSTILE)],
        differences=[f"</style>{HOSTILE}"],
    )
    node = Node(f"artifact/{HOSTILE}", NodeKind.ARTIFACT, {HOSTILE: HOSTILE, "name": HOSTILE})
    graph = LineageGraph({**made.graph.nodes, node.id: node}, made.graph.edges)
    made = replace(made, graph=graph, runs={**made.runs, run.stack: run}, notes=(HOSTILE,))
    page = to_html(made, tmp_path).decode()
    assert page.count("<script") == page.count("</script") == 1
    assert page.count("</style") == 1
    assert "<img" not in page
    assert page.count("&lt;script&gt;") > 100


def test_every_section_has_its_numbers(pair: list[RunSummary], tmp_path: Path) -> None:
    page = page_of(pair, tmp_path, faults=matrix(), tables=[table()])
    for run in pair:
        assert run.run_id in page
        assert run.head in page
        assert str(run.figure("roc_auc")) in page
    assert page.count('data-outcome="missed"') == 45
    assert page.count('data-outcome="caught before release"') == 90
    assert page.count('data-outcome="cannot be expressed"') == 15
    assert ">missed (45)</option>" in page
    assert '<span class="flag">estimate' not in page
    assert "not measured" in page
    for part in ("female", "black"):
        assert f"by {part}</h3>" in page


def test_what_was_not_measured_has_no_section(pair: list[RunSummary], tmp_path: Path) -> None:
    page = page_of(pair, tmp_path, asked=False)
    assert 'id="matrix"' not in page
    assert 'id="measured"' not in page
    assert "No question was asked." in page
    early = [replace(r, figures=(), findings=()) for r in pair]
    page = page_of(early, tmp_path)
    assert "No figure of a group was measured." in page
    assert "No drift was measured" in page


def test_a_cell_that_was_not_run_says_so(pair: list[RunSummary], tmp_path: Path) -> None:
    part = replace(matrix(), cells=matrix().cells[:3])
    assert page_of(pair, tmp_path, faults=part).count(">not run<") == 3


def test_an_estimate_is_marked(pair: list[RunSummary], tmp_path: Path) -> None:
    line = Line("years", "", {"tfx": 2.0}, "e", estimate=True)
    page = page_of(pair, tmp_path, tables=[Table("t", "T", "", (line,))])
    assert page.count('<span class="flag">estimate') == 1


def test_a_forced_comparison_is_marked_everywhere(pair: list[RunSummary], tmp_path: Path) -> None:
    made = comparison(pair, faults=matrix(), tables=[table()], differences=["policy 1a and 2b"])
    page = write_comparison(made, tmp_path)[0].read_text("utf-8")
    mark = "NOT COMPARABLE: policy 1a and 2b"
    sections = re.findall(r"<section .*?</section>", page, re.DOTALL)
    assert len(sections) == 10
    assert all(f'<p class="mark">{mark}</p>' in s for s in sections)
    assert f'<header><p class="mark">{mark}</p><h1>' in page
    assert "<title>NOT COMPARABLE" in page
    assert '@top-right { content: "NOT COMPARABLE\\3a  policy 1a and 2b"' in page
    assert "NOT COMPARABLE" not in page_of(pair, tmp_path)


def test_a_claim_leads_to_the_file_that_carries_it(pair: list[RunSummary], tmp_path: Path) -> None:
    faults = tmp_path / "faults"
    (faults / "cells").mkdir(parents=True)
    for cell in matrix().cells:
        (faults / cell.evidence).touch()
    page = write_comparison(comparison(pair, faults=matrix()), tmp_path / "out", faults)[0]
    text = page.read_text("utf-8")
    found = re.findall(r'href="([^"#]+)"', text)
    assert all((page.parent / f).exists() for f in found)
    gates = [f for f in found if f.endswith("-release_gate.json")]
    assert {(page.parent / g).resolve() for g in gates} >= {
        next(r.directory.glob("evidence/*-release_gate.json")).resolve() for r in pair
    }
    assert "../faults/cells/span_twice-tfx-assay.json" in found
    record = f"stage/{pair[0].run_id}/release_gate"
    digest = comparison(pair).graph.nodes[record].attributes["record"]
    assert f"sha256 {digest}" in text


def test_no_link_leads_out_of_the_folder_of_faults(pair: list[RunSummary], tmp_path: Path) -> None:
    (tmp_path / "faults" / "in").mkdir(parents=True)
    (tmp_path / "secret.txt").touch()
    held = matrix()
    cells = tuple(replace(c, evidence="in/../../secret.txt") for c in held.cells)
    made = comparison(pair, faults=replace(held, cells=cells))
    page = to_html(made, tmp_path / "out", tmp_path / "faults").decode()
    assert 'secret.txt"' not in page


def test_a_page_that_is_too_large_is_refused(pair: list[RunSummary], tmp_path: Path) -> None:
    lines = tuple(Line("n" * 100, "", {"tfx": "v" * 300}, "e") for _ in range(3000))
    made = comparison(pair, tables=[Table("long", "T", "", lines)])
    with pytest.raises(InputError, match="less than 1,000,000"):
        write_comparison(made, tmp_path)
    assert not (tmp_path / "index.html").exists()


def test_outcomes_are_told_in_words_and_not_in_colour_alone(
    pair: list[RunSummary], tmp_path: Path
) -> None:
    outcomes = list(Outcome)
    made = matrix(lambda f, s, c: outcomes[len(f) % len(outcomes)])
    page = page_of(pair, tmp_path, faults=made)
    for cell in made.cells:
        assert f'">{cell.outcome}</summary>' in page
