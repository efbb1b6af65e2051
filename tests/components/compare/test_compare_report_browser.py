"""The report in a browser: by click, by keyboard, on a telephone, on paper, without a script."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pypdf
import pytest

from components.compare.compare_report import write_comparison
from components.compare.faults import Column, Outcome
from components.release.run_summary import RunSummary
from tests.compared import HOSTILE, comparison, matrix, table

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def mixed(fault: str, stack: str, column: Column) -> Outcome:
    """Every outcome somewhere."""
    outcomes = list(Outcome)
    return outcomes[(len(fault) + len(stack) + len(column)) % len(outcomes)]


@pytest.fixture(scope="module")
def page_file(pair: list[RunSummary], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report with everything in it, marked as not comparable, some names hostile."""
    folder = tmp_path_factory.mktemp("report")
    made = comparison(
        pair,
        faults=matrix(mixed, message=HOSTILE),
        tables=[table(title=HOSTILE)],
        differences=["policy 1a and 2b"],
    )
    return write_comparison(made, folder)[0]


@pytest.fixture
def opened(browser: Any, page_file: Path) -> Iterator[Any]:
    """The page, open at 1280 pixels; nothing may have gone wrong and nothing been asked for."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    wrong: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(page_file.as_uri())
    yield page
    assert (wrong, asked) == ([], [page_file.as_uri()])
    page.close()


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_renders_and_keeps_nobody_out(
    browser: Any, page_file: Path, tmp_path: Path, width: int, scheme: str
) -> None:
    from axe_playwright_python.sync_playwright import Axe

    # A page's policy keeps out axe as it does any other script, so that is set aside here alone.
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, bypass_csp=True
    )
    page = context.new_page()
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(page_file.as_uri())
    page.evaluate("document.querySelector('.matrix details').open = true")
    found = Axe().run(page, options={"runOnly": RULES}).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"]) for v in found] == []
    # The page itself never scrolls sideways, and no table needs a frame to be read.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.screenshot(path=tmp_path / "page.png")
    assert wrong == []
    context.close()


@pytest.mark.browser
def test_tables_are_stacked_where_there_is_no_width(browser: Any, page_file: Path) -> None:
    page = browser.new_page(viewport={"width": 400, "height": 900})
    page.goto(page_file.as_uri())
    cell = page.locator(".matrix td[data-outcome]").first
    assert cell.evaluate("c => getComputedStyle(c).display") == "block"
    assert cell.evaluate("c => getComputedStyle(c, '::before').content") == '"TFX, stock"'
    assert cell.bounding_box()["width"] > 250
    page.close()


@pytest.mark.browser
def test_cells_are_chosen_by_outcome_stack_wiring_and_moment(opened: Any) -> None:
    cells = opened.locator(".matrix td[data-outcome] details")
    counted = opened.locator(".filters output")
    assert counted.inner_text() == "150 of 150 cells"
    missed = opened.locator(".matrix td[data-outcome='missed'] details")
    opened.select_option("select[name=outcome]", "missed")
    assert counted.inner_text() == f"{missed.count()} of 150 cells"
    assert sum(c.is_visible() for c in cells.all()) == missed.count() > 0
    # What is left to choose from is counted anew.
    options = opened.locator("select[name=stack] option").all_inner_texts()
    tfx = opened.locator(".matrix td[data-outcome='missed'][data-stack='tfx']").count()
    assert f"tfx ({tfx})" in options
    opened.select_option("select[name=stack]", "tfx")
    assert not opened.locator("th[data-stack='pytorch']").first.is_visible()
    assert sum(c.is_visible() for c in cells.all()) == tfx
    opened.select_option("select[name=moment]", "settings")
    rows = opened.locator(".matrix tbody tr:not(.off)")
    assert {r.get_attribute("data-moment") for r in rows.all()} <= {"settings"}
    opened.click(".filters button")
    assert counted.inner_text() == "150 of 150 cells"
    assert all(c.is_visible() for c in cells.all())


@pytest.mark.browser
def test_all_of_it_works_by_keyboard(opened: Any) -> None:
    opened.keyboard.press("Tab")
    skip = opened.locator(":focus")
    assert skip.inner_text() == "Skip to the verdict"
    assert skip.bounding_box()["x"] >= 0
    assert skip.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    opened.keyboard.press("Enter")
    assert opened.url.endswith("#verdict")
    opened.focus("select[name=outcome]")
    opened.keyboard.press("End")
    assert opened.locator(".filters output").inner_text() != "150 of 150 cells"
    opened.focus(".filters button")
    opened.keyboard.press("Enter")
    assert opened.locator(".filters output").inner_text() == "150 of 150 cells"
    first = opened.locator(".matrix details").first
    assert first.get_attribute("open") is None
    first.locator("summary").focus()
    opened.keyboard.press("Space")
    assert first.locator("dl").is_visible()
    assert HOSTILE in first.inner_text()
    node = opened.locator(".graph a.release").first
    node.focus()
    opened.keyboard.press("Enter")
    shown = opened.locator(node.get_attribute("href"))
    assert shown.is_visible()
    assert opened.locator(".node:visible").count() == 1


@pytest.mark.browser
def test_the_lineage_is_followed_by_click_from_a_release_to_its_data(opened: Any) -> None:
    opened.locator(".graph a.release").first.click()
    assert opened.locator(".graph a[aria-current]").count() == 1
    assert opened.locator(".graph path.lit").count() >= 2
    for kind in ("model", "dataset"):
        link = opened.locator(".node:visible li", has_text="was derived from").get_by_role("link")
        link.first.click()
        current = opened.locator(".graph a[aria-current]")
        assert kind in (current.get_attribute("class") or "").split()
        assert opened.locator(":focus").get_attribute("id") == opened.url.partition("#")[2]
    assert "rows_root" in opened.locator(".node:visible").inner_text()


@pytest.mark.browser
def test_without_a_script_all_of_it_is_there(browser: Any, page_file: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_file.as_uri())
    assert page.locator(".matrix dl").first.is_visible()
    assert not page.locator(".filters").is_visible()
    nodes = page.locator(".node")
    assert nodes.count() == page.locator(".graph a").count()
    assert nodes.last.is_visible()
    context.close()


@pytest.mark.browser
def test_on_paper_every_cell_is_open_and_every_page_is_marked(opened: Any, tmp_path: Path) -> None:
    opened.select_option("select[name=outcome]", "missed")
    opened.pdf(path=tmp_path / "report.pdf", prefer_css_page_size=True)
    pages = pypdf.PdfReader(tmp_path / "report.pdf").pages
    texts = [" ".join(p.extract_text().split()) for p in pages]
    assert len(texts) > 5
    assert all("NOT COMPARABLE: policy 1a and 2b" in t for t in texts)
    assert all("Assay, rand_hie" in t for t in texts)
    everything = " ".join(texts)
    assert everything.count("a tool 1.0") == 150
    assert "Show all" not in everything
    assert pages[0].mediabox.width > pages[0].mediabox.height
