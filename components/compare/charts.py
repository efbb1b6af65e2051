"""Charts as inline SVG: figures with intervals against limits. No script, no network, no pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from jinja2 import Environment
from markupsafe import Markup

_ROW, _LEFT, _PLOT, _RIGHT, _TOP, _BOTTOM = 24, 250, 400, 170, 8, 30

_TEMPLATE = resources.files(__package__).joinpath("chart.svg.j2")


@dataclass(frozen=True, slots=True)
class ChartRow:
    """One figure: its label, value, interval if any, the text beside it, and its series' class."""

    label: str
    value: float
    text: str
    low: float | None = None
    high: float | None = None
    series: str = ""
    bar: bool = False


def chart(
    rows: Sequence[ChartRow],
    *,
    label: str,
    span: tuple[float, float],
    limits: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Figures as points with intervals (or bars), one a row, on a shared axis.

    Args:
        rows: figures; values outside ``span`` are drawn at its ends, NaN at its start.
        label: what the chart shows, for people who cannot see it.
        span: lowest and highest value of the axis.
        limits: values to mark, with the text that says what they are.
    """
    low, high = span
    bottom = _TOP + _ROW * len(rows)

    def x(value: float) -> float:
        if math.isnan(value):
            return float(_LEFT)
        share = (min(max(value, low), high) - low) / (high - low)
        return round(_LEFT + share * _PLOT, 1)

    drawn = [
        {
            "label": r.label,
            "text": r.text,
            "series": r.series,
            "bar": r.bar,
            "x": x(r.value),
            "low": None if r.low is None else x(r.low),
            "high": None if r.high is None else x(r.high),
            "y": _TOP + _ROW * i + _ROW // 2,
        }
        for i, r in enumerate(rows)
    ]
    steps = [low + (high - low) * i / 4 for i in range(5)]
    return Markup(  # noqa: S704 - rendered with autoescape
        Environment(autoescape=True)
        .from_string(_TEMPLATE.read_text("utf-8"))
        .render(
            label=label,
            width=_LEFT + _PLOT + _RIGHT,
            height=bottom + _BOTTOM,
            top=_TOP,
            bottom=bottom,
            left=_LEFT,
            right=_RIGHT,
            ticks=[(x(s), f"{s:.2f}") for s in steps],
            limits=[(x(v), t) for v, t in limits],
            rows=drawn,
        )
    )
