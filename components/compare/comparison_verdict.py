"""Which stack stands up in an audit, said in one paragraph that follows from the numbers alone.

No point weighs more than another: a stack is ahead where it is ahead on at least one point and
behind on none. Everything else is a tie, or neither.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from components.audit.answers import Status
from components.audit.readings import EVIDENCE
from components.compare.comparison import Comparison
from components.compare.faults import Column, Outcome

NAMES = {"tfx": "TFX", "pytorch": "PyTorch"}
STOPPED = (Outcome.BEFORE_TRAINING, Outcome.BEFORE_RELEASE, Outcome.KEPT_OUT)
"""Outcomes after which nothing that is wrong was released."""

_WIRED = {
    Column.STOCK: "wired as its quickstart does",
    Column.NATIVE: "by its native tools in our wiring",
    Column.ASSAY: "with referee and evidence on",
}


@dataclass(frozen=True, slots=True)
class Point:
    """One thing that is counted for both stacks, where more is better.

    ``counts`` is by stack and out of ``of``; ``text`` tells it. ``anchor`` is the part of the page
    that it is counted in.
    """

    name: str
    counts: Mapping[str, int]
    of: int
    text: str
    anchor: str

    @property
    def ahead(self) -> str:
        """The stack with more; empty where they are even."""
        most = max(self.counts.values())
        found = [s for s, n in self.counts.items() if n == most]
        return found[0] if len(found) == 1 else ""


def name_of(stack: str) -> str:
    """A stack's name in a sentence."""
    return NAMES.get(stack, stack)


def points(comparison: Comparison) -> tuple[Point, ...]:
    """Whatever was counted for both stacks: faults stopped and found, questions answered."""
    if len(comparison.stacks) != 2:
        return ()
    return (*_faults(comparison), *_questions(comparison))


def verdict(comparison: Comparison) -> str:
    """The paragraph: who is ahead, outcome, accuracy, each point, and what was not measured."""
    found = points(comparison)
    said = [
        *([comparison.mark + "."] if comparison.mark else ()),
        _conclusion(comparison, found),
        _outcomes(comparison),
        _accuracy(comparison),
        *(p.text for p in found),
        _cost(comparison),
        _unmeasured(comparison),
    ]
    return " ".join(s for s in said if s)


def _outcomes(comparison: Comparison) -> str:
    told = [f"{name_of(s)} {comparison.runs[s].outcome}" for s in comparison.stacks]
    outcomes = {r.outcome for r in comparison.runs.values()}
    if len(outcomes) == 1 and len(told) == 2:
        (outcome,) = outcomes
        return f"Put through the same release process, both stacks came to the same end: {outcome}."
    return f"Put through the same release process, the stacks ended so: {', '.join(told)}."


def _accuracy(comparison: Comparison) -> str:
    figures = {s: comparison.runs[s].figure("roc_auc") for s in comparison.stacks}
    known = {s: f for s, f in figures.items() if f and f.low is not None and f.high is not None}
    if len(known) != 2:
        return "Accuracy was not measured in both."
    (a, first), (b, second) = known.items()
    told = f"({name_of(a)} {first}, {name_of(b)} {second})"
    if max(first.low or 0, second.low or 0) <= min(first.high or 0, second.high or 0):
        return f"Their accuracy cannot be told apart: the intervals of ROC AUC overlap {told}."
    better = a if first.value > second.value else b
    return f"{name_of(better)} is the more accurate: the intervals of ROC AUC are apart {told}."


def _faults(comparison: Comparison) -> Iterator[Point]:
    """By column, the faults that both stacks were given and both could express."""
    if comparison.matrix is None:
        return
    for column in Column:
        pairs = [
            cells
            for f in comparison.matrix.faults
            if all(cells := [comparison.matrix.cell(f.name, s, column) for s in comparison.stacks])
            and not any(c and c.outcome is Outcome.NOT_EXPRESSIBLE for c in cells)
        ]
        if not pairs:
            continue
        outcomes = [[c.outcome for c in pair if c] for pair in pairs]
        stopped, noticed = (
            {s: sum(o[i] in wanted for o in outcomes) for i, s in enumerate(comparison.stacks)}
            for wanted in (STOPPED, (*STOPPED, Outcome.AT_AUDIT))
        )
        told = " and ".join(
            f"{name_of(s)} stopped {stopped[s]} and noticed {noticed[s]}" for s in stopped
        )
        text = f"Of {len(pairs)} faults that both can be given, {_WIRED[column]}, {told}."
        yield Point(f"faults stopped ({column})", stopped, len(pairs), text, "#matrix")
        yield Point(f"faults noticed ({column})", noticed, len(pairs), "", "#matrix")


def _questions(comparison: Comparison) -> Iterator[Point]:
    asked = len(comparison.questions)
    for from_evidence in (False, True):
        found = {
            r.stack: r.count(Status.ANSWERED)
            for r in comparison.readings
            if (r.store == EVIDENCE) is from_evidence and not r.note
        }
        if set(found) != set(comparison.stacks):
            continue
        source = "from the signed evidence" if from_evidence else "from its own store alone"
        told = " and ".join(f"{name_of(s)} answers {found[s]}" for s in comparison.stacks)
        yield Point(
            f"questions answered {source}",
            {s: found[s] for s in comparison.stacks},
            asked,
            f"Of an auditor's {asked} questions, {source}, {told}.",
            "#questions",
        )


def _conclusion(comparison: Comparison, found: tuple[Point, ...]) -> str:
    if not found:
        return "Which stack stands up in an audit was not measured."
    leads = {s: [p for p in found if p.ahead == s] for s in comparison.stacks}
    (a, mine), (b, theirs) = leads.items()
    if not mine and not theirs:
        return f"On all {len(found)} points measured they are even: neither stands up better."
    if mine and theirs:
        return (
            f"Neither stands up better throughout: {name_of(a)} is ahead in {_listed(mine)}, "
            f"{name_of(b)} in {_listed(theirs)}."
        )
    ahead = a if mine else b
    even = len(found) - len(leads[ahead])
    return (
        f"On what was measured {name_of(ahead)} stands up better: ahead in "
        f"{_listed(leads[ahead])}, behind in nothing, even in {even} of {len(found)} points."
    )


def _cost(comparison: Comparison) -> str:
    """What it takes to run, which is no point: less is cheaper, and no better in an audit."""
    packages = comparison.table("cost_packages")
    sizes = next((x.values for x in (packages.lines if packages else ()) if x.unit == "MB"), {})
    told = [
        f"{name_of(s)} took {comparison.runs[s].seconds:,.0f} s"
        + (
            f" and {size:,.0f} MB installed"
            if isinstance(size := sizes.get(s), (int, float))
            else ""
        )
        for s in comparison.stacks
    ]
    return f"For its run, {' and '.join(told)}."


def _listed(found: list[Point]) -> str:
    *first, last = (p.name for p in found)
    return f"{', '.join(first)} and {last}" if first else last


def _unmeasured(comparison: Comparison) -> str:
    missing = []
    if comparison.matrix is None:
        missing.append("faults (`assay faults`, then --faults)")
    elif comparison.matrix.missing:
        missing.append(f"{len(comparison.matrix.missing)} cells of the fault matrix")
    if not comparison.readings:
        missing.append("an auditor's questions")
    elif any(r.note for r in comparison.readings):
        missing.append("questions to a store that is not there")
    return f"Not measured: {', '.join(missing)}." if missing else ""
