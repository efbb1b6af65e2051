"""What `assay compare` needs, read from homes and files: runs, matrix, lineage, answers, tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from components.contract.errors import InputError
from components.contract.stages import Stage
from components.release.run_evidence import RunRecords, read_records

if TYPE_CHECKING:
    from components.audit.questions import Catalogue
    from components.audit.readings import Reading
    from components.compare.comparison import Comparison, Table
    from components.compare.fault_matrix import FaultMatrix
    from components.lineage.graph import LineageGraph
    from components.release.run_summary import RunSummary

STACKS = ("tfx", "pytorch")

_SAME = {
    "dataset": "dataset",
    "datasetVersion": "data",
    "rowsRoot": "rows",
    "contract": "contract",
    "policy": "policy",
    "code": "code",
}
"""What must be the same in both runs, by its name in their records."""
_JUDGED = ("released", "blocked")
_SHOWN = 16


@dataclass(frozen=True, slots=True)
class Chosen:
    """The run of each stack that is compared, and what makes them not comparable."""

    runs: Mapping[str, RunRecords]
    differences: tuple[str, ...]

    @property
    def homes(self) -> tuple[Path, ...]:
        """The homes that the runs lie in, each once."""
        return tuple(dict.fromkeys(r.directory.parent.parent for r in self.runs.values()))


def choose(named: Sequence[str], home: Path) -> Chosen:
    """The runs that are named, or the latest of each stack in the home that can be compared.

    Where no two of a home can be compared, the latest of each stack are chosen all the same, and
    what is different is said.

    Raises:
        InputError: not one run of each stack is named, one did not come to its release gate, or
            the home has none of one stack.
        EvidenceError: a run's evidence does not hold.
    """
    runs = _named(named, home) if named else _latest(home)
    return Chosen({s: runs[s] for s in STACKS}, tuple(_differences(runs)))


def require_comparable(chosen: Chosen, force: bool) -> None:
    """Refuse runs of different data, policy, contract or code, unless it is forced.

    Raises:
        InputError: names what is different, with both digests.
    """
    if chosen.differences and not force:
        raise InputError(
            f"not comparable: {'; '.join(chosen.differences)}",
            where=" and ".join(r.run_id for r in chosen.runs.values()),
            expected="two runs of one home, candidate, policy and code, or --force",
        )


def gather(
    chosen: Chosen, matrix: FaultMatrix | None, measured: Sequence[Table], at: str, version: str
) -> Comparison:
    """Everything that is compared.

    Args:
        chosen: the runs.
        matrix: the fault matrix, where there is one.
        measured: tables that benchmarks wrote.
        at: now, ISO 8601 in UTC.
        version: Assay's version.

    Raises:
        InputError: a store is locked or of an unknown version, or two tables have one name.
        EvidenceError: evidence does not hold.
    """
    from components.audit.question_catalogue import load_catalogue
    from components.compare.comparison import Comparison
    from components.release.run_summary import summarise

    runs = {s: summarise(r.directory) for s, r in chosen.runs.items()}
    catalogue = load_catalogue()
    readings = [r for s in STACKS for r in _readings(s, chosen.runs[s], catalogue)]
    tables = [*_tables(runs, readings), *measured]
    names = [t.name for t in tables]
    if twice := [n for n in names if names.count(n) > 1]:
        raise InputError(
            f"the table {twice[0][:60]!r} stands twice",
            where="--measured",
            expected="each table once",
        )
    return Comparison(
        runs=runs,
        matrix=matrix,
        tables=tuple(tables),
        graph=_graph(chosen),
        differences=chosen.differences,
        at=at,
        version=version,
        questions=catalogue.questions,
        readings=tuple(readings),
        notes=tuple(r.note for r in readings if r.note),
    )


def read_measured(paths: Sequence[Path]) -> list[Table]:
    """The tables of files that benchmarks wrote.

    Raises:
        InputError: a file cannot be read, or is none.
    """
    from components.compare.comparison import parse_tables
    from components.lineage.regular_file import read_regular

    found: list[Table] = []
    for path in paths:
        try:
            raw = read_regular(path)
        except OSError as error:
            raise InputError(
                f"cannot be read ({error.strerror})",
                where=str(path),
                expected="JSON that a benchmark wrote",
            ) from error
        found += parse_tables(raw, str(path))
    return found


def _named(named: Sequence[str], home: Path) -> Mapping[str, RunRecords]:
    from pipelines.catalogue import run_directory

    if len(named) != len(STACKS):
        raise InputError(
            f"{len(named)} runs are named", where="the arguments", expected="one run of each stack"
        )
    found: dict[str, RunRecords] = {}
    for name in named:
        run = read_records(run_directory(name, home))
        if not _is_judged(run):
            raise InputError(
                f"did not come to its release gate: it is {run.outcome}",
                where=run.run_id,
                expected="a run whose model was judged",
            )
        found[_stack(run)] = run
    _require_both(found, " and ".join(r.run_id for r in found.values()), "one run of each stack")
    return found


def _latest(home: Path) -> Mapping[str, RunRecords]:
    """The newest runs of one kind that both stacks have; else the newest of each stack."""
    from pipelines.evidence_commands import require_home

    require_home(home)
    newest: dict[str, RunRecords] = {}
    alike: dict[tuple[str, ...], dict[str, RunRecords]] = {}
    for run in _judged(home):
        newest.setdefault(_stack(run), run)
        kind = (*(run.inputs[name] for name in _SAME), _candidate(run))
        pair = alike.setdefault(kind, {})
        pair.setdefault(_stack(run), run)
        if set(STACKS) <= pair.keys():
            return pair
    _require_both(newest, str(home / "runs"), "a run of each stack that came to its release gate")
    return newest


def _judged(home: Path) -> Iterator[RunRecords]:
    """Runs that came to their release gate, the newest first: a run's id begins with its time."""
    directories = (p.parent for p in (home / "runs").glob("*/run.json"))
    for directory in sorted(directories, key=lambda d: d.name, reverse=True):
        if not any((directory / "evidence").glob(f"*-{Stage.RELEASE_GATE}.json")):
            continue
        run = read_records(directory)
        if _is_judged(run):
            yield run


