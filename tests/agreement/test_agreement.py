"""For every clause that an engine claims, its verdict is the referee's.

Outside a band around the threshold: 1e-6 of it for drift, whose figures the engines compute in
another order of additions; the distance of two 32-bit floats for TFDV's ranges; 1e-12 for shares
of nulls. ``ASSAY_AGREEMENT_CASES`` sets the number of cases (500 unless told).

Disagreements that were found, what they were, and the test that keeps each from coming back:

- Of no rows the referee and GX said that all is well, TFDV that it knows nothing. No rows prove
  nothing: ``test_next_to_no_rows``.
- TFDV compared the most frequent of more categories than the policy has counted, the referee none:
  ``test_more_categories_than_are_counted_are_unknown``, in the TFX room.
- With fewer categories allowed than there are bins, TFDV did not list every bin: the same test.
- GX and TFDV refused exactly the allowed share of nulls, since ``1 - 0.18`` rounds upwards:
  ``test_a_null_limit_is_inclusive_to_the_row`` and
  ``test_exactly_the_allowed_share_of_nulls_is_allowed``.
- TFDV judged nulls side by side, the contract all rows:
  ``test_a_limit_is_on_all_rows_and_not_on_each_side``.
- 0.57 per cent became less than 0.0057: ``test_a_limit_in_per_cent_is_a_decimal``.
"""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from components.checks.measurement import Finding, Status
from components.contract.clauses import Clause, ClauseKind
from components.contract.contract import Contract
from components.contract.policy import DataGatePolicy, DriftStatistic, Policy
from tests.agreement import engines
from tests.agreement.cases import (
    FAULTS,
    Case,
    ColumnCase,
    cases,
    contract_of,
    gate_of,
    near_the_figure,
    write_sides,
)
from tests.agreement.tally import TALLY

