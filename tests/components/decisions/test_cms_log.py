"""The yearly metrics of a decision log, held against those of the raw requests it is about."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from components.contract.contract import Contract
from components.contract.contract_loader import load_contract
from components.contract.errors import InputError
from components.contract.json_schema import ROOT
from components.datasets.prior_auth import Population
from components.datasets.prior_auth_writer import generate
from components.datasets.sources import open_source
from components.decisions.cms_log import decided_requests
from components.decisions.cms_metrics import cms_metrics, decided_metrics
from components.decisions.decision_log import SCHEMA, DecisionLog, decision_id
from components.decisions.later_labels import open_labels
from components.decisions.scoring import batch_digest

KEY = bytes(32)
YEAR = 2024


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Requests of two years, by month."""
    folder = tmp_path_factory.mktemp("batch") / "made"
    generate(Population(8_000, 5), folder, lambda _rows: None)
    return folder


@pytest.fixture(scope="module")
def contract() -> Contract:
    """The contract of prior authorization requests."""
    return load_contract(ROOT / "schemas" / "prior_auth.yaml")


def raw(batch: Path) -> pa.Table:
    """All requests, in the order of the files' names."""
    return pa.concat_tables(pq.ParquetFile(f).read() for f in sorted(batch.glob("*.parquet")))


def log_of(
    home: Path, digest: str, requests: pa.Table, *, review: int = 0, **changes: Any
) -> DecisionLog:
    """A log that denied what was denied, at that time; of each ``review`` denials one is left."""
    denied = np.array(requests["outcome"].to_pylist()) != "approved"
    left = denied & (np.cumsum(denied) % review == 0) if review else np.zeros(len(denied), bool)
    n = requests.num_rows
    header = {
        "dataset": "prior_auth",
        "stack": "pytorch",
        "release": 1,
        "releaseDigest": "0" * 64,
        "run": "a-run",
        "model": "0" * 64,
        "policy": "0" * 64,
        "contract": "0" * 64,
        "threshold": "0.5",
        "batch": digest,
        "batchRows": n,
        "check": {"status": "PASS", "reason": "every rule holds"},
        "route": "decide",
        "actor": "tester",
        "startedAt": "2023-01-01T00:00:00+00:00",
        "adverse": "selected",
    }
    log = DecisionLog.create(home, "a-log", {**header, **changes})
    reasons = [["A reason."] if d and not r else [] for d, r in zip(denied, left, strict=True)]
    columns = {
        "row": np.arange(n),
        "assay_row": [i.to_bytes(32, "big") for i in range(n)],
        "assay_entity": [i.to_bytes(16, "big") for i in range(n)],
        "score": np.where(denied, 0.9, 0.1),
        "outcome": np.where(left, "review", np.where(denied, "selected", "not_selected")),
        "reasons": reasons,
        "decided_at": [datetime.fromtimestamp(t, UTC) for t in requests["decided_at"].to_pylist()],
    }
    table = pa.table(columns, schema=SCHEMA)
    for first in range(0, n, 3_000):  # several segments, whose ends are not those of the files
        log.append(table.slice(first, 3_000))
    log.close()
    return DecisionLog.open(home, "a-log")


def appeals(path: Path, requests: pa.Table) -> Path:
    """The appeals that overturned a denial."""
    outcomes = requests["outcome"].to_pylist()
    held = [i for i, o in enumerate(outcomes) if o == "overturned"]
    table = {
        "decision_id": [decision_id("a-log", i) for i in held],
        "label": [1] * len(held),
        "overturned": [True] * len(held),
    }
    pa_csv.write_csv(pa.table(table), path)
    return path


def without_left(found: dict[str, Any]) -> dict[str, Any]:
    """Metrics of a log as those of raw requests are."""
    lines = {
        line: {
            u: {k: v for k, v in held.items() if k != "left_to_a_person"} if u != "rule" else held
            for u, held in told.items()
        }
        for line, told in found["lines"].items()
    }
    return {**found, "lines": lines}


def test_a_log_comes_to_what_the_raw_requests_come_to(
    batch: Path, contract: Contract, tmp_path: Path
) -> None:
    requests, source = raw(batch), open_source(contract, batch)
    log = log_of(tmp_path, batch_digest(KEY, source), requests)
    labels = appeals(tmp_path / "appeals.csv", requests)
    with (
        open_labels(labels, {"a-log": log.rows}) as opened,
        decided_requests(log, contract, source, KEY, opened) as path,
    ):
        found = decided_metrics(path, "log", YEAR)
    held = cms_metrics(batch, YEAR)
    assert without_left(found) == held
    told = found["lines"]["commercial"]["standard"]
    assert told["left_to_a_person"] == {"count": 0, "percent": 0.0}
    assert told["approved_after_appeal"]["count"]


def test_what_was_left_to_a_person_is_neither_approved_nor_denied(
    batch: Path, contract: Contract, tmp_path: Path
) -> None:
    requests, source = raw(batch), open_source(contract, batch)
    log = log_of(tmp_path, batch_digest(KEY, source), requests, review=2)
    with decided_requests(log, contract, source, KEY) as path:
        found = decided_metrics(path, "log", YEAR)["lines"]["commercial"]["standard"]
    held = cms_metrics(batch, YEAR)["lines"]["commercial"]["standard"]
    assert found["requests"] == held["requests"]
    assert found["approved"] == held["approved"]
    assert found["denied"]["count"] + found["left_to_a_person"]["count"] == held["denied"]["count"]
    assert found["left_to_a_person"]["count"] > 10
    assert found["hours"] != held["hours"]


def test_other_batches_and_logs_that_say_no_denial_are_refused(
    batch: Path, contract: Contract, tmp_path: Path
) -> None:
    requests, source = raw(batch), open_source(contract, batch)
    (tmp_path / "a").mkdir()
    log = log_of(tmp_path / "a", "0" * 64, requests)
    with (
        pytest.raises(InputError, match="is not the batch of log a-log"),
        decided_requests(log, contract, source, KEY),
    ):
        pass
    (tmp_path / "b").mkdir()
    log = log_of(tmp_path / "b", batch_digest(KEY, source), requests, adverse=None)
    with (
        pytest.raises(InputError, match="does not say which outcome is a denial"),
        decided_requests(log, contract, source, KEY),
    ):
        pass
    other = contract.narrowed(c.name for c in contract.columns if c.name != "urgency")
    (tmp_path / "c").mkdir()
    log = log_of(tmp_path / "c", batch_digest(KEY, source), requests)
    with (
        pytest.raises(InputError, match="has no column urgency"),
        decided_requests(log, other, source, KEY),
    ):
        pass


def test_a_few_that_were_left_to_a_person_are_not_given_away(tmp_path: Path) -> None:
    outcomes = ["approved"] * 50 + ["denied"] * 40 + ["review"] * 5
    sent = 1_704_067_200
    columns = {
        "line_of_business": ["exchange"] * 95,
        "urgency": ["standard"] * 95,
        "requested_at": [sent] * 95,
        "decided_at": [sent + 3600] * 95,
        "outcome": outcomes,
    }
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    held = decided_metrics(tmp_path / "a.parquet", "log", YEAR)["lines"]["exchange"]["standard"]
    assert held["left_to_a_person"] == {"count": None, "percent": None}
    assert None in (held["requests"], held["approved"]["count"], held["denied"]["count"])
