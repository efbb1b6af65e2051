"""Compiles a data contract to a Great Expectations suite."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

import great_expectations as gx
from great_expectations import expectations as gxe
from great_expectations.expectations.expectation import Expectation
from great_expectations.expectations.metadata_types import FailureSeverity

from components.contract.clauses import (
    Clause,
    ClauseKind,
    Unexpressed,
    schema_clauses,
    uniqueness_rules,
)
from components.contract.contract import Column, Contract, LogicalType, Scalar
from components.stacks.pytorch_stack.search_patterns import bounded_pattern

ENGINE = "great-expectations"

RULE = "rule"
"""Key under which an expectation's ``meta`` holds the rule id of its clause."""

_SEVERITIES = {
    "error": FailureSeverity.CRITICAL,
    "warning": FailureSeverity.WARNING,
    "info": FailureSeverity.INFO,
}

_EXACT_BELOW = 2**53
"""Whole numbers below it are doubles to the last digit."""

_ROUNDING = 4 * sys.float_info.epsilon
"""More than the rounding errors of two quotients and a difference, each of at most 1."""


@dataclass(frozen=True, slots=True)
class CompiledSuite:
    """A suite of one expectation a clause, and the clauses that GX cannot check."""

    suite: gx.ExpectationSuite
    unexpressed: tuple[Unexpressed, ...]


def compile_to_gx(contract: Contract) -> CompiledSuite:
    """One expectation for each clause, under its rule id in ``meta``, or a reason why not.

    Nulls are judged by ``nulls`` alone: range, domain, pattern and uniqueness pass over them, as
    the referee's do. A clause's severity becomes GX's; it changes no verdict.
    """
    expectations: list[Expectation] = []
    left_out: list[Unexpressed] = []
    for clause in schema_clauses(contract):
        meta: dict[str, Any] = {
            "meta": {RULE: clause.rule},
            "severity": _SEVERITIES[clause.severity],
        }
        made = _expectation(clause, contract, meta)
        if isinstance(made, str):
            left_out.append(Unexpressed(clause.rule, ENGINE, made))
        else:
            expectations.append(made)
    suite = gx.ExpectationSuite(f"{contract.name}-{contract.version}", expectations=expectations)
    return CompiledSuite(suite, tuple(left_out))


def _expectation(clause: Clause, contract: Contract, meta: dict[str, Any]) -> Expectation | str:
    """The clause's expectation, or the reason why GX cannot check it."""
    if clause.kind is ClauseKind.ROW_COUNT:
        return _row_count(clause, contract, meta)
    if clause.kind is ClauseKind.UNIQUE:
        return _unique(clause, contract, meta)
    column = contract.column(clause.subject)
    if clause.kind is ClauseKind.NULLS:
        return _nulls(column, meta)
    if clause.kind is ClauseKind.RANGE:
        return _range(column, meta)
    if clause.kind is ClauseKind.DOMAIN:
        return gxe.ExpectColumnValuesToBeInSet(
            column=column.name, value_set=_domain(column), **meta
        )
    if clause.kind is ClauseKind.PATTERN:
        return _pattern(column, meta)
    if clause.kind is ClauseKind.CONFIRMED:
        return "whether a person has confirmed a column is not in the data"
    return "cells of another type are null already in the canonical data; the referee counts them"


def _row_count(clause: Clause, contract: Contract, meta: dict[str, Any]) -> Expectation:
    if clause.subject == "least":
        return gxe.ExpectTableRowCountToBeBetween(min_value=contract.min_rows, **meta)
    return gxe.ExpectTableRowCountToBeBetween(max_value=int(contract.max_rows), **meta)


def _nulls(column: Column, meta: dict[str, Any]) -> Expectation:
    """GX asks ``(rows - nulls) / rows >= mostly``, the referee ``nulls / rows <= fraction``.

    ``1 - fraction`` rounds otherwise than the quotient does, and GX would fail data that are
    exactly at the limit. The slack of a few roundings, 9e-16, is less than one row of any data;
    within it of the limit GX passes.
    """
    fraction = column.max_null_fraction
    mostly = 1.0 if fraction == 0 else max(0.0, 1.0 - fraction - _ROUNDING)
    return gxe.ExpectColumnValuesToNotBeNull(column=column.name, mostly=mostly, **meta)


def _range(column: Column, meta: dict[str, Any]) -> Expectation | str:
    bounds = [b for b in (column.minimum, column.maximum) if b is not None]
    whole = column.logical_type is LogicalType.INTEGER
    if whole and any(abs(b) >= _EXACT_BELOW for b in bounds):
        return "GX holds bounds as doubles, which do not tell whole numbers beyond 2**53 apart"
    return gxe.ExpectColumnValuesToBeBetween(
        column=column.name, min_value=column.minimum, max_value=column.maximum, **meta
    )


def _domain(column: Column) -> list[Scalar]:
    """The allowed values; a column of doubles is compared with doubles, as DuckDB does."""
    allowed = column.allowed or ()
    if column.logical_type is LogicalType.NUMBER:
        return [float(v) for v in allowed]
    return list(allowed)


def _pattern(column: Column, meta: dict[str, Any]) -> Expectation | str:
    pattern, refused = bounded_pattern(column.pattern or "")
    if refused:
        return f"GX matches by backtracking, which is not safe for this pattern: {refused}"
    return gxe.ExpectColumnValuesToMatchRegex(column=column.name, regex=pattern, **meta)


def _unique(clause: Clause, contract: Contract, meta: dict[str, Any]) -> Expectation:
    # Not by splitting the rule id: a column's name may hold a plus sign.
    keys = {"+".join(k): list(k) for k in uniqueness_rules(contract)}[clause.subject]
    if len(keys) == 1:
        return gxe.ExpectColumnValuesToBeUnique(column=keys[0], **meta)
    return gxe.ExpectCompoundColumnsToBeUnique(
        column_list=keys, ignore_row_if="any_value_is_missing", **meta
    )
