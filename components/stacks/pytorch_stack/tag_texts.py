"""Texts in MLflow's tags, which hold only so much."""

from __future__ import annotations

import json
from collections.abc import Mapping

LONGEST_TAG = 5000
_CUT = "…"


def shortened(text: str) -> str:
    """A text as a tag holds it: whole, or cut with an ellipsis at what every store can hold."""
    return text if len(text) <= LONGEST_TAG else text[: LONGEST_TAG - 1] + _CUT


def whole(text: str | None) -> str | None:
    """A tag's text; None where it was cut, for then it is not what was said."""
    cut = text is not None and len(text) == LONGEST_TAG and text.endswith(_CUT)
    return None if cut else text


def document_tags(name: str, document: Mapping[str, str]) -> dict[str, str]:
    """A document of texts as JSON in tags ``<name>.1``, ``<name>.2`` and so on, each whole JSON."""
    portions: list[dict[str, str]] = []
    for key, value in sorted(document.items()):
        if not portions or len(_json({**portions[-1], key: value})) > LONGEST_TAG:
            portions.append({})
        portions[-1][key] = value
    return {f"{name}.{i}": _json(portion) for i, portion in enumerate(portions, start=1)}


def read_document(name: str, tags: Mapping[str, str]) -> dict[str, str]:
    """The document that ``document_tags`` wrote; a portion that is no longer JSON is left out."""
    found: dict[str, str] = {}
    for key, value in sorted(tags.items()):
        if key.startswith(f"{name}."):
            try:
                portion = json.loads(value)
            except (ValueError, RecursionError):
                continue
            if isinstance(portion, dict):
                found.update({str(k): str(v) for k, v in portion.items()})
    return found


def _json(document: Mapping[str, str]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
