"""What each stack costs that has to be run, or asked of the package registry, to be known.

``python -m benchmarks.cost`` makes three environments from nothing by the Makefile's own recipe,
times the import of each stack's frameworks, takes the pilot through both stacks while it samples
their memory, and counts the releases of their direct dependencies in the last year. It writes two
files: every figure as it was measured, and the tables that ``assay compare --measured`` reads.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cost_memory import peaks_by_stage, watched
from benchmarks.cost_releases import releases_in, year_before
from benchmarks.harness import REPOSITORY, RESULTS, keep, machine_facts, tell, timed
from components.compare.comparison import Line, Table
from components.compare.cost import NOT_ASKED
from components.compare.cost_packages import closure, installed
from components.contract.stages import Stage

EXTRAS = ("core", "tfx", "pytorch")
STACKS = ("tfx", "pytorch")
_COMMAND = "`python -m benchmarks.cost`"
_IMPORTS = {
    # What pipelines/tfx_pipeline.py and pipelines/pytorch_pipeline.py load before the first stage.
    "tfx": """
from components.stacks.tfx_stack.quiet_start import prepare_environment, quiet
prepare_environment()
with quiet():
    from components.stacks.tfx_stack import (
        local_run, native_properties, native_records, release_stage, scoring_nodes, stage_nodes,
        verified_evaluator, vocabulary,
    )
""",
    "pytorch": """
from components.stacks.pytorch_stack import frameworks
frameworks.start()
from components.stacks.pytorch_stack import (
    data_stages, model_stages, outcome, release_stage, serving_stages,
)
""",
}


def main() -> None:
    """Measure everything, and write both files."""
    parser = argparse.ArgumentParser(description="Measure what each stack costs to own.")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder to write to")
    given = parser.parse_args()
    began = datetime.now(UTC).replace(microsecond=0)
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(prefix="assay-cost-") as name:
        folder = Path(name)
        imports = {stack: import_seconds(stack) for stack in STACKS}
        memory = {stack: peak_memory(stack, folder / "home") for stack in STACKS}
        installs = {extra: install_seconds(extra, folder) for extra in EXTRAS}
        direct = direct_dependencies()
        names = sorted(frozenset[str]().union(*direct.values()))
        releases = releases_in(names, year_before(began), folder)
    result = {
        "benchmark": "cost of ownership",
        "began": began.isoformat(),
        "rows": memory["tfx"]["rows"],
        "machine": machine_facts(names)
        | {"load_before": round(load, 2), "load_after": round(os.getloadavg()[0], 2)},
        "install_seconds": installs,
        "import_seconds": imports,
        "memory": memory,
        "direct": {stack: sorted(found) for stack, found in direct.items()},
        "releases": releases,
    }
    written = keep(result, given.output, "cost")
    tables = [table.to_json() for table in measured_tables(result)]
    path = given.output / written.replace("cost-", "cost-tables-", 1)
    path.write_text(json.dumps(tables, indent=1) + "\n", encoding="utf-8")
    print(given.output / written, path, sep="\n")


def install_seconds(extra: str, folder: Path) -> dict[str, float]:
    """Seconds of `make setup` into a folder that is not there, with no cache to take from."""
    tell(f"installing {extra} from nothing")
    venv = folder / f"venv-{extra}"
    settings = {"UV_CACHE_DIR": str(folder / f"uv-{extra}"), "PIP_NO_CACHE_DIR": "1"}
    command = ["make", "setup", f"VENV={venv}", f"EXTRAS={extra}", f"PYTHON={_base_python()}"]
    done = timed(f"make setup EXTRAS={extra}", command, settings=settings)
    return {k: v for k, v in asdict(done).items() if isinstance(v, float)}


def _base_python() -> str:
    return str(Path(sys.base_prefix) / "bin" / "python3")


def import_seconds(stack: str) -> list[dict[str, float]]:
    """Three processes that do nothing but load a stack's frameworks as its pipeline does."""
    tell(f"importing {stack}, three times")
    code = _IMPORTS[stack] + "print('loaded')"
    runs = [timed(f"import of {stack}", [sys.executable, "-P", "-c", code]) for _ in range(3)]
    return [{k: v for k, v in asdict(run).items() if isinstance(v, float)} for run in runs]


