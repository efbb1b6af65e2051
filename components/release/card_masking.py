"""Small groups out of sight: counts from 1 to 10 and figures that rest on them are not shown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from components.checks.measurement import Finding, Measurement
from components.checks.suppression import FEWEST_SHOWN, Sum, hidden_cells, is_small
from components.contract.contract import Contract
from components.contract.policy import Metric

__all__ = [
    "FEWEST_SHOWN",
    "HIDDEN",
    "NOT_MEASURABLE",
    "SMALL",
    "Masking",
    "is_small",
    "shown_count",
    "shown_interval",
    "shown_number",
    "shown_value",
]

SMALL = f"<{FEWEST_SHOWN}"
HIDDEN = "not shown"
NOT_MEASURABLE = "not measurable"

_COUNT = re.compile(
    r"(?<![\w.,-])([1-9]|10)(?= (?:of \d+ )?(?:rows|cases|people|scores|values|cells|groups?)\b)"
)
_IN_PARENTHESES = re.compile(r"\(([1-9]|10)\)")


def shown_count(n: int) -> str:
    """A count of people or rows, or that there are fewer than 11."""
    return SMALL if is_small(n) else f"{n:,}"


def shown_number(value: float) -> str:
    """A figure with three decimals."""
    return f"{value:.3f}" if math.isfinite(value) else NOT_MEASURABLE


def shown_value(measured: Measurement) -> str:
    """A figure, unless it rests on 1 to 10 cases or could not be measured."""
    return HIDDEN if is_small(measured.n) else shown_number(measured.value)


def shown_interval(measured: Measurement) -> str:
    """A figure's interval, as ``[0.412, 0.613]``; empty where there is none to show."""
    low, high = measured.low, measured.high
    if is_small(measured.n) or low is None or high is None:
        return ""
    if not (math.isfinite(measured.value) and math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{low:.3f}, {high:.3f}]"


@dataclass(frozen=True, slots=True)
class Masking:
    """What stands for a group whose very name is a rare value out of the data.

    A group that the contract declares is no secret. A group that only the data declare is a cell,
    and one of 1 to 10 people may name somebody. ``beside`` has the figures, by name and group,
    whose cases are not shown though 11 or more: with them another group's could be worked out.
    """

    aliases: dict[str, str]
    beside: frozenset[tuple[str, str]] = frozenset()

    @classmethod
    def of(cls, contract: Contract, measurements: Iterable[Measurement]) -> Masking:
        """From the number of rows of each group, which its selection rate carries."""
        measurements = tuple(measurements)
        undeclared = {c.name for c in contract.protected if not c.group_labels}
        aliases: dict[str, str] = {}
        for m in measurements:
            if m.name != Metric.SELECTION_RATE or not m.of or m.n >= FEWEST_SHOWN:
                continue
            if undeclared & set(m.of.split("*")):
                aliases[m.slice] = f"{m.of}=(rare group {len(aliases) + 1})"
        return cls(aliases, _beside(measurements))

    def count(self, measured: Measurement) -> str:
        """The cases that a figure rests on."""
        hidden = (measured.name, measured.slice) in self.beside
        return HIDDEN if hidden else shown_count(measured.n)

    def interval(self, measured: Measurement) -> str:
        """A figure's interval; none where its width would tell of how many cases it is."""
        hidden = (measured.name, measured.slice) in self.beside
        return "" if hidden else shown_interval(measured)

    def text(self, text: str) -> str:
        """A text with no rare group named and no count from 1 to 10."""
        for name in sorted(self.aliases, key=len, reverse=True):
            text = text.replace(name, self.aliases[name])
        text = _IN_PARENTHESES.sub(f"({SMALL})", text)
        return _COUNT.sub(SMALL, text)

    def group(self, measured: Measurement) -> str:
        """The name of a figure's group."""
        return self.aliases.get(measured.slice, measured.slice)

    def reason(self, finding: Finding) -> str:
        """Why a rule came out as it did, without what rests on 1 to 10 cases."""
        measured = finding.measurement
        if measured is None:
            return self.text(finding.reason)
        if is_small(measured.n):
            where = "" if measured.slice == "overall" else f" of {self.group(measured)}"
            return f"{measured.name}{where} rests on {SMALL} cases; the figure is not shown"
        if measured.unit == "rows" and is_small(measured.value):
            count = re.escape(f"{measured.value:.4g}")
            return self.text(re.sub(rf"(?<![\w.]){count}(?![\w.])", SMALL, finding.reason, count=1))
        return self.text(finding.reason)


_ROWS, _PARTS = str(Metric.SELECTION_RATE), (str(Metric.TPR), str(Metric.FPR))


def _beside(measurements: tuple[Measurement, ...]) -> frozenset[tuple[str, str]]:
    """The figures whose cases give away those of a small group, by name and group.

    Groups add up to everybody, groups of two attributes to those of one, and the cases of the true
    and the false positive rate, positives and negatives, to those of the selection rate: all rows.
    """
    single = {str(m) for m in Metric if not m.compares_groups}
    held = [m for m in measurements if m.name in single]
    cells = {(m.name, m.slice): m.n for m in held}
    sums = []
    for name in dict.fromkeys(m.name for m in held):
        mine = [m for m in held if m.name == name]
        for total in mine:
            for of in dict.fromkeys(m.of for m in mine if m.of):
                parts = frozenset((name, m.slice) for m in mine if m.of == of and _in(m, total))
                sums.append(Sum((name, total.slice), parts - {(name, total.slice)}))
    for where in dict.fromkeys(m.slice for m in held):
        sums.append(Sum((_ROWS, where), frozenset((part, where) for part in _PARTS)))
        for known in (_ROWS, *_PARTS):  # other figures rest on the very same cases
            others = sorted(single - {known})
            sums += [Sum((known, where), frozenset({(n, where)})) for n in others]
    return frozenset(c for c in hidden_cells(cells, sums) if not is_small(cells[c]))


def _in(measured: Measurement, total: Measurement) -> bool:
    """Whether a figure's group is a part of another's: of everybody, or of one attribute's."""
    if total.slice == "overall":
        return True
    return "*" in measured.of and (
        measured.slice.startswith(f"{total.slice}*") or measured.slice.endswith(f"*{total.slice}")
    )
