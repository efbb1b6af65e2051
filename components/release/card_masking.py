"""Small groups out of sight: counts from 1 to 10 and figures that rest on them are not shown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from components.checks.measurement import Finding, Measurement
from components.checks.small_figures import NOT_SHOWN, Key, changed_by_few
from components.checks.suppression import FEWEST_SHOWN, is_small
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
HIDDEN = NOT_SHOWN
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
    """A figure, unless it is hidden or could not be measured."""
    return HIDDEN if measured.hidden else shown_number(measured.value)


def shown_interval(measured: Measurement) -> str:
    """A figure's interval, as ``[0.412, 0.613]``; empty where there is none to show."""
    low, high = measured.low, measured.high
    if low is None or high is None:
        return ""
    if not (math.isfinite(measured.value) and math.isfinite(low) and math.isfinite(high)):
        return ""
    return f"[{low:.3f}, {high:.3f}]"


@dataclass(frozen=True, slots=True)
class Masking:
    """What stands for a group whose very name is a rare value out of the data.

    A group that the contract declares is no secret. A group that only the data declare is a cell,
    and one of 1 to 10 people may name somebody. ``changed`` has the figures, by name and slice,
    whose cases differ by 1 to 10 from those on the card of an earlier release, or would give such a
    difference away.
    """

    aliases: dict[str, str]
    changed: frozenset[Key] = frozenset()

    @classmethod
    def of(
        cls,
        contract: Contract,
        measurements: Iterable[Measurement],
        earlier: Iterable[Sequence[Measurement]] = (),
    ) -> Masking:
        """From the number of rows of each group, which its selection rate carries.

        Args:
            contract: says which groups are declared.
            measurements: the run's figures.
            earlier: those of each earlier release of the same history.
        """
        measurements = tuple(measurements)
        undeclared = {c.name for c in contract.protected if not c.group_labels}
        aliases: dict[str, str] = {}
        for m in measurements:
            if m.name != Metric.SELECTION_RATE or not m.of or m.n >= FEWEST_SHOWN:
                continue
            if undeclared & set(m.of.split("*")):
                aliases[m.slice] = f"{m.of}=(rare group {len(aliases) + 1})"
        changed = (changed_by_few(measurements, before) for before in earlier)
        return cls(aliases, frozenset().union(*changed))

    def count(self, measured: Measurement) -> str:
        """The cases that a figure rests on."""
        changed = (measured.name, measured.slice) in self.changed
        return HIDDEN if measured.hidden or changed else shown_count(measured.n)

    def interval(self, measured: Measurement) -> str:
        """A figure's interval; none where its width would tell of how many cases it is."""
        changed = (measured.name, measured.slice) in self.changed
        return "" if changed else shown_interval(measured)

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
        return self.text(finding.reason)
