"""How many verdicts were compared, and how many of them differed: printed when tests end."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from components.checks.measurement import Status
from components.contract.clauses import ClauseKind


@dataclass
class Tally:
    """Counts over all cases of one test run, shrunk repetitions included."""

    cases: int = 0
    verdicts: Counter[tuple[str, ClauseKind, Status]] = field(default_factory=Counter)
    near: int = 0
    disagreed: int = 0

    def note(
        self, engine: str, kind: ClauseKind, status: Status, *, near: bool, agrees: bool
    ) -> None:
        """One verdict of an engine that was held against the referee's."""
        self.verdicts[engine, kind, status] += 1
        self.near += near
        self.disagreed += not agrees and not near

    def __str__(self) -> str:
        by_engine = Counter[str]()
        by_status = Counter[Status]()
        for (engine, _, status), n in self.verdicts.items():
            by_engine[engine] += n
            by_status[status] += n
        engines = ", ".join(f"{e} {n:,}" for e, n in sorted(by_engine.items()))
        statuses = ", ".join(f"{n:,} {s}" for s, n in sorted(by_status.items()))
        return (
            f"agreement: {self.cases:,} cases, {self.verdicts.total():,} verdicts ({engines}; "
            f"{statuses}), {self.near:,} within the tolerance band, "
            f"{self.disagreed:,} disagreements"
        )


TALLY = Tally()
