"""Evidently answers the referee's question, in other units; and no figure means no PASS."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.checks import drift
from components.checks.measurement import Finding, Status
from components.contract.clauses import claimed, drift_clauses
from components.contract.contract import Contract
from components.contract.policy import DataGatePolicy
from components.profile.compute import profile_files
from components.profile.edges import quantile_edges
from components.stacks.pytorch_stack import evidently_reports as reports
from components.stacks.pytorch_stack import policy_to_evidently as compiler
from components.stacks.pytorch_stack.frames import analysis_frame, drift_labels, read_frame
from tests import clinic

WATCHED = ["age", "sex", "ward", "cost", "smoker", "under_40"]
STATISTICS = ["jensen_shannon", "psi", "l_infinity"]
Cells = dict[str, list]


def codes(document: clinic.Document) -> None:
    """The clinic with a categorical whole number for ``cost`` in place of the amount."""
    column = clinic.column_of(document, "cost")
    column["logicalType"] = "integer"
    column["customProperties"].append(
        {"property": "assayKind", "value": "categorical", "vendor": "assay"}
    )


def limits(statistic: str, at_most: float, **columns: float) -> clinic.Change:
    """A policy with one statistic, and limits of their own for some columns."""

    def change(document: clinic.Document) -> None:
        document["data_gate"]["drift"] = {
            "default": {"statistic": statistic, "at_most": at_most},
            "columns": {n: {"statistic": statistic, "at_most": x} for n, x in columns.items()},
        }
        document["data_gate"]["row_ratio"] = {"at_least": 0.1, "at_most": 10}

    return change


class World:
    """Both sides as canonical files, and both engines' words on them."""

    def __init__(
        self,
        folder: Path,
        before: Cells,
        after: Cells,
        policy: clinic.Change,
        contract: clinic.Change | None = None,
    ) -> None:
        self.contract: Contract = clinic.contract(folder, contract)
        self.gate: DataGatePolicy = clinic.policy(folder, self.contract, policy).data_gate
        self.files = [self._write(folder, n, c) for n, c in (("b", before), ("a", after))]
        self.edges = quantile_edges([self.files[0]], self.contract, self.gate.bins)

    def _write(self, folder: Path, name: str, cells: Cells) -> Path:
        types = {
            "age": pa.float64(), "cost": pa.int64() if self._coded else pa.float64(),
            "smoker": pa.bool_(), "under_40": pa.bool_(), "readmitted": pa.int64(),
            "year": pa.int64(),
        }  # fmt: skip
        rows = len(cells["age"])
        columns = {
            c: pa.array(cells.get(c, [None] * rows), types.get(c, pa.string()))
            for c in clinic.COLUMNS
        }
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
        return folder / f"{name}.parquet"

    @property
    def _coded(self) -> bool:
        return self.contract.column("cost").categorical

    def sides(self) -> list[pd.DataFrame]:
        """Labels of the baseline and of the current rows."""
        return [
            drift_labels(
                read_frame([f], WATCHED), self.contract, self.edges, self.gate.max_categories
            )
            for f in self.files
        ]

    def native(self) -> dict[str, Finding]:
        """Evidently's findings by rule."""
        baseline, current = self.sides()
        compiled = compiler.compile_to_evidently(self.contract, self.gate)
        results = reports.measure_drift(compiled, current, baseline)
        fewest = min(len(baseline), len(current))
        found = reports.drift_findings(results, fewest, self.gate.min_rows)
        return {f.rule: f for f in found}

    def referee(self) -> dict[str, Finding]:
        """The referee's findings by rule."""
        most = self.gate.max_categories
        before, after = (
            profile_files([f], self.contract, self.edges, max_categories=most) for f in self.files
        )
        found = drift.drift_findings(after, before, self.contract, self.gate)
        return {f.rule: f for f in found}


