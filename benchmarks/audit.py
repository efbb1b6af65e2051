"""How long an audit takes: all questions on the evidence of many runs, read, checked and answered.

The runs of a home are written again under new ids, each record signed with a key of the copy's own,
until there are as many as are wanted; what a run made stays behind. ``python -m
benchmarks.audit HOME --runs 1000`` prints one JSON document; ``--at-most 5`` makes it an error
where the answers of a stack take more seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.harness import machine_facts, tell
from components.audit.answers import Respondent, Status
from components.audit.evidence_lineage import EvidenceLineage
from components.audit.question_catalogue import load_catalogue
from components.lineage.digests import sha256_json
from components.lineage.dsse import sign
from components.lineage.evidence import GENESIS, EvidenceRecord, chain_of, statement_of
from components.lineage.evidence_keys import HomeKeys
from components.release.records import read_releases, write_release

STACKS = ("tfx", "pytorch")


def write_again(source: Path, home: Path, stack: str, runs: int) -> int:
    """Write the runs of a stack again and again; returns how many bytes of evidence that is.

    Runs that continue another are left out: the copy would have to name the other's copy.
    """
    signer = HomeKeys(home).signer()
    known = [
        (d, records)
        for d in sorted((source / "runs").glob(f"*-{stack}-*"))
        if (records := chain_of(d).records())
        and not any(r.body.get("facts", {}).get("continues") for r in records)
    ]
    if not known:
        raise SystemExit(f"{source} has no run of {stack}")
    for manifest in source.glob("datasets/*/*/manifest.json"):
        copy = home / manifest.relative_to(source)
        copy.parent.mkdir(parents=True)
        shutil.copyfile(manifest, copy)
    size = 0
    for number in range(runs):
        directory, records = known[number % len(known)]
        stamp = f"{number // 3600:02d}{number // 60 % 60:02d}{number % 60:02d}"
        target = home / "runs" / f"20260101T{stamp}Z-{stack}-copy-{number:06x}"
        (target / "evidence").mkdir(parents=True)
        for name in ("contract.yaml", "policy.yaml"):
            shutil.copyfile(directory / name, target / name)
        previous = GENESIS
        for record in records:
            statement = statement_of(
                target.name, record.stage, record.sequence, previous, record.body
            )
            raw = sign(statement, [signer])
            path = target / "evidence" / f"{record.sequence:04d}-{record.stage}.json"
            path.write_bytes(raw)
            previous, size = sha256_json(statement), size + len(raw)
        if records[-1].body.get("outcome") == "released" and number < len(known):
            _release(source, home, stack, records, target.name, previous)
    return size


def _release(
    source: Path, home: Path, stack: str, records: Sequence[EvidenceRecord], run: str, head: str
) -> None:
    body = records[-1].body
    dataset = body["inputs"]["dataset"]
    for release in read_releases(source, dataset, stack):
        if release.head == records[-1].digest:
            fields = ("candidate", "model", "policy", "contract", "actor", "kind")
            held = {name: getattr(release, name) for name in fields}
            said = {**held, "run": run, "head": head, "at": body["finished"]}
            write_release(home, dataset, stack, said)


def measure(home: Path, stack: str, size: int) -> dict[str, Any]:
    """Seconds to read and check the evidence of a stack, and to answer all questions from it."""
    began = time.perf_counter()
    reading = EvidenceLineage(home, stack).read()
    read = time.perf_counter()
    answers = Respondent(reading.graph, "evidence").answer_all(load_catalogue().questions)
    answered = time.perf_counter()
    return {
        "stack": stack,
        "files": reading.queries,
        "mb": round(size / 1e6, 1),
        "nodes": len(reading.graph.nodes),
        "questions": len(answers),
        "answered": sum(a.status is Status.ANSWERED for a in answers),
        "facts": sum(len(a.facts) for a in answers),
        "read_seconds": round(read - began, 2),
        "answer_seconds": round(answered - read, 2),
    }


def main() -> int:
    """Print the figures; exit 1 where a stack's answers took longer than the limit."""
    parser = argparse.ArgumentParser(description="How long an audit of many runs takes.")
    parser.add_argument("home", type=Path, help="A home with at least one run of the stack.")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--stack", choices=STACKS, default="tfx")
    parser.add_argument("--at-most", type=float, default=float("inf"), help="Seconds to answer.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        tell(f"writing {given.runs:,} runs")
        size = write_again(given.home, Path(folder), given.stack, given.runs)
        load = os.getloadavg()[0]
        figures = measure(Path(folder), given.stack, size)
    facts = machine_facts(["cryptography", "rfc8785"])
    print(json.dumps({"load_before": round(load, 2), **figures, "machine": facts}, indent=1))
    return int(figures["answer_seconds"] > given.at_most)


if __name__ == "__main__":
    sys.exit(main())