CASES = int(os.environ.get("ASSAY_AGREEMENT_CASES", "500"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(max(1500, CASES * 4))]

_DRIFT_BAND, _NULLS_BAND = 1e-6, 1e-12


@pytest.fixture(scope="module", autouse=True)
def frameworks() -> None:
    """Both stacks' frameworks, set up as their rooms do it before anything imports them."""
    from components.stacks.pytorch_stack import frameworks as pytorch
    from components.stacks.tfx_stack import quiet_start

    quiet_start.prepare_environment()
    pytorch.start()


def disagreements(case: Case, rules: Policy, folder: Path) -> list[str]:
    """What the engines and the referee do not agree on; the tally counts all comparisons."""
    contract, gate = contract_of(case), gate_of(case)
    sides = engines.read_sides(contract, gate, write_sides(case, contract, folder))
    first = engines.referee(contract, gate, sides)
    figures = {
        f.measurement.slice: f.measurement.value
        for f in first.findings
        if f.rule.startswith("drift:") and f.measurement
    }
    gate = near_the_figure(gate, case, figures)
    policy = replace(rules, data_gate=gate)
    mine = {f.rule: f for f in engines.referee(contract, gate, sides).findings}
    TALLY.cases += 1
    found = []
    for answer in (
        engines.tfdv(contract, policy, sides),
        engines.great_expectations(contract, sides),
        engines.evidently(contract, gate, sides),
    ):
        theirs = {f.rule: f for f in answer.findings}
        assert set(theirs) == {c.rule for c in answer.clauses}, answer.engine
        for clause in answer.clauses:
            referee, native = mine[clause.rule], theirs[clause.rule]
            near = in_band(clause, referee, answer.engine, contract, gate, sides)
            agrees = native.status is referee.status
            TALLY.note(answer.engine, clause.kind, native.status, near=near, agrees=agrees)
            if not agrees and not near:
                found.append(
                    f"{answer.engine} {clause.rule}: {native.status} ({native.reason}), "
                    f"referee {referee.status} ({referee.reason})"
                )
    return found


def in_band(
    clause: Clause,
    referee: Finding,
    engine: str,
    contract: Contract,
    gate: DataGatePolicy,
    sides: engines.Sides,
) -> bool:
    """Whether the figure is so near its threshold that an engine's arithmetic may decide."""
    figure = referee.measurement
    if figure is None or not math.isfinite(figure.value):
        return False
    if clause.kind is ClauseKind.DRIFT:
        limit = gate.limit_for(clause.subject).at_most
        return abs(figure.value - limit) <= _DRIFT_BAND * max(limit, _DRIFT_BAND)
    column = contract.column(clause.subject) if clause.kind is ClauseKind.NULLS else None
    if column is not None:
        return abs(figure.value - column.max_null_fraction) <= _NULLS_BAND and figure.value > 0
    if clause.kind is ClauseKind.RANGE and engine == "tfdv":
        return _rounds_to_a_bound(clause.subject, contract, sides)
    return False


def _rounds_to_a_bound(name: str, contract: Contract, sides: engines.Sides) -> bool:
    column, found = contract.column(name), sides.current.columns[name]
    pairs = ((column.minimum, found.minimum), (column.maximum, found.maximum))
    return any(
        bound is not None
        and value is not None
        and bound != value
        and np.float32(bound) == np.float32(value)
        for bound, value in pairs
    )


@settings(
    max_examples=CASES,
    deadline=None,
    derandomize=CASES == 500,
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)
@given(case=cases())
def test_engines_agree_with_the_referee(
    rules: Policy, tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    assert disagreements(case, rules, tmp_path_factory.mktemp("case")) == []


_PLAIN = ColumnCase(
    "amount", True, False, None, 1.0, False, DriftStatistic.JENSEN_SHANNON, None, "none"
)
_KIND_OF = {fault: (kinds or ("category",))[0] for fault, (_, kinds) in FAULTS.items()}


@pytest.mark.parametrize("statistic", list(DriftStatistic))
@pytest.mark.parametrize("near", [None, 0.99, 1.01])
@pytest.mark.parametrize("fault", list(FAULTS))
def test_every_trap_once(
    rules: Policy, tmp_path: Path, fault: str, near: float | None, statistic: DriftStatistic
) -> None:
    column = replace(
        _PLAIN, kind=_KIND_OF[fault], fault=fault, near=near, statistic=statistic, max_nulls=0.05,
        listed=_KIND_OF[fault] in ("category", "code", "dose"), pattern="^[A-Z]",
    )  # fmt: skip
    case = Case((column,), (1000, 1000), near is None, True, (0.5, 2.0), seed=7)
    assert disagreements(case, rules, tmp_path) == []


@pytest.mark.parametrize("rows", [(0, 250), (250, 0), (0, 0), (1, 1), (11, 11), (250, 9)])
@pytest.mark.parametrize("kind", ["category", "flag", "count", "code", "amount", "dose"])
def test_next_to_no_rows(rules: Policy, tmp_path: Path, rows: tuple[int, int], kind: str) -> None:
    column = replace(_PLAIN, kind=kind, max_nulls=0.0, listed=True)
    case = Case((column,), rows, False, True, None, seed=3)
    assert disagreements(case, rules, tmp_path) == []


def test_the_suite_saw_every_verdict() -> None:
    """An engine that never fails, or a clause that no case broke, would prove nothing."""
    if TALLY.cases < CASES:
        if "CI" in os.environ:  # not an assertion: pytest would print the whole environment
            pytest.fail("the cases ran in another process than this check")
        pytest.skip("only after the whole module has run")
    seen = TALLY.verdicts
    for engine, kinds in {
        "tfdv": ("nulls", "range", "domain", "drift"),
        "gx": ("row_count", "nulls", "range", "domain", "pattern", "unique"),
        "evidently": ("drift",),
    }.items():
        for kind in kinds:
            for status in (Status.PASS, Status.FAIL):
                assert seen[engine, ClauseKind(kind), status], (engine, kind, status)
    assert seen["tfdv", ClauseKind.DRIFT, Status.INCONCLUSIVE]
    assert seen["evidently", ClauseKind.DRIFT, Status.INCONCLUSIVE]
