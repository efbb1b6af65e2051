"""What each stack costs to own, as far as this environment, this code and two runs tell it.

What has to be run or asked of a registry for it is measured by ``benchmarks/cost.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

from components.compare import cost_glue, cost_packages
from components.compare.comparison import Line, Table
from components.compare.cost_packages import Closure, Installed
from components.compare.cost_run import metadata_table, seconds_table
from components.contract.json_schema import ROOT
from components.release.run_summary import RunSummary

STACKS = ("tfx", "pytorch")
NOT_ASKED = "not asked for"


def cost_tables(runs: Mapping[str, RunSummary]) -> tuple[Table, ...]:
    """Every table of the cost of ownership that takes no run of its own and no network.

    Args:
        runs: the run of each stack that is compared, by stack; a stack without one has no seconds
            and no bytes.

    Raises:
        InputError: a module of a stack's room is not mapped to a stage, or Assay is not installed.
        EvidenceError: what a run's evidence names cannot be read.
    """
    held = cost_packages.installed()
    closures = {stack: cost_packages.closure(stack, held) for stack in STACKS}
    core = cost_packages.closure("", held)
    return (
        packages_table(closures, core, held),
        conflicts_table(closures),
        versions_table(closures, held),
        glue_table({stack: cost_glue.glue(stack, ROOT) for stack in STACKS}),
        seconds_table(runs),
        metadata_table(runs),
    )


def packages_table(
    closures: Mapping[str, Closure], core: Closure, held: Mapping[str, Installed]
) -> Table:
    """Distributions, megabytes, Pythons and conflicting pins of each stack.

    Args:
        closures: by stack.
        core: what the project needs without any stack.
        held: what is installed.
    """
    evidence = "requirements of `assay[STACK]` in this environment, followed with their markers"
    beside = {s: c.names - core.names for s, c in closures.items()}
    alone = {s: _alone(s, closures) - core.names for s in closures}

    absent = "; ".join(
        f"{s} is not installed here whole, so it has no figure: {', '.join(c.missing)}"
        for s, c in closures.items()
        if c.missing
    )

    def line(name: str, unit: str, values: Mapping[str, float | str], note: str = "") -> Line:
        known = {s: None if closures[s].missing else v for s, v in values.items()}
        return Line(name, unit, known, evidence, note="; ".join(n for n in (note, absent) if n))

    def size(names: Mapping[str, frozenset[str]]) -> dict[str, float]:
        return {s: cost_packages.megabytes(n, held) for s, n in names.items()}

    every = {s: c.names for s, c in closures.items()}
    pythons = {
        s: cost_packages.supported(c.direct | core.direct, held) for s, c in closures.items()
    }
    return Table(
        "cost_packages",
        "What has to be installed",
        f"{cost_packages.environment()}; no framework is loaded to tell this. Megabytes are of"
        " files as RECORD lists them, without cached bytecode. The locks' other lane has other"
        " versions. Of the core alone:"
        f" {len(core.names)} distributions, {cost_packages.megabytes(core.names, held):,} MB.",
        (
            line("distributions installed", "", {s: len(n) for s, n in every.items()}),
            line("distributions beside the core", "", {s: len(n) for s, n in beside.items()}),
            line("distributions of this stack only", "", {s: len(n) for s, n in alone.items()}),
            line("megabytes installed", "MB", size(every)),
            line("megabytes beside the core", "MB", size(beside)),
            line("megabytes of this stack only", "MB", size(alone)),
            line("direct dependencies", "", {s: len(c.direct) for s, c in closures.items()}),
            line(
                "Python versions supported",
                "",
                {s: ", ".join(p for p, no in w.items() if not no) for s, w in pythons.items()},
                _shut_out(pythons),
            ),
            line("pins that conflict", "", {s: len(c.conflicts) for s, c in closures.items()}),
        ),
    )


def _alone(stack: str, closures: Mapping[str, Closure]) -> frozenset[str]:
    others = [c.names for s, c in closures.items() if s != stack]
    return closures[stack].names.difference(*others)


def _shut_out(pythons: Mapping[str, Mapping[str, tuple[str, ...]]]) -> str:
    told = [
        f"{stack} on {python}: {', '.join(names)}"
        for stack, wanted in pythons.items()
        for python, names in wanted.items()
        if names
    ]
    return (
        f"Requires-Python of each direct dependency and of the core's, of"
        f" {', '.join(cost_packages.PYTHONS)}; a wheel may be missing all the same. Not supported"
        f" by: {'; '.join(told) or 'none'}"
    )


def conflicts_table(closures: Mapping[str, Closure]) -> Table:
    """Every requirement that what is installed does not satisfy, by name."""
    found = {(c.asked_by, c.requirement): c for one in closures.values() for c in one.conflicts}
    lines = tuple(
        Line(
            f"{conflict.asked_by} asks for {conflict.requirement}",
            "",
            {
                s: f"{conflict.found or 'none'} is installed"
                if conflict in one.conflicts
                else NOT_ASKED
                for s, one in closures.items()
            },
            f"metadata of {conflict.asked_by} in this environment",
        )
        for _, conflict in sorted(found.items())
    )
    return Table(
        "cost_conflicts",
        "Pins that conflict",
        "Requirements that the installed versions do not satisfy: an installer that is not told to"
        " override them does not come to these versions. They are those of one lane of the locks."
        if lines
        else "No requirement is left unsatisfied.",
        lines,
    )


def versions_table(closures: Mapping[str, Closure], held: Mapping[str, Installed]) -> Table:
    """The installed version of each direct dependency of each stack."""
    names = sorted(frozenset[str]().union(*(c.direct for c in closures.values())))

    def version(stack: str, name: str) -> str:
        if name not in closures[stack].direct:
            return NOT_ASKED
        return held[name].version if name in held else "not installed"

    return Table(
        "cost_versions",
        "Direct dependencies",
        "What `assay[STACK]` asks for by name, beside the core, and the version installed here.",
        tuple(
            Line(name, "", {s: version(s, name) for s in closures}, f"metadata of {name}")
            for name in names
        ),
    )


def glue_table(counts: Mapping[str, Mapping[str, int]]) -> Table:
    """Code lines of our own, by what they serve, with their sum."""

    def line(name: str, values: Mapping[str, float]) -> Line:
        evidence = "components/stacks/STACK_stack and pipelines/STACK*_pipeline.py, counted"
        return Line(name, "lines", dict(values), evidence)

    total = line("all of it", {s: sum(c.values()) for s, c in counts.items()})
    return Table(
        "cost_glue",
        "Our own glue",
        "Lines that hold code: no blank lines, comments or docstrings. Each module counts where"
        " most of it belongs (MODULES in components/compare/cost_glue.py); code that both stacks"
        " share is not counted.",
        (
            *(line(p, {s: c[p] for s, c in counts.items()}) for p in cost_glue.PARTS),
            total,
        ),
    )
