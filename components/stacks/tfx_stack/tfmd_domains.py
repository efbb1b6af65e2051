"""What TFMD can say of a column's values: one interval of numbers, or one list of texts.

Tolerance bands, where a domain stands for a clause that it does not hold to the last digit:

- **Floats** are written as 32 bits, bounds included. Rounding keeps the order, so a value inside
  the range is never refused; one outside passes only where it and the bound round to the same
  32-bit number: closer than 1.2e-7 of the bound's size (1.4e-45 around zero).
- **Integers** are compared as doubles, exact for bounds up to 2**53 in size, whatever the value; a
  clause with a larger bound is not claimed.
- **Texts** are compared byte by byte, and all that TFDV lists of a column are looked at; see
  ``statistics_options``, which makes it list one more than the domain has.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from tensorflow_metadata.proto.v0 import schema_pb2

from components.checks.preprocessing import as_text
from components.contract.clauses import ClauseKind
from components.contract.contract import Column, LogicalType, Scalar
from components.stacks.tfx_stack.example_columns import Kind, kind_of

_LARGEST_EXACT = 2.0**53
_LARGEST_FLOAT = float.fromhex("0x1.fffffep127")  # of 32 bits
_LONGEST_TEXT = 1024
"""Bytes of a text that TFDV still tells from others; longer ones are all ``__LARGE_BYTES__``."""

ONE_INTERVAL = "TFMD has one interval a column, and the other clause on the values stands in it"
NO_RANGE = "a categorical number is text to TFDV, which has no range of texts"
NO_LIST = "TFMD has no list of numbers: only its least and greatest stand in the schema"
TOO_LARGE = "a bound is beyond what TFDV's numbers hold exactly"
TOO_LONG = "TFDV does not tell texts of more than 1024 bytes from each other"


@dataclass(frozen=True, slots=True)
class Interval:
    """The one interval of a numeric column, inclusive, and the clause that it is, if it is one.

    Without ``clause`` the interval is only a part of what the contract asks.
    """

    low: float
    high: float
    clause: ClauseKind | None


def interval_of(column: Column) -> Interval:
    """The interval that TFDV holds an integer or float column to; infinite where there is none.

    A list of integers without gaps is an interval as well. Where the column has a range too, the
    interval is the list's if that lies inside the range, for then it says all that both say, and
    else the range.
    """
    low = -math.inf if column.minimum is None else float(column.minimum)
    high = math.inf if column.maximum is None else float(column.maximum)
    ranged = Interval(low, high, ClauseKind.RANGE)
    if not column.allowed:
        return ranged
    allowed = [float(v) for v in column.allowed]
    first, last = min(allowed), max(allowed)
    if _is_gapless(column) and low <= first and last <= high:
        return Interval(first, last, ClauseKind.DOMAIN)
    unbounded = column.minimum is None and column.maximum is None
    return Interval(first, last, None) if unbounded else ranged


def _is_gapless(column: Column) -> bool:
    allowed = {float(v) for v in column.allowed or ()}
    whole = kind_of(column) is Kind.INTEGER
    return whole and len(allowed) == max(allowed) - min(allowed) + 1


def set_domain(feature: schema_pb2.Feature, column: Column) -> None:
    """Set the feature's domain to as much of the column's range and list as TFMD can say."""
    kind = kind_of(column)
    if kind is Kind.TEXT:
        if texts := domain_texts(column):
            feature.string_domain.value.extend(texts)
        return
    interval = interval_of(column)
    if kind is Kind.INTEGER:
        # Told that an integer is categorical, TFDV counts its most frequent values as texts, and
        # holds only those to the bounds. As a number it has its exact least and greatest value.
        if abs(interval.low) <= _LARGEST_EXACT:
            feature.int_domain.min = math.ceil(interval.low)
        if abs(interval.high) <= _LARGEST_EXACT:
            feature.int_domain.max = math.floor(interval.high)
    else:
        if abs(interval.low) <= _LARGEST_FLOAT:
            feature.float_domain.min = interval.low
        if abs(interval.high) <= _LARGEST_FLOAT:
            feature.float_domain.max = interval.high


def domain_texts(column: Column) -> list[str]:
    """The texts that a text feature may hold, in rising order; none where every text may stand."""
    allowed = column.allowed
    if allowed is None:
        allowed = (False, True) if column.logical_type is LogicalType.BOOLEAN else ()
    texts = {_text(value, column) for value in allowed}
    return sorted(t for t in texts if t is not None)


def _text(value: Scalar, column: Column) -> str | None:
    number = column.logical_type is LogicalType.NUMBER
    return as_text(float(value) if number else value)


def why_no_range(column: Column) -> str | None:
    """Why the schema does not hold the column's range; None where it does."""
    if kind_of(column) is Kind.TEXT:
        return NO_RANGE
    if interval_of(column).clause is not ClauseKind.RANGE:
        return ONE_INTERVAL
    return _why_not_exact(column)


def why_no_list(column: Column) -> str | None:
    """Why the schema does not hold the column's list of values; None where it does."""
    if kind_of(column) is Kind.TEXT:
        longest = max((len(t.encode()) for t in domain_texts(column)), default=0)
        return TOO_LONG if longest > _LONGEST_TEXT else None
    if not _is_gapless(column):
        return NO_LIST
    if interval_of(column).clause is not ClauseKind.DOMAIN:
        return ONE_INTERVAL
    return _why_not_exact(column)


def _why_not_exact(column: Column) -> str | None:
    interval = interval_of(column)
    largest = _LARGEST_EXACT if kind_of(column) is Kind.INTEGER else _LARGEST_FLOAT
    bounds = [b for b in (interval.low, interval.high) if math.isfinite(b)]
    return TOO_LARGE if any(abs(b) > largest for b in bounds) else None
