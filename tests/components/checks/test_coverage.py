from __future__ import annotations

import pytest

from components.checks.coverage import coverage, uncovered_findings
from components.checks.measurement import Finding, Status
from components.contract.clauses import (
    Clause,
    ClauseKind,
    Unexpressed,
    claimed,
    drift_clauses,
    schema_clauses,
)
from components.contract.contract import Contract
from components.contract.policy import Policy

NULLS, RANGE = Clause(ClauseKind.NULLS, "age"), Clause(ClauseKind.RANGE, "age", "warning")


def _finding(clause: Clause, status: Status) -> Finding:
    return Finding(clause.rule, status, "because")


def test_each_clause_says_which_engines_executed_it() -> None:
    rows = coverage(
        (NULLS, RANGE),
        {
            "tfdv": [_finding(NULLS, Status.PASS), Finding("other:age", Status.FAIL, "x")],
            "referee": [_finding(NULLS, Status.FAIL), _finding(RANGE, Status.PASS)],
        },
    )
    assert [r.to_json() for r in rows] == [
        {
            "rule": "nulls:age",
            "severity": "error",
            "engines": {"tfdv": "PASS", "referee": "FAIL"},
        },
        {"rule": "range:age", "severity": "warning", "engines": {"referee": "PASS"}},
    ]


def test_of_several_findings_the_worst_counts() -> None:
    found = [_finding(NULLS, s) for s in (Status.PASS, Status.INCONCLUSIVE, Status.PASS)]
    (row,) = coverage((NULLS,), {"tfdv": found})
    assert row.by_engine == {"tfdv": Status.INCONCLUSIVE}


def test_a_clause_that_no_engine_executed_is_inconclusive() -> None:
    (finding,) = uncovered_findings((NULLS, RANGE), [_finding(NULLS, Status.PASS)])
    assert (finding.rule, finding.status) == ("range:age", Status.INCONCLUSIVE)
    assert finding.reason == "no engine executed range:age"


def test_an_engine_claims_all_that_it_does_not_list() -> None:
    left_out = [Unexpressed("range:age", "gx", "it cannot")]
    assert claimed((NULLS, RANGE), left_out) == (NULLS,)
    with pytest.raises(ValueError, match="values:age is no clause"):
        claimed((NULLS,), [Unexpressed("values:age", "gx", "an old name")])


def test_every_rule_id_is_of_one_clause(
    rand_hie_contract: Contract, rand_hie_policy: Policy
) -> None:
    clauses = (
        *schema_clauses(rand_hie_contract),
        *drift_clauses(rand_hie_contract, rand_hie_policy.data_gate),
    )
    rules = [c.rule for c in clauses]
    assert len(set(rules)) == len(rules)
    assert {"row_count:most", "unique:zper+year", "domain:female", "drift:income"} <= set(rules)