def _is_judged(run: RunRecords) -> bool:
    return run.outcome in _JUDGED and Stage.RELEASE_GATE in run.own


def _require_both(found: Mapping[str, RunRecords], where: str, expected: str) -> None:
    if missing := [s for s in STACKS if s not in found]:
        raise InputError(f"no judged run of {' or '.join(missing)}", where=where, expected=expected)


def _stack(run: RunRecords) -> str:
    return str(run.first.body["stack"])


def _candidate(run: RunRecords) -> str:
    return str(run.first.body["candidate"])


def _differences(runs: Mapping[str, RunRecords]) -> Iterator[str]:
    first, second = (runs[s] for s in STACKS)
    for key, name in _SAME.items():
        a, b = first.inputs[key], second.inputs[key]
        if a != b:
            yield f"{name} {_short(a, b)} and {_short(b, a)}"
    if _candidate(first) != _candidate(second):
        yield f"candidate {_candidate(first)} and {_candidate(second)}"


def _short(digest: str, other: str) -> str:
    """As much of a digest as tells it from the other."""
    return digest[:_SHOWN] if digest[:_SHOWN] != other[:_SHOWN] else digest


def _readings(stack: str, run: RunRecords, catalogue: Catalogue) -> list[Reading]:
    from pipelines.questions_cli import stack_readings

    return stack_readings(stack, run.directory.parent.parent, catalogue)


def _tables(runs: Mapping[str, RunSummary], readings: Sequence[Reading]) -> list[Table]:
    """What is measured here and now."""
    from components.compare.audit_score import audit_score_table
    from components.compare.cost import cost_tables
    from components.compare.parity import parity_table
    from components.compare.parity_cases import agreement_table

    return [
        parity_table(runs),
        agreement_table(*(runs[s] for s in STACKS)),
        audit_score_table(readings),
        *cost_tables(runs),
    ]


def _graph(chosen: Chosen) -> LineageGraph:
    """The lineage of the runs, and of those whose model they release."""
    from components.lineage.graph import LineageGraph
    from pipelines.lineage_stores import evidence_store

    graph = LineageGraph({}, ())
    for home in chosen.homes:
        held = [r for r in chosen.runs.values() if r.directory.parent.parent == home]
        found = evidence_store(home).read({i for r in held for i in (r.run_id, r.origin_id)}).graph
        graph = LineageGraph({**graph.nodes, **found.nodes}, {*graph.edges, *found.edges})
    return graph
