"""Every row of a batch has one decision and no more, whenever who scored it was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contract.errors import InputError, ProcessError
from components.contract.policy import DecisionPolicy
from components.decisions.decision_log import DecisionLog
from components.decisions.row_names import RowNames
from components.decisions.scoring import outcomes
from components.lineage.commitments import commit_rows, encode_rows, entity_tag
from tests.components.decisions.scored_batch import (
    Formula,
    begin,
    row_key,
    score,
    write_batch,
)


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    return write_batch(tmp_path / "batch.parquet")


def _decisions(log: DecisionLog) -> pa.Table:
    return pa.concat_tables(
        pq.read_table(pa.BufferReader(log.read_segment(s))) for s in log.segments
    )


def _told(changes: dict) -> dict:
    """What the header says of other rules."""
    if changes.get("review"):
        return {"route": "review"}
    return {"adverse": changes["policy"].adverse} if "policy" in changes else {}


def _scored(home: Path, name: str, file: Path, **changes: object) -> pa.Table:
    log = begin(home, name, file, **_told(changes))
    score(log, file, home, **changes)
    assert log.closed
    return _decisions(DecisionLog.open(home, name))


def test_every_row_is_decided_in_the_order_of_the_file(tmp_path: Path, batch: Path) -> None:
    found, rows, key = _scored(tmp_path, "a", batch), pq.read_table(batch), row_key(tmp_path)
    assert found["row"].to_pylist() == list(range(350))
    assert found["assay_row"].to_pylist() == list(commit_rows(key, encode_rows(rows)))
    assert len(set(found["assay_row"].to_pylist())) == 350
    tags = [entity_tag(key, p) for p in rows["person"].to_pylist()]
    assert found["assay_entity"].to_pylist() == tags
    assert found["assay_group_sex"].to_pylist() == rows["sex"].to_pylist()
    assert found["score"].to_numpy() == pytest.approx(Formula().score(rows))
    log = DecisionLog.open(tmp_path, "a")
    assert [s.rows for s in log.segments] == [100, 100, 100, 50]
    assert sum(outcomes(log).values()) == 350


def test_an_adverse_decision_has_a_reason_or_is_left_to_a_person(
    tmp_path: Path, batch: Path
) -> None:
    found = _scored(tmp_path, "a", batch).to_pylist()
    rows = pq.read_table(batch).to_pylist()
    for decision, row in zip(found, rows, strict=True):
        if decision["score"] >= 0.3:
            expected = ("selected", [])
        elif row["visits"] < 4:
            expected = ("not_selected", ["Few visits."])
        else:  # only the age lowered the score, and there is no sentence for it
            expected = ("review", [])
        assert (decision["outcome"], decision["reasons"]) == expected
    assert {d["outcome"] for d in found} >= {"selected", "not_selected"}


def test_without_an_adverse_outcome_nobody_is_given_reasons(tmp_path: Path, batch: Path) -> None:
    found = _scored(tmp_path, "a", batch, policy=DecisionPolicy())
    assert set(found["outcome"].to_pylist()) == {"selected", "not_selected"}
    assert not any(found["reasons"].to_pylist())


def test_a_batch_under_review_has_scores_and_no_decision_of_the_model(
    tmp_path: Path, batch: Path
) -> None:
    found = _scored(tmp_path, "a", batch, review=True)
    assert set(found["outcome"].to_pylist()) == {"review"}
    assert not any(found["reasons"].to_pylist())


@pytest.mark.parametrize("decided", [0, 100, 300, 350])
def test_who_was_killed_goes_on_and_nobody_is_decided_twice(
    tmp_path: Path, batch: Path, decided: int
) -> None:
    whole = _scored(tmp_path, "whole", batch)
    begin(tmp_path, "killed", batch)
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.components.decisions.scored_batch",
         str(tmp_path), "killed", str(batch), str(decided)],
        stdout=subprocess.PIPE, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    assert child.stdout is not None
    while int(child.stdout.readline()) < decided:
        pass
    child.send_signal(signal.SIGKILL)
    child.communicate()
    log = DecisionLog.open(tmp_path, "killed")
    assert (log.closed, log.rows) == (False, decided)
    score(log, batch, tmp_path)
    found = _decisions(DecisionLog.open(tmp_path, "killed"))
    assert found.drop_columns(["decided_at"]).equals(whole.drop_columns(["decided_at"]))


def test_a_segment_that_was_written_and_not_named_is_written_again(
    tmp_path: Path, batch: Path
) -> None:
    whole = _scored(tmp_path, "whole", batch)
    log = begin(tmp_path, "killed", batch)
    (log.directory / "segment-000001.parquet").write_bytes(b"half of it")
    score(log, batch, tmp_path)
    found = _decisions(DecisionLog.open(tmp_path, "killed"))
    assert found["assay_row"].equals(whole["assay_row"])


def test_a_batch_that_changes_meanwhile_ends_its_log(tmp_path: Path, batch: Path) -> None:
    log = begin(tmp_path, "a", batch)
    write_batch(batch, rows=340)
    with pytest.raises(InputError, match="was changed while it was scored"):
        score(log, batch, tmp_path)
    ended = DecisionLog.open(tmp_path, "a")
    assert (ended.closed, ended.rows) == (False, 340)
    assert ended.aborted == "the batch was changed while it was scored"


def test_a_batch_that_was_put_back_after_a_kill_ends_its_log(tmp_path: Path, batch: Path) -> None:
    kept, log = batch.read_bytes(), begin(tmp_path, "a", batch)

    def killed(done: int) -> None:
        if done:
            raise KeyboardInterrupt

    pq.write_table(pq.read_table(batch).slice(1), batch)
    with pytest.raises(KeyboardInterrupt):
        score(log, batch, tmp_path, watch=killed)
    batch.write_bytes(kept)
    with pytest.raises(InputError, match="given up"):
        score(DecisionLog.open(tmp_path, "a"), batch, tmp_path)
    ended = DecisionLog.open(tmp_path, "a")
    assert (ended.closed, ended.rows, bool(ended.aborted)) == (False, 100, True)


def test_csv_is_decided_as_the_same_rows_in_parquet(tmp_path: Path, batch: Path) -> None:
    import pyarrow.csv

    pyarrow.csv.write_csv(pq.read_table(batch), tmp_path / "batch.csv")
    one, other = (_scored(tmp_path, f.suffix[1:], f) for f in (batch, tmp_path / "batch.csv"))
    assert one.drop_columns(["decided_at"]).equals(other.drop_columns(["decided_at"]))


def test_rows_that_span_several_batches_are_named_as_one_list() -> None:
    key, rows = bytes(32), pa.table({"a": [1, 1, 2, 1], "b": ["x", "x", None, "x"]})
    with RowNames(key) as names:
        parts = [names.next(rows.slice(i, n)) for i, n in ((0, 1), (1, 2), (3, 0), (3, 1))]
    found = [name for part in parts for name in part.to_pylist()]
    assert found == list(commit_rows(key, encode_rows(rows)))


def test_a_worker_that_breaks_down_is_told_as_one() -> None:
    with RowNames(bytes(32)) as names, pytest.raises(ProcessError, match="broke down"):
        names.next(pa.table({"a": [[1]]}))
