"""Compiles a data contract to a Great Expectations suite."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import great_expectations as gx
from great_expectations import expectations as gxe
from great_expectations.expectations.expectation import Expectation

from components.contract.contract import Column, Contract, LogicalType
from components.profile.compute import uniqueness_rules
from components.stacks.pytorch_stack.not_expressible import NotExpressible

RULE = "rule"
"""Key under which an expectation's ``meta`` holds the rule that it was compiled from."""

_GX_TYPES = {
    LogicalType.STRING: "str",
    LogicalType.INTEGER: "int64",
    LogicalType.NUMBER: "float64",
    LogicalType.BOOLEAN: "bool",
}


@dataclass(frozen=True, slots=True)
class CompiledSuite:
    """A suite, and what of the contract it cannot say."""

    suite: gx.ExpectationSuite
    not_expressible: tuple[NotExpressible, ...]


def compile_to_gx(contract: Contract) -> CompiledSuite:
    """One expectation for each clause, named ``gx:<clause>:<columns>`` in its ``meta``.

    Clauses: ``row_count``; for each column ``type``, ``nulls``, ``range``, ``domain`` and
    ``pattern`` as far as the contract sets them; ``unique`` for each key. Nulls are judged by
    ``nulls`` alone: range, domain, pattern and uniqueness pass over them, as the referee's do.
    """
    expectations: list[Expectation] = [_row_count(contract)]
    left_out: list[NotExpressible] = []
    for column in contract.columns:
        left_out.append(
            NotExpressible(
                f"type:{column.name}",
                "great-expectations",
                "cells that were not of the type are already null in the canonical data; GX sees "
                "the type of what is there, the referee counts what was not",
            )
        )
        expectations.extend(_column(column))
        if column.pattern is not None:
            expectations.append(
                gxe.ExpectColumnValuesToMatchRegex(
                    column=column.name, regex=column.pattern, meta=_rule("pattern", column.name)
                )
            )
    expectations.extend(_unique(contract))
    return CompiledSuite(
        gx.ExpectationSuite(f"{contract.name}-{contract.version}", expectations=expectations),
        tuple(left_out),
    )


def _rule(clause: str, subject: str) -> dict[str, str]:
    return {RULE: f"gx:{clause}:{subject}"}


def _row_count(contract: Contract) -> Expectation:
    most = int(contract.max_rows) if math.isfinite(contract.max_rows) else None
    return gxe.ExpectTableRowCountToBeBetween(
        min_value=contract.min_rows, max_value=most, meta=_rule("row_count", contract.name)
    )


def _column(column: Column) -> Iterator[Expectation]:
    name = column.name
    yield gxe.ExpectColumnValuesToBeOfType(
        column=name, type_=_GX_TYPES[column.logical_type], meta=_rule("type", name)
    )
    if column.max_null_fraction < 1.0:
        yield gxe.ExpectColumnValuesToNotBeNull(
            column=name, mostly=1.0 - column.max_null_fraction, meta=_rule("nulls", name)
        )
    if column.minimum is not None or column.maximum is not None:
        yield gxe.ExpectColumnValuesToBeBetween(
            column=name,
            min_value=column.minimum,
            max_value=column.maximum,
            meta=_rule("range", name),
        )
    if column.allowed is not None:
        yield gxe.ExpectColumnValuesToBeInSet(
            column=name, value_set=list(column.allowed), meta=_rule("domain", name)
        )


def _unique(contract: Contract) -> Iterator[Expectation]:
    for keys in uniqueness_rules(contract):
        if len(keys) == 1:
            yield gxe.ExpectColumnValuesToBeUnique(column=keys[0], meta=_rule("unique", keys[0]))
        else:
            yield gxe.ExpectCompoundColumnsToBeUnique(
                column_list=list(keys),
                ignore_row_if="any_value_is_missing",
                meta=_rule("unique", "+".join(keys)),
            )
