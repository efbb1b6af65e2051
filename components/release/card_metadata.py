"""What the Markdown card carries in its head: the metadata of Hugging Face's model cards.

See https://huggingface.co/docs/hub/model-cards. ``huggingface_hub.ModelCardData`` reads it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from components.contract.policy import Metric
from components.release.card_masking import HIDDEN
from components.release.card_parts import clean
from components.release.card_source import CardSource
from components.release.card_status import title

_LIBRARIES = {"tfx": "keras", "pytorch": "onnx"}
"""Library that loads each stack's model, under the name that Hugging Face gives it."""

_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{1,39}")
_TASK = "tabular-classification"


def metadata(source: CardSource) -> dict[str, Any]:
    """The head's fields, in the order in which people know them; absent where not known."""
    stack = str(source.run.first.body["stack"])
    name = clean(title(source))
    tags = ["tabular", "healthcare", "assay", stack, source.run.outcome]
    found: dict[str, Any] = {"model_name": name, **_license(source)}
    if stack in _LIBRARIES:
        found["library_name"] = _LIBRARIES[stack]
    found |= {"pipeline_tag": _TASK, "tags": tags, "datasets": [source.contract.name]}
    measured = list(_metrics(source))
    if measured:
        found["metrics"] = [m["type"] for m in measured]
        found["model-index"] = [{"name": name, "results": [_result(source, measured)]}]
    return found


def _license(source: CardSource) -> dict[str, str]:
    """Only what the policy states; a text that is no identifier is a licence of their own."""
    stated = source.policy.model_card.get("license")
    if stated is None:
        return {}
    if _LICENSE.fullmatch(stated.strip().lower()):
        return {"license": stated.strip().lower()}
    return {"license": "other", "license_name": clean(stated)}


def _metrics(source: CardSource) -> Iterator[dict[str, Any]]:
    """Figures of everybody that can be shown."""
    for metric in Metric:
        found = source.measured(metric)
        if found is None or source.masking.count(found) == HIDDEN or not math.isfinite(found.value):
            continue
        yield {"type": str(metric), "value": round(found.value, 6)}


def _result(source: CardSource, measured: list[dict[str, Any]]) -> dict[str, Any]:
    name = source.contract.name
    return {
        "task": {"type": _TASK},
        "dataset": {
            "type": name,
            "name": f"{name} {clean(source.contract.version)}",
            "split": "evaluation",
            "revision": source.run.inputs["datasetVersion"],
        },
        "metrics": measured,
    }
