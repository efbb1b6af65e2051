"""A model card as one HTML page: opens from disk, loads nothing, runs no script."""

from __future__ import annotations

import base64
import hashlib
from importlib import resources

from components.release.card_parts import ModelCard

_STATUSES = {
    "PASS": "good",
    "released": "good",
    "FAIL": "bad",
    "blocked": "bad",
    "INCONCLUSIVE": "open",
    "interrupted": "open",
    "unfinished": "open",
}


def to_html(card: ModelCard) -> bytes:
    """The page's bytes, in UTF-8."""
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    files = resources.files(__package__)
    template = files.joinpath("model_card.html.j2").read_text("utf-8")
    style = files.joinpath("model_card.css").read_text("utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode("utf-8")).digest()).decode("ascii")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    page = environment.from_string(template).render(
        card=card,
        # Our own file, and the one style that the page's policy lets in.
        style=Markup(style),  # noqa: S704
        style_digest=digest,
        tone=tone,
    )
    return page.encode("utf-8")


def tone(status: str) -> str:
    """Class of a status: ``good``, ``bad``, ``open``, or ``plain`` for any other word.

    What was waived is neither good nor bad, whatever it was before.
    """
    if status.endswith(", waived"):
        return "open"
    return _STATUSES.get(status.partition(",")[0], "plain")
