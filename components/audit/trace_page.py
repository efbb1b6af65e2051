"""A trace as one HTML page: opens from disk, loads nothing, runs no script."""

from __future__ import annotations

import base64
import hashlib
import json
from importlib import resources

from components.audit.trace import Trace
from components.audit.trace_tree import tree_of


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
    page = environment.from_string(template).render(
        tree=tree_of(trace),
        differs=bool(trace.differences),
        proofs=json.dumps(trace.to_json()["training"], indent=1, sort_keys=True),
        # Our own file, and the one style that the page's policy lets in.
        style=Markup(style),  # noqa: S704
        style_digest=digest,
    )
    return page.encode("utf-8")
