"""The release gate's referee beside its peers: the same stored predictions, in one run.

    make bench BENCH=release ARGS="--repeat 3"

Every run is a process of its own, from Parquet files in the page cache to figures with intervals:
its wall-clock and its peak memory are the kernel's figures for that process, imports included.
Peers take turns, round by round. They are asked on fewer rows, on which they end within minutes;
the referee is timed on those, too.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS, generate, keep, machine_facts, tell, timed
from benchmarks.release_data import ATTRIBUTES
from benchmarks.release_peers import BOOTSTRAPS, PEERS
from benchmarks.release_report import REFEREE, as_table, summarise

_PACKAGES = (
    "apache-beam", "assay", "fairlearn", "numpy", "pandas", "pyarrow", "scikit-learn", "scipy",
    "statsmodels", "tensorflow", "tensorflow-model-analysis",
)  # fmt: skip
_READ = 1 << 24


@dataclass(frozen=True, slots=True)
class Sizes:
    """Rows of the referee, once and tenfold, and of the peers; fairlearn's bootstrap samples."""

    rows: int
    large: int
    peer_rows: int
    bootstraps: int


FULL = Sizes(1_000_000, 10_000_000, 20_000, 100)
QUICK = Sizes(100_000, 1_000_000, 2_000, 5)


@dataclass(frozen=True, slots=True)
class Run:
    """One process of one peer.

    ``seconds`` is its wall-clock, ``cpu_seconds`` that of all of its threads; ``others_cores`` how
    many cores everybody else kept busy meanwhile. ``figures`` and ``intervals`` count what it came
    to, ``furthest_from_referee`` is the largest difference between a figure of it and the
    referee's of the same name on the same rows.
    """

    peer: str
    rows: int
    round: int
    seconds: float
    cpu_seconds: float
    peak_mb: float
    load_before: float
    others_cores: float
    import_seconds: float
    work_seconds: float
    figures: int
    intervals: int
    furthest_from_referee: float


def main() -> None:
    """Generate the data, run everybody, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description="Time the referee beside its peers.")
    parser.add_argument("--repeat", type=int, default=3, help="rounds")
    parser.add_argument("--quick", action="store_true", help="one round of a tenth of the rows")
    parser.add_argument("--rows", type=int, help="rows of the referee, and ten times as many")
    parser.add_argument("--peer-rows", type=int, help="rows that the peers are asked on")
    parser.add_argument("--bootstraps", type=int, help="fairlearn's bootstrap samples")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the JSON history")
    given = parser.parse_args()
    base = QUICK if given.quick else FULL
    rows = given.rows or base.rows
    sizes = Sizes(
        rows,
        10 * rows,
        given.peer_rows or base.peer_rows,
        given.bootstraps or base.bootstraps,
    )
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as scratch:
        result = measure(Path(scratch), sizes, 1 if given.quick else given.repeat)
    print(as_table(result))
    print(keep(result, given.output, "release"))


def measure(folder: Path, sizes: Sizes, repeat: int) -> dict[str, Any]:
    """All runs, their summary, and what they ran on.

    Raises:
        RuntimeError: a peer broke down, or came to other figures than the referee.
    """
    described = {}
    for rows in sorted({sizes.rows, sizes.large, sizes.peer_rows}):
        tell(f"writing {rows:,} predictions")
        described[str(rows)] = generate(
            "benchmarks.release_data", folder / str(rows), "--rows", str(rows)
        )
    began, facts = datetime.now(UTC), machine_facts(_PACKAGES)
    runs: list[Run] = []
    expected: dict[int, dict[str, float]] = {}
    for number in range(repeat):
        for peer, rows in _turns(sizes):
            tell(f"round {number}: {peer}, {rows:,} rows")
            run, figures = _run(peer, folder / str(rows), rows, number, sizes.bootstraps, expected)
            expected.setdefault(rows, figures)
            runs.append(run)
    documents = [asdict(r) for r in runs]
    return {
        "benchmark": "release referee",
        "began": began.isoformat(timespec="seconds"),
        **asdict(sizes),
        "groups": ", ".join(map(str, ATTRIBUTES.values())),
        "data": described,
        "machine": facts,
        "summary": summarise(documents, sizes.rows, sizes.large, sizes.peer_rows),
        "runs": documents,
    }


def _turns(sizes: Sizes) -> list[tuple[str, int]]:
    """Peer and rows of each run of a round; the referee comes first on all rows."""
    own = dict.fromkeys((sizes.rows, sizes.large, sizes.peer_rows))
    others = [(peer, sizes.peer_rows) for peer in PEERS if peer != REFEREE]
    return [*((REFEREE, rows) for rows in own), *others]


def _run(
    peer: str,
    folder: Path,
    rows: int,
    number: int,
    bootstraps: int,
    expected: dict[int, dict[str, float]],
) -> tuple[Run, dict[str, float]]:
    for path in folder.rglob("*.parquet"):
        with path.open("rb") as file:
            while file.read(_READ):
                pass
    command = [sys.executable, "-m", "benchmarks.release_peers", peer, str(folder)]
    done = timed(peer, command, settings={BOOTSTRAPS: str(bootstraps)})
    said = json.loads(done.text.splitlines()[-1])
    figures: dict[str, float] = said["figures"]
    run = Run(
        peer=peer,
        rows=rows,
        round=number,
        seconds=done.seconds,
        cpu_seconds=done.cpu_seconds,
        peak_mb=done.peak_mb,
        load_before=done.load_before,
        others_cores=done.others_cores,
        import_seconds=round(said["import_seconds"], 4),
        work_seconds=round(said["work_seconds"], 4),
        figures=len(figures),
        intervals=said["intervals"],
        furthest_from_referee=furthest(peer, figures, expected.get(rows, figures)),
    )
    return run, figures


def furthest(peer: str, figures: dict[str, float], expected: dict[str, float]) -> float:
    """Largest difference from the referee's figure of the same name.

    Raises:
        RuntimeError: the peer measured something else, so that it is no peer.
    """
    unknown = set(figures) - set(expected)
    apart = [abs(figures[name] - expected[name]) for name in figures if name in expected]
    apart = [x for x in apart if not math.isnan(x)]
    if unknown or not apart or max(apart) > 1e-6:
        raise RuntimeError(f"{peer} did not measure what the referee did: {sorted(unknown)[:3]}")
    return float(f"{max(apart):.2g}")


if __name__ == "__main__":
    main()
