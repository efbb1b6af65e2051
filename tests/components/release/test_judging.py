"""Stored scores are judged as the rows that they name, in whichever order they were stored."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.checks.measurement import Status
from components.contract.contract import Contract
from components.contract.errors import ProcessError
from components.contract.policy import ChampionLimit, Change, Metric, Policy
from components.datasets.canonical import ROW_COLUMN, Dataset, ingest
from components.release.judging import Judged, aligned_scores, flags, judge, split_rows
from tests.clinic import csv_text, rows

ROWS = pa.chunked_array([pa.array([bytes([i]) * 32 for i in ids], pa.binary(32))
                         for ids in ((1, 2), (), (3,))])  # fmt: skip
SCORES = [0.1, 0.2, 0.3]


def _stored(
    directory: Path, ids: list[bytes | None], scores: list[float | None], kind: pa.DataType
) -> Path:
    path = directory / "predictions.parquet"
    table = {ROW_COLUMN: pa.array(ids, pa.binary(32)), "score": pa.array(scores, kind)}
    pq.write_table(pa.table(table), path)
    return path


def _aligned(
    directory: Path, order: list[int], kind: pa.DataType | None = None, **changes: float | None
) -> list[float]:
    ids = [ROWS[i].as_py() for i in order]
    scores = [changes.get(f"row_{i}", SCORES[i]) for i in order]
    return aligned_scores(_stored(directory, ids, scores, kind or pa.float64()), ROWS).tolist()


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 0, 2], [2, 1, 0]], ids=str)
def test_scores_come_in_the_order_of_the_rows(tmp_path: Path, order: list[int]) -> None:
    assert _aligned(tmp_path, order) == SCORES


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]], ids=str)
def test_a_score_that_is_null_is_no_number(tmp_path: Path, order: list[int]) -> None:
    found = _aligned(tmp_path, order, row_1=None)
    assert (found[0], found[2]) == (0.1, 0.3)
    assert math.isnan(found[1])


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]], ids=str)
def test_scores_of_32_bits_are_taken_as_they_are(tmp_path: Path, order: list[int]) -> None:
    assert _aligned(tmp_path, order, pa.float32()) == [float(np.float32(s)) for s in SCORES]


def test_row_names_of_any_width_are_compared(tmp_path: Path) -> None:
    """Some writers know no fixed width."""
    path = tmp_path / "predictions.parquet"
    ids = ROWS.cast(pa.binary()).take(pa.array([2, 0, 1]))
    pq.write_table(pa.table({ROW_COLUMN: ids, "score": [0.3, 0.1, 0.2]}), path)
    assert aligned_scores(path, ROWS).tolist() == SCORES


_OTHER = bytes([9]) * 32


@pytest.mark.parametrize(
    "ids",
    [
        [],
        [ROWS[0].as_py(), ROWS[1].as_py()],
        [ROWS[0].as_py(), ROWS[1].as_py(), ROWS[1].as_py()],
        [ROWS[0].as_py(), ROWS[1].as_py(), _OTHER],
        [*(r.as_py() for r in ROWS), _OTHER],
        [*(r.as_py() for r in ROWS), ROWS[0].as_py()],
        [ROWS[0].as_py(), ROWS[1].as_py(), None],
        [*(r.as_py() for r in ROWS), None],
    ],
    ids=["none", "missing", "doubled", "other", "more", "doubled and all", "null", "null and all"],
)
def test_scores_of_other_rows_are_refused(tmp_path: Path, ids: list[bytes | None]) -> None:
    path = _stored(tmp_path, ids, [0.5] * len(ids), pa.float64())
    says = r"predictions\.parquet scores other rows than the evaluation split, or one twice"
    with pytest.raises(ProcessError, match=says):
        aligned_scores(path, ROWS)


@pytest.mark.parametrize(
    ("values", "positive"),
    [
        (pa.array([1, 0, 1, None]), 1),
        (pa.array([1.0, 0.0, 1.0, None]), 1),
        (pa.array(["1", "0", "1", None]), "1"),
        (pa.array([True, False, True, None]), True),
    ],
)
def test_flags_say_who_is_positive(values: pa.Array, positive: object) -> None:
    found = flags(pa.chunked_array([values[:2], values[2:]]), positive)
    assert found.dtype == np.bool_
    assert found.tolist() == [True, False, True, False]


# A whole dataset


@pytest.fixture(scope="module")
def dataset(clinic: Contract, rules: Policy, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    home = tmp_path_factory.mktemp("judged")
    (home / "data.csv").write_text(csv_text(rows(400)))
    return ingest(clinic, rules, home, b"k" * 32, home / "data.csv")


@pytest.fixture(scope="module")
def evaluation(dataset: Dataset, clinic: Contract) -> pa.Table:
    columns = [ROW_COLUMN, "readmitted", *(c.group_column for c in clinic.protected)]
    return split_rows(dataset, "evaluation", columns)


@pytest.fixture(scope="module")
def scores(evaluation: pa.Table) -> np.ndarray:
    """Scores that know something of the label."""
    chance = np.random.default_rng(4)
    labels = np.array(evaluation["readmitted"].to_pylist())
    return np.clip(0.3 + 0.3 * labels + chance.normal(0, 0.15, len(labels)), 0, 1)


def _write(path: Path, evaluation: pa.Table, scores: np.ndarray, order: np.ndarray) -> Path:
    table = pa.table({ROW_COLUMN: evaluation[ROW_COLUMN].take(pa.array(order)),
                      "score": scores[order]})  # fmt: skip
    pq.write_table(table, path)
    return path


def test_a_split_is_read_file_by_file(dataset: Dataset, evaluation: pa.Table) -> None:
    assert len(dataset.files(split="evaluation")) == 2
    assert evaluation.num_rows == dataset.rows("evaluation")
    whole = pa.concat_tables(pq.read_table(f) for f in dataset.files(split="evaluation"))
    assert evaluation.equals(whole.select(evaluation.column_names))


def _judge(
    dataset: Dataset, clinic: Contract, policy: Policy, path: Path, champion: Path | None = None
) -> Judged:
    held = champion is not None
    return judge(dataset, clinic, policy, path, champion, [], has_champion=held)


def test_the_order_in_which_scores_were_stored_is_no_matter(
    tmp_path: Path, dataset: Dataset, clinic: Contract, rules: Policy, evaluation: pa.Table,
    scores: np.ndarray,
) -> None:  # fmt: skip
    n = len(scores)
    order = np.random.default_rng(1).permutation(n)
    straight = _write(tmp_path / "one.parquet", evaluation, scores, np.arange(n))
    mixed = _write(tmp_path / "other.parquet", evaluation, scores, order)
    assert _judge(dataset, clinic, rules, straight) == _judge(dataset, clinic, rules, mixed)


def test_what_is_judged_is_the_evaluation_split(
    tmp_path: Path, dataset: Dataset, clinic: Contract, rules: Policy, evaluation: pa.Table,
    scores: np.ndarray,
) -> None:  # fmt: skip
    path = _write(tmp_path / "p.parquet", evaluation, scores, np.arange(len(scores)))
    found = {(m.name, m.slice): m for m in _judge(dataset, clinic, rules, path).measurements}
    labels = np.array(evaluation["readmitted"].to_pylist()) == 1
    sex = np.array(evaluation["assay_group_sex"].to_pylist())
    for group in ("f", "m"):
        held = labels & (sex == group)
        tpr = found["tpr", f"sex={group}"]
        assert (tpr.value, tpr.n) == (pytest.approx((scores[held] >= 0.5).mean()), held.sum())
    ages = {m.slice for m in found.values() if m.of == "age"}
    assert ages == {"age=(missing)", "age=middle", "age=old", "age=young"}
    assert found["brier", "overall"].value == pytest.approx(((scores - labels) ** 2).mean())
    assert not [name for name, _ in found if "change" in name]


def test_findings_are_of_scores_limits_and_agreement(
    tmp_path: Path, dataset: Dataset, clinic: Contract, rules: Policy, evaluation: pa.Table,
    scores: np.ndarray,
) -> None:  # fmt: skip
    gate = replace(rules.release_gate, limits=rules.release_gate.limits[:2])
    policy = replace(rules, release_gate=gate)
    path = _write(tmp_path / "p.parquet", evaluation, scores, np.arange(len(scores)))
    alone = _judge(dataset, clinic, policy, path)
    assert [f.rule for f in alone.findings] == [
        "scores", "limit:auc", "limit:tpr",
        "agreement:roc_auc:overall", "agreement:tpr_difference:sex",
    ]  # fmt: skip
    assert [f.status for f in alone.findings[-2:]] == [Status.INCONCLUSIVE] * 2
    native = list(alone.measurements)
    agreed = judge(dataset, clinic, policy, path, None, native, has_champion=False)
    assert agreed.measurements == alone.measurements
    statuses = {f.rule: f.status for f in agreed.findings if f.rule.startswith("agreement:")}
    assert set(statuses.values()) == {Status.PASS}
    assert len(statuses) > 50


@pytest.mark.parametrize("bad", [math.nan, 1.5, -0.1, math.inf])
def test_a_score_that_is_none_is_found(
    tmp_path: Path, dataset: Dataset, clinic: Contract, rules: Policy, evaluation: pa.Table,
    scores: np.ndarray, bad: float,
) -> None:  # fmt: skip
    broken = scores.copy()
    broken[5] = bad
    path = _write(tmp_path / "p.parquet", evaluation, broken, np.arange(len(scores)))
    found = _judge(dataset, clinic, rules, path).findings
    assert found[0].reason == "1 scores are no number in [0, 1]"
    assert {f.status for f in found} == {Status.INCONCLUSIVE}


def test_the_champion_is_aligned_with_the_same_rows(
    tmp_path: Path, dataset: Dataset, clinic: Contract, rules: Policy, evaluation: pa.Table,
    scores: np.ndarray,
) -> None:  # fmt: skip
    auc = rules.release_gate.limits[0]
    step = replace(auc, id="step", at_least=-0.05, champion=ChampionLimit(Change.ABSOLUTE))
    policy = replace(rules, release_gate=replace(rules.release_gate, limits=(auc, step)))
    n = len(scores)
    straight = _write(tmp_path / "p.parquet", evaluation, scores, np.arange(n))
    turned = _write(tmp_path / "c.parquet", evaluation, scores, np.arange(n)[::-1])
    found = _judge(dataset, clinic, policy, straight, turned)
    (change,) = [m for m in found.measurements if "change" in m.name]
    assert (change.name, change.value) == (f"absolute change of {Metric.ROC_AUC}", 0.0)
    assert (change.low, change.high) == (0.0, 0.0)
    step_finding = next(f for f in found.findings if f.rule == "limit:step")
    assert step_finding.status is Status.PASS
    short = _write(tmp_path / "s.parquet", evaluation, scores, np.arange(n - 1))
    with pytest.raises(ProcessError, match=r"s\.parquet scores other rows"):
        _judge(dataset, clinic, policy, straight, short)
    with pytest.raises(ProcessError, match=r"s\.parquet scores other rows"):
        _judge(dataset, clinic, policy, short)


def test_a_champion_that_stands_and_was_not_scored_closes_the_gate(
    tmp_path: Path, dataset: Dataset, clinic: Contract, rules: Policy, evaluation: pa.Table,
    scores: np.ndarray,
) -> None:  # fmt: skip
    auc = rules.release_gate.limits[0]
    step = replace(auc, id="step", champion=ChampionLimit(Change.ABSOLUTE, "g" * 20))
    policy = replace(rules, release_gate=replace(rules.release_gate, limits=(step,)))
    path = _write(tmp_path / "p.parquet", evaluation, scores, np.arange(len(scores)))
    for has_champion, status in ((True, Status.INCONCLUSIVE), (False, Status.PASS)):
        found = judge(dataset, clinic, policy, path, None, [], has_champion=has_champion)
        assert next(f.status for f in found.findings if f.rule == "limit:step") is status
