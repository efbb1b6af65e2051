"""A batch of a clinic, scored by a formula, so that no framework is needed; also as a process.

``python -m tests.components.decisions.scored_batch HOME LOG FILE ROWS`` scores it and
stops for ever once that many rows are decided.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.contract.contract import Column, Contract, LogicalType, Role, Source
from components.contract.policy import DecisionPolicy
from components.datasets.sources import open_source
from components.decisions import scoring
from components.decisions.decision_log import DecisionLog
from components.decisions.scoring import Rules, batch_digest, score_batch
from components.lineage.commitments import load_or_create_row_key

SEGMENT = 100
HEADER = {
    "dataset": "clinic", "stack": "plain", "release": 1, "releaseDigest": "r", "run": "a-run",
    "model": "0" * 64, "policy": "p", "contract": "c", "threshold": "0.3", "batch": "b",
    "check": {"status": "PASS", "reason": "every rule holds"}, "route": "decide",
    "actor": "tester", "startedAt": "2026-01-01T00:00:00+00:00",
}  # fmt: skip
POLICY = DecisionPolicy(adverse="not_selected", reasons={"visits": "Few visits."})


def contract() -> Contract:
    """Three columns and no label, as a batch has them."""
    return Contract(
        "clinic", "1.0.0", Path("clinic.yaml"), "c" * 64, Source(None, None, None, ","),
        (
            Column("person", Role.ENTITY, LogicalType.STRING, False),
            Column("sex", Role.PROTECTED, LogicalType.STRING, True, allowed=("f", "m")),
            Column("visits", Role.FEATURE, LogicalType.INTEGER, False),
            Column("age", Role.FEATURE, LogicalType.NUMBER, False),
        ),
    )  # fmt: skip


def write_batch(path: Path, rows: int = 350) -> Path:
    """Rows of which each fifth is a copy of the first one."""
    copies = [i % 5 == 0 for i in range(rows)]
    table = pa.table(
        {
            "person": ["p0" if c else f"p{i % 40}" for i, c in enumerate(copies)],
            "sex": ["f" if c or i % 3 else "m" for i, c in enumerate(copies)],
            "visits": [0 if c else i % 9 for i, c in enumerate(copies)],
            "age": [30.0 if c else float(20 + i % 50) for i, c in enumerate(copies)],
        }
    )
    pq.write_table(table, path)
    return path


class Formula:
    """More visits and more years, a higher score."""

    def score(self, columns: pa.Table) -> np.ndarray:
        visits, age = columns["visits"].to_numpy(), columns["age"].to_numpy()
        return np.clip(0.1 + visits / 20 + age / 1000, 0, 1)


def rules(policy: DecisionPolicy = POLICY, *, review: bool = False) -> Rules:
    """Selected at 0.3 and above; the baseline row has four visits."""
    return Rules(
        contract(), ("visits", "age"), 0.3, policy, review,
        lambda schema: pa.table({"visits": [4], "age": [30.0]}, schema=schema),
    )  # fmt: skip


def row_key(home: Path) -> bytes:
    """The home's row key."""
    return load_or_create_row_key(home / "keys" / "row.key")


def begin(home: Path, log_id: str, file: Path, **changes: object) -> DecisionLog:
    """An empty log of the batch; ``changes`` edit its header."""
    batch = batch_digest(row_key(home), open_source(contract(), file))
    about = {"batch": batch, "adverse": POLICY.adverse, "sentences": list(POLICY.reasons.values())}
    return DecisionLog.create(home, log_id, {**HEADER, **about, **changes})


def score(log: DecisionLog, file: Path, home: Path, **changes: object) -> None:
    """Score what is left of the batch, in segments of ``SEGMENT`` rows."""
    kept, scoring.SEGMENT_ROWS = scoring.SEGMENT_ROWS, SEGMENT
    watch = changes.pop("watch", lambda done: None)
    try:
        score_batch(
            log, Formula(), rules(**changes), open_source(contract(), file), row_key(home), watch
        )
    finally:
        scoring.SEGMENT_ROWS = kept


def _wait_after(rows: int) -> Callable[[int], None]:
    def watch(done: int) -> None:
        print(done, flush=True)
        while done >= rows:
            time.sleep(60)

    return watch


if __name__ == "__main__":
    where, name, path = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
    score(DecisionLog.open(where, name), path, where, watch=_wait_after(int(sys.argv[4])))
