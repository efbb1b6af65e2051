"""An exact, mergeable profile of a dataset's columns.

Everything in a profile is a count, a minimum or a maximum, so that merging the profiles of the
parts of a dataset, in any order, gives the profile of the whole to the last digit.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from components.contract.errors import EvidenceError

SCHEMA_VERSION = "assay-profile/v2"


@dataclass(frozen=True, slots=True)
class ColumnProfile:
    """What is known of one column.

    ``rows`` counts all rows, ``nulls`` those without a value (NaN counts as none). ``counts`` maps
    each value, as text, to its rows, or is None where the column is numeric or holds more distinct
    values than ``max_categories``. ``edges`` are the inner bin edges of a numeric column and
    ``bins`` the rows of each bin, ``len(edges) + 1`` of them: bin ``i`` holds
    ``edges[i-1] <= value < edges[i]``, the outer bins are open. ``out_of_range``,
    ``out_of_domain`` and ``out_of_pattern`` count values that break that clause of the contract;
    ``unparseable`` cells that were not of the contract's type.
    """

    rows: int
    nulls: int
    minimum: float | None
    maximum: float | None
    counts: dict[str, int] | None
    max_categories: int
    edges: tuple[float, ...] = ()
    bins: tuple[int, ...] = ()
    out_of_range: int = 0
    out_of_domain: int = 0
    out_of_pattern: int = 0
    unparseable: int = 0

    @property
    def distinct(self) -> int | None:
        """Number of distinct values, null not among them; None where they were not counted."""
        return None if self.counts is None else len(self.counts)

    def __add__(self, other: ColumnProfile) -> ColumnProfile:
        """The profile of both parts together.

        Raises:
            EvidenceError: the two were counted with different bin edges or caps.
        """
        if (self.edges, self.max_categories) != (other.edges, other.max_categories):
            raise EvidenceError("profiles with different bin edges or caps cannot be merged")
        return ColumnProfile(
            rows=self.rows + other.rows,
            nulls=self.nulls + other.nulls,
            minimum=_extreme(min, self.minimum, other.minimum),
            maximum=_extreme(max, self.maximum, other.maximum),
            counts=_merge_counts(self.counts, other.counts, self.max_categories),
            max_categories=self.max_categories,
            edges=self.edges,
            bins=tuple(a + b for a, b in zip(self.bins, other.bins, strict=True)),
            out_of_range=self.out_of_range + other.out_of_range,
            out_of_domain=self.out_of_domain + other.out_of_domain,
            out_of_pattern=self.out_of_pattern + other.out_of_pattern,
            unparseable=self.unparseable + other.unparseable,
        )


@dataclass(frozen=True, slots=True)
class Profile:
    """Profiles of all columns of a dataset, or of a part of it.

    ``duplicates`` counts, for each uniqueness rule by its columns joined with ``+``, the rows that
    repeat another row's key. It is the one figure that parts cannot give for the whole, so a merge
    drops it and it is counted over the whole.
    """

    rows: int
    columns: dict[str, ColumnProfile]
    duplicates: dict[str, int] | None = None

    def __add__(self, other: Profile) -> Profile:
        """The profile of both parts together; associative and commutative.

        Raises:
            EvidenceError: the two do not have the same columns, edges and caps.
        """
        if set(self.columns) != set(other.columns):
            raise EvidenceError("profiles of different columns cannot be merged")
        merged = {name: self.columns[name] + other.columns[name] for name in self.columns}
        return Profile(rows=self.rows + other.rows, columns=merged)

    def to_json(self) -> dict[str, Any]:
        """A JSON document; floats as they are, integers exact."""
        return {
            "schemaVersion": SCHEMA_VERSION,
            "rows": self.rows,
            "duplicates": self.duplicates,
            "columns": {
                name: {
                    "rows": c.rows,
                    "nulls": c.nulls,
                    "minimum": c.minimum,
                    "maximum": c.maximum,
                    "counts": c.counts,
                    "max_categories": c.max_categories,
                    "edges": list(c.edges),
                    "bins": list(c.bins),
                    "out_of_range": c.out_of_range,
                    "out_of_domain": c.out_of_domain,
                    "out_of_pattern": c.out_of_pattern,
                    "unparseable": c.unparseable,
                }
                for name, c in self.columns.items()
            },
        }

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> Profile:
        """The profile that ``to_json`` wrote.

        Raises:
            EvidenceError: another version of the format, or figures that no rows can have.
        """
        if document.get("schemaVersion") != SCHEMA_VERSION:
            raise EvidenceError(f"not a profile of format {SCHEMA_VERSION}")
        columns = {
            name: ColumnProfile(**{**c, "edges": tuple(c["edges"]), "bins": tuple(c["bins"])})
            for name, c in document["columns"].items()
        }
        profile = cls(document["rows"], columns, document["duplicates"])
        for name, column in columns.items():
            if not _adds_up(column, profile.rows):
                raise EvidenceError(f"the profile's figures of {name} do not add up")
        return profile


def _adds_up(column: ColumnProfile, rows: int) -> bool:
    """Whether all counts are counts, and those of bins or values are of every row."""
    counts = [*(column.counts or {}).values(), *column.bins]
    figures: list[Any] = [
        rows,
        column.rows,
        column.nulls,
        column.max_categories,
        column.out_of_range,
        column.out_of_domain,
        column.out_of_pattern,
        column.unparseable,
        *counts,
    ]
    if not all(isinstance(n, int) and not isinstance(n, bool) and n >= 0 for n in figures):
        return False
    edges: list[Any] = list(column.edges)
    numbers = all(type(e) in (float, int) and not math.isnan(e) for e in edges)
    rising = numbers and (edges == sorted(set(edges)))
    binned = len(column.bins) in (0, len(edges) + 1) and bool(column.bins) >= bool(edges)
    counted = column.nulls + sum(counts) == rows if counts or column.counts is not None else True
    return column.rows == rows and column.nulls <= rows and rising and binned and counted


def _extreme(choose: Any, a: float | None, b: float | None) -> float | None:
    present = [v for v in (a, b) if v is not None]
    return choose(present) if present else None


def _merge_counts(
    a: dict[str, int] | None, b: dict[str, int] | None, cap: int
) -> dict[str, int] | None:
    if a is None or b is None:
        return None
    merged = dict(Counter(a) + Counter(b))
    return merged if len(merged) <= cap else None
