"""The profiles that the data gate judges: of the baseline, of the current rows and of all rows."""

from __future__ import annotations

from collections.abc import Iterator

from components.contract.contract import Contract
from components.contract.policy import DataGatePolicy
from components.datasets.canonical import Dataset
from components.lineage.commitments import artifact_nonce
from components.profile.compute import profile_files
from components.profile.edges import quantile_edges
from components.profile.profile import Profile

EVERYTHING, CURRENT, BASELINE = "everything", "current", "baseline"


def profiles_of(
    dataset: Dataset, contract: Contract, gate: DataGatePolicy
) -> Iterator[tuple[str, Profile]]:
    """Name and exact profile of each side that has rows; bin edges are the baseline's.

    Args:
        dataset: the canonical dataset.
        contract: its contract.
        gate: which spans are which side, and how finely they are counted.
    """
    baseline, current = dataset.sides(gate)
    edges = quantile_edges(baseline, contract, gate.bins)
    sides = {BASELINE: baseline, CURRENT: current, EVERYTHING: dataset.files()}
    for name, files in sides.items():
        if not files:
            continue
        unparseable = dataset.manifest["unparseable"] if name == EVERYTHING else {}
        yield (
            name,
            profile_files(
                files, contract, edges, max_categories=gate.max_categories, unparseable=unparseable
            ),
        )


def profile_nonce(row_key: bytes, dataset: Dataset, name: str) -> str:
    """The keyed value, in hex, that a profile's file carries so that nobody guesses its digest."""
    return artifact_nonce(row_key, f"{dataset.version}:{name}")
