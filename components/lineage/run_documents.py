"""What a run's own contract and policy add to what a store knows of it: names and types only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RunDocuments:
    """``columns`` are name and logical type of each column of the contract, in its order.

    ``model_inputs`` names the columns that the run's model sees.
    """

    columns: tuple[tuple[str, str], ...]
    model_inputs: tuple[str, ...]
