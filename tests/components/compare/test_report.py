"""The report: one page that opens from disk, loads nothing, and escapes what it is given."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from components.compare.report import headline, write_report
from components.release.run_summary import RunSummary


def test_headline_counts_and_compares(runs: list[RunSummary]) -> None:
    text = headline(runs)
    assert text.startswith("2 of 4 runs released, 2 blocked")
    assert "same outcome on every candidate" in text
    other = replace(runs[0], outcome="released")
    assert "different outcomes" in headline([other, *runs[1:]])


def test_the_page_is_self_contained(runs: list[RunSummary], tmp_path: Path) -> None:
    page = write_report(runs, tmp_path / "report", "0.0.0").read_text()
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#)""", page)
    assert "<script" not in page
    assert "default-src 'none'" in page
    assert len(page.encode()) < 1_000_000


def test_every_run_limit_and_reason_is_on_the_page(runs: list[RunSummary], tmp_path: Path) -> None:
    page = write_report(runs, tmp_path, "0.0.0").read_text()
    for run in runs:
        assert run.run_id in page
        assert run.head[:16] in page
    for limit in runs[0].policy.release_gate.limits:
        assert limit.id in page
    assert "tpr_difference of female" in page


def test_hostile_text_is_only_text(runs: list[RunSummary], tmp_path: Path) -> None:
    hostile = replace(runs[0], reason="<script>alert(1)</script>", candidate='"><img src=x>')
    page = write_report([hostile], tmp_path, "0.0.0").read_text()
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;" in page


def test_a_run_blocked_at_the_data_gate_still_has_a_page(
    runs: list[RunSummary], tmp_path: Path
) -> None:
    early = replace(runs[0], figures=(), native_figures=(), findings=())
    page = write_report([early], tmp_path, "0.0.0").read_text()
    assert "No run came as far as the release gate" in page


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
def test_in_a_browser(runs: list[RunSummary], tmp_path: Path, browser, width: int) -> None:
    path = write_report(runs, tmp_path, "0.0.0")
    page = browser.new_page(viewport={"width": width, "height": 900})
    problems, requests = [], []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    assert page.title() == "Assay: rand_hie"
    assert page.locator("#runs tbody tr").count() == len(runs)
    assert page.locator("svg.chart").count() >= 5
    assert page.locator("svg.chart circle.point").count() > 20
    assert requests == [path.as_uri()]
    assert problems == []
    # The page itself never scrolls sideways; wide tables scroll in their own frame.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
