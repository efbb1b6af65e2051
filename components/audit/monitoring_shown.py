"""A figure of a monitoring report that may be told, or that would tell of fewer than 11 people."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from components.checks.measurement import Finding, Measurement, Status, within
from components.checks.suppression import FEWEST_SHOWN, told_count

HIDDEN = f"under {FEWEST_SHOWN} people, or would tell of such"


@dataclass(frozen=True, slots=True)
class Shown:
    """A figure and whether it may be told.

    It is judged either way.
    """

    figure: Measurement
    open: bool

    def to_json(self) -> dict[str, Any]:
        """The measurement; of one that may not be told its name and slice alone."""
        if self.open:
            return self.figure.to_json()
        return {
            "name": self.figure.name,
            "slice": self.figure.slice,
            "of": self.figure.of,
            "value": None,
            "hidden": HIDDEN,
        }

    def sentence(self) -> str:
        """The figure with its interval and its cases, for people."""
        name = f"{self.figure.name}{self._where}"
        if not self.open:
            return f"{name}: {HIDDEN}"
        if math.isnan(self.figure.value):
            return f"{name}: no cases"
        low, high = self.figure.low, self.figure.high
        interval = "" if low is None or high is None else f" [{low:.4g}, {high:.4g}]"
        return f"{name} {self.figure.value:.4g}{interval}, n {self.figure.n}"

    @property
    def _where(self) -> str:
        return "" if self.figure.slice == "overall" else f" of {self.figure.slice}"

    def judged(
        self,
        rule: str,
        *,
        at_least: float | None = None,
        at_most: float | None = None,
        tested: float | None = None,
        min_n: int = 0,
    ) -> Finding:
        """The finding of one limit, inclusive; INCONCLUSIVE below ``min_n`` cases.

        Where the figure may not be told only its status is.
        """
        name = f"{self.figure.name}{self._where}"
        if self.figure.n < min_n:
            cases = told_count(self.figure.n) if self.open else "too few"
            reason = f"{name} rests on {cases} cases, {min_n} required"
            return Finding(rule, Status.INCONCLUSIVE, reason)
        found = within(rule, self.figure, at_least=at_least, at_most=at_most, tested=tested)
        if self.open:
            return found
        limit = f"at least {at_least:g}" if at_least is not None else f"at most {at_most:g}"
        return Finding(rule, found.status, f"{name} is of {HIDDEN}; {limit} required")
