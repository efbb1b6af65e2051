"""Evidently's statistics are the policy's, in other units; and no figure means no PASS."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from components.checks import drift
from components.checks.measurement import Status
from components.contract.policy import DriftStatistic
from components.stacks.pytorch_stack import evidently_reports as reports
from components.stacks.pytorch_stack import policy_to_evidently as compiler
from tests import clinic

WATCHED = ["age", "sex", "ward", "cost", "smoker", "under_40"]


def of_each_kind(document: clinic.Document) -> None:
    """One column for each statistic."""
    document["data_gate"]["drift"]["columns"] = {
        "sex": {"statistic": "psi", "at_most": 0.25},
        "ward": {"statistic": "l_infinity", "at_most": 0.15},
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory):
    """Contract, policy and compiled rules."""
    folder = tmp_path_factory.mktemp("drift")
    contract = clinic.contract(folder)
    policy = clinic.policy(folder, contract, of_each_kind)
    return contract, policy, compiler.compile_to_evidently(contract, policy.data_gate)


def side(sex: dict[str, int], ward: dict[str, int], seed: int = 0) -> pd.DataFrame:
    """Rows with given counts of two columns; the other columns alike on every side."""

    def cells(counts: dict[str, int]) -> list[str]:
        return [c for c, n in counts.items() for _ in range(n)]

    n = sum(sex.values())
    numbers = np.arange(n) % 100 / 1.0
    flags = np.where(np.arange(n) % 2 == 0, "true", "false").astype(object)
    return pd.DataFrame(
        {
            "age": numbers, "sex": cells(sex), "ward": cells(ward), "cost": numbers,
            "smoker": flags, "under_40": flags,
        }
    )  # fmt: skip


BEFORE = side({"f": 200, "m": 200}, {"A": 100, "B": 300})
AFTER = side({"f": 250, "m": 150}, {"A": 140, "B": 260})


def by_column(results: list[reports.DriftResult]) -> dict[str, reports.DriftResult]:
    """Results by column."""
    return {r.rule.column: r for r in results}


def test_method_and_threshold_are_pinned_for_every_watched_column(world) -> None:
    _, policy, compiled = world
    assert [r.column for r in compiled.rules] == WATCHED
    methods = {r.column: (r.method, r.native_threshold) for r in compiled.rules}
    assert methods["sex"] == ("psi", 0.25)
    assert methods["ward"] == (compiler.L_INFINITY, 0.15)
    limit = policy.data_gate.default.at_most
    assert methods["age"] == ("jensenshannon", math.sqrt(limit * math.log(2)))
    metric = compiled.rules[0].metric()
    assert (metric.method, metric.threshold) == methods["age"]


def test_numeric_columns_are_listed_as_judged_in_another_sense(world) -> None:
    assert {n.rule for n in world[2].not_expressible} == {"drift:age", "drift:cost"}


@pytest.mark.parametrize("divergence", [0.0, 0.01, 0.1, 1.0])
def test_the_units_are_each_others_inverse(divergence: float) -> None:
    distance = compiler.jensen_shannon_distance(divergence)
    assert compiler.jensen_shannon_divergence(distance) == pytest.approx(divergence)


@pytest.mark.parametrize(
    ("statistic", "formula"),
    [
        (DriftStatistic.JENSEN_SHANNON, drift.jensen_shannon),
        (DriftStatistic.PSI, drift.psi),
        (DriftStatistic.L_INFINITY, drift.l_infinity),
    ],
)
def test_evidently_gives_the_referees_figure_on_equal_bins(world, statistic, formula) -> None:
    contract, policy, _ = world
    name = {"jensen_shannon": "jensenshannon", "psi": "psi"}.get(statistic, compiler.L_INFINITY)
    rule = compiler.DriftRule("sex", statistic, name, 0.5)
    measured = reports.measure_drift(compiler.CompiledDrift((rule,), ()), AFTER, BEFORE, contract)
    mine = formula(np.array([200.0, 200.0]), np.array([250.0, 150.0]))
    assert mine > 0.01
    assert reports.measurement(measured[0], 400).value == pytest.approx(mine, rel=1e-9)
    if statistic is DriftStatistic.JENSEN_SHANNON:
        assert measured[0].value == pytest.approx(math.sqrt(mine * math.log(2)))
        assert measured[0].value != pytest.approx(math.sqrt(mine), rel=0.01)


def test_small_changes_pass_and_large_ones_fail(world) -> None:
    contract, _, compiled = world
    alike = reports.measure_drift(compiled, AFTER, BEFORE, contract)
    assert {f.status for f in reports.drift_findings(alike, 400, 10)} == {Status.PASS}
    moved = side({"f": 390, "m": 10}, {"A": 300, "B": 100})
    results = reports.measure_drift(compiled, moved, BEFORE, contract)
    status = {f.rule: f.status for f in reports.drift_findings(results, 400, 10)}
    assert status["evidently:drift:sex"] is Status.FAIL
    assert status["evidently:drift:ward"] is Status.FAIL
    assert status["evidently:drift:age"] is Status.PASS


def test_a_limit_is_inclusive(world) -> None:
    contract, _, _ = world
    rules = tuple(
        compiler.DriftRule("ward", DriftStatistic.L_INFINITY, compiler.L_INFINITY, limit)
        for limit in (0.1, 0.0999)
    )
    found = []
    for rule in rules:
        compiled = compiler.CompiledDrift((rule,), ())
        results = reports.measure_drift(compiled, AFTER, BEFORE, contract)
        found += [f.status for f in reports.drift_findings(results, 400, 10)]
    assert found == [Status.PASS, Status.FAIL]


@pytest.mark.parametrize("missing", ["baseline", "current"])
def test_a_missing_side_is_inconclusive(world, missing: str) -> None:
    contract, _, compiled = world
    baseline = None if missing == "baseline" else BEFORE
    current = None if missing == "current" else AFTER
    results = reports.measure_drift(compiled, current, baseline, contract)
    findings = reports.drift_findings(results, 400, 10)
    assert len(findings) == len(WATCHED)
    assert {f.status for f in findings} == {Status.INCONCLUSIVE}


def test_a_column_without_values_is_inconclusive_and_the_others_are_judged(world) -> None:
    contract, _, compiled = world
    empty = AFTER.assign(cost=math.nan)
    results = reports.measure_drift(compiled, empty, BEFORE, contract)
    status = {f.rule: f.status for f in reports.drift_findings(results, 400, 10)}
    assert status.pop("evidently:drift:cost") is Status.INCONCLUSIVE
    assert set(status.values()) == {Status.PASS}


def test_too_few_rows_are_inconclusive(world) -> None:
    contract, _, compiled = world
    results = reports.measure_drift(compiled, AFTER, BEFORE, contract)
    assert {f.status for f in reports.drift_findings(results, 9, 10)} == {Status.INCONCLUSIVE}
    assert {f.status for f in reports.drift_findings(results, 10, 10)} == {Status.PASS}


@pytest.mark.parametrize(
    ("value", "test"),
    [(math.nan, "SUCCESS"), (math.inf, "SUCCESS"), (0.0, "ERROR"), (0.0, "MISSING")],
)
def test_a_figure_or_test_that_is_none_is_inconclusive(world, value: float, test: str) -> None:
    result = reports.DriftResult(world[2].rules[0], value, test)
    assert reports.drift_findings([result], 400, 10)[0].status is Status.INCONCLUSIVE


def test_nulls_of_categories_count_as_a_category(tmp_path: Path) -> None:
    from components.stacks.pytorch_stack.frames import analysis_frame

    contract = clinic.contract(tmp_path)
    rows = pd.DataFrame({"ward": pd.Series(["A", None], dtype="string")})
    assert analysis_frame(rows, contract)["ward"].tolist() == ["A", "(missing)"]


def test_a_summary_holds_no_cell(world) -> None:
    rows = BEFORE.assign(ward="canary-1", age=np.where(np.arange(400) == 7, 98765.4321, 30.0))
    text = str(reports.summarise(rows, world[0]))
    assert "canary" not in text
    assert "98765" not in text
    assert "'rows': 400" in text
