"""The page, the workbook and the PDF: hostile texts stay texts, and nothing is left unsaid."""

from __future__ import annotations

import io
import re
import zipfile
from datetime import UTC, datetime
from html.parser import HTMLParser

import openpyxl  # type: ignore[import-untyped]
import pypdf
import pytest

from components.audit.answer_document import answer_document
from components.audit.answer_pdf import to_pdf
from components.audit.answer_table_html import to_html
from components.audit.answer_workbook import safe_text, to_workbook
from components.audit.answers import Respondent
from components.audit.question_catalogue import load_catalogue
from components.audit.readings import Reading, no_reading
from components.lineage.graph import EdgeKind, GraphBuilder, LineageGraph, NodeKind
from tests.carded_runs import HOSTILE, squeezed

CATALOGUE = load_catalogue()
AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FORMULAS = ["=1+1", "+1", "-2+3", "@SUM(A1)", '=HYPERLINK("http://evil.example")', "\t=1", "\r=1"]


def hostile_graph(text: str) -> LineageGraph:
    """A store that says one text wherever it can."""
    built = GraphBuilder()
    run = built.node(
        NodeKind.RUN, f"r{text}", actor=text, reason=text, outcome="blocked", started=text
    )
    release = built.node(NodeKind.RELEASE, "insurer/tfx/1", kind="release", actor=text, at=text)
    built.edge(release, EdgeKind.GENERATED_BY, run)
    return built.build()


def readings(*graphs: LineageGraph) -> list[Reading]:
    """What some graphs answer: the first as MLMD, the second as evidence."""
    return [
        Reading("tfx", store, tuple(Respondent(g, store).answer_all(CATALOGUE.questions)), 7, 0.012)
        for store, g in zip(("mlmd", "evidence"), graphs, strict=False)
    ]


