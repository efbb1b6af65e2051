"""Runs to make model cards of: released, blocked, waived, rolled back; and how to read a card."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import pypdf
from markdown_it import MarkdownIt

from components.lineage.keys import KeyPair, new_key, public_text
from components.release.card_parts import Fields, ModelCard
from components.release.waiver_requests import Asked, request_waiver
from components.release.waiver_terms import Waiver
from components.stacks.process import ReleaseProcess
from tests import seeded
from tests.plain_stack import PlainStack, start

Statements = dict[str, str]

HOSTILE = (
    "<script>alert(1)</script> | `code` ``` #set text(red)\n\n# heading\n---\n"
    '#import "@preview/evil:1.0.0": * $x$ \\ *bold* _it_ ~~no~~ [a](http://evil.example) <b>&amp; '
    "{{ 7 * 7 }} {% raw %} www.evil.example a@evil.example \u202ereversed\u202c\u200b \u4f60 é"
)
"""What a policy may say that would act as something else than text in one of the forms."""


class Cards:
    """A home whose policy lets Ana and Bo waive, and states some things of the model."""

    def __init__(self, home: Path, statements: Statements | None = None) -> None:
        self.home, self.made = home, 0
        self.keys: dict[str, KeyPair] = {n: new_key(home / "people", n) for n in ("ana", "bo")}
        ana, bo = ({n: public_text(pair.raw)} for n, pair in self.keys.items())
        rules = {"max_days": 30, "signers": ana, "cosigners": bo}

        def change(document: dict[str, Any]) -> None:
            document.update(waivers=rules, model_card=statements or {})

        self.contract, self.policy = seeded.write_documents(home / "documents", change)

    def start(self, rows: Callable | None, continues: ReleaseProcess | None) -> ReleaseProcess:
        """A run that is ready for its first stage."""
        data = self.home / f"rows-{getattr(rows, '__name__', 'good')}.csv"
        if not data.exists():
            seeded.write_rows(data, rows)
        return start(
            self.home,
            "plain",
            policy=self.policy,
            contract=self.contract,
            data=data,
            continues=continues,
        )

    @staticmethod
    def stack(process: ReleaseProcess) -> PlainStack:
        """The stack of a run."""
        return PlainStack(process)

    def run(self, rows: Callable | None = None) -> ReleaseProcess:
        """A run that came to its end."""
        process = self.start(rows, None)
        PlainStack(process).run()
        return process

    def again(self, earlier: ReleaseProcess, rows: Callable | None = None) -> ReleaseProcess:
        """A run that releases what an earlier one trained."""
        process = self.start(rows, earlier)
        assert PlainStack(process).release() == "released"
        return process

    def waive(self, process: ReleaseProcess, reason: str) -> Waiver:
        """A waiver of a week."""
        now = datetime.now(UTC)
        asked = Asked(
            gate="release_gate",
            reason=reason,
            expires=str(now.date() + timedelta(days=7)),
            signer_key=self.keys["ana"].private,
            cosigner_key=self.keys["bo"].private,
            actor="tester",
            at=now,
        )
        waiver = request_waiver(process.spec.directory, asked).result
        assert isinstance(waiver, Waiver)
        return waiver


class Forms:
    """The three forms of a card as the texts that a reader gets from them, without white space."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def raw(self, kind: str) -> bytes:
        """A form's bytes."""
        return (self.directory / f"model-card.{kind}").read_bytes()

    @cached_property
    def rendered(self) -> str:
        """The Markdown below its head, as a renderer makes HTML of it, tags of the text let in."""
        body = self.raw("md").decode("utf-8").split("\n---\n", 1)[1]
        return MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(body)

    @cached_property
    def markdown(self) -> str:
        """What a reader sees of the Markdown."""
        return _text(self.rendered)

    @cached_property
    def html(self) -> str:
        """The text of the page's elements."""
        return _text(self.raw("html").decode("utf-8"))

    @cached_property
    def pdf(self) -> str:
        """The text of the PDF's pages, without their running heads and feet."""
        document = pypdf.PdfReader(BytesIO(self.raw("pdf")))
        return squeezed("".join(page.extract_text() for page in document.pages))

    @property
    def all(self) -> tuple[str, str, str]:
        """All three."""
        return self.markdown, self.html, self.pdf


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def _text(page: str) -> str:
    reader = _Text()
    reader.feed(page)
    return squeezed("".join(reader.found))


def squeezed(text: str) -> str:
    """A text without white space, which lines and pages put where they like."""
    return re.sub(r"[\s\u200b]+", "", text)


def statements_of(card: ModelCard) -> Iterator[str]:
    """Every text of a card."""
    yield from (card.title, card.headline)
    for section in card.sections:
        yield from (section.title, section.note)
        for block in section.blocks:
            yield from (block.title, block.note)
            if isinstance(block, Fields):
                for item in block.items:
                    yield from (item.name, item.value)
            else:
                yield from (cell for row in block.rows for cell in row)
                yield from (column.title for column in block.columns if block.rows)


def field(card: ModelCard, name: str) -> str:
    """The value of the first field of that name."""
    return next(
        f.value
        for section in card.sections
        for block in section.blocks
        if isinstance(block, Fields)
        for f in block.items
        if f.name == name
    )


def table(card: ModelCard, title: str) -> list[dict[str, str]]:
    """A table's rows by its columns' titles."""
    found = next(b for s in card.sections for b in s.blocks if b.title == title)
    assert not isinstance(found, Fields)
    names = [c.title for c in found.columns]
    return [dict(zip(names, row, strict=True)) for row in found.rows]
