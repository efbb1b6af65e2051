"""Both stacks decide about raw rows as their own release scored them, and can be followed back."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.contract.contract_loader import load_contract
from components.datasets.canonical import ROW_COLUMN
from components.datasets.sources import open_source
from components.decisions.decision_log import DecisionLog, decision_logs
from components.release.records import read_releases
from components.stacks.batch_scoring import find_release, open_release
from components.stacks.process import ReleaseProcess
from tests.conformance.conftest import ASSAY, CONTRACT, STACKS, Demo


@pytest.mark.parametrize("stack", STACKS)
def test_a_batch_is_scored_as_the_release_scored_the_same_rows(
    demo: Demo, stack: str, tmp_path: Path
) -> None:
    release = read_releases(demo.home, "rand_hie", stack)[-1]
    process = ReleaseProcess.open(demo.home / "runs" / release.run)
    files = process.dataset.files(split="evaluation")
    rows = pa.concat_tables([pq.read_table(f) for f in files])
    names = [c.name for c in load_contract(CONTRACT).columns]
    pq.write_table(rows.select(names), tmp_path / "batch.parquet")
    done = subprocess.run(
        [ASSAY, "score", f"rand_hie/{stack}", "--data", tmp_path / "batch.parquet",
         "--home", demo.home, "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    log = DecisionLog.open(demo.home.resolve(), json.loads(done.stdout)["log"])
    (segment,) = log.segments
    found = pq.read_table(pa.BufferReader(log.read_segment(segment)))
    assert found["assay_row"].to_pylist() == rows[ROW_COLUMN].to_pylist()
    served = pq.read_table(process.artifacts / "decisions.parquet")
    scores = dict(zip(served["assay_row"].to_pylist(), served["score"].to_pylist(), strict=True))
    expected = [scores[row] for row in found["assay_row"].to_pylist()]
    assert found["score"].to_pylist() == pytest.approx(expected, abs=1e-6)
    adverse = [d for d in found.to_pylist() if d["outcome"] == "not_selected"]
    assert adverse
    assert all(1 <= len(d["reasons"]) <= 3 for d in adverse)


@pytest.mark.parametrize("stack", STACKS)
def test_a_tampered_model_decides_about_nobody(demo: Demo, stack: str, tmp_path: Path) -> None:
    deciding = open_release(demo.home, find_release(demo.home, f"rand_hie/{stack}"))
    files = {
        "tfx": demo.home / deciding.location / "saved_model.pb",
        "pytorch": deciding.spec.directory / "artifacts/native/serving/model.onnx",
    }
    contract = load_contract(CONTRACT)
    with duckdb.connect() as database:
        rows = database.sql(f"{open_source(contract).sql} ORDER BY zper DESC").to_arrow_table()
    pq.write_table(rows, tmp_path / "batch.parquet")
    before = sum(log.rows for log in decision_logs(demo.home))
    kept = files[stack].read_bytes()
    try:
        files[stack].write_bytes(kept + b"\x00")
        done = subprocess.run(
            [ASSAY, "score", f"rand_hie/{stack}", "--data", tmp_path / "batch.parquet",
             "--home", demo.home, "--json"],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        files[stack].write_bytes(kept)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert sum(log.rows for log in decision_logs(demo.home)) == before
