"""Names of figures as MLflow can hold them, and how to read them back."""

from __future__ import annotations

import re
from itertools import product

from components.checks.measurement import Measurement
from components.contract.policy import EVERYBODY, Change, Metric

_ESCAPED = re.compile(r"_([0-9a-f]+)_")
_FIGURES = {
    *map(str, Metric),
    *(f"{change} change of {metric}" for change, metric in product(Change, Metric)),
}


def metric_name(measurement: Measurement) -> str:
    """A measurement's name and slice as MLflow allows them: ``tpr/sex/female``.

    A character that MLflow refuses becomes its code point, as ``_2a_``, and so does an underscore
    that could be taken for one: no two groups share a name.
    """
    if measurement.slice == EVERYBODY.name:
        return measurement.name
    column, equals, value = measurement.slice.partition("=")
    return "/".join([measurement.name, _escape(column), *([_escape(value)] if equals else [])])


def figure_of(metric: str) -> tuple[str, str] | None:
    """Name and slice of the figure that a metric holds; None where it holds none of a gate's."""
    name, grouped, group = metric.partition("/")
    if name not in _FIGURES:
        return None
    if not grouped:
        return name, EVERYBODY.name
    column, equals, value = group.partition("/")
    return name, _unescape(column) + ("=" + _unescape(value) if equals else "")


def _escape(text: str) -> str:
    escaped = "".join(c if c.isalnum() or c in "_-. " else f"_{ord(c):x}_" for c in text)
    if _unescape(escaped) == text:
        return escaped
    return "".join(c if c.isalnum() or c in "-. " else f"_{ord(c):x}_" for c in text)


def _unescape(text: str) -> str:
    return _ESCAPED.sub(_character, text)


def _character(found: re.Match[str]) -> str:
    point = int(found[1], 16)
    return chr(point) if point <= 0x10FFFF else found[0]