def random_side(seed: int, rows: int, shift: float = 0.0) -> Cells:
    """Every awkward thing at once: long tails, point masses, nulls, NaN, rare and new values."""
    chance = np.random.default_rng(seed)
    ages = chance.normal(50 + 20 * shift, 15, rows)
    ages[chance.random(rows) < 0.1 + shift] = np.nan
    age = [None if math.isnan(a) else float(a) for a in ages]
    cost = np.where(chance.random(rows) < 0.6, 0.0, chance.exponential(100 * (1 + shift), rows))
    wards = ["A", "B", "Ä\nÖ", "(missing)", "1", "1.0", "nan", None]
    weights = np.array([5, 4, 3, 1, 1, 1, 1, 1 + 5 * shift])
    cells: Cells = {
        "age": age,
        "cost": [float(c) for c in cost],
        "sex": chance.choice(["f", "m", None], rows, p=[0.5 - shift, 0.4, 0.1 + shift]).tolist(),
        "ward": [wards[i] for i in chance.choice(8, rows, p=weights / weights.sum())],
        "smoker": chance.choice([True, False, None], rows, p=[0.2, 0.7, 0.1]).tolist(),
        "under_40": [None if a is None else a < 40 for a in age],
    }  # fmt: skip
    cells["cost"][0], cells["cost"][1] = float("inf"), None
    cells["ward"][0] = f"seen once on side {seed}"
    return cells


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize("shift", [0.0, 0.15])
def test_evidently_gives_the_referees_figure_of_every_column(
    tmp_path: Path, statistic: str, shift: float
) -> None:
    change = limits(statistic, 0.01)
    world = World(tmp_path, random_side(1, 3000), random_side(2, 2000, shift), change)
    mine, theirs = world.native(), world.referee()
    assert sorted(mine) == sorted(f"drift:{c}" for c in WATCHED)
    for rule, found in mine.items():
        assert found.measurement is not None
        assert theirs[rule].measurement is not None
        figure = theirs[rule].measurement.value
        assert found.measurement.value == pytest.approx(figure, rel=1e-9), rule
        assert found.measurement.name == theirs[rule].measurement.name
        assert found.status is theirs[rule].status
        assert figure > 1e-6, rule
    if shift:
        assert Status.FAIL in {f.status for f in mine.values()}


@pytest.mark.parametrize("statistic", STATISTICS)
def test_a_threshold_one_percent_away_decides_for_both_engines(
    tmp_path: Path, statistic: str
) -> None:
    before, after = random_side(3, 1500), random_side(4, 1500, 0.1)
    free = World(tmp_path, before, after, limits(statistic, 0.9))
    figures = {r: f.measurement.value for r, f in free.referee().items() if f.measurement}
    for factor, status in ((1.01, Status.PASS), (0.99, Status.FAIL)):
        own = {c: figures[f"drift:{c}"] * factor for c in WATCHED}
        world = World(tmp_path, before, after, limits(statistic, 0.9, **own))
        native, referee = world.native(), world.referee()
        for column in WATCHED:
            rule = f"drift:{column}"
            assert native[rule].status is referee[rule].status is status, (rule, factor)


def test_method_and_threshold_are_pinned_for_every_watched_column(tmp_path: Path) -> None:
    def of_each_kind(document: clinic.Document) -> None:
        document["data_gate"]["drift"]["columns"] = {
            "sex": {"statistic": "psi", "at_most": 0.25},
            "ward": {"statistic": "l_infinity", "at_most": 0.15},
        }

    contract = clinic.contract(tmp_path)
    gate = clinic.policy(tmp_path, contract, of_each_kind).data_gate
    compiled = compiler.compile_to_evidently(contract, gate)
    assert [r.column for r in compiled.rules] == WATCHED
    methods = {r.column: (r.method, r.native_threshold) for r in compiled.rules}
    assert methods["sex"] == (compiler.PSI, 0.25)
    assert methods["ward"] == (compiler.L_INFINITY, 0.15)
    assert methods["age"] == ("jensenshannon", math.sqrt(gate.default.at_most * math.log(2)))
    metric = compiled.rules[0].metric()
    assert (metric.method, metric.threshold) == methods["age"]
    assert compiled.unexpressed == ()


def test_only_the_row_ratio_is_left_to_the_referee(tmp_path: Path) -> None:
    contract = clinic.contract(tmp_path)
    gate = clinic.policy(tmp_path, contract, limits("psi", 0.1)).data_gate
    compiled = compiler.compile_to_evidently(contract, gate)
    assert [u.rule for u in compiled.unexpressed] == ["row_ratio:least", "row_ratio:most"]
    clauses = claimed(drift_clauses(contract, gate), compiled.unexpressed)
    assert [c.rule for c in clauses] == [r.rule for r in compiled.rules]


@pytest.mark.parametrize("divergence", [0.0, 0.01, 0.1, 1.0])
def test_the_units_are_each_others_inverse(divergence: float) -> None:
    distance = compiler.jensen_shannon_distance(divergence)
    assert compiler.jensen_shannon_divergence(distance) == pytest.approx(divergence)


