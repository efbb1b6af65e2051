"""A model card as Markdown (CommonMark with GitHub's tables), with Hugging Face's YAML head."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import yaml

from components.release.card_parts import Block, Column, Field, Fields, Kind, ModelCard

_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})
_SPECIAL = re.compile(r"[\\`*_\[\]|~$@]|(?<=[A-Za-z]):(?=//)|(?<=www)\.|^[#+=:-]", re.I)
"""What starts anything in Markdown, tables or mathematics, or a link that nobody wrote as one."""

_NUMBERED = re.compile(r"^(\d+)([.)])(?=\s|$)")
"""What would begin a numbered list."""

_PLAIN = re.compile(r"[0-9A-Za-z._:+ -]+")
_FIELD_COLUMNS = (Column("Field"), Column("What is known"), Column("From"))


def to_markdown(card: ModelCard) -> bytes:
    """The card's bytes: UTF-8, lines end with a line feed."""
    return ("\n".join(_lines(card)) + "\n").encode("utf-8")


def _lines(card: ModelCard) -> Iterator[str]:
    yield "---"
    head = yaml.safe_dump(card.metadata, sort_keys=False, allow_unicode=True, width=1_000_000)
    yield from head.rstrip("\n").split("\n")
    yield from ("---", "", f"# Model card: {escaped(card.title)}", "")
    yield from (f"**{escaped(card.status)}** {escaped(card.headline)}", "")
    for number, section in enumerate(card.sections, start=1):
        yield from (f"## {number}. {escaped(section.title)}", "")
        if section.note:
            yield from (escaped(section.note), "")
        for block in section.blocks:
            yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    if block.title:
        yield from (f"### {escaped(block.title)}", "")
    if block.note:
        yield from (escaped(block.note), "")
    if isinstance(block, Fields):
        yield from _table(_FIELD_COLUMNS, [_field_cells(f) for f in block.items])
    elif block.rows:
        kinds = [c.kind for c in block.columns]
        rows = [[_cell(v, k) for v, k in zip(r, kinds, strict=True)] for r in block.rows]
        yield from _table(block.columns, rows)
    else:
        yield escaped(block.empty)
    yield ""


def _field_cells(field: Field) -> list[str]:
    return [escaped(field.name), _cell(field.value, field.kind), escaped(str(field.origin))]


def _table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield _row([escaped(c.title) for c in columns])
    yield _row(["---:" if c.kind is Kind.NUMBER else "---" for c in columns])
    yield from (_row(cells) for cells in rows)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: str, kind: Kind) -> str:
    # Inside a code span nothing is escaped, so only what needs no escape goes there.
    if kind is Kind.CODE and _PLAIN.fullmatch(value):
        return f"`{value}`"
    return escaped(value)


def escaped(text: str) -> str:
    """A text that Markdown shows as it is, whatever is in it."""
    shown = _SPECIAL.sub(lambda found: f"\\{found[0]}", text.translate(_ENTITIES))
    return _NUMBERED.sub(r"\1\\\2", shown)
