"""Two runs' decisions held against each other row by row, with few people out of sight."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.compare.parity import parity_table
from components.compare.parity_cases import BOTH, agreement, agreement_table
from components.contract.errors import EvidenceError
from components.datasets.dataset import ROW_COLUMN
from components.lineage.digests import sha256_file
from components.release.run_summary import RunSummary
from tests.copied_runs import copied_run

THRESHOLD = 0.5


class Records:
    """Stands in for the records of a run: only the digest of its scores matters here."""

    def __init__(self, directory: Path) -> None:
        scores = directory / "artifacts" / "predictions.parquet"
        body = {"outputs": {"predictions": {"sha256": sha256_file(scores)}}}
        self.own = {"release_gate": type("Record", (), {"body": body})()}


def two(
    pair: list[RunSummary],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    scores: list[list[float]],
    rows: list[list[int]] | None = None,
) -> list[RunSummary]:
    """Two runs with these scores of these rows."""
    made = []
    for index, (run, given) in enumerate(zip(pair, scores, strict=True)):
        directory = folder / str(index)
        (directory / "artifacts").mkdir(parents=True)
        names = rows[index] if rows else range(len(given))
        table = pa.table(
            {ROW_COLUMN: [b"%032d" % i for i in names], "score": pa.array(given, pa.float64())}
        )
        pq.write_table(table, directory / "artifacts" / "predictions.parquet")
        policy = replace(run.policy, decision_threshold=THRESHOLD)
        made.append(replace(run, directory=directory, policy=policy))
    monkeypatch.setattr("components.compare.parity_cases.read_records", Records)
    return made


def test_real_runs_of_one_model_agree_throughout(pair: list[RunSummary]) -> None:
    found = agreement(*pair)
    assert found is not None
    counts = found.counts
    assert counts["alike"] == counts["rows"] == (counts["both"] or 0) + (counts["neither"] or 0)
    assert found.largest_difference == pytest.approx(0)
    assert found.correlation == pytest.approx(1)


def test_decisions_are_counted_at_the_threshold_and_joined_by_row(
    pair: list[RunSummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [0.5] * 20 + [0.1] * 30 + [0.9] * 15 + [0.2] * 12
    second = [0.7] * 20 + [0.3] * 30 + [0.49] * 15 + [0.6] * 12
    order = list(np.random.default_rng(7).permutation(len(first)))
    runs = two(
        pair, tmp_path, monkeypatch, [first, [second[i] for i in order]],
        rows=[list(range(len(first))), order],
    )  # fmt: skip
    found = agreement(*runs)
    assert found is not None
    counts = {k: found.counts[k] for k in ("rows", "both", "neither", "first", "second", "alike")}
    assert counts == {
        "rows": 77, "both": 20, "neither": 30, "first": 15, "second": 12, "alike": 50
    }  # fmt: skip
    assert found.largest_difference == pytest.approx(0.41)
    lines = {line.name: line.values[BOTH] for line in agreement_table(*runs).lines}
    assert lines["decided alike"] == pytest.approx(50 / 77)
    assert lines[f"selected by {pair[0].stack} alone"] == 15


def test_few_people_are_not_told_nor_what_would_tell_of_them(
    pair: list[RunSummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [0.9] * 40 + [0.1] * 40 + [0.9] * 3 + [0.1] * 20
    second = [0.9] * 40 + [0.1] * 40 + [0.1] * 3 + [0.9] * 20
    runs = two(pair, tmp_path, monkeypatch, [first, second])
    found = agreement(*runs)
    assert found is not None
    assert found.counts["first"] is None
    # 103 rows less three shown counts would be the three that are hidden.
    shown = [found.counts[k] for k in ("both", "neither", "second")]
    assert None in shown
    table = agreement_table(*runs)
    assert all(line.note for line in table.lines if line.values[BOTH] is None)
    assert "3" not in json.dumps([line.values for line in table.lines[1:6]]).split('"')


def test_nobody_apart_is_no_small_group(
    pair: list[RunSummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = [0.9] * 40 + [0.1] * 40
    found = agreement(*two(pair, tmp_path, monkeypatch, [scores, scores]))
    assert found is not None
    assert (found.counts["first"], found.counts["alike"]) == (0, 80)


@pytest.mark.parametrize("rows", [0, 1, 10])
def test_of_under_eleven_rows_nothing_is_told(
    pair: list[RunSummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    scores = list(np.linspace(0.1, 0.9, rows))
    runs = two(pair, tmp_path, monkeypatch, [scores, scores])
    values = [line.values[BOTH] for line in agreement_table(*runs).lines]
    assert not any(values)


def test_scores_of_one_value_have_no_rank(
    pair: list[RunSummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = two(pair, tmp_path, monkeypatch, [[0.5] * 20, list(np.linspace(0, 1, 20))])
    found = agreement(*runs)
    assert found is not None
    assert found.correlation is None


def test_other_rows_are_not_compared(
    pair: list[RunSummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = [0.5] * 20
    rows = [list(range(20)), list(range(20, 40))]
    table = agreement_table(*two(pair, tmp_path, monkeypatch, [scores, scores], rows))
    (line,) = table.lines
    assert line.values == {BOTH: None}
    assert "no scores of the same rows" in line.note


def test_a_row_that_is_scored_twice_is_no_evidence(
    pair: list[RunSummary], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = two(pair, tmp_path, monkeypatch, [[0.5] * 20] * 2, rows=[[0] * 20, list(range(20))])
    with pytest.raises(EvidenceError, match="scores a row twice"):
        agreement(*runs)


def test_scores_that_were_changed_are_found(pair: list[RunSummary], tmp_path: Path) -> None:
    run = replace(pair[0], directory=copied_run(pair[0].directory, tmp_path))
    path = run.directory / "artifacts" / "predictions.parquet"
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(EvidenceError, match="is not what its release gate recorded"):
        agreement(run, pair[1])
    path.unlink()
    assert agreement(run, pair[1]) is None
    assert agreement_table(run, pair[1]).lines[0].values == {BOTH: None}


def test_parity_tells_what_both_were_given(pair: list[RunSummary]) -> None:
    table = parity_table({r.stack: r for r in pair})
    values = {line.name: line.values for line in table.lines}
    assert len(set(values["rows read"].values())) == len(set(values["budget"].values())) == 1
    assert values["ROC AUC"]["tfx"] == str(pair[0].figure("roc_auc"))
    bare = parity_table({r.stack: replace(r, figures=()) for r in pair})
    lines = {line.name: line for line in bare.lines}
    assert lines["ROC AUC"].values == {"tfx": None, "pytorch": None}
    assert lines["ROC AUC"].note
