"""What becomes of released models elsewhere, as tables for `assay compare --measured`.

Exports of both stacks' models, and one Keras definition on the backends of both. It takes minutes
and every framework, so it is measured once and not whenever a report is written:
``python -m pipelines.compare_models RUN RUN -o FOLDER``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from components.compare.comparison import Line, Table
from components.contract.errors import AssayError
from components.lineage.durable import writable_directory, write_atomically

if TYPE_CHECKING:
    from components.stacks.exports import Export
    from components.stacks.keras_bridge import BridgeResult

TABLES = "tables.json"
_COMMAND = "`python -m pipelines.compare_models`"


def exports_table(exports: Mapping[str, Sequence[Export]]) -> Table:
    """Size, speed and faithfulness of every format, by stack."""
    formats = dict.fromkeys(e.format for found in exports.values() for e in found)
    lines = [line for name in formats for line in _of_format(name, exports)]
    return Table(
        "exports",
        "Released models in other formats",
        "Each export scored every evaluation row again; the difference is the largest from the "
        "score that the release was judged by. Times are on one thread of this machine.",
        tuple(lines),
    )


def _of_format(name: str, exports: Mapping[str, Sequence[Export]]) -> Iterator[Line]:
    found = {s: next((e for e in es if e.format == name), None) for s, es in exports.items()}
    held = [e for e in found.values() if e is not None]
    evidence = "; ".join(f"{e.stack} {e.file}, sha256 {e.sha256}" for e in held)
    none = [f"{s}: has no {name} of its own" for s, e in found.items() if e is None]
    beyond = [f"{e.stack}: beyond the limit of policies/compare.yaml" for e in held if not e.within]
    about = "; ".join([*none, *(f"{e.stack}: {e.note}" for e in held if e.note)])

    def line(what: str, unit: str, values: Mapping[str, float | None], note: str) -> Line:
        return Line(f"{name}: {what}", unit, values, f"{evidence}; {_COMMAND}", note=note)

    yield line("size", "bytes", {s: e.bytes if e else None for s, e in found.items()}, about)
    yield line(
        "largest difference of a score",
        "probability",
        {s: e.largest_difference if e else None for s, e in found.items()},
        "; ".join([*none, *beyond]),
    )
    for what, unit, told in (
        ("loaded in", "s", {s: e.load_seconds if e else None for s, e in found.items()}),
        ("one row in", "s", {s: e.latency_seconds if e else None for s, e in found.items()}),
        ("rows a second", "", {s: e.rows_per_second if e else None for s, e in found.items()}),
    ):
        yield line(what, unit, told, "; ".join(none))


def bridge_tables(result: BridgeResult) -> tuple[Table, Table]:
    """What each backend trained, and what its weights give in the others."""
    evidence = f"{_COMMAND}, data and policy of {result.run}"
    trained = {t.backend: t for t in result.trained}
    absent = f"not installed: {', '.join(result.absent)}" if result.absent else ""
    undefined = "not defined on these rows" if any(t.auc is None for t in trained.values()) else ""
    return (
        Table(
            "bridge",
            f"One Keras {result.keras} definition, trained on each backend",
            f"{result.training_rows:,} training rows of {result.features} features, "
            f"{result.evaluation_rows:,} evaluation rows.",
            (
                Line("version", "", {b: t.version for b, t in trained.items()}, evidence,
                     note=absent),
                Line("ROC AUC", "", {b: t.auc for b, t in trained.items()}, evidence,
                     note=undefined),
                Line("training", "s", {b: t.seconds for b, t in trained.items()}, evidence),
            ),
        ),
        Table(
            "bridge-weights",
            "Weights carried from one backend to another",
            "The largest difference of two scores of one row by the same weights; at most "
            f"{result.tolerance:g} is alike.",
            tuple(
                Line(
                    f"trained by {b}, scored by",
                    "probability",
                    {c.scored_by: c.largest_difference for c in result.carried
                     if c.trained_by == b},
                    evidence,
                    note="; ".join(
                        f"{c.scored_by}: beyond the limit" for c in result.carried
                        if c.trained_by == b and not c.within
                    ),
                )
                for b in trained
            ),
        ),
    )  # fmt: skip


def main(arguments: Sequence[str]) -> None:
    """Export the models of some runs, carry weights across, and write the tables.

    Raises:
        InputError: a run was not released, a framework is missing, or the folder holds exports.
        EvidenceError: a run is not what it recorded.
        AssayError: a framework's process broke down.
    """
    from components.release.run_evidence import read_records
    from components.stacks.exports import export_all
    from components.stacks.keras_bridge import bridge

    parser = argparse.ArgumentParser(prog="python -m pipelines.compare_models")
    parser.add_argument("runs", nargs=2, type=Path, help="A released run of each stack.")
    parser.add_argument("-o", "--output", type=Path, required=True, help="Folder to write to.")
    given = parser.parse_args(arguments)
    folder = writable_directory(given.output)
    exports = {}
    for run in given.runs:
        stack = str(read_records(run).first.body["stack"])
        exports[stack] = export_all(run, folder / stack)
    tables = [exports_table(exports), *bridge_tables(bridge(given.runs[0]))]
    document = json.dumps([t.to_json() for t in tables], indent=1, allow_nan=False)
    write_atomically(folder / TABLES, f"{document}\n".encode())
    print(folder / TABLES)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except AssayError as error:
        print(f"assay: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
