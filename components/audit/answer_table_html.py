"""The answers as one HTML page: opens from disk, loads nothing, runs no script."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources
from typing import Any


def to_html(document: dict[str, Any]) -> bytes:
    """The page's bytes, in UTF-8; ``document`` is what ``answer_document`` gives."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    files = resources.files(__package__)
    template = files.joinpath("answer_table.html.j2").read_text("utf-8")
    style = files.joinpath("answer_table.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(template).render(
        document=document,
        # Our own file, and the one style that the page's policy lets in.
        style=Markup(style),  # noqa: S704
        style_digest=digest,
    )
    return page.encode("utf-8")
