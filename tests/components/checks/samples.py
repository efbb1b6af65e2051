"""Rows to measure, made up from a seed, and a measurer of them that takes each row by itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from components.checks.measurement import Measurement
from components.checks.release import Scored, release_measurements
from components.checks.tallies import Groups, Tally, tally
from components.contract.policy import (
    ChampionLimit,
    Change,
    Limit,
    Metric,
    Policy,
    ReleaseGatePolicy,
    Slice,
)

Flags = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Labels = Sequence[str | None]

GROUNDS = "long enough to be grounds"
GATE = ReleaseGatePolicy(0.95, 0.01, 0.001, 0.001, limits=())


@dataclass(frozen=True, slots=True)
class Rows:
    """Labels and scores of some rows, and their groups as a person would write them down."""

    labels: Flags
    scores: Floats
    groups: Mapping[str, list[str | None]]

    def taken(self, order: npt.NDArray[np.int64]) -> Rows:
        """The same rows in another order."""
        groups = {a: [held[i] for i in order] for a, held in self.groups.items()}
        return Rows(self.labels[order], self.scores[order], groups)

    def scored(self, champion: Floats | None = None) -> Scored:
        """As the referee takes them."""
        groups = {a: Groups.of(held) for a, held in self.groups.items()}
        return Scored(self.labels, self.scores, groups, champion)


def sample(seed: int, n: int = 400, levels: int = 1000, **attributes: int) -> Rows:
    """Rows with scores that know something; ``attributes`` says how many groups each one has.

    Scores are multiples of ``1 / levels`` off the edges of the calibration bins.
    """
    chance = np.random.default_rng(seed)
    groups = {a: chance.integers(0, k, n) for a, k in attributes.items()}
    risk = chance.beta(2, 3, n)
    labels = chance.random(n) < risk
    noise = chance.normal(0, 0.15, n) + sum((g * 0.05 for g in groups.values()), np.zeros(n))
    scores = (np.floor(np.clip(risk + noise, 0, 0.999) * levels) + 0.5) / levels
    return Rows(labels, scores, {a: [f"{a}{c}" for c in held] for a, held in groups.items()})


def measured(
    rows: Rows, policy: Policy, champion: Floats | None = None
) -> dict[tuple[str, str], Measurement]:
    """What the referee measures, by name and slice."""
    found = release_measurements(rows.scored(champion), policy)
    assert len({(m.name, m.slice) for m in found}) == len(found)
    return {(m.name, m.slice): m for m in found}


def tallied(labels: Sequence[bool], scores: Sequence[float], threshold: float = 0.5) -> Tally:
    """The sums of one group of rows."""
    held = np.array(labels, dtype=bool), np.array(scores, dtype=float)
    return tally(*held, {}, threshold).overall()


def with_limits(policy: Policy, *limits: Limit) -> Policy:
    """A policy with these limits and no others."""
    return replace(policy, release_gate=replace(policy.release_gate, limits=limits))


def limit(
    metric: Metric,
    *attributes: str,
    groups: tuple[str, ...] = (),
    at_least: float | None = None,
    at_most: float | None = None,
    tested_on: str = "point",
    min_n: int = 1,
    change: Change | None = None,
    none_yet: str | None = None,
) -> Limit:
    """A limit whose id is its metric."""
    return Limit(
        id=str(metric).replace("_", "-"),
        metric=metric,
        slice=Slice(attributes, groups),
        at_least=at_least,
        at_most=at_most,
        tested_on=tested_on,
        min_n=min_n,
        grounds=GROUNDS,
        champion=None if change is None else ChampionLimit(change, none_yet),
    )
