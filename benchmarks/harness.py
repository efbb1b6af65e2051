"""What every benchmark needs: a process timed by the kernel, the machine's facts, a result kept."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from components.stacks.telemetry import switch_off

REPOSITORY = Path(__file__).parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results"


@dataclass(frozen=True, slots=True)
class Timed:
    """One process, as the kernel saw it, and what it printed.

    ``seconds`` is its wall-clock, ``cpu_seconds`` all of its threads and waited-for children;
    ``peak_mb`` the largest resident set of it or of any one child; ``read_mb`` what came from
    disk. ``load_before`` is the machine's one-minute load average when it began,
    ``others_cores`` how many cores everybody else kept busy meanwhile, and ``stolen_cores`` how
    many the hypervisor took away.
    """

    seconds: float
    cpu_seconds: float
    peak_mb: float
    read_mb: float
    load_before: float
    others_cores: float
    stolen_cores: float
    text: str


def timed(
    name: str,
    command: list[str],
    *,
    settings: Mapping[str, str] | None = None,
    codes: Collection[int] = (0,),
) -> Timed:
    """Run a process to its end.

    Args:
        name: what the process is called in an error.
        command: its arguments.
        settings: environment variables beside those of this process.
        codes: exit codes that are no breakdown.

    Raises:
        RuntimeError: it broke down, or printed nothing.
    """
    # Without cached bytecode the frameworks take more than twice as long to import.
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environment |= settings or {}
    load, (busy, stolen) = os.getloadavg()[0], _machine_seconds()
    with tempfile.TemporaryFile() as printed, tempfile.TemporaryFile() as told:
        started = time.perf_counter()
        child = subprocess.Popen(
            command, stdout=printed, stderr=told, cwd=REPOSITORY, env=environment
        )
        _, status, usage = os.wait4(child.pid, 0)
        seconds = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        now_busy, now_stolen = _machine_seconds()
        printed.seek(0)
        told.seek(0)
        text, trouble = printed.read().decode(), told.read().decode(errors="replace")
    if child.returncode not in codes or not text.strip():
        raise RuntimeError(f"{name} ended with {child.returncode}: {trouble[-1000:]}")
    cpu = usage.ru_utime + usage.ru_stime
    return Timed(
        seconds=round(seconds, 4),
        cpu_seconds=round(cpu, 3),
        peak_mb=round(usage.ru_maxrss / 1024, 1),
        read_mb=round(usage.ru_inblock * 512 / 2**20, 1),
        load_before=round(load, 2),
        others_cores=round(max(0.0, now_busy - busy - cpu) / seconds, 2),
        stolen_cores=round((now_stolen - stolen) / seconds, 2),
        text=text,
    )


def run_peer(peers: Mapping[str, Callable[[Path], Callable[[], Any]]]) -> None:
    """Be one peer: ``NAME FOLDER``; print its seconds and what it came to as one JSON line."""
    parser = argparse.ArgumentParser(description="Run one peer of a benchmark.")
    parser.add_argument("name", choices=peers)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    switch_off()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    started = time.perf_counter()
    work = peers[given.name](given.folder)
    loaded = time.perf_counter()
    result = work()
    done = time.perf_counter()
    seconds = {"import_seconds": loaded - started, "work_seconds": done - loaded}
    print(json.dumps(seconds | asdict(result)))


def generate(module: str, folder: Path, *arguments: str) -> dict[str, Any]:
    """Have data written, not in this process: a child's peak would begin at this one's."""
    command = [sys.executable, "-m", module, str(folder), *arguments]
    made = subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY)
    described: dict[str, Any] = json.loads(made.stdout)
    return described


def keep(result: dict[str, Any], folder: Path, name: str) -> str:
    """Write the result under a name of its own; an earlier one is never overwritten."""
    folder.mkdir(parents=True, exist_ok=True)
    stamp = datetime.fromisoformat(result["began"]).strftime("%Y%m%dT%H%M%SZ")
    path = folder / f"{name}-{result['rows']}-{stamp}.json"
    with path.open("x", encoding="utf-8") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    return path.name


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
        "code": code(),
    }


def code() -> dict[str, str]:
    """Which code is timed: git's objects, and what is not committed of them."""
    asked = {
        "revision": ["rev-parse", "HEAD"],
        "components": ["rev-parse", "HEAD:components"],
        "pipelines": ["rev-parse", "HEAD:pipelines"],
        "uncommitted": ["status", "--porcelain", "components", "pipelines"],
    }
    return {name: _git(arguments) for name, arguments in asked.items()}


def tell(line: str) -> None:
    """One line of progress."""
    print(f"bench: {line}", file=sys.stderr, flush=True)


def _machine_seconds() -> tuple[float, float]:
    """Processor seconds that the machine has worked so far, and that were taken from it."""
    first = Path("/proc/stat").read_text().partition("\n")[0].split()[1:]
    user, nice, system, _idle, _iowait, irq, softirq, steal, *_ = (int(n) for n in first)
    tick = os.sysconf("SC_CLK_TCK")
    return (user + nice + system + irq + softirq) / tick, steal / tick


def _git(arguments: list[str]) -> str:
    asked = subprocess.run(
        ["git", *arguments], capture_output=True, text=True, check=False, cwd=REPOSITORY
    )
    return asked.stdout.strip()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"