def column(cells: list, name: str = "ward") -> Cells:
    """Rows in which one column has the cells and the others are alike on every side."""
    rows = len(cells)
    flags = [i % 2 == 0 for i in range(rows)]
    numbers = [float(i % 100) for i in range(rows)]
    fixed = {
        "age": numbers, "cost": numbers, "sex": ["f"] * rows, "ward": ["A"] * rows,
        "smoker": flags, "under_40": flags,
    }  # fmt: skip
    return fixed | {name: cells}


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        (["A"] * 400, ["A"] * 400),
        (["A"] * 400, ["B"] * 400),
        (["A"] * 400, [None] * 400),
        ([None] * 400, [None] * 400),
        (["A"] * 400, ["A"] * 399 + ["B"]),
        (["A"] * 399 + ["B"], ["A"] * 400),
        (["1", "0"] * 200, ["1"] * 300 + ["0"] * 100),
        (["True", "False"] * 200, ["True"] * 300 + [None] * 100),
        (["(missing)"] * 200 + [None] * 200, ["(missing)"] * 400),
        (["A", "B", "C"] * 100, ["A", "B", "C"] * 133 + ["A"]),
        (["A"] * 20000 + ["B"], ["A"] * 20000 + ["B", "C"]),
    ],
)
def test_odd_categories_are_measured_as_the_referee_does(
    tmp_path: Path, statistic: str, before: list, after: list
) -> None:
    world = World(tmp_path, column(before), column(after), limits(statistic, 0.3))
    mine, theirs = world.native()["drift:ward"], world.referee()["drift:ward"]
    assert mine.measurement is not None
    assert theirs.measurement is not None
    assert mine.measurement.value == pytest.approx(theirs.measurement.value, abs=1e-12)
    assert mine.status is theirs.status is not Status.INCONCLUSIVE


def test_evidentlys_own_psi_would_give_another_figure(tmp_path: Path) -> None:
    """Shares of one in 20,001 and of none: Evidently makes a billionth of the empty one."""
    before, after = ["A"] * 20000 + ["B"], ["A"] * 20000 + ["B", "C"]
    world = World(tmp_path, column(before), column(after), limits("psi", 0.3))
    baseline, current = world.sides()
    rules = compiler.compile_to_evidently(world.contract, world.gate).rules
    (ours,) = [r for r in rules if r.column == "ward"]
    stock = compiler.DriftRule(ours.column, ours.statistic, "psi", ours.native_threshold)
    values = [
        reports.measure_drift(compiler.CompiledDrift((r,), ()), current, baseline)[0].value
        for r in (ours, stock)
    ]
    assert values[1] > 3 * values[0] > 0


@pytest.mark.parametrize("statistic", STATISTICS)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([None] * 100, [None] * 50 + [1.0] * 50),
        ([1.0] * 50 + [2.0] * 50, [None] * 100),
        ([7.0] * 100, [7.0] * 50 + [6.0] * 25 + [8.0] * 25),
        ([0.0] * 70 + [float(i) for i in range(30)], [0.0] * 90 + [-1.0] * 10),
        ([float(i) for i in range(100)], [float("inf")] * 40 + [float(i) for i in range(60)]),
    ],
)
def test_odd_numbers_are_measured_as_the_referee_does(
    tmp_path: Path, statistic: str, before: list, after: list
) -> None:
    sides = column(before, "cost"), column(after, "cost")
    world = World(tmp_path, *sides, limits(statistic, 0.3))
    mine, theirs = world.native()["drift:cost"], world.referee()["drift:cost"]
    assert mine.measurement is not None
    assert theirs.measurement is not None
    assert mine.measurement.value == pytest.approx(theirs.measurement.value, abs=1e-12)
    assert mine.measurement.value > 0
    assert mine.status is theirs.status is not Status.INCONCLUSIVE


def test_whole_number_codes_are_categories(tmp_path: Path) -> None:
    before, after = [2**62, 2**62 + 1] * 50, [2**62] * 80 + [None] * 20
    sides = column(before, "cost"), column(after, "cost")
    world = World(tmp_path, *sides, limits("l_infinity", 0.3), codes)
    mine, theirs = world.native()["drift:cost"], world.referee()["drift:cost"]
    assert mine.measurement is not None
    assert mine.measurement.value == pytest.approx(0.5)
    assert mine.status is theirs.status is Status.FAIL


