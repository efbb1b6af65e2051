"""A release with decisions about its evaluation rows and what became of them, good or bad at will.

Scores are the released model's own, so an honest log keeps every limit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from components.datasets.canonical import ROW_COLUMN
from components.datasets.sources import open_source
from components.decisions.decision_log import SCHEMA, DecisionLog, decision_id
from components.decisions.scoring import batch_digest
from components.lineage.commitments import entity_tag, load_or_create_row_key
from components.release.records import read_releases
from components.stacks.process import ReleaseProcess
from tests import seeded
from tests.plain_stack import PlainStack, start

LIMITS: dict[str, Any] = {
    "min_n": 30,
    "score_drift_at_most": 0.05,
    "selection_gap_at_most": 0.2,
    "review_share_at_most": 0.1,
    "input_drift": "data_gate",
    "labelled_share_at_least": 0.9,
    "auc_at_least": 0.7,
    "tpr_gap_at_most": 0.2,
    "fpr_gap_at_most": 0.2,
    "calibration_bias_at_most": 0.1,
    "overturned_share_at_most": 0.3,
}
RELEASE = "insurer/pytorch"


@dataclass
class Cases:
    """Decisions to log and what came later; change the arrays, then ``write``.

    ``labels`` and ``overturned`` are None where nothing is known.
    """

    process: ReleaseProcess
    rows: pa.Table
    scores: np.ndarray
    labels: list[int | None]
    outcomes: list[str] = field(default_factory=list)
    overturned: list[bool | None] = field(default_factory=list)

    @cached_property
    def home(self) -> Path:
        """The home."""
        return Path(self.process.spec.home)

    def __post_init__(self) -> None:
        """A third of the appeals of selected people are known, a quarter of those overturned."""
        self.decide()
        self.overturned = [
            None if o != "selected" or i % 3 else i % 4 == 0 for i, o in enumerate(self.outcomes)
        ]

    def decide(self) -> None:
        """Outcomes by score and threshold."""
        threshold = self.process.policy.decision_threshold
        self.outcomes = ["selected" if s >= threshold else "not_selected" for s in self.scores]

    def batch(self, path: Path) -> Path:
        """The rows without their label, as CSV."""
        contract = self.process.contract
        names = [c.name for c in contract.columns if c is not contract.label]
        pa_csv.write_csv(self.rows.select(names), path)
        return path

    def write(self, log_id: str, batch: Path | None = None, *, grouped: bool = True) -> DecisionLog:
        """Log the decisions, of that batch."""
        process, contract = self.process, self.process.contract
        release = read_releases(self.home, contract.name, process.spec.stack)[-1]
        key = load_or_create_row_key(self.home / "keys" / "row.key")
        now = datetime.now(UTC)
        digest = "0" * 64 if batch is None else batch_digest(key, open_source(contract, batch))
        log = DecisionLog.create(
            self.home,
            log_id,
            {
                "dataset": contract.name,
                "stack": process.spec.stack,
                "release": release.number,
                "releaseDigest": release.digest,
                "run": release.run,
                "model": release.model,
                "policy": release.policy,
                "contract": release.contract,
                "threshold": repr(process.policy.decision_threshold),
                "batch": digest,
                "batchRows": self.rows.num_rows,
                "check": {"status": "PASS", "reason": "every rule holds"},
                "route": "decide",
                "actor": "tester",
                "startedAt": now.isoformat(),
                "adverse": "selected",
            },
        )
        n = self.rows.num_rows
        table = pa.table(
            {
                "row": list(range(n)),
                "assay_row": self.rows[ROW_COLUMN].to_pylist(),
                "assay_entity": [
                    entity_tag(key, str(e)) for e in self.rows[contract.entity.name].to_pylist()
                ],
                "score": self.scores,
                "outcome": self.outcomes,
                "reasons": [["The burden."] if o == "selected" else [] for o in self.outcomes],
                "decided_at": [now] * n,
            },
            schema=SCHEMA,
        )
        for column in contract.protected if grouped else ():
            table = table.append_column(column.group_column, self.rows[column.group_column])
        log.append(table)
        log.close()
        return DecisionLog.open(self.home, log_id)

    def label_file(self, path: Path, log_id: str) -> Path:
        """What is known of the log's decisions, as Parquet or CSV by the name of the path."""
        held = [i for i, label in enumerate(self.labels) if label is not None]
        table = pa.table(
            {
                "decision_id": [decision_id(log_id, i) for i in held],
                "label": pa.array([self.labels[i] for i in held], pa.int64()),
                "overturned": pa.array([self.overturned[i] for i in held], pa.bool_()),
            }
        )
        (pq.write_table if path.suffix == ".parquet" else pa_csv.write_csv)(table, path)
        return path


def _policy(document: dict[str, Any]) -> None:
    document["monitoring"] = dict(LIMITS)
    document["decision"] |= {
        "adverse": "selected",
        "reasons": {"at_most": 2, "columns": {"burden": "The burden.", "visits": "The visits."}},
    }


def released(folder: Path) -> ReleaseProcess:
    """A released run whose policy has every limit."""
    contract, policy = seeded.write_documents(folder / "documents", _policy)
    data = seeded.write_rows(folder / "a.csv")
    made = start(folder, "plain", policy=policy, contract=contract, data=data, stack="pytorch")
    assert PlainStack(made).run() == "released"
    return made


def cases(process: ReleaseProcess) -> Cases:
    """Honest decisions about all evaluation rows, and their true labels."""
    rows = pa.concat_tables(pq.read_table(f) for f in process.dataset.files(split="evaluation"))
    predicted = pq.read_table(process.artifacts / "predictions.parquet").to_pydict()
    by_row = dict(zip(predicted[ROW_COLUMN], predicted["score"], strict=True))
    scores = np.array([by_row[r] for r in rows[ROW_COLUMN].to_pylist()])
    return Cases(process, rows, scores, rows[process.contract.label.name].to_pylist())
