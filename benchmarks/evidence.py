"""What evidence costs: the share of a run's wall-clock that goes into recording and signing it.

One whole run of the PyTorch stack on the RAND HIE data, in this process, with a stopwatch around
everything that is there for evidence alone. ``python -m benchmarks.evidence`` prints one JSON
document; ``--at-most 0.05`` makes a larger share an error.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from benchmarks.harness import REPOSITORY, machine_facts, tell
from components.stacks.process import ReleaseProcess
from components.stacks.telemetry import switch_off
from pipelines import launch, pytorch_pipeline

PARTS = {
    "chain": (
        "components.lineage.evidence:EvidenceChain.append",
        "components.lineage.evidence:EvidenceChain.records",
        "components.stacks.process:check_schema",
    ),
    "digests": (
        "components.stacks.stage_records:artifact_summary",
        "components.stacks.process:write_release",
    ),
    "receipt": ("components.stacks.pytorch_stack.native_receipt:write",),
    "model_signature": (
        "components.stacks.model_signing:sign_model",
        "components.stacks.model_signing:verify_model",
    ),
    "sbom_and_code": ("pipelines.launch:environment",),
}
"""Functions that are there for evidence alone, as ``module:name`` where they are called."""


class Stopwatch:
    """Seconds and calls by part; what one part does within another counts once, for the outer."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self.cpu_seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self.calls: Counter[str] = Counter()
        self._running = False

    def watch(self, part: str, place: str) -> None:
        """Time every call of a function, from now on."""
        module, _, path = place.partition(":")
        *owners, name = path.split(".")
        owner: Any = importlib.import_module(module)
        for inner in owners:
            owner = getattr(owner, inner)
        setattr(owner, name, self._timed(part, getattr(owner, name)))

    def _timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if self._running:
                return function(*args, **kwargs)
            self._running = True
            began, cpu = time.perf_counter(), time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[part] += time.perf_counter() - began
                self.cpu_seconds[part] += time.process_time() - cpu
                self.calls[part] += 1
                self._running = False

        return call


def measure(home: Path) -> dict[str, Any]:
    """One run from the data to the settled store, and what of it was evidence.

    ``share`` is of the whole command's wall-clock; ``share_of_work`` leaves out the seconds that
    the frameworks take to load, which a second run in the same process would not take. Where others
    keep the machine busy ``cpu_share``, of all processor seconds, is the steadier figure.
    """
    began, cpu = time.perf_counter(), time.process_time()
    frameworks = importlib.import_module("components.stacks.pytorch_stack.frameworks")
    frameworks.start()
    for name in ("data_stages", "model_stages", "release_stage", "serving_stages", "outcome"):
        importlib.import_module(f"components.stacks.pytorch_stack.{name}")
    loaded = time.perf_counter()
    watch = Stopwatch()
    for part, places in PARTS.items():
        for place in places:
            watch.watch(part, place)
    started = time.perf_counter()
    order = launch.Order("pytorch", "mitigated", REPOSITORY / "policies" / "rand_hie_pilot.yaml")
    (spec,) = launch.prepare(REPOSITORY / "schemas" / "rand_hie.yaml", [order], home, None)
    process = ReleaseProcess.open(spec.directory)
    process.begin()
    pytorch_pipeline.run(process)
    outcome = process.close()
    pytorch_pipeline.settle(process, outcome)
    work = time.perf_counter() - started
    evidence, cpu = sum(watch.seconds.values()), time.process_time() - cpu
    evidence_cpu = sum(watch.cpu_seconds.values())
    return {
        "outcome": outcome,
        "records": len(process.chain.records()),
        "seconds": round(loaded - began + work, 2),
        "load_seconds": round(loaded - began, 2),
        "evidence_seconds": round(evidence, 3),
        "parts": {
            p: {
                "seconds": round(watch.seconds[p], 3),
                "cpu_seconds": round(watch.cpu_seconds[p], 3),
                "calls": watch.calls[p],
            }
            for p in PARTS
        },
        "cpu_seconds": round(cpu, 2),
        "evidence_cpu_seconds": round(evidence_cpu, 3),
        "cpu_share": round(evidence_cpu / cpu, 4),
        "share": round(evidence / (loaded - began + work), 4),
        "share_of_work": round(evidence / work, 4),
    }


def main() -> int:
    """Print the figures; exit 1 where the share is above the limit."""
    parser = argparse.ArgumentParser(description="What evidence costs of a run's wall-clock.")
    parser.add_argument("--at-most", type=float, default=1.0, help="Largest share, 0 to 1.")
    given = parser.parse_args()
    switch_off()
    load = os.getloadavg()[0]
    tell("one run of the PyTorch stack on RAND HIE")
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(Path(folder) / ".assay")
    facts = machine_facts(["torch", "mlflow", "cryptography", "rfc8785", "model-signing"])
    print(json.dumps({"load_before": round(load, 2), **figures, "machine": facts}, indent=1))
    return int(figures["share"] > given.at_most)


if __name__ == "__main__":
    sys.exit(main())