def peak_memory(stack: str, home: Path) -> dict[str, Any]:
    """Peak resident set of a stack's process tree, by stage of one run of the pilot."""
    tell(f"running {stack} while its memory is sampled")
    command = [sys.executable, "-m", "pipelines.cli", "run", "rand_hie", "--stack", stack]
    command += ["--candidate", "mitigated", "--policy", "policies/rand_hie_pilot.yaml"]
    samples = watched([*command, "--home", str(home)], "pipelines.worker", REPOSITORY)
    (run,) = (home / "runs").glob(f"*-{stack}-*")
    records = sorted((run / "evidence").glob("[0-9]*.json"))
    ends = [(r.stem.partition("-")[2], r.stat().st_mtime) for r in records]
    return {
        "run": run.name,
        "rows": _rows(run),
        "samples": len(samples),
        "peak_mb": peaks_by_stage(samples, ends),
    }


def _rows(run: Path) -> int:
    dataset = Path(json.loads((run / "run.json").read_text("utf-8"))["dataset_path"])
    return int(json.loads((dataset / "manifest.json").read_text("utf-8"))["rows"])


def direct_dependencies() -> dict[str, frozenset[str]]:
    """What each stack's extra asks for by name."""
    held = installed()
    return {stack: closure(stack, held).direct for stack in STACKS}


def measured_tables(result: Mapping[str, Any]) -> tuple[Table, ...]:
    """The tables of a result, as ``main`` keeps it."""
    return (_time_table(result), _memory_table(result), _releases_table(result))


def _circumstances(result: Mapping[str, Any]) -> str:
    machine = result["machine"]
    before, after = machine["load_before"], machine["load_after"]
    shared = "" if max(before, after) < 1 else ": the machine was shared, so times are too long"
    return (
        f"Measured {result['began'][:10]} on {machine['cores']} cores ({machine['processor']}),"
        f" Python {machine['python']}; load average {before} before and {after} after{shared}."
    )


def _time_table(result: Mapping[str, Any]) -> Table:
    installs, imports = result["install_seconds"], result["import_seconds"]

    def middle(key: str) -> dict[str, float | str | None]:
        return {s: round(median(run[key] for run in imports[s]), 2) for s in STACKS}

    def made(key: str) -> dict[str, float | str | None]:
        return {s: round(installs[s][key], 1) for s in STACKS}

    core = f"of the core alone {installs['core']['seconds']:.1f} s"
    loaded = "median of three processes that load what the stack's pipeline loads first"
    return Table(
        "cost_time",
        "Seconds to install and to start",
        _circumstances(result),
        (
            Line(
                "install seconds",
                "s",
                made("seconds"),
                "`make setup` into a new folder, without any cache",
                note=f"with downloads, torch from wherever pip is told to take it; {core}",
            ),
            Line("install processor seconds", "s", made("cpu_seconds"), _COMMAND),
            Line("import seconds", "s", middle("seconds"), _COMMAND, note=loaded),
            Line("import processor seconds", "s", middle("cpu_seconds"), _COMMAND, note=loaded),
            Line("import peak memory", "MiB", middle("peak_mb"), _COMMAND, note=loaded),
        ),
    )


def _memory_table(result: Mapping[str, Any]) -> Table:
    peaks = {stack: result["memory"][stack]["peak_mb"] for stack in STACKS}
    whole = {stack: max(found.values()) for stack, found in peaks.items()}
    return Table(
        "cost_memory",
        "Peak memory by stage",
        "Resident memory of the worker process and its children, sampled every 50 ms in one run of"
        f" the RAND HIE pilot ({result['rows']:,} rows); a sample counts for the stage whose record"
        " comes next, so loading the frameworks counts for the first. Memory that a framework does"
        f" not give back counts for every later stage. {_circumstances(result)}",
        (
            *(
                Line(stage, "MiB", {s: peaks[s].get(stage) for s in STACKS}, _COMMAND)
                for stage in map(str, Stage)
            ),
            Line("whole run", "MiB", whole, _COMMAND),
        ),
    )


def _releases_table(result: Mapping[str, Any]) -> Table:
    told, direct = result["releases"], result["direct"]

    def count(stack: str, name: str) -> float | str:
        if name not in direct[stack]:
            return NOT_ASKED
        return "not told" if told[name] is None else told[name]

    def known(stack: str) -> list[int]:
        return [told[n] for n in direct[stack] if told[n] is not None]

    return Table(
        "cost_releases",
        "Releases of direct dependencies in the last year",
        f"Final releases uploaded in the year before {result['began'][:10]}, of those with a file"
        " for Python 3.12 on 64-bit Linux, as pip lists them.",
        (
            Line("releases, all together", "", {s: sum(known(s)) for s in STACKS}, _COMMAND),
            Line(
                "direct dependencies without a release",
                "",
                {s: known(s).count(0) for s in STACKS},
                _COMMAND,
            ),
            *(
                Line(f"releases of {name}", "", {s: count(s, name) for s in STACKS}, _COMMAND)
                for name in told
            ),
        ),
    )


if __name__ == "__main__":
    main()
