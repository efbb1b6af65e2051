"""The cost tables say of each stack what metadata, code and two runs say, and load no framework."""

from __future__ import annotations

import subprocess
import sys

from components.compare.comparison import Table
from components.compare.cost import NOT_ASKED, conflicts_table, cost_tables, packages_table
from components.compare.cost_packages import Closure, Conflict, Installed
from components.contract.json_schema import ROOT
from components.release.run_summary import RunSummary

HELD = {
    name: Installed(name, "2", (), needs, size)
    for name, needs, size in (
        ("core", ">=3.11", 1_000_000),
        ("both", "", 2_000_000),
        ("left", "<3.13", 4_000_000),
        ("right", "", 8_500_000),
    )
}
CORE = Closure(frozenset({"core"}), frozenset({"core"}), ())
CLOSURES = {
    "tfx": Closure(
        frozenset({"left"}),
        frozenset({"core", "both", "left"}),
        (Conflict("left", "both<2", "2"), Conflict("left", "core<2", "2")),
    ),
    "pytorch": Closure(frozenset({"right"}), frozenset({"core", "both", "right"}), ()),
}


def _values(table: Table, name: str) -> dict[str, float | str | None]:
    (line,) = [line for line in table.lines if line.name == name]
    return dict(line.values)


def test_what_both_stacks_need_is_told_apart_from_what_one_needs() -> None:
    table = packages_table(CLOSURES, CORE, HELD)
    assert _values(table, "distributions installed") == {"tfx": 3, "pytorch": 3}
    assert _values(table, "distributions beside the core") == {"tfx": 2, "pytorch": 2}
    assert _values(table, "distributions of this stack only") == {"tfx": 1, "pytorch": 1}
    assert _values(table, "megabytes installed") == {"tfx": 7, "pytorch": 11.5}
    assert _values(table, "megabytes beside the core") == {"tfx": 6, "pytorch": 10.5}
    assert _values(table, "megabytes of this stack only") == {"tfx": 4, "pytorch": 8.5}
    assert _values(table, "pins that conflict") == {"tfx": 2, "pytorch": 0}


def test_a_python_counts_where_every_direct_dependency_runs_and_the_note_says_what_does_not() -> (
    None
):
    table = packages_table(CLOSURES, CORE, HELD)
    assert _values(table, "Python versions supported") == {
        "tfx": "3.11, 3.12",
        "pytorch": "3.11, 3.12, 3.13, 3.14",
    }
    (note,) = [x.note for x in table.lines if x.name == "Python versions supported"]
    assert "tfx on 3.13: left" in note
    assert "pytorch on 3.10: core" in note


def test_each_conflict_is_named_with_what_is_installed() -> None:
    table = conflicts_table(CLOSURES)
    assert _values(table, "left asks for both<2") == {"tfx": "2 is installed", "pytorch": NOT_ASKED}
    assert _values(table, "left asks for core<2")["tfx"] == "2 is installed"
    assert conflicts_table({"pytorch": CLOSURES["pytorch"]}).lines == ()


def test_a_stack_that_is_not_installed_whole_has_no_figures() -> None:
    """A part of it would look like a small stack."""
    part = Closure(
        frozenset({"left", "gone"}), frozenset({"core"}), (Conflict("left", "gone", ""),)
    )
    closures = {**CLOSURES, "tfx": part}
    table = packages_table(closures, CORE, HELD)
    assert all(line.values["tfx"] is None for line in table.lines)
    assert all("tfx is not installed here whole" in line.note for line in table.lines)
    assert _values(table, "distributions installed")["pytorch"] == 3
    assert _values(conflicts_table(closures), "left asks for gone")["tfx"] == "none is installed"


def test_the_tables_of_this_environment_and_two_runs(runs: list[RunSummary]) -> None:
    tables = {t.name: t for t in cost_tables({r.stack: r for r in runs})}
    assert list(tables) == [
        "cost_packages",
        "cost_conflicts",
        "cost_versions",
        "cost_glue",
        "cost_seconds",
        "cost_metadata",
    ]
    for table in tables.values():
        assert all(set(line.values) == {"tfx", "pytorch"} for line in table.lines)
        assert all(line.evidence for line in table.lines)
        assert len({line.name for line in table.lines}) == len(table.lines)
    packages = tables["cost_packages"]
    for stack, conflicts in _values(packages, "pins that conflict").items():
        asked = [x for x in tables["cost_conflicts"].lines if x.values[stack] != NOT_ASKED]
        assert len(asked) == conflicts
    assert _values(tables["cost_versions"], "torch")["tfx"] == NOT_ASKED
    parts = [line.values["tfx"] for line in tables["cost_glue"].lines]
    assert sum(p for p in parts[:-1] if isinstance(p, int)) == parts[-1]


def test_one_run_alone_is_told_alone(runs: list[RunSummary]) -> None:
    tables = {t.name: t for t in cost_tables({"tfx": runs[1]})}
    assert set(tables["cost_seconds"].lines[0].values) == {"tfx"}
    assert set(tables["cost_packages"].lines[0].values) == {"tfx", "pytorch"}


def test_no_framework_is_loaded() -> None:
    code = (
        "import sys\n"
        "from components.compare.cost import cost_tables\n"
        "cost_tables({})\n"
        "import components.compare.audit_score\n"
        "held = {'tensorflow', 'tfx', 'torch', 'mlflow', 'apache_beam', 'keras'}\n"
        "print(sorted(held & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
