"""Runs a compiled suite on all rows; nothing but yes or no ever leaves Great Expectations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import great_expectations as gx
import pandas as pd
from great_expectations.core import ExpectationValidationResult

from components.checks.measurement import Finding, Status
from components.contract.clauses import ClauseKind
from components.stacks.pytorch_stack.contract_to_gx import RULE, CompiledSuite


@dataclass(frozen=True, slots=True)
class RuleResult:
    """One expectation's outcome: whether it held, and whether GX could judge at all."""

    rule: str
    expectation: str
    success: bool
    raised: bool

    def to_json(self) -> dict[str, str | bool]:
        """JSON of the fields; it cannot hold a value out of the data."""
        return {
            "rule": self.rule,
            "expectation": self.expectation,
            "success": self.success,
            "raised": self.raised,
        }


def validate(compiled: CompiledSuite, rows: pd.DataFrame) -> list[RuleResult]:
    """Judge all rows by the suite, in the suite's order.

    The context is ephemeral and the result format BOOLEAN_ONLY, so that GX neither stores nor
    returns unexpected values. Messages of exceptions may quote values and are dropped here. Of no
    rows GX says that all is well; they prove nothing, so every rule but their number counts as
    raised.
    """
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    source = context.data_sources.add_pandas("canonical")
    asset = source.add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": rows})
    validated = batch.validate(compiled.suite, result_format="BOOLEAN_ONLY")
    by_rule = {
        str(r.expectation_config.meta[RULE]): RuleResult(
            rule=str(r.expectation_config.meta[RULE]),
            expectation=str(r.expectation_config.type),
            success=bool(r.success),
            raised=_raised(r.exception_info) or (len(rows) == 0 and not _counts_rows(r)),
        )
        for r in validated.results
    }
    return [
        by_rule.get(rule, RuleResult(rule, "none", success=False, raised=True))
        for rule in (str(e.meta[RULE]) for e in compiled.suite.expectations)
    ]


def findings(results: list[RuleResult]) -> list[Finding]:
    """One finding a rule: an expectation that raised, or gave no result, proves nothing."""
    return [_finding(r) for r in results]


def _finding(result: RuleResult) -> Finding:
    clause, subject = result.rule.split(":", 1)
    if result.raised:
        return Finding(
            result.rule, Status.INCONCLUSIVE, f"GX could not judge {clause} of {subject}"
        )
    holds = "holds" if result.success else "does not hold"
    status = Status.PASS if result.success else Status.FAIL
    return Finding(result.rule, status, f"{clause} of {subject} {holds}")


def _counts_rows(result: ExpectationValidationResult) -> bool:
    return str(result.expectation_config.meta[RULE]).startswith(f"{ClauseKind.ROW_COUNT}:")


def _raised(info: Mapping[str, Any] | None) -> bool:
    """GX gives one flat record, or one for each metric that raised."""
    if not info:
        return False
    if "raised_exception" in info:
        return bool(info["raised_exception"])
    return any(bool(entry.get("raised_exception")) for entry in info.values())
