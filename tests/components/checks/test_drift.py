from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon

from components.checks.drift import (
    PSI_EPSILON,
    drift_findings,
    drifting_columns,
    jensen_shannon,
    l_infinity,
    psi,
)
from components.checks.measurement import Status
from components.contract.contract import Contract
from components.contract.policy import DriftLimit, DriftStatistic, Policy
from components.profile.profile import ColumnProfile, Profile
from tests.clinic import column_of, contract, table_of

counts = st.lists(st.integers(0, 10_000), min_size=2, max_size=12)
pairs = st.integers(2, 12).flatmap(
    lambda n: st.tuples(
        *[st.lists(st.integers(0, 10_000), min_size=n, max_size=n).filter(any) for _ in range(2)]
    )
)


def _arrays(p: list[int], q: list[int]) -> tuple[np.ndarray, np.ndarray]:
    return np.array(p, dtype=float), np.array(q, dtype=float)


@given(pairs)
def test_jensen_shannon_is_the_square_of_scipys_distance(pair: tuple[list[int], ...]) -> None:
    p, q = _arrays(*pair)
    assert jensen_shannon(p, q) == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-9)


@given(pairs)
def test_statistics_are_symmetric_and_in_their_range(pair: tuple[list[int], ...]) -> None:
    p, q = _arrays(*pair)
    for statistic, most in ((jensen_shannon, 1.0), (l_infinity, 1.0), (psi, math.inf)):
        value = statistic(p, q)
        assert -1e-12 <= value <= most + 1e-12
        assert value == pytest.approx(statistic(q, p), abs=1e-12)
        assert statistic(p, 3 * p) == pytest.approx(0.0, abs=1e-12)


def test_disjoint_is_one() -> None:
    p, q = _arrays([5, 0], [0, 7])
    assert jensen_shannon(p, q) == 1.0
    assert l_infinity(p, q) == 1.0


def test_jensen_shannon_worked_by_hand() -> None:
    # P = (1, 0), Q = (1/2, 1/2), M = (3/4, 1/4): H(M) - (H(P) + H(Q)) / 2
    by_hand = -(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)) - (0 + 1) / 2
    assert jensen_shannon(*_arrays([8, 0], [3, 3])) == pytest.approx(by_hand, abs=1e-12)


def test_psi_worked_by_hand() -> None:
    # (0.3 - 0.2) ln 1.5 + (0.5 - 0.5) ln 1 + (0.2 - 0.3) ln (2/3) = 0.2 ln 1.5
    p, q = _arrays([20, 50, 30], [30, 50, 20])
    assert psi(p, q) == pytest.approx(0.2 * math.log(1.5), abs=1e-12)
    empty = (0.5 - PSI_EPSILON) * math.log(0.5 / PSI_EPSILON) + (0.5 - 1) * math.log(0.5)
    assert psi(*_arrays([0, 10], [5, 5])) == pytest.approx(empty, abs=1e-12)


def test_l_infinity_worked_by_hand() -> None:
    assert l_infinity(*_arrays([1, 1, 2], [3, 0, 1])) == pytest.approx(0.5)


@pytest.mark.parametrize("statistic", [jensen_shannon, l_infinity, psi])
def test_an_empty_side_is_not_a_number(statistic: object) -> None:
    for p, q in (([0, 0], [1, 2]), ([1, 2], [0, 0]), ([0, 0], [0, 0])):
        assert math.isnan(statistic(*_arrays(p, q)))  # type: ignore[operator]


# Findings


def _numeric(
    bins: tuple[int, ...], nulls: int = 0, edges: tuple[float, ...] = (1.0,)
) -> ColumnProfile:
    rows = sum(bins) + nulls
    return ColumnProfile(rows, nulls, 0.0, 9.0, None, 9, edges, bins)


def _categories(found: dict[str, int] | None, nulls: int = 0, rows: int = 100) -> ColumnProfile:
    return ColumnProfile(rows, nulls, None, None, found, 9)


def _only(clinic: Contract, name: str) -> Contract:
    return replace(clinic, columns=(clinic.column(name),))


def _status(
    clinic: Contract,
    rules: Policy,
    name: str,
    after: ColumnProfile | None,
    before: ColumnProfile | None,
    rows: tuple[int, int] = (100, 100),
) -> tuple[Status, str]:
    sides = [
        Profile(n, {name: side} if side else {})
        for side, n in zip((after, before), rows, strict=True)
    ]
    (finding,) = drift_findings(*sides, _only(clinic, name), rules.data_gate)
    assert finding.rule == f"drift:{name}"
    return finding.status, finding.reason


def test_watched_are_features_and_protected_columns(clinic: Contract) -> None:
    assert drifting_columns(clinic) == ("age", "sex", "ward", "cost", "smoker", "under_40")


def test_the_same_is_no_drift_and_the_opposite_is(clinic: Contract, rules: Policy) -> None:
    here, there = _numeric((90, 10)), _numeric((10, 90))
    assert _status(clinic, rules, "cost", here, here)[0] is Status.PASS
    assert _status(clinic, rules, "cost", here, there)[0] is Status.FAIL
    here, there = _categories({"A": 90, "B": 10}), _categories({"C": 100})
    assert _status(clinic, rules, "ward", here, here)[0] is Status.PASS
    assert _status(clinic, rules, "ward", here, there)[0] is Status.FAIL


