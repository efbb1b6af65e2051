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
import platform
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.check_data import BASELINE, COMPARED, CURRENT
from benchmarks.check_peers import PEERS, assay_arguments, judged_by_assay
from benchmarks.check_report import as_table, summarise

_REPOSITORY = Path(__file__).parents[1]
RESULTS = _REPOSITORY / "benchmarks" / "results"
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
    """One process of one peer.

    ``seconds`` is its wall-clock, ``cpu_seconds`` all of its threads and waited-for children;
    ``peak_mb`` the largest resident set of it or of any one child; ``read_mb`` what came from
    disk. ``load_before`` is the machine's one-minute load average when it began,
    ``others_cores`` how many cores everybody else kept busy meanwhile, and ``stolen_cores`` how
    many the hypervisor took away.
    """

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
    print(keep(result, given.output))


def measure(folder: Path, rows: int, repeat: int, quick: bool, shift: bool) -> dict[str, Any]:
    """All runs, their summary, and what they ran on.

    Raises:
        RuntimeError: a peer broke down, or was not asked what the others were.
    """
    described = _generate(folder / "data", rows, shift)
    if not quick:
        _generate(folder / "small", _WARM_UP_ROWS, shift)
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
        "code_changed_meanwhile": _code() != machine["code"],
        "fewer_rounds": {} if quick else ONCE,
        "summary": summarise([asdict(r) for r in runs]),
        "runs": [asdict(r) for r in runs],
    }


def _generate(folder: Path, rows: int, shift: bool) -> dict[str, Any]:
    """Write the data, not in this process: a child's peak would begin at this one's."""
    command = [sys.executable, "-m", "benchmarks.check_data", str(folder), "--rows", str(rows)]
    made = subprocess.run(
        command + ["--shift"] * shift, check=True, capture_output=True, cwd=_REPOSITORY
    )
    described: dict[str, Any] = json.loads(made.stdout)
    return described


def keep(result: dict[str, Any], folder: Path) -> str:
    """Write the result under a name of its own; an earlier one is never overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = datetime.fromisoformat(result["began"]).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"check-{result['rows']}-{stamp}.json"
    with path.open("x", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    return path.name


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
    # Without cached bytecode the frameworks take more than twice as long to import.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    load, (busy, stolen) = os.getloadavg()[0], machine_seconds()
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as told:
        started = time.perf_counter()
        child = subprocess.Popen(
            command, stdout=printed, stderr=told, cwd=_REPOSITORY, env=environment
        )
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        busy, stolen = (
            now - then for now, then in zip(machine_seconds(), (busy, stolen), strict=True)
        )
        printed.seek(0)
        told.seek(0)
        text, trouble = printed.read().decode(), told.read().decode(errors="replace")
    # `assay check` leaves with 1 where the verdict is FAIL, and Python where an import fails.
    if child.returncode not in ((0, 1) if peer == COMMAND else (0,)) or not text.strip():
        raise RuntimeError(f"{peer} ended with {child.returncode}: {trouble[-1000:]}")
    if peer == COMMAND:
        said: dict[str, Any] = {}
        judged = asdict(judged_by_assay(text))
    else:
        judged = json.loads(text.splitlines()[-1])
        said = {k: judged.pop(k) for k in ("import_seconds", "work_seconds")}
    cpu = usage.ru_utime + usage.ru_stime
    return Run(
        peer=peer,
        temperature=temperature,
        round=number,
        seconds=round(seconds, 4),
        cpu_seconds=round(cpu, 3),
        peak_mb=round(usage.ru_maxrss / 1024, 1),
        read_mb=round(usage.ru_inblock * 512 / 2**20, 1),
        load_before=round(load, 2),
        others_cores=round(max(0.0, busy - cpu) / seconds, 2),
        stolen_cores=round(stolen / seconds, 2),
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


def machine_seconds() -> tuple[float, float]:
    """Processor seconds that the machine has worked so far, and that were taken from it."""
    first = Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = (int(n) for n in first)
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / tick, steal / tick


def machine_facts(packages: Iterable[str]) -> dict[str, Any]:
    """Facts that figures depend on; no name of a host or a person, and no path."""
    models = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in x]
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": models[0].partition(":")[2].strip() if models else "unknown",
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in packages},
        "code": _code(),
    }


def _code() -> dict[str, str]:
    """Which code `assay check` is: git's objects, and what is not committed of them."""
    asked = {
        "revision": ["rev-parse", "HEAD"],
        "components": ["rev-parse", "HEAD:components"],
        "pipelines": ["rev-parse", "HEAD:pipelines"],
        "uncommitted": ["status", "--porcelain", "components", "pipelines"],
    }
    return {name: _git(arguments) for name, arguments in asked.items()}


def _git(arguments: list[str]) -> str:
    asked = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=False, cwd=_REPOSITORY
    )
    return asked.stdout.strip()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def tell(line: str) -> None:
    """One line of progress."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