def test_more_categories_than_are_counted_are_inconclusive_and_the_others_are_judged(
    tmp_path: Path,
) -> None:
    def few(document: clinic.Document) -> None:
        limits("psi", 0.5)(document)
        document["data_gate"]["max_categories"] = 3

    for wards, status in (
        (["A", "B", "C", None], Status.PASS),
        (list("ABCD"), Status.INCONCLUSIVE),
    ):
        world = World(tmp_path, column(wards * 50), column(wards * 50), few)
        mine, theirs = world.native(), world.referee()
        assert mine["drift:ward"].status is theirs["drift:ward"].status is status
        assert {f.status for r, f in mine.items() if r != "drift:ward"} == {Status.PASS}


def test_a_column_that_names_people_has_no_labels(tmp_path: Path) -> None:
    def named(document: clinic.Document) -> None:
        clinic.column_of(document, "ward")["classification"] = "phi-identifier"

    world = World(tmp_path, column(["A"] * 50), column(["A"] * 50), limits("psi", 0.5), named)
    assert all("ward" not in side for side in world.sides())
    status = {r: f.status for r, f in world.native().items()}
    assert status["drift:ward"] is world.referee()["drift:ward"].status is Status.INCONCLUSIVE


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Two sides that are nearly the same."""
    folder = tmp_path_factory.mktemp("alike")
    before, after = column(["A"] * 300 + ["B"] * 100), column(["A"] * 250 + ["B"] * 150)
    return World(folder, before, after, limits("l_infinity", 0.2))


def test_a_limit_is_inclusive(alike: World, tmp_path: Path) -> None:
    before, after = (pq.read_table(f).to_pydict() for f in alike.files)
    for limit, status in ((0.125, Status.PASS), (0.124999, Status.FAIL)):
        world = World(tmp_path, before, after, limits("l_infinity", 0.2, ward=limit))
        found = world.native()["drift:ward"]
        assert found.measurement is not None
        assert (found.status, found.measurement.value) == (status, 0.125)


@pytest.mark.parametrize("missing", ["baseline", "current", "rows"])
def test_a_missing_side_is_inconclusive(alike: World, missing: str) -> None:
    baseline, current = alike.sides()
    compiled = compiler.compile_to_evidently(alike.contract, alike.gate)
    results = reports.measure_drift(
        compiled,
        None if missing == "current" else current,
        None if missing == "baseline" else baseline[: 0 if missing == "rows" else None],
    )
    findings = reports.drift_findings(results, 400, 10)
    assert [f.rule for f in findings] == [f"drift:{c}" for c in WATCHED]
    assert {f.status for f in findings} == {Status.INCONCLUSIVE}


def test_too_few_rows_are_inconclusive(alike: World) -> None:
    baseline, current = alike.sides()
    compiled = compiler.compile_to_evidently(alike.contract, alike.gate)
    results = reports.measure_drift(compiled, current, baseline)
    assert {f.status for f in reports.drift_findings(results, 9, 10)} == {Status.INCONCLUSIVE}
    assert {f.status for f in reports.drift_findings(results, 10, 10)} == {Status.PASS}


@pytest.mark.parametrize(
    ("value", "test"),
    [(math.nan, "SUCCESS"), (math.inf, "SUCCESS"), (0.0, "ERROR"), (0.0, "MISSING")],
)
def test_a_figure_or_test_that_is_none_is_inconclusive(
    alike: World, value: float, test: str
) -> None:
    rule = compiler.compile_to_evidently(alike.contract, alike.gate).rules[0]
    result = reports.DriftResult(rule, value, test)
    assert reports.drift_findings([result], 400, 10)[0].status is Status.INCONCLUSIVE


def test_a_summary_counts_what_is_missing_and_holds_no_cell(alike: World) -> None:
    rows = read_frame([alike.files[0]], WATCHED)
    rows.loc[7, "ward"], rows.loc[8, "ward"] = "canary-1", None
    rows.loc[7, "age"], rows.loc[9, "age"] = 98765.4321, None
    summary = reports.summarise(analysis_frame(rows, alike.contract), alike.contract)
    assert "canary" not in str(summary)
    assert "98765" not in str(summary)
    assert summary["rows"] == 400
    missing = {name: figures["missing"] for name, figures in summary["columns"].items()}
    assert missing == dict.fromkeys(WATCHED, 0) | {"ward": 1, "age": 1}
