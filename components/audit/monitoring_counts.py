"""What decision logs and later labels hold, as sums: a segment at a time, whatever their number."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.checks.fairness import Proportion
from components.checks.performance import Ranked
from components.checks.tallies import Flags, Floats, Groups, Tally, tally
from components.contract.policy import Policy
from components.decisions.decision_log import REVIEW, DecisionLog
from components.decisions.later_labels import Known, LaterLabels
from components.decisions.log import NOT_SELECTED, SELECTED

_GROUP = "assay_group_"
_RANKS = 1 << 20
"""Equal steps of [0, 1] in which scores are ranked: closer ones count as ties. 16 MB in all."""

Watch = Callable[[int], None]


def _nothing() -> Tally:
    return tally(np.empty(0, np.bool_), np.empty(0), {}, 0.5).overall()


def _plus(one: Tally, other: Tally) -> Tally:
    return Tally(**{f.name: getattr(one, f.name) + getattr(other, f.name) for f in fields(Tally)})


@dataclass
class Labelled:
    """Sums over the decisions whose label is known.

    ``ranks`` has shape (2, 2**20): negatives and positives by score. ``reviewed`` counts negatives
    and positives that were left to a person: they are in ``everybody``, and in no group of
    ``groups``. ``upheld`` and ``overturned`` count appeals of adverse decisions.
    """

    ranks: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((2, _RANKS), np.int64))
    everybody: Tally = field(default_factory=_nothing)
    groups: dict[str, dict[str, Tally]] = field(default_factory=dict)
    reviewed: Counter[bool] = field(default_factory=Counter)
    upheld: int = 0
    overturned: int = 0

    @property
    def ranked(self) -> Ranked:
        """Positives and negatives by score."""
        held = self.ranks.any(axis=0)
        return Ranked(self.ranks[1, held], self.ranks[0, held], valid=True)

    def group(self, column: str, label: str) -> Tally:
        """Sums of one group; empty where none of its labels is known."""
        return self.groups.get(column, {}).get(label) or _nothing()


@dataclass
class Counted:
    """What some logs hold: scores by bin, outcomes, and outcomes by group of each column.

    ``labelled`` is None where no labels were given.
    """

    bins: Floats
    outcomes: Counter[str] = field(default_factory=Counter)
    groups: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)
    labelled: Labelled | None = None

    @property
    def rows(self) -> int:
        """Number of decisions."""
        return self.outcomes.total()

    def grouped(self, column: str) -> bool:
        """Whether every log holds the groups of a column."""
        return column in self.groups and self.groups[column].total() == self.rows

    def labels(self, column: str) -> list[str]:
        """The groups of a column that have decisions, in order."""
        return sorted({label for label, _ in self.groups[column]})

    def decided(self, column: str, label: str) -> Proportion:
        """Selected of a group's decisions; those that were left to a person are not counted."""
        held = self.groups[column]
        chosen = held[label, SELECTED]
        return Proportion(chosen, chosen + held[label, NOT_SELECTED])


def count(
    logs: Iterable[DecisionLog],
    policy: Policy,
    labels: LaterLabels | None = None,
    watch: Watch = lambda _rows: None,
) -> Counted:
    """Add up logs, one segment at a time.

    Args:
        logs: decision logs of one release.
        policy: the release's, for the number of bins, its pools of groups, and what is adverse.
        labels: what came later.
        watch: told the number of decisions that were read.

    Raises:
        EvidenceError: a segment is not the one that was signed.
    """
    found = Counted(np.zeros(policy.data_gate.bins), labelled=Labelled() if labels else None)
    for log in logs:
        threshold = float(log.header["threshold"])
        for segment in log.segments:
            table = log.rows_of(segment)
            groups = _groups(table, policy)
            _add(found, table, groups)
            if labels is not None and found.labelled is not None:
                known = labels.of(log.log_id, segment.first, segment.rows)
                _label(found.labelled, table, groups, known, threshold, policy.decision.adverse)
            watch(found.rows)
    return found


def binned(scores: Floats, bins: int) -> Floats:
    """Number of scores in each of some equal bins of [0, 1]."""
    return np.histogram(scores, bins=bins, range=(0.0, 1.0))[0].astype(np.float64)


def _groups(table: pa.Table, policy: Policy) -> dict[str, Groups]:
    """Each row's group of each column, once the policy's pools are applied."""
    found = {}
    for name in (n for n in table.column_names if n.startswith(_GROUP)):
        column, held = name.removeprefix(_GROUP), Groups.of(table[name])
        pooled = [policy.release_gate.pooled((column,), (g,))[0] for g in held.labels]
        labels = tuple(sorted(set(pooled)))
        places = np.array([labels.index(g) for g in pooled], np.int64)
        found[column] = Groups(places[held.codes], labels)
    return found


def _add(found: Counted, table: pa.Table, groups: dict[str, Groups]) -> None:
    found.bins += binned(table["score"].to_numpy(), len(found.bins))
    outcomes = Groups.of(table["outcome"])
    for code, n in enumerate(np.bincount(outcomes.codes, minlength=len(outcomes.labels)).tolist()):
        found.outcomes[outcomes.labels[code]] += n
    for column, held in groups.items():
        size = len(outcomes.labels)
        both = np.bincount(held.codes * size + outcomes.codes, minlength=len(held.labels) * size)
        into = found.groups.setdefault(column, Counter())
        for i, n in enumerate(both.tolist()):
            into[held.labels[i // size], outcomes.labels[i % size]] += n


def _label(
    into: Labelled,
    table: pa.Table,
    groups: dict[str, Groups],
    known: Known,
    threshold: float,
    adverse: str | None,
) -> None:
    scores, reviewed = table["score"].to_numpy(), _is(table, REVIEW)
    if adverse is not None:
        appealed = known.overturned[_is(table, adverse)]
        into.overturned += int((appealed == 1).sum())
        into.upheld += int((appealed == 0).sum())
    held: Flags = known.labels >= 0
    positive = known.labels == 1
    ranks = np.minimum((scores * _RANKS).astype(np.int64), _RANKS - 1)
    for side in (False, True):
        chosen = held & (positive == side)
        into.ranks[int(side)] += np.bincount(ranks[chosen], minlength=_RANKS)
        into.reviewed[side] += int((chosen & reviewed).sum())
    sums = tally(positive[held], scores[held], {}, threshold).overall()
    into.everybody = _plus(into.everybody, sums)
    decided = held & ~reviewed
    for column, codes in groups.items():
        for code, label in enumerate(codes.labels):
            mine = decided & (codes.codes == code)
            sums = tally(positive[mine], scores[mine], {}, threshold).overall()
            into.groups.setdefault(column, {})[label] = _plus(into.group(column, label), sums)


def _is(table: pa.Table, outcome: str) -> Flags:
    found: Flags = pc.equal(table["outcome"], outcome).to_numpy()
    return found
