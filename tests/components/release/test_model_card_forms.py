"""The card's three forms: the same facts, the same bytes each time, and text that is only text."""

from __future__ import annotations

import re
from io import BytesIO
from pathlib import Path

import pypdf
import pytest
import yaml

from components.release.card_parts import ModelCard, clean
from components.release.model_card import build_card, write_card
from components.release.model_card_markdown import escaped
from components.release.model_card_pdf import _COVERED, to_pdf
from tests import seeded
from tests.carded_runs import HOSTILE, Cards, Forms, field, squeezed, statements_of

_STATED = ("known_risks", "intended_use", "model_name", "license", "odd_key")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A blocked run whose policy, and whose waived release, say hostile things."""
    cards = Cards(tmp_path_factory.mktemp("hostile"), dict.fromkeys(_STATED, HOSTILE))
    blocked = cards.run(seeded.biased)
    line = " ".join(HOSTILE.split())  # a waiver's reason is one line of printable characters
    cards.waive(blocked, "".join(c for c in line if c.isprintable()))
    return cards.again(blocked, seeded.biased).spec.directory


@pytest.fixture(scope="module")
def card(run: Path) -> ModelCard:
    """Its card, source attributes included."""
    return build_card(run, "onc")


@pytest.fixture(scope="module")
def forms(card: ModelCard, tmp_path_factory: pytest.TempPathFactory) -> Forms:
    """The card, written."""
    directory = tmp_path_factory.mktemp("forms")
    write_card(card, directory)
    return Forms(directory)


def _in_pdf(text: str) -> str:
    return text.replace("\u4f60", "[U+4F60]")


def test_the_three_forms_state_the_same_facts(card: ModelCard, forms: Forms) -> None:
    facts = [squeezed(t) for t in statements_of(card) if t]
    assert len(facts) > 500
    assert [f for f in facts if f not in forms.markdown] == []
    assert [f for f in facts if f not in forms.html] == []
    # A cell that goes on over the page has the page's head and foot in it.
    broken = {f for f in facts if _in_pdf(f) not in forms.pdf}
    assert len(broken) <= 5
    assert all(any(_in_pdf(f)[:12] in forms.pdf for f in [fact]) for fact in broken)


def test_the_same_evidence_gives_the_same_bytes(run: Path, forms: Forms, tmp_path: Path) -> None:
    for path in write_card(build_card(run, "onc"), tmp_path):
        assert path.read_bytes() == (forms.directory / path.name).read_bytes()


def test_hostile_text_is_one_visible_line(card: ModelCard) -> None:
    said = field(card, "Known risks and limitations")
    assert said == clean(HOSTILE)
    assert "\n" not in said
    assert "[U+202E]reversed[U+202C]" in said
    assert "é" in said
    assert "́" not in said
    assert not [t for t in statements_of(card) if re.search("[\u200b\u202e\n\r\t]", t)]


def test_hostile_text_is_text_in_every_form(card: ModelCard, forms: Forms) -> None:
    said = squeezed(field(card, "Known risks and limitations"))
    assert forms.markdown.count(said) >= len(_STATED)
    assert forms.html.count(said) >= len(_STATED)
    assert forms.pdf.count(_in_pdf(said)) >= len(_STATED) - 1  # one may go on over a page
    reason = squeezed(field(card, "Reason"))
    assert "<script>" in reason
    assert all(reason in form for form in (forms.markdown, forms.html))


def test_hostile_text_adds_nothing_to_the_markdown(card: ModelCard, forms: Forms) -> None:
    text = forms.raw("md").decode("utf-8")
    head, body = text.removeprefix("---\n").split("\n---\n", 1)
    assert yaml.safe_load(head) == card.metadata
    assert card.metadata["license"] == "other"
    assert "<" not in body
    # Nothing but what the card's own parts are set with: no link, emphasis or list.
    tags = set(re.findall(r"<(\w+)", forms.rendered))
    assert tags == {
        "h1", "h2", "h3", "p", "table", "thead", "tbody", "tr", "th", "td", "strong", "code",
    }  # fmt: skip
    titles = [b.title for s in card.sections for b in s.blocks if b.title]
    assert len(re.findall("<h[123]>", forms.rendered)) == 1 + len(card.sections) + len(titles)
    assert forms.rendered.count("<strong>") == 1
    cells = sum(len(r) for s in card.sections for b in s.blocks for r in getattr(b, "rows", ()))
    fields = sum(3 * len(getattr(b, "items", ())) for s in card.sections for b in s.blocks)
    assert forms.rendered.count("<td") == cells + fields


def test_the_markdown_becomes_no_link_where_addresses_are_linked(forms: Forms) -> None:
    body = re.sub(r"\\.", "", forms.raw("md").decode("utf-8").split("\n---\n", 1)[1])
    assert not re.search(r"[a-z]://|www\.|\w@\w", body)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# heading", "\\# heading"),
        ("- item", "\\- item"),
        ("1. item", "1\\. item"),
        ("0.711 [0.683, 0.739]", "0.711 \\[0.683, 0.739\\]"),
        ("a|b", "a\\|b"),
        ("`x`", "\\`x\\`"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("http://x www.y a@b", "http\\://x www\\.y a\\@b"),
        ("back\\slash", "back\\\\slash"),
    ],
)
def test_markdown_escapes(text: str, shown: str) -> None:
    assert escaped(text) == shown


def test_the_page_is_self_contained_and_runs_nothing(forms: Forms) -> None:
    page = forms.raw("html").decode("utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#)""", page)
    assert not re.search(r"<(script|img|iframe|object|link|b)\b", page)
    assert "default-src 'none'; style-src 'sha256-" in page
    assert 'style="' not in page


def test_the_pdf_is_made_to_be_kept_and_read_aloud(card: ModelCard, forms: Forms) -> None:
    document = pypdf.PdfReader(BytesIO(forms.raw("pdf")))
    assert document.metadata is not None
    assert document.metadata.title == _in_pdf(f"Model card: {card.title}")
    assert document.metadata.creation_date is not None
    assert int(document.metadata.creation_date.timestamp()) == int(card.at.timestamp())
    catalogue = document.trailer["/Root"]
    assert catalogue["/MarkInfo"]["/Marked"]
    about = catalogue["/Metadata"].get_data()
    assert re.search(rb"pdfaid:part>2<.*pdfaid:conformance>A<", about, re.S)
    assert b"pdfuaid:part>1<" in about


def test_the_pdf_can_show_every_character_that_it_is_given(card: ModelCard) -> None:
    from dataclasses import replace

    points = [c for first, last in _COVERED for c in range(first, last + 1)]
    assert to_pdf(replace(card, sections=(), headline="".join(map(chr, points))))


@pytest.mark.browser
@pytest.mark.parametrize("width", [1280, 400])
def test_in_a_browser(card: ModelCard, forms: Forms, browser, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900})
    wrong: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("dialog", lambda dialog: wrong.append(dialog.message))
    page.on("request", lambda request: asked.append(request.url))
    address = (forms.directory / "model-card.html").as_uri()
    page.goto(address)
    assert (wrong, asked) == ([], [address])
    # The style's digest holds: without it the page would have no colours.
    assert page.evaluate("getComputedStyle(document.querySelector('header')).color") == (
        "rgb(255, 255, 255)"
    )
    assert page.locator("section").count() == len(card.sections)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    for link in page.locator("nav a").all():
        anchor = link.get_attribute("href")
        assert anchor is not None
        assert page.locator(anchor).count() == 1
