"""Which values of a dataset name a person, so that they can be looked for elsewhere.

Looked for are the values of

* the entity column, and every column that the contract classifies as ``phi-identifier``,
* text columns without a declared domain that are excluded from the model (notes), or half of whose
  values stand in one row each,
* number columns that are neither a span nor the label: a value of ten or more significant digits
  is somebody's, whatever the column means.

A text counts if it has a letter and five or more characters, a whole number if it has nine or more
digits. Shorter ones cannot be told from ordinary words and numbers (a ``7``, a row count of six
digits); they are looked for right after their column's name alone, as in ``zper=131099``. Of
columns other than the entity and the identifiers, values that 11 or more rows share name nobody.
Of a long text the first 48 characters are looked for: a part of it that was cut off counts.
"""

from __future__ import annotations

import hashlib
import heapq
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from components.contract.contract import IDENTIFIER, Column, Contract, LogicalType, Role

MOST_VALUES = 20_000
"""Most values of a column that are looked for: those of the least SHA-256, so that what is looked
for is the same every time. The report says how many there are."""

MOST_CHARACTERS = 48
SHARED_BY = 11  # rows
_SHORTEST_TEXT = 5  # characters
_SHORTEST_NUMBER = 9  # digits
_FEWEST_DIGITS = 10  # significant digits of a number with a fraction
_BATCH = 65_536  # rows


@dataclass(slots=True)
class Wanted:
    """What to look for.

    Attributes:
        anywhere: column by value; wherever such a value stands it is somebody's.
        named: values by column; they count only right after the column's name.
        counts: by column, how many values are looked for, and of how many.
    """

    anywhere: dict[str, str] = field(default_factory=dict)
    named: dict[str, set[str]] = field(default_factory=dict)
    counts: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, column: str, values: Iterable[str], of: int) -> None:
        """Put values of a column on the list."""
        held = set(values)
        for value in held:
            if _tells(value):
                self.anywhere.setdefault(value[:MOST_CHARACTERS], column)
            elif value.strip():
                self.named.setdefault(column, set()).add(value)
        searched, known = self.counts.get(column, (0, 0))
        self.counts[column] = (searched + len(held), known + of)


def wanted_values(contract: Contract, files: Sequence[Path]) -> Wanted:
    """The values to look for of one dataset version.

    Args:
        contract: classifies the columns.
        files: the canonical Parquet files; read in batches, one column at a time.

    Raises:
        OSError, pyarrow.ArrowException: a file cannot be read.
    """
    wanted = Wanted()
    for column in contract.columns:
        if not _may_name(column):
            continue
        rows = Counter(_texts(files, column))
        of_people = column.role is Role.ENTITY or column.classification == IDENTIFIER
        values = [v for v, n in rows.items() if of_people or n < SHARED_BY]
        if column.logical_type is LogicalType.NUMBER and not of_people:
            values = [v for v in values if len(_digits(v)) >= _FEWEST_DIGITS]
        elif not of_people and column.role is not Role.EXCLUDED:
            alone = sum(n for n in rows.values() if n == 1)
            values = values if 2 * alone >= rows.total() else []
        if values:
            wanted.add(column.name, _sample(values), len(values))
    return wanted


def _may_name(column: Column) -> bool:
    if column.role is Role.ENTITY or column.classification == IDENTIFIER:
        return True
    if column.role in (Role.SPAN, Role.LABEL) or column.allowed:
        return False
    return column.logical_type in (LogicalType.STRING, LogicalType.NUMBER)


def _texts(files: Sequence[Path], column: Column) -> Iterator[str]:
    """A column's values as text: floats as Python writes them, whole ones without a point."""
    import pyarrow.parquet as pq

    for path in files:
        for batch in pq.ParquetFile(path).iter_batches(_BATCH, columns=[column.name]):
            for value in batch.column(0).to_pylist():
                if value is not None:
                    whole = isinstance(value, float) and value.is_integer()
                    yield str(int(value)) if whole else str(value)


def _sample(values: list[str]) -> list[str]:
    if len(values) <= MOST_VALUES:
        return values
    return heapq.nsmallest(MOST_VALUES, values, lambda v: hashlib.sha256(v.encode()).digest())


def _tells(value: str) -> bool:
    """Whether a value is odd enough to be somebody's wherever it stands."""
    if is_number(value):
        digits = _digits(value)
        return len(digits) >= (_SHORTEST_NUMBER if value.isdigit() else _FEWEST_DIGITS)
    return len(value) >= _SHORTEST_TEXT and any(c.isalnum() for c in value)


def is_number(value: str) -> bool:
    """Whether a value is a number as text."""
    return re.fullmatch(r"-?\d+(\.\d+)?(e[-+]?\d+)?", value) is not None


def _digits(value: str) -> str:
    """The significant digits of a number."""
    if not is_number(value):
        return ""
    return value.partition("e")[0].lstrip("-").replace(".", "").lstrip("0")
