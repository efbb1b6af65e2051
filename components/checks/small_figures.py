"""Figures of small cells out of sight, and with them the figures that would give those away.

A figure tells more than its own cases: a rate of so many cases says how many it selected, found or
missed, and its digits say of how many even where that number is left out. So a figure is hidden
whole, with value, interval and cases, where any of its cells is one of 1 to 10 or would give such a
one away; a comparison of groups where a group's figure is hidden.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from components.checks.measurement import Finding, Measurement, Verdict, conclude
from components.checks.suppression import UNDER, Sum, certain, holds, is_small
from components.contract.policy import EVERYBODY, Metric

Key = tuple[str, str]
"""A figure by its name and slice; a cell by what is counted and the slice."""

NOT_SHOWN = "not shown"

_CELLS = {
    Metric.SELECTION_RATE: ("rows", "selected", "passed over"),
    Metric.TPR: ("positives", "found", "missed"),
    Metric.FPR: ("negatives", "false alarms", "cleared"),
    Metric.PPV: ("selected", "found", "false alarms"),
}
"""What each rate counts: its cases, and how many of them are hits and misses."""
_OF_ROWS = (Metric.BRIER, Metric.CALIBRATION_ERROR, Metric.CALIBRATION_BIAS)
_RANKING = (Metric.ROC_AUC, Metric.AVERAGE_PRECISION)
_NAMES = {str(m) for m in Metric}
_SELECTION = ("rows", "selected", "passed over")
_OF_DATA = ("rows", "positives", "negatives")
_KINDS = dict.fromkeys(kind for kinds in _CELLS.values() for kind in kinds)
_NOTHING, _LABELS, _ALL = range(3)
_NULLS = "null fraction"
_SUMS = (
    ("rows", ("positives", "negatives")),
    ("rows", ("selected", "passed over")),
    ("positives", ("found", "missed")),
    ("negatives", ("false alarms", "cleared")),
    ("selected", ("found", "false alarms")),
    ("passed over", ("missed", "cleared")),
    # A ranking rests on the scarcer class; the sum that does not hold is left out.
    ("scarcer", ("positives",)),
    ("scarcer", ("negatives",)),
)


def hidden_figures(measurements: Sequence[Measurement]) -> frozenset[Key]:
    """The figures not to tell of those that one tool took of the same rows.

    Where a group has a cell of 1 to 10, that table goes for all groups of the same attributes: of
    selected rows and of labels, or of labels alone where selection is not what is small. With a
    table of one attribute go those of its pairs, which add up to it. Held against a reader who has
    all that remain and knows how it is done.
    """
    table = _Tables.counted([m for m in measurements if not m.hidden])
    table.hide_small()
    hidden = {_key(m) for m in measurements if m.hidden or is_few(m) or table.hides(m)}
    figures = {_key(m): m for m in measurements}
    return frozenset(hidden | {k for k, m in figures.items() if _tells_of_champion(m, figures)})


def changed_by_few(now: Sequence[Measurement], before: Sequence[Measurement]) -> frozenset[Key]:
    """The figures whose cases not to tell of, where those of an earlier release were told.

    Rows, positives and negatives of a group that differ by 1 to 10 are that many people who came,
    went or changed. The group's table goes whole, as of a small group. What a model selects is
    another model's choice and no such difference.
    """
    table = _Tables.counted([m for m in now if not m.hidden])
    then = _Tables.counted([m for m in before if not m.hidden]).cells
    for (kind, where), n in table.cells.items():
        if kind in _OF_DATA and is_small(abs(n - then.get((kind, where), n))):
            table.hide(table.of_group[where], _ALL if kind == "rows" else _LABELS)
    return frozenset(_key(m) for m in now if table.hides(m))


def is_few(measured: Measurement) -> bool:
    """Whether a figure by itself tells of a cell of 1 to 10."""
    counts = set(_cells(measured).values()) | {measured.n}
    if measured.unit == "rows" and math.isfinite(measured.value):
        counts.add(round(measured.value))
    return not measured.hidden and any(is_small(n) for n in counts)


def masked(measured: Measurement, hidden: Collection[Key]) -> Measurement:
    """The figure, with no number in it where it is one of the hidden or tells of a few by itself.

    What is said about a figure, as how far two tools are apart on it, is hidden with it.
    """
    about = {_key(measured), (_about(measured), measured.slice)}
    if not (about & set(hidden) or is_few(measured)):
        return measured
    return replace(measured, value=math.nan, low=None, high=None, n=0, hidden=True)


def masked_verdict(
    verdict: Verdict, measurements: Sequence[Measurement], hidden: Collection[Key]
) -> Verdict:
    """The verdict, its status as it is, with no number of a hidden figure in any reason.

    Args:
        verdict: of one side.
        measurements: the same side's figures: a reason may name cases of several groups.
        hidden: as from ``hidden_figures``.
    """
    findings = tuple(_masked_finding(f, measurements, hidden) for f in verdict.findings)
    if findings == verdict.findings:
        return verdict
    return Verdict(verdict.status, conclude(findings).reason, findings)


def _masked_finding(
    finding: Finding, measurements: Sequence[Measurement], hidden: Collection[Key]
) -> Finding:
    if finding.measurement is None or finding.measurement.hidden:
        return finding
    shown = masked(finding.measurement, hidden)
    if not shown.hidden:
        return finding
    reason = finding.reason
    for m in _groups_of(finding.measurement, measurements):
        reason = re.sub(rf"(?<={re.escape(m.slice)} \(){m.n}(?=\))", NOT_SHOWN, reason)
    return replace(finding, reason=_without(reason, finding.measurement), measurement=shown)


def _without(reason: str, measured: Measurement) -> str:
    """A reason without the numbers of its figure, which stand in it as ``within`` writes them."""
    few = measured.unit == "rows" and is_small(measured.value)
    numbers = {f"{measured.n}": "too few"}
    for x in (measured.value, measured.low, measured.high):
        if x is not None and math.isfinite(x):
            numbers[f"{x:.4g}"] = UNDER if few else NOT_SHOWN
    either = "|".join(re.escape(number) for number in numbers)
    # The first alone: what follows is the limit, which may be the same number.
    return re.sub(rf"(?<![\w.=-])({either})(?!\w|\.\d)", lambda m: numbers[m[0]], reason, count=1)


def _about(measured: Measurement) -> str:
    """The metric that a change, or how far two tools are apart, is about; else the name."""
    return measured.name.rpartition(" ")[2]


def _key(measured: Measurement) -> Key:
    return measured.name, measured.slice


def _cells(measured: Measurement) -> dict[Key, int]:
    """The counts that a figure tells of one group, by what is counted and the group."""
    name, where, n = measured.name, measured.slice, measured.n
    if name in _CELLS or name == _NULLS:
        kinds = _CELLS[Metric(name)] if name in _CELLS else (_NULLS, "null", "not null")
        if n and not math.isfinite(measured.value):
            return {(kinds[0], where): n}
        hits = round(measured.value * n) if n else 0
        return {(k, where): c for k, c in zip(kinds, (n, hits, n - hits), strict=True)}
    if name in _OF_ROWS:
        return {("rows", where): n}
    return {("scarcer", where): n} if name in _RANKING else {}


@dataclass(slots=True)
class _Tables:
    """How much of the groups of each attribute, each pair and of everybody is hidden.

    Attributes:
        cells: every count, by what is counted and the group.
        of_group: the attributes of each group; empty of everybody.
        levels: by attributes, what is hidden: nothing, labels, or selection and rows too.
    """

    cells: dict[Key, int]
    of_group: dict[str, str]
    levels: dict[str, int]

    @classmethod
    def counted(cls, told: Sequence[Measurement]) -> _Tables:
        """With nothing hidden."""
        held = [m for m in told if m.name in _CELLS or m.name in (*_OF_ROWS, *_RANKING)]
        of_group = {EVERYBODY.name: ""} | {m.slice: m.of for m in held}
        cells = {cell: n for m in held for cell, n in _cells(m).items()}
        return cls(cells, of_group, dict.fromkeys(of_group.values(), _NOTHING))

    def hide_small(self) -> None:
        """Hide the tables with a small cell, and more until none resolves."""
        small = {c for c, n in self.cells.items() if is_small(n)}
        for kind, where in small:
            self.hide(self.of_group[where], _ALL if kind in _SELECTION else _LABELS)
        sums = [*self._within_groups(), *self._between_groups()]
        held = [s for s in sums if holds(self.cells, s)]
        while known := certain(self.cells, held, self._unseen(), small):
            if not self._hide_more({self.of_group[where] for _, where in known}):
                break

    def hides(self, measured: Measurement) -> bool:
        """Whether a figure belongs to what is hidden; another than of groups never does."""
        name = _about(measured)
        if name not in _NAMES:
            return False
        base = Metric(name).of_group
        whole = base in _OF_ROWS or base is Metric.SELECTION_RATE
        of = self.of_group.get(measured.slice, measured.slice)
        return self.levels.get(of, 0) >= (_ALL if whole else _LABELS)

    def hide(self, of: str, level: int) -> None:
        """Hide a table and those that add up to it."""
        mine = set(of.split("*")) if of else set()
        for other in self.levels:
            if mine <= set(other.split("*")):
                self.levels[other] = max(self.levels[other], level)

    def _hide_more(self, tables: Collection[str]) -> bool:
        """Hide all of some tables or, where that is not enough, what they add up to.

        Returns:
            Whether there was more to hide.
        """
        before = dict(self.levels)
        if any(self.levels[of] < _ALL for of in tables):
            wider = set(tables)
        else:
            wider = {a for of in tables for a in (of.split("*") if "*" in of else [""])}
        for of in wider:
            self.hide(of, _ALL)
        return self.levels != before

    def _unseen(self) -> list[Key]:
        shown = {_NOTHING: (), _LABELS: (*_SELECTION,)}
        return [
            (kind, where)
            for kind, where in self.cells
            if (level := self.levels[self.of_group[where]]) and kind not in shown.get(level, ())
        ]

    def _within_groups(self) -> Iterator[Sum[Key]]:
        for where in self.of_group:
            for total, parts in _SUMS:
                yield Sum((total, where), frozenset((part, where) for part in parts))

    def _between_groups(self) -> Iterator[Sum[Key]]:
        """Groups add up to everybody, and groups of two attributes to those of one."""
        parts: dict[tuple[str, str], list[str]] = {}
        for where, of in self.of_group.items():
            for total in self.of_group:
                if of and total != where and _is_part(where, of, total):
                    parts.setdefault((total, of), []).append(where)
        for (total, _), inside in parts.items():
            for kind in _KINDS:
                yield Sum((kind, total), frozenset((kind, s) for s in inside))


def _is_part(where: str, of: str, total: str) -> bool:
    """Whether a group is a part of everybody, or a group of two attributes of one of either."""
    if total == EVERYBODY.name:
        return True
    return "*" in of and (where.startswith(f"{total}*") or where.endswith(f"*{total}"))


def _groups_of(measured: Measurement, figures: Sequence[Measurement]) -> list[Measurement]:
    """The figures of single groups that a comparison is made from; none of any other figure."""
    if measured.name not in {str(m) for m in Metric if m.compares_groups}:
        return []
    name = str(Metric(measured.name).of_group)
    return [m for m in figures if m.name == name and m.of == measured.slice]


def _tells_of_champion(measured: Measurement, figures: Mapping[Key, Measurement]) -> bool:
    """Whether a change would tell of 1 to 10 cases of the champion."""
    kind, between, name = measured.name.partition(" change of ")
    now = figures.get((name, measured.slice))
    if not between or now is None:
        return False
    before = now.value - measured.value
    if kind == "relative" and measured.value != -1:
        before = now.value / (1 + measured.value)
    return math.isfinite(before) and is_few(replace(now, value=before))
