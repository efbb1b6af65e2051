"""Small groups out of sight: counts from 1 to 10 and figures that rest on them are not shown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from components.checks.measurement import Finding, Measurement
from components.contract.contract import Contract
from components.contract.policy import Metric

FEWEST_SHOWN = 11
"""Cells of fewer people stay out of reports (the cell size policy of the United States' Centers
for Medicare and Medicaid Services)."""

SMALL = f"<{FEWEST_SHOWN}"
HIDDEN = "not shown"
NOT_MEASURABLE = "not measurable"

_COUNT = re.compile(
    r"(?<![\w.,-])([1-9]|10)(?= (?:of \d+ )?(?:rows|cases|people|scores|values|cells|groups?)\b)"
)
_IN_PARENTHESES = re.compile(r"\(([1-9]|10)\)")


def is_small(n: float) -> bool:
    """Whether a count is one that is not shown; nobody at all is no small group."""
    return 0 < n < FEWEST_SHOWN


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
    and one of 1 to 10 people may name somebody.
    """

    aliases: dict[str, str]

    @classmethod
    def of(cls, contract: Contract, measurements: Iterable[Measurement]) -> Masking:
        """From the number of rows of each group, which its selection rate carries."""
        undeclared = {c.name for c in contract.protected if not c.group_labels}
        aliases: dict[str, str] = {}
        for m in measurements:
            if m.name != Metric.SELECTION_RATE or not m.of or m.n >= FEWEST_SHOWN:
                continue
            if undeclared & set(m.of.split("*")):
                aliases[m.slice] = f"{m.of}=(rare group {len(aliases) + 1})"
        return cls(aliases)

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
