"""A log of decisions about the rows of a plain-stack release, for tests that follow decisions."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from components.datasets.canonical import ROW_COLUMN
from components.decisions.batch_logs import row_key_id
from components.decisions.decision_log import SCHEMA, DecisionLog
from components.lineage.commitments import entity_tag, load_or_create_row_key
from components.release.records import read_releases
from components.stacks.process import ReleaseProcess


def decide(
    process: ReleaseProcess, log_id: str, rows: pa.Table, *, number: int = 1, **changes: Any
) -> DecisionLog:
    """Log a decision about each row, by the release of that number; ``changes`` edit the header."""
    home, contract = Path(process.spec.home), process.contract
    release = read_releases(home, contract.name, process.spec.stack)[number - 1]
    key = load_or_create_row_key(home / "keys" / "row.key")
    said, now = changes.get("threshold"), datetime.now(UTC)
    threshold = float(said) if said else process.policy.decision_threshold
    header = {
        "dataset": contract.name,
        "stack": process.spec.stack,
        "release": release.number,
        "releaseDigest": release.digest,
        "run": release.run,
        "model": release.model,
        "policy": release.policy,
        "contract": release.contract,
        "threshold": repr(threshold),
        "batch": "0" * 64,
        "check": {"status": "PASS", "reason": "every rule holds"},
        "route": "decide",
        "actor": "tester",
        "startedAt": now.isoformat(),
        "adverse": "selected",
        "rowKey": row_key_id(key),
    }
    log = DecisionLog.create(home, log_id, {**header, **changes})
    scores = [threshold if i % 2 else threshold / 2 for i in range(rows.num_rows)]
    columns = {
        "row": list(range(rows.num_rows)),
        "assay_row": rows[ROW_COLUMN].to_pylist(),
        "assay_entity": [entity_tag(key, str(e)) for e in rows[contract.entity.name].to_pylist()],
        "score": scores,
        "outcome": ["selected" if s >= threshold else "not_selected" for s in scores],
        "reasons": [["Many visits last year."] if i % 2 else [] for i in range(rows.num_rows)],
        "decided_at": [now] * rows.num_rows,
    }
    log.append(pa.table(columns, schema=SCHEMA))
    log.close()
    return DecisionLog.open(home, log_id)


def rows_of(process: ReleaseProcess, split: str, most: int = 50) -> pa.Table:
    """The first canonical rows of a split of a run's dataset."""
    files = process.dataset.files(split=split)
    return pa.concat_tables([pq.read_table(f) for f in files]).slice(0, most)
