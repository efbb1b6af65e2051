"""A trace as one HTML page: opens from disk, loads nothing, runs no script."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from importlib import resources

from components.audit.trace import Trace
from components.audit.trace_tree import DIFFERS, tree_of

_MARKED = re.compile(
    r"\b(?:(?P<digest>[0-9a-f]{40,64})|(?P<good>PASS)|(?P<bad>FAIL)|(?P<unsure>INCONCLUSIVE))\b"
)


def to_html(trace: Trace) -> bytes:
    """The page's bytes, in UTF-8."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    files = resources.files(__package__)
    style = files.joinpath("trace_page.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = files.joinpath("trace_page.html.j2").read_text("utf-8")
    tree = tree_of(trace)
    page = environment.from_string(template).render(
        tree=tree,
        parts=[part for part in tree.children if not part.text.startswith(DIFFERS)],
        differences=trace.differences,
        pieces=pieces,
        proofs=json.dumps(trace.to_json()["training"], indent=1, sort_keys=True),
        # Our own file, and the one style that the page's policy lets in.
        style=Markup(style),  # noqa: S704
        style_digest=digest,
    )
    return page.encode("utf-8")


def pieces(text: str) -> Iterator[tuple[str, str]]:
    """A line in pieces, each with how it is shown: as a digest, as a verdict, or as it is."""
    end = 0
    for found in _MARKED.finditer(text):
        yield "", text[end : found.start()]
        yield str(found.lastgroup), found[0]
        end = found.end()
    yield "", text[end:]