def test_a_column_that_goes_missing_has_drifted(clinic: Contract, rules: Policy) -> None:
    full, gone = _numeric((50, 50)), _numeric((0, 0), nulls=100)
    assert _status(clinic, rules, "cost", gone, full)[0] is Status.FAIL
    full, gone = _categories({"A": 100}), _categories({}, nulls=100)
    assert _status(clinic, rules, "ward", gone, full)[0] is Status.FAIL


@pytest.mark.parametrize(
    ("name", "after", "before", "rows", "reason"),
    [
        ("cost", _numeric((50, 50)), _numeric((50, 50)), (9, 100), "under 11 rows on one side"),
        ("cost", _numeric((50, 50)), _numeric((50, 50)), (100, 9), "under 11 rows on one side"),
        ("cost", None, _numeric((50, 50)), (100, 100), "one side lacks the column"),
        ("cost", _numeric((50, 50)), None, (100, 100), "one side lacks the column"),
        (
            "cost",
            _numeric((50, 50)),
            _numeric((50, 50), edges=(2.0,)),
            (100, 100),
            "not counted in the same bins",
        ),
        ("ward", _categories(None), _categories({"A": 1}), (100, 100), "not one by one"),
        ("ward", _categories({"A": 1}), _categories(None), (100, 100), "not one by one"),
        ("ward", _categories(None), _categories(None), (100, 100), "not one by one"),
        ("ward", _numeric((50, 50)), _categories({"A": 1}), (100, 100), "not counted in the same"),
        ("ward", _categories({}), _categories({"A": 1}), (100, 100), "is not a number"),
    ],
)
def test_every_doubt_is_inconclusive(
    clinic: Contract,
    rules: Policy,
    name: str,
    after: ColumnProfile | None,
    before: ColumnProfile | None,
    rows: tuple[int, int],
    reason: str,
) -> None:
    status, shown = _status(clinic, rules, name, after, before, rows)
    assert status is Status.INCONCLUSIVE
    assert reason in shown


def test_no_baseline_and_no_current_rows_are_inconclusive(clinic: Contract, rules: Policy) -> None:
    profile = Profile(100, {})
    for current, baseline, reason in (
        (profile, None, "there is no baseline"),
        (None, profile, "there are no current rows"),
        (None, None, "there is no baseline"),
    ):
        found = drift_findings(current, baseline, clinic, rules.data_gate)
        assert len(found) == len(drifting_columns(clinic))
        assert {f.status for f in found} == {Status.INCONCLUSIVE}
        assert all(reason in f.reason for f in found)


def test_a_columns_own_limit_goes_before_the_default(clinic: Contract, rules: Policy) -> None:
    own = {"cost": DriftLimit(DriftStatistic.L_INFINITY, 0.85)}
    gate = replace(rules.data_gate, columns=own)
    here, there = _numeric((90, 10)), _numeric((10, 90))
    status, reason = _status(clinic, replace(rules, data_gate=gate), "cost", here, there)
    assert status is Status.PASS
    assert reason == "l_infinity of cost 0.8, at most 0.85 required"


def test_the_clinic_watches_only_what_it_says(tmp_path: Path) -> None:
    def no_features(document: dict[str, object]) -> None:
        table_of(document)["properties"] = [
            column_of(document, n) for n in ("person", "year", "note", "readmitted")
        ]

    assert drifting_columns(contract(tmp_path, no_features)) == ()


def test_an_unusable_baseline_is_inconclusive_and_says_why(clinic: Contract, rules: Policy) -> None:
    profile = Profile(100, {})
    found = drift_findings(profile, profile, clinic, rules.data_gate, "made under version 0")
    assert {f.status for f in found} == {Status.INCONCLUSIVE}
    assert all("made under version 0" in f.reason for f in found)


def test_only_a_declared_first_release_does_without_a_baseline(
    clinic: Contract, rules: Policy
) -> None:
    gate = replace(rules.data_gate, first_release="nothing was there before")
    profile = Profile(100, {})
    found = drift_findings(profile, None, clinic, gate)
    assert {f.status for f in found} == {Status.PASS}
    assert all("declares a first release" in f.reason for f in found)
    assert all(f.measurement is None for f in found)
    # A baseline that is there is compared with, or is the reason why not.
    unusable = drift_findings(profile, None, clinic, gate, "made under version 0")
    assert {f.status for f in unusable} == {Status.INCONCLUSIVE}
    assert {f.status for f in drift_findings(profile, profile, clinic, gate)} == {
        Status.INCONCLUSIVE
    }


@pytest.mark.parametrize(
    ("rows", "closed"),
    [
        ((50, 100), set()),
        ((49, 100), {"row_ratio:least"}),
        ((200, 100), set()),
        ((201, 100), {"row_ratio:most"}),
        ((50, 0), {"row_ratio:least", "row_ratio:most"}),
    ],
)
def test_rows_are_counted_against_the_baseline(
    clinic: Contract, rules: Policy, rows: tuple[int, int], closed: set[str]
) -> None:
    gate = replace(rules.data_gate, row_ratio_at_least=0.5, row_ratio_at_most=2.0, min_rows=0)
    found = drift_findings(Profile(rows[0], {}), Profile(rows[1], {}), clinic, gate)
    ratios = {f.rule: f.status for f in found if f.rule.startswith("row_ratio")}
    assert set(ratios) == {"row_ratio:least", "row_ratio:most"}
    assert {r for r, s in ratios.items() if s is not Status.PASS} == closed
