"""What one run of each stack cost: seconds by stage, and bytes of what is kept about it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from components.compare.comparison import Line, Table
from components.contract.errors import EvidenceError
from components.contract.stages import Stage
from components.lineage.digests import parse_canonical
from components.lineage.receipts import ENTRIES, RECEIPT
from components.lineage.regular_file import read_regular
from components.release.run_summary import NOT_RUN, RunSummary

STORES = {"tfx": "mlmd.sqlite", "pytorch": "mlflow.sqlite"}
_DOCUMENTS = ("run.json", "contract.yaml", "policy.yaml", "sbom.cdx.json")

Measure = Callable[[RunSummary], float | None]


def seconds_table(runs: Mapping[str, RunSummary]) -> Table:
    """Wall seconds of each stage, as the run's evidence has them."""

    def line(name: str, values: Mapping[str, float | None], note: str = "") -> Line:
        return Line(name, "s", values, _evidence(runs), note=note)

    by_stage = {stack: _seconds(run) for stack, run in runs.items()}
    lines = [
        line(str(stage), {s: found[str(stage)] for s, found in by_stage.items()}) for stage in Stage
    ]
    total = {stack: round(run.seconds, 2) for stack, run in runs.items()}
    lines.append(line("all stages", total, "a framework that a stage loads counts there"))
    return Table(
        "cost_seconds",
        "Wall seconds by stage",
        "From each record's own times. The machine may have been busy with other work meanwhile;"
        " a stage that the run did not go through itself has no figure.",
        tuple(lines),
    )


def _seconds(run: RunSummary) -> dict[str, float | None]:
    return {
        s.stage: None if s.status == NOT_RUN or s.run else round(s.seconds, 2) for s in run.stages
    }


def metadata_table(runs: Mapping[str, RunSummary]) -> Table:
    """Bytes that are kept about one run: native store, evidence, receipt, documents, artifacts."""

    def line(
        name: str, unit: str, measure: Measure, note: str = "", *, estimate: bool = False
    ) -> Line:
        values = {stack: measure(run) for stack, run in runs.items()}
        return Line(name, unit, values, _evidence(runs), estimate, note)

    return Table(
        "cost_metadata",
        "What is kept about one run",
        "Bytes on disk of the run that is compared. What the native store says of it is read from"
        f" {ENTRIES}, the list that the run's receipt signs.",
        (
            line("properties in the native store", "", _properties),
            line(
                "what these properties say",
                "bytes",
                _said,
                "names and values as text; the database has them in tables of its own",
            ),
            line(
                "the store's database, for one run",
                "bytes",
                _database_share,
                "size of the database by the runs of this stack in the home; its empty tables are"
                " in it, so the more runs, the less; none where the store is no file of the home",
                estimate=True,
            ),
            line("evidence records", "", lambda run: len(_records(run))),
            line("evidence", "bytes", lambda run: sum(p.lstat().st_size for p in _records(run))),
            line("receipt and its list", "bytes", lambda run: _sizes(run, (RECEIPT, ENTRIES))),
            line("run, contract, policy, SBOM", "bytes", lambda run: _sizes(run, _DOCUMENTS)),
            line(
                "the run's folder, all of it",
                "bytes",
                lambda run: _all(run.directory),
                "data and models that the stages left there are among it; MLflow keeps its own"
                " copies elsewhere",
            ),
        ),
    )


def _evidence(runs: Mapping[str, RunSummary]) -> str:
    return "; ".join(f"run {run.run_id}, head {run.head[:12]}" for run in runs.values())


def _records(run: RunSummary) -> list[Path]:
    return sorted((run.directory / "evidence").glob("[0-9]*.json"))


def _sizes(run: RunSummary, names: tuple[str, ...]) -> float | None:
    files = [run.directory / name for name in names]
    if not all(file.is_file() for file in files):
        return None
    return sum(file.lstat().st_size for file in files)


def _all(folder: Path) -> int:
    # A link is as long as the path in it; what it leads to is counted where it lies.
    return sum(p.lstat().st_size for p in folder.rglob("*") if p.is_symlink() or p.is_file())


def _entries(run: RunSummary) -> dict[str, str] | None:
    path = run.directory / ENTRIES
    if not path.exists():
        return None
    try:
        raw = read_regular(path)
    except OSError as error:
        raise EvidenceError(f"{ENTRIES} of run {run.run_id} cannot be read") from error
    found = parse_canonical(raw, f"{ENTRIES} of run {run.run_id}").get("entries")
    if not isinstance(found, dict):
        raise EvidenceError(f"{ENTRIES} of run {run.run_id} holds no entries")
    return {name: str(value) for name, value in found.items()}


def _properties(run: RunSummary) -> float | None:
    entries = _entries(run)
    return None if entries is None else len(entries)


def _said(run: RunSummary) -> float | None:
    entries = _entries(run)
    if entries is None:
        return None
    return sum(len(name.encode()) + len(value.encode()) for name, value in entries.items())


def _database_share(run: RunSummary) -> float | None:
    home = run.directory.parents[1]
    store = home / "stores" / STORES[run.stack]
    if not store.is_file():
        return None
    runs = [p for p in (home / "runs").glob(f"*-{run.stack}-*") if p.is_dir()]
    return round(store.stat().st_size / max(1, len(runs)))
