"""The limits that the comparison of the two stacks goes by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.contract.json_schema import ROOT, validate
from components.contract.strict_yaml import load_yaml

COMPARE = ROOT / "policies" / "compare.yaml"
SCHEMA = "compare-v1.schema.json"


@dataclass(frozen=True, slots=True)
class BridgeLimits:
    """``prediction_difference_at_most`` is inclusive, in probability, in (0, 0.1].

    It is held against two backends' scores of one row by the same weights.
    """

    prediction_difference_at_most: float


@dataclass(frozen=True, slots=True)
class ExportLimits:
    """``prediction_difference_at_most`` is inclusive, in probability, in (0, 0.1].

    It is held against an export's score of a row and the score that the release was judged by.
    """

    prediction_difference_at_most: float


@dataclass(frozen=True, slots=True)
class ComparePolicy:
    """Limits by what is compared."""

    bridge: BridgeLimits
    exports: ExportLimits


def load_compare_policy(path: Path = COMPARE) -> ComparePolicy:
    """Load the limits.

    Raises:
        InputError: names the file, the field and what would be right: an unknown key, a wrong
            type, a limit outside its range.
    """
    document, _ = load_yaml(path)
    validate(document, SCHEMA, path)
    return ComparePolicy(
        BridgeLimits(**document["bridge"]),
        ExportLimits(**document["exports"]),
    )
