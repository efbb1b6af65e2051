"""Sums over rows from which every figure of a group follows, made in one pass.

A group's rates, calibration and Brier score depend on its rows through a few sums only. They are
taken once for each combination of all protected attributes; a coarser group is a sum of sums. The
cost is that of one pass over the rows, however many attributes, intersections and limits there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.contract.errors import ProcessError
from components.contract.policy import MISSING, ReleaseGatePolicy

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Integers = npt.NDArray[np.int64]

CALIBRATION_BINS = 10
"""Bins of equal width over [0, 1], the last one closed, of the calibration error."""

_KINDS = 4  # positive or not, selected or not


@dataclass(frozen=True, slots=True)
class Groups:
    """Group of each row: ``codes`` has shape (n,) and indexes ``labels``, which are unique."""

    codes: Integers
    labels: tuple[str, ...]

    @classmethod
    def of(
        cls, values: pa.ChunkedArray | Sequence[str | None], declared: Sequence[str] = ()
    ) -> Groups:
        """Groups in rising order of their labels.

        Args:
            values: n labels; None where a row has none, which makes it one of ``(missing)``.
            declared: groups that count even where they have no row.
        """
        column = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([list(values)])
        encoded = (
            column.cast(pa.string()).combine_chunks().dictionary_encode(null_encoding="encode")
        )
        held = [MISSING if v is None else v for v in encoded.dictionary.to_pylist()]
        labels = tuple(sorted({*held, *declared}))
        places = np.array([labels.index(v) for v in held], np.int64)
        codes = encoded.indices.to_numpy(zero_copy_only=False)
        return cls(places[codes] if len(held) else np.empty(0, np.int64), labels)


@dataclass(frozen=True, slots=True)
class Tally:
    """Sums over the rows of one group. ``residual`` is score minus label.

    Attributes:
        rows, positives, selected, true_positives: numbers of rows.
        invalid: rows whose score is no number in [0, 1]; they are in no other sum but ``rows``.
        bin_residuals: shape (10,), sum of residuals in each calibration bin.
        squares, fourths: sums of the residuals' squares and fourth powers.
    """

    rows: int
    positives: int
    selected: int
    true_positives: int
    invalid: int
    bin_residuals: Floats
    squares: float
    fourths: float

    @property
    def residuals(self) -> float:
        """Sum of score minus label."""
        return float(self.bin_residuals.sum())


@dataclass(frozen=True, slots=True)
class Tallies:
    """Sums by combination of groups.

    ``cells`` has shape (k, attributes) and holds the group codes of each combination that has rows;
    the arrays have k entries (and 4 kinds, or 10 bins, in the second place).
    """

    labels: Mapping[str, tuple[str, ...]]
    cells: Integers
    kinds: Integers
    invalid: Integers
    bin_residuals: Floats
    squares: Floats
    fourths: Floats

    def overall(self) -> Tally:
        """The sums over all rows."""
        return self._sum(np.ones(len(self.cells), np.bool_))

    def by(
        self, attributes: tuple[str, ...], rules: ReleaseGatePolicy
    ) -> dict[tuple[str, ...], Tally]:
        """The sums of each group of one attribute, or of each intersection of two.

        Pools of the policy are applied. A declared group of one attribute is there even where it
        has no rows; of an intersection, only what has rows.

        Raises:
            ProcessError: a pool is called like a group that it does not list.
        """
        self._require_only_listed(rules)
        places = [list(self.labels).index(a) for a in attributes]
        members: dict[tuple[str, ...], list[int]] = {}
        if len(attributes) == 1:
            for label in self.labels[attributes[0]]:
                members.setdefault(rules.pooled(attributes, (label,)), [])
        for i, codes in enumerate(self.cells[:, places].tolist()):
            names = tuple(self.labels[a][c] for a, c in zip(attributes, codes, strict=True))
            members.setdefault(rules.pooled(attributes, names), []).append(i)
        found = {}
        for group in sorted(members):
            held = np.zeros(len(self.cells), np.bool_)
            held[members[group]] = True
            found[group] = self._sum(held)
        return found

    def _require_only_listed(self, rules: ReleaseGatePolicy) -> None:
        """A pool takes in the groups that it lists, and no group of the data that is called so."""
        for pool in rules.pools:
            attribute = pool.attributes[0]
            if len(pool.attributes) > 1 or pool.into not in self.labels[attribute]:
                continue
            if (pool.into,) not in pool.groups:
                raise ProcessError(f"a pool of {attribute} is called like a group of the data")

    def _sum(self, held: Flags) -> Tally:
        kinds = self.kinds[held].sum(axis=0)
        return Tally(
            rows=int(kinds.sum() + self.invalid[held].sum()),
            positives=int(kinds[2] + kinds[3]),
            selected=int(kinds[1] + kinds[3]),
            true_positives=int(kinds[3]),
            invalid=int(self.invalid[held].sum()),
            bin_residuals=self.bin_residuals[held].sum(axis=0),
            squares=float(self.squares[held].sum()),
            fourths=float(self.fourths[held].sum()),
        )


def tally(labels: Flags, scores: Floats, groups: Mapping[str, Groups], threshold: float) -> Tallies:
    """Sum over the rows of every combination of groups.

    Args:
        labels: shape (n,), true for positives.
        scores: shape (n,); a row is selected when its score is at or above ``threshold``.
        groups: each protected attribute's groups.
        threshold: decision threshold, inclusive.
    """
    cell, cells = _combinations(groups, len(labels))
    k = len(cells)
    valid = (scores >= 0) & (scores <= 1)
    invalid = np.bincount(cell[~valid], minlength=k)
    if not valid.all():
        cell, scores, labels = cell[valid], scores[valid], labels[valid]
    bins = np.minimum((scores * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    kind = 2 * labels.astype(np.int64) + (scores >= threshold)
    residual = scores - labels
    square = residual * residual
    binned = np.bincount(cell * CALIBRATION_BINS + bins, residual, k * CALIBRATION_BINS)
    return Tallies(
        labels={name: g.labels for name, g in groups.items()},
        cells=cells,
        kinds=np.bincount(cell * _KINDS + kind, minlength=k * _KINDS).reshape(k, _KINDS),
        invalid=invalid,
        bin_residuals=binned.astype(np.float64).reshape(k, CALIBRATION_BINS),
        squares=np.bincount(cell, square, k).astype(np.float64),
        fourths=np.bincount(cell, square * square, k).astype(np.float64),
    )


def _combinations(groups: Mapping[str, Groups], rows: int) -> tuple[Integers, Integers]:
    """Number of each row's combination of groups, shape (n,), and the codes of each, shape (k, a).

    Combinations are numbered anew whenever they could be more than rows, so that the sums never
    take more room than the data.
    """
    cell = np.zeros(rows, np.int64)
    cells = np.zeros((1, 0), np.int64)
    for held in groups.values():
        size = len(held.labels)
        cell = cell * size + held.codes
        occupied = np.arange(len(cells) * size)
        if len(occupied) > rows:
            occupied, cell = np.unique(cell, return_inverse=True)
        cells = np.column_stack([cells[occupied // size], occupied % size])
    occupied_rows = np.bincount(cell, minlength=len(cells)) > 0
    renumbered = np.cumsum(occupied_rows) - 1
    return renumbered[cell], cells[occupied_rows]
