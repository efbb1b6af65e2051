"""How fast `assay score` decides, and what reasons cost, on synthetic prior authorizations.

    python -m benchmarks.score HOME [--rows 2000000] [--explained 5000] [--rounds 3]

HOME has a release of ``prior_auth`` in PyTorch (`assay run prior_auth --stack pytorch --candidate
mitigated`). A batch is generated and timed, in turns, in this process: its check, and its scoring
without reasons from the files to the signed segments; then, once, the reasons of some rows alone.
The logs are taken away again. Printed is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.dataset as ds

from benchmarks.harness import machine_facts, tell
from components.contract.policy import DecisionPolicy
from components.datasets.sources import open_source
from components.decisions.baseline_row import baseline_row
from components.decisions.batch_logs import begin_log
from components.decisions.reasons import METHOD, attribute
from components.decisions.scoring import Rules, batch_digest, score_batch
from components.lineage.commitments import load_or_create_row_key
from components.lineage.row_key import row_key_path
from components.profile.stored import StoredProfile
from components.stacks.batch_scoring import (
    DecidingRelease,
    batch_contract,
    find_release,
    load_scorer,
    open_release,
)
from pipelines import check as checks


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("home", type=Path)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--explained", type=int, default=5_000)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        batch = Path(folder) / "batch"
        tell(f"making {given.rows} requests")
        _generate(batch, given.rows)
        found = measure(given.home.resolve(), batch, given.explained, given.rounds)
        print(json.dumps({"rows": given.rows, **found}, indent=1))


def _generate(batch: Path, rows: int) -> None:
    import subprocess

    assay = Path(sys.executable).parent / "assay"
    command = [str(assay), "generate", "prior_auth", "--rows", str(rows), "--output", str(batch)]
    subprocess.run(command, check=True, capture_output=True)


def measure(home: Path, batch: Path, explained: int, rounds: int) -> dict[str, Any]:
    """Time each part, and say how many rows a second it makes."""
    deciding = open_release(home, find_release(home, "prior_auth/pytorch"))
    source = open_source(deciding.contract, batch)
    contract = batch_contract(deciding, source)
    gate = replace(deciding.policy.data_gate, baseline_spans=(), current_spans=())
    policy = replace(deciding.policy, data_gate=gate)
    seconds: dict[str, list[float]] = {"check": [], "score": []}
    for _ in range(rounds):
        started = time.perf_counter()
        checked = checks.check(contract, policy, source, deciding.profile, lambda column: None)
        seconds["check"].append(time.perf_counter() - started)
        seconds["score"].append(_scored(home, deciding, batch, checked.rows))
        tell(f"check {seconds['check'][-1]:.2f} s, score {seconds['score'][-1]:.2f} s")
    reasons = _explained(deciding, batch, explained)
    best = {name: min(each) for name, each in seconds.items()}
    return {
        "columns": len(contract.columns),
        "inputs": len(deciding.inputs),
        "seconds": seconds,
        "scored_rows_per_second": round(checked.rows / best["score"]),
        "checked_and_scored_rows_per_second": round(checked.rows / sum(best.values())),
        "explained_rows_per_second": round(explained / reasons),
        "method": METHOD,
        "load_average": os.getloadavg()[0],
        "machine": machine_facts(["duckdb", "onnxruntime", "pyarrow"]),
    }


def _rules(deciding: DecidingRelease, batch: Path) -> Rules:
    contract = batch_contract(deciding, open_source(deciding.contract, batch))
    profile = StoredProfile.read(deciding.profile).profile
    columns = [contract.column(n) for n in deciding.inputs]
    return Rules(
        contract=contract,
        inputs=deciding.inputs,
        threshold=deciding.policy.decision_threshold,
        policy=DecisionPolicy(),
        review=False,
        baseline=lambda schema: baseline_row(profile, columns, schema),
    )


def _scored(home: Path, deciding: DecidingRelease, batch: Path, rows: int) -> float:
    """Seconds from the files to a closed log."""
    from components.checks.measurement import Status, Verdict

    key = load_or_create_row_key(row_key_path(home))
    source = open_source(deciding.contract, batch)
    scorer, rules = load_scorer(deciding), _rules(deciding, batch)
    about = {
        **dict.fromkeys(("dataset", "run", "releaseDigest", "model", "policy", "contract"), "-"),
        "stack": "pytorch", "release": 1, "threshold": repr(rules.threshold), "actor": "benchmark",
        "batch": batch_digest(key, source), "batchRows": rows,
    }  # fmt: skip
    log = begin_log(home, about, DecisionPolicy(), Verdict(Status.PASS, "a benchmark"))
    try:
        started = time.perf_counter()
        score_batch(log, scorer, rules, source, key, lambda done: None)
        return time.perf_counter() - started
    finally:
        shutil.rmtree(log.directory)


def _explained(deciding: DecidingRelease, batch: Path, explained: int) -> float:
    """Seconds that the reasons of some rows take, each row as if it were adverse."""
    scorer, rules = load_scorer(deciding), _rules(deciding, batch)
    inputs = ds.dataset(batch).head(explained, columns=list(rules.inputs))
    scores = scorer.score(inputs)
    started = time.perf_counter()
    found = attribute(scorer, inputs, scores, rules.baseline(inputs.schema), range(explained))
    seconds = time.perf_counter() - started
    assert np.abs(found.values.sum(axis=1) - (scores - found.baseline)).max() < 1e-6
    return seconds


if __name__ == "__main__":
    main()
