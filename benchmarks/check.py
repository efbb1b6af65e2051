"""`assay check` beside its peers: the same rows, columns and question, in one run.

    make bench BENCH=check ARGS="--rows 1000000 --repeat 5"

Every run is a process of its own: its wall-clock, its peak memory and what it read from disk are
the kernel's figures for that process. Peers take turns, round by round, so that a busy spell of
the machine meets all of them. In a warm round both files are in the page cache; before every run
of a cold round they are evicted from it. Nothing else is cold: libraries stay cached.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import sysconfig
import tempfile
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.check_data import BASELINE, COMPARED, CURRENT
from benchmarks.check_peers import PEERS, assay_arguments, judged_by_assay
from benchmarks.check_report import as_table, summarise
from benchmarks.harness import RESULTS, code, generate, keep, machine_facts, tell, timed

_WARM_UP_ROWS = 2000
COMMAND = "assay-command"
"""The installed command, whole. ``assay`` is the same work in a process that says what of its
time is imports."""

ONE_SETTING_EACH = ("assay", "duckdb-scan", "great-expectations", "tfdv-dataframe", "evidently")
ONCE = {
    "tfdv-two-processes": "two workers import TFDV again for each file, which takes longer than "
    "the work; another setting of the same tool is the faster one in any case"
}
_PACKAGES = (
    "apache-beam", "assay", "duckdb", "evidently", "great-expectations", "numpy", "pandas",
    "pyarrow", "tensorflow-data-validation", "tfx-bsl",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """One process of one peer; the kernel's figures are those of ``harness.Timed``."""

    peer: str
    temperature: str
    round: int
    seconds: float
    cpu_seconds: float
    peak_mb: float
    read_mb: float
    load_before: float
    others_cores: float
    stolen_cores: float
    import_seconds: float | None
    work_seconds: float | None
    judged: dict[str, Any]


def main() -> None:
    """Generate the data, run everybody, print the table, keep the figures."""
    parser = argparse.ArgumentParser(description="Time `assay check` beside its peers.")
    parser.add_argument("--rows", type=int, default=1_000_000, help="rows of each of two files")
    parser.add_argument("--repeat", type=int, default=5, help="rounds, warm and cold")
    parser.add_argument(
        "--quick", action="store_true", help="one warm round, one setting of each tool"
    )
    parser.add_argument("--shift", action="store_true", help="move two columns: all must say so")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the JSON history")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as scratch:
        result = measure(Path(scratch), given.rows, given.repeat, given.quick, given.shift)
    print(as_table(result))
    print(keep(result, given.output, "check"))


def measure(folder: Path, rows: int, repeat: int, quick: bool, shift: bool) -> dict[str, Any]:
    """All runs, their summary, and what they ran on.

    Raises:
        RuntimeError: a peer broke down, or was not asked what the others were.
    """
    described = _data(folder / "data", rows, shift)
    if not quick:
        _data(folder / "small", _WARM_UP_ROWS, shift)
        for peer in (COMMAND, *PEERS):
            tell(f"not timed, so that bytecode is cached: {peer}")
            _run(peer, folder / "small", "warm", 0)
    began, machine = datetime.now(UTC), machine_facts(_PACKAGES)
    runs: list[Run] = []
    for temperature, number, peer in _schedule(1 if quick else repeat, quick):
        tell(f"{temperature} round {number}: {peer}")
        runs.append(_run(peer, folder / "data", temperature, number))
    return {
        "benchmark": "assay check",
        "began": began.isoformat(timespec="seconds"),
        "rows": rows,
        "columns": len(runs[0].judged["read"]),
        "compared_columns": len(COMPARED),
        "shifted": shift,
        "data": described,
        "machine": machine,
        "code_changed_meanwhile": code() != machine["code"],
        "fewer_rounds": {} if quick else ONCE,
        "summary": summarise([asdict(r) for r in runs]),
        "runs": [asdict(r) for r in runs],
    }


def _data(folder: Path, rows: int, shift: bool) -> dict[str, Any]:
    return generate("benchmarks.check_data", folder, "--rows", str(rows), *["--shift"] * shift)


def _schedule(rounds: int, quick: bool) -> list[tuple[str, int, str]]:
    """Temperature, round and peer of every run, in order."""
    peers = ONE_SETTING_EACH if quick else tuple(PEERS)
    warm = [
        ("warm", number, peer)
        for number in range(rounds)
        for peer in (COMMAND, *peers)
        if number == 0 or peer not in ONCE
    ]
    cold = [
        ("cold", number, peer)
        for number in range(0 if quick else rounds)
        for peer in (COMMAND, *ONE_SETTING_EACH)
    ]
    return warm + cold


def _run(peer: str, folder: Path, temperature: str, number: int) -> Run:
    for name in (BASELINE, CURRENT):
        _evict(folder / name) if temperature == "cold" else (folder / name).read_bytes()
    if peer == COMMAND:
        executable = Path(sysconfig.get_path("scripts")) / "assay"
        command = [str(executable), *assay_arguments(folder)]
    else:
        command = [sys.executable, "-m", "benchmarks.check_peers", peer, str(folder)]
    # `assay check` leaves with 1 where the verdict is FAIL, and Python where an import fails.
    done = timed(peer, command, codes=(0, 1) if peer == COMMAND else (0,))
    if peer == COMMAND:
        said: dict[str, Any] = {}
        judged = asdict(judged_by_assay(done.text))
    else:
        judged = json.loads(done.text.splitlines()[-1])
        said = {k: judged.pop(k) for k in ("import_seconds", "work_seconds")}
    kernel = {k: v for k, v in asdict(done).items() if k != "text"}
    return Run(
        peer=peer,
        temperature=temperature,
        round=number,
        **kernel,
        import_seconds=_rounded(said.get("import_seconds")),
        work_seconds=_rounded(said.get("work_seconds")),
        judged=judged,
    )


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def _evict(path: Path) -> None:
    """Drop a file's pages from the page cache."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


if __name__ == "__main__":
    main()
