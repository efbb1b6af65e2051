"""What was measured, and what was concluded: Measurement and Verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from numbers import Real
from typing import Any

from components.lineage.digests import decimal


class Status(StrEnum):
    """PASS opens a gate. FAIL and INCONCLUSIVE keep it closed."""

    PASS = "PASS"  # noqa: S105 - a verdict, not a password
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure and how far it can be trusted.

    ``low`` and ``high`` bound the confidence interval, where there is one. ``n`` counts the cases
    behind the figure; for a comparison of groups it is that of the smallest group. ``slice`` is
    named as by ``components.contract.policy.Slice``; ``of``, where it is one group, names the
    slice of all those groups. ``source`` names the tool and its version. Of a figure that is not
    told (see ``components.checks.small_figures``) ``hidden`` is true, and ``value`` NaN, ``n`` 0.
    """

    name: str
    value: float
    n: int
    slice: str = "overall"
    unit: str = "1"
    low: float | None = None
    high: float | None = None
    source: str = "assay"
    of: str = ""
    hidden: bool = False

    def to_json(self) -> dict[str, Any]:
        """JSON with every number that matters as a decimal string; ``n`` is null if hidden."""
        return {
            "name": self.name,
            "value": None if self.hidden else decimal(self.value),
            "low": decimal(self.low),
            "high": decimal(self.high),
            "n": None if self.hidden else self.n,
            "slice": self.slice,
            "of": self.of,
            "unit": self.unit,
            "source": self.source,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Measurement:
        """A measurement as a record holds it; formats before ``of`` lack that field."""
        value, low, high = (
            None if document[k] is None else float(document[k]) for k in ("value", "low", "high")
        )
        return cls(
            name=document["name"],
            value=math.nan if value is None else value,
            n=document["n"] or 0,
            slice=document["slice"],
            unit=document["unit"],
            low=low,
            high=high,
            source=document["source"],
            of=document.get("of", ""),
            hidden=document["n"] is None,
        )


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule's outcome, with the figure behind it."""

    rule: str
    status: Status
    reason: str
    measurement: Measurement | None = None

    def to_json(self) -> dict[str, Any]:
        """JSON of the rule, its status, its reason and its measurement."""
        return {
            "rule": self.rule,
            "status": str(self.status),
            "reason": self.reason,
            "measurement": self.measurement.to_json() if self.measurement else None,
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Finding:
        """A finding as a record holds it."""
        measured = document["measurement"]
        return cls(
            document["rule"],
            Status(document["status"]),
            document["reason"],
            Measurement.from_json(measured) if measured else None,
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a set of findings comes to, and what each of them said."""

    status: Status
    reason: str
    findings: tuple[Finding, ...] = field(default=())

    @property
    def is_open(self) -> bool:
        """Whether the gate may open: only on PASS."""
        return self.status is Status.PASS

    def to_json(self) -> dict[str, Any]:
        """JSON of status, reason and findings."""
        return {
            "status": str(self.status),
            "reason": self.reason,
            "findings": [f.to_json() for f in self.findings],
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Verdict:
        """A verdict as a record holds it."""
        findings = tuple(Finding.from_json(f) for f in document["findings"])
        return cls(Status(document["status"]), document["reason"], findings)


def conclude(findings: Iterable[Finding]) -> Verdict:
    """FAIL if any rule fails, else INCONCLUSIVE if any is, else PASS; no findings prove nothing.

    The reason is that of the worst findings, so that it can be read alone.
    """
    found = tuple(findings)
    if not found:
        return Verdict(Status.INCONCLUSIVE, "nothing was checked")
    for status in (Status.FAIL, Status.INCONCLUSIVE):
        worst = [f for f in found if f.status is status]
        if worst:
            shown = "; ".join(f.reason for f in worst[:3])
            more = f"; and {len(worst) - 3} more" if len(worst) > 3 else ""
            return Verdict(status, shown + more, found)
    return Verdict(Status.PASS, f"all {len(found)} rules hold", found)


def within(
    rule: str,
    measurement: Measurement,
    *,
    at_least: float | None = None,
    at_most: float | None = None,
    tested: float | None = None,
) -> Finding:
    """The finding of one inclusive limit, closed for everything that is not a finite number.

    Args:
        rule: id of the rule.
        measurement: the figure.
        at_least: smallest value that passes.
        at_most: largest value that passes.
        tested: the number held against the limit where that is not the figure itself: the worse
            end of its interval.

    Raises:
        ValueError: not exactly one limit is given, or the limit is not finite.
    """
    limit = at_least if at_least is not None else at_most
    if limit is None or (at_least is not None and at_most is not None) or not math.isfinite(limit):
        raise ValueError(f"rule {rule} needs exactly one finite limit")
    value = measurement.value if tested is None else tested
    name = measurement.name + ("" if measurement.slice == "overall" else f" of {measurement.slice}")
    if not all(_is_finite(v) for v in (value, measurement.value)):
        return Finding(rule, Status.INCONCLUSIVE, f"{name} is not a number", measurement)
    holds = value >= limit if at_least is not None else value <= limit
    relation = "at least" if at_least is not None else "at most"
    reason = f"{name} {value:.4g}, {relation} {limit:g} required"
    return Finding(rule, Status.PASS if holds else Status.FAIL, reason, measurement)


def _is_finite(value: Any) -> bool:
    """Whether something that may come from a native tool is a finite number at all."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return False
    return math.isfinite(float(value))
