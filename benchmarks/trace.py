"""`assay trace` and `assay impact` on a log of many decisions, each from a cold start.

The log is of random rows under a real release of a home: what is measured is finding, checking and
telling, not deciding. Use: ``python -m benchmarks.trace HOME --decisions 10000000``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.contract.contract_loader import load_contract
from components.contract.policy_loader import load_policy
from components.decisions.decision_log import (
    SCHEMA,
    SEGMENT_ROWS,
    DecisionLog,
    decision_id,
    new_log_id,
)
from components.lineage.commitments import entity_tag, load_or_create_row_key
from components.release.records import histories, read_releases

_ASSAY = Path(sys.executable).parent / "assay"
_MEMBER = "a member of the benchmark"
_EVERY = 1_000_003
"""One decision of so many is about that member."""


def write_log(home: Path, decisions: int) -> DecisionLog:
    """A log of that many decisions by the last release of the home's first history."""
    dataset, stack = histories(home)[0]
    release = read_releases(home, dataset, stack)[-1]
    run = home / "runs" / release.run
    policy = load_policy(run / "policy.yaml", load_contract(run / "contract.yaml"))
    threshold = policy.decision_threshold
    header = {
        "dataset": dataset, "stack": stack, "release": release.number,
        "releaseDigest": release.digest, "run": release.run, "model": release.model,
        "policy": release.policy, "contract": release.contract, "threshold": repr(threshold),
        "batch": "0" * 64, "check": {"status": "PASS", "reason": "a benchmark's"},
        "route": "decide", "actor": "benchmark", "adverse": policy.decision.adverse,
        "sentences": sorted(set(policy.decision.reasons.values())),
        "startedAt": datetime.now(UTC).isoformat(),
    }  # fmt: skip
    log = DecisionLog.create(home, new_log_id(stack), header)
    tag = entity_tag(load_or_create_row_key(home / "keys" / "row.key"), _MEMBER)
    random = np.random.default_rng(1)
    told = Told(threshold, policy.decision.adverse, header["sentences"][0])
    for first in range(0, decisions, SEGMENT_ROWS):
        log.append(_segment(first, min(SEGMENT_ROWS, decisions - first), told, tag, random))
        print(f"\r{first + SEGMENT_ROWS:,} decisions written", end="", file=sys.stderr)
    print(file=sys.stderr)
    log.close()
    return log


@dataclass(frozen=True)
class Told:
    """From which score on a case is selected, which outcome is adverse, and what is told then."""

    threshold: float
    adverse: str
    sentence: str


def _segment(
    first: int, rows: int, told: Told, tag: bytes, random: np.random.Generator
) -> pa.Table:
    numbers = np.arange(first, first + rows)
    scores = random.random(rows)
    tags = random.bytes(16 * rows)
    people = [tags[i : i + 16] for i in range(0, len(tags), 16)]
    for i in np.flatnonzero(numbers % _EVERY == 0):
        people[i] = tag
    content = random.bytes(32 * rows)
    now = np.datetime64(datetime.now(UTC).replace(tzinfo=None), "us")
    outcomes = np.where(scores >= told.threshold, "selected", "not_selected")
    columns = [
        pa.array(numbers),
        pa.array([content[i : i + 32] for i in range(0, len(content), 32)], pa.binary(32)),
        pa.array(people, pa.binary(16)),
        pa.array(scores),
        pa.array(outcomes),
        pa.array([[told.sentence] if o == told.adverse else [] for o in outcomes], SCHEMA.types[5]),
        pa.array(np.full(rows, now), pa.timestamp("us", tz="UTC")),
    ]
    return pa.table(columns, schema=SCHEMA)


def seconds(command: list[str], repeats: int) -> list[float]:
    """Wall time of a command, each time in a process of its own.

    Raises:
        subprocess.CalledProcessError: it failed.
    """
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        subprocess.run(command, capture_output=True, check=True)
        taken.append(time.perf_counter() - start)
    return taken


def main() -> None:
    """Write the log, ask five times each, print the medians as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path, help="a home with a release; the log is added to it")
    parser.add_argument("--decisions", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    asked = parser.parse_args()
    log = write_log(asked.home, asked.decisions)
    home = ["--home", str(asked.home)]
    commands = {
        "help": [str(_ASSAY), "--help"],
        "trace": [str(_ASSAY), "trace", decision_id(log.log_id, asked.decisions // 2), *home],
        "impact": [str(_ASSAY), "impact", "--member", _MEMBER, *home],
    }
    taken = {name: seconds(command, asked.repeats) for name, command in commands.items()}
    megabytes = sum(p.stat().st_size for p in log.directory.rglob("*.*")) / 1e6
    print(
        json.dumps(
            {
                "decisions": asked.decisions,
                "megabytes": round(megabytes),
                "median seconds": {k: round(statistics.median(v), 2) for k, v in taken.items()},
                "spread": {k: [round(min(v), 2), round(max(v), 2)] for k, v in taken.items()},
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