class Page(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [v or "" for k, v in attrs if k in ("href", "src", "style") or k[:2] == "on"]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def hostile() -> list[Reading]:
    """Two stores that mean harm."""
    return readings(hostile_graph(HOSTILE), hostile_graph(HOSTILE))


def test_the_page_is_text_under_a_content_security_policy(hostile: list[Reading]) -> None:
    raw = to_html(answer_document(CATALOGUE, hostile, AT, 50)).decode("utf-8")
    page = Page(raw)
    assert "default-src 'none'; style-src 'sha256-" in raw
    assert not page.tags & {"script", "img", "b", "iframe", "link", "object"}
    assert all(re.fullmatch(r"#[A-D]\d+", link) for link in page.links)
    assert HOSTILE in page.text
    assert "<script>alert" not in raw


def test_the_page_has_every_question_status_rule_and_note(hostile: list[Reading]) -> None:
    page = Page(to_html(answer_document(CATALOGUE, hostile, AT, 50)).decode("utf-8"))
    for question in CATALOGUE.questions:
        assert question.text in page.text
    for rule in CATALOGUE.regulations.values():
        assert rule.title in page.text
        assert rule.status in page.text
    assert CATALOGUE.note in page.text
    assert {"answered", "partial", "impossible"} <= set(page.text.split())
    assert "tfx, mlmd alone" in page.text
    assert "tfx with evidence" in page.text


def test_a_page_says_how_many_facts_it_leaves_out() -> None:
    built = GraphBuilder()
    for number in range(30):
        built.node(NodeKind.RUN, f"run-{number:02d}", actor="ana", started="now")
    document = answer_document(CATALOGUE, readings(built.build()), AT, 4)
    (answer,) = next(q for e in document["exhibits"] for q in e["questions"] if q["id"] == "B7")[
        "answers"
    ]
    assert (len(answer["facts"]), answer["more_facts"]) == (4, 56)
    assert answer["summary"] == "60 facts about 30"
    assert "and 56 more" in Page(to_html(document).decode("utf-8")).text


def sheets(content: bytes) -> dict[str, list[tuple[str | None, ...]]]:
    """Rows of every sheet."""
    book = openpyxl.load_workbook(io.BytesIO(content))
    return {s.title: [tuple(r) for r in s.iter_rows(values_only=True)] for s in book}


@pytest.mark.parametrize("text", FORMULAS)
def test_a_cell_is_never_a_formula(text: str) -> None:
    content = to_workbook(CATALOGUE, readings(hostile_graph(text)), AT)
    book = openpyxl.load_workbook(io.BytesIO(content))
    cells = [c for sheet in book for row in sheet.iter_rows() for c in row if c.value is not None]
    assert {c.data_type for c in cells} == {"s"}
    assert not any(str(c.value).startswith(("=", "+", "-", "@", "\t", "\r")) for c in cells)
    assert safe_text(text) == f"'{text}"
    assert any(str(c.value).startswith("'") for c in cells if c.parent.title == "Facts")
    with zipfile.ZipFile(io.BytesIO(content)) as parts:
        assert not any(b"<f>" in parts.read(name) for name in parts.namelist())


def test_a_workbook_takes_what_xml_cannot_hold(hostile: list[Reading]) -> None:
    assert safe_text("a\x00b\x1fc\ufffe") == "a\ufffdb\ufffdc\ufffd"
    assert len(safe_text("x" * 50_000)) == 32_000
    assert safe_text("plain -1") == "plain -1"
    nasty = readings(hostile_graph("\x00\x0b null"))
    assert sheets(to_workbook(CATALOGUE, nasty, AT))
    assert sheets(to_workbook(CATALOGUE, hostile, AT))


def test_the_workbook_has_every_fact_and_everything_missing(hostile: list[Reading]) -> None:
    found = sheets(to_workbook(CATALOGUE, hostile, AT))
    assert list(found) == ["Stores", "Questions", "Facts", "Missing", "Rules"]
    facts = sum(len(a.facts) for r in hostile for a in r.answers)
    missing = sum(len(a.missing) for r in hostile for a in r.answers)
    assert (len(found["Facts"]), len(found["Missing"])) == (facts + 1, missing + 1)
    assert len(found["Questions"]) == len(CATALOGUE.questions) + 1
    assert len(found["Rules"]) == len(CATALOGUE.regulations) + 1
    assert found["Stores"][1][0] == "tfx, mlmd alone"
    assert found["Stores"][1][4] == "7"


def test_the_pdf_sets_hostile_texts_as_texts(hostile: list[Reading]) -> None:
    made = to_pdf(answer_document(CATALOGUE, hostile, AT, 10), AT)
    assert made == to_pdf(answer_document(CATALOGUE, hostile, AT, 10), AT)
    text = squeezed("".join(p.extract_text() for p in pypdf.PdfReader(io.BytesIO(made)).pages))
    assert squeezed("<script>alert(1)</script> | `code`") in text
    assert "#settext(red)" in text
    assert squeezed(CATALOGUE.questions[0].text) in text
    assert squeezed("tfx, mlmd alone") in text


MISSING = "tfx: home/stores/mlmd.sqlite is not there, so mlmd alone answers nothing"


@pytest.fixture(scope="module")
def without_store() -> list[Reading]:
    """What an imported run's home says: it has evidence and no native store."""
    (evidence,) = readings(hostile_graph("plain"))
    return [no_reading("tfx", "mlmd", CATALOGUE, MISSING), evidence]


def test_the_page_says_which_store_is_missing_and_no_more(
    without_store: list[Reading], hostile: list[Reading]
) -> None:
    page = Page(to_html(answer_document(CATALOGUE, without_store, AT, 5)).decode("utf-8"))
    assert f"Not read: {MISSING}." in page.text
    assert "Not read" not in Page(to_html(answer_document(CATALOGUE, hostile, AT, 5)).decode()).text


def test_the_page_sets_the_note_of_a_missing_store_as_text() -> None:
    lost = [no_reading("tfx", "mlmd", CATALOGUE, HOSTILE)]
    raw = to_html(answer_document(CATALOGUE, lost, AT, 5)).decode("utf-8")
    assert f"Not read: {HOSTILE}." in Page(raw).text
    assert "<script>alert" not in raw


def test_the_workbook_says_which_store_is_missing(
    without_store: list[Reading], hostile: list[Reading]
) -> None:
    told = [row[0] for row in sheets(to_workbook(CATALOGUE, without_store, AT))["Stores"]]
    assert f"Not read: {MISSING}." in told
    others = sheets(to_workbook(CATALOGUE, hostile, AT))["Stores"]
    assert not any("Not read" in str(row[0]) for row in others)


def test_the_pdf_says_which_store_is_missing(without_store: list[Reading]) -> None:
    made = to_pdf(answer_document(CATALOGUE, without_store, AT, 5), AT)
    text = squeezed("".join(p.extract_text() for p in pypdf.PdfReader(io.BytesIO(made)).pages))
    assert squeezed(f"Not read: {MISSING}.") in text
