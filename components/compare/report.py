"""One static HTML page about some runs: opens from disk, loads nothing, runs no script."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from components.compare.charts import ChartRow, chart
from components.compare.parity import Parity, parity
from components.contract.policy import Limit, Metric
from components.lineage.durable import writable_directory, write_atomically
from components.release.run_summary import NOT_RUN, Figure, RunSummary, to_figure

_MOST_DRIFTED = 12


@dataclass(frozen=True, slots=True)
class _Panel:
    title: str
    note: str
    chart: Markup


def write_report(runs: list[RunSummary], directory: Path, version: str) -> Path:
    """Write ``index.html`` about some runs, oldest first, and return its path.

    Args:
        runs: at least one run of one dataset.
        directory: made if need be.
        version: Assay's version, for the page's foot.

    Raises:
        InputError: the directory cannot be written.
    """
    writable_directory(directory)
    template = resources.files(__package__).joinpath("report.html.j2").read_text("utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    page = environment.from_string(template).render(
        runs=runs,
        headline=headline(runs),
        parities=parity(runs),
        accuracy=_accuracy(runs),
        fairness=_fairness(runs),
        drift=_drift(runs),
        time=_time(runs),
        limits={r.run_id: _limit_rows(r) for r in runs},
        policies={r.policy.name: r.policy for r in runs},
        contract=runs[0].contract,
        version=version,
        pairs=_pair_text,
    )
    path = directory / "index.html"
    write_atomically(path, page.encode("utf-8"))
    return path


def headline(runs: list[RunSummary]) -> str:
    """One sentence on what was released, what was blocked, and whether the stacks agree."""
    released = [r for r in runs if r.outcome == "released"]
    blocked = [r for r in runs if r.outcome == "blocked"]
    outcomes: dict[tuple[str, str], set[str]] = {}
    for run in runs:
        outcomes.setdefault((run.candidate, run.policy.name), set()).add(run.outcome)
    together = all(len(found) == 1 for found in outcomes.values())
    text = f"{len(released)} of {len(runs)} runs released, {len(blocked)} blocked"
    if other := len(runs) - len(released) - len(blocked):
        text += f", {other} not finished"
    if len({r.stack for r in runs}) > 1:
        text += (
            "; both stacks came to the same outcome on every candidate"
            if together
            else "; the stacks came to different outcomes on at least one candidate"
        )
    return text + "."


def _short(run: RunSummary) -> str:
    variant = run.policy.name.removeprefix(run.contract.name).strip("_")
    return f"{run.stack} {run.candidate}" + (f", {variant}" if variant else "")


def _accuracy(runs: list[RunSummary]) -> _Panel | None:
    found = [(r, f) for r in runs if (f := r.figure("roc_auc"))]
    if not found:
        return None
    rows = [ChartRow(_short(r), f.value, str(f), f.low, f.high, series=r.stack) for r, f in found]
    limits = {
        (limit.at_least if limit.at_least is not None else limit.at_most): limit.id
        for r in runs
        for limit in r.policy.release_gate.limits
        if limit.metric is Metric.ROC_AUC
    }
    marks = [(v, name) for v, name in limits.items() if v is not None]
    return _Panel(
        "Area under the ROC curve",
        "Point and DeLong interval on people no model has seen; dashed lines are the policy's "
        "limits.",
        chart(rows, label="ROC AUC of each run with its interval", span=(0.5, 0.9), limits=marks),
    )


def _fairness(runs: list[RunSummary]) -> list[_Panel]:
    panels = []
    for column in runs[0].contract.protected:
        rows = [
            ChartRow(
                f"{_short(run)} {figure.slice.removeprefix(column.name + '=')}",
                figure.value,
                f"{figure.value:.2f} of {figure.n}" if figure.n is not None else str(figure),
                figure.low,
                figure.high,
                series=run.stack,
            )
            for run in runs
            for figure in run.figures
            if figure.name == "tpr" and figure.of == column.name
        ]
        if rows:
            panels.append(
                _Panel(
                    f"Found among those who will be positive, by {column.name}",
                    "True positive rate with Wilson's interval; equal opportunity means equal "
                    "rates.",
                    chart(rows, label=f"True positive rate by {column.name}", span=(0.0, 1.0)),
                )
            )
    return panels


def _drift(runs: list[RunSummary]) -> _Panel | None:
    run = runs[-1]
    found = [
        (finding["rule"].split(":", 1)[1], to_figure(finding["measurement"]))
        for where, finding in run.findings
        if where == "data_gate referee"
        and finding["rule"].startswith("drift:")
        and finding["measurement"]
    ]
    if not found:
        return None
    shares = sorted(
        ((f.value / run.policy.data_gate.limit_for(name).at_most, name, f) for name, f in found),
        key=lambda item: -item[0],
    )
    rows = [
        ChartRow(name, share, f"{f.name} {f.value:.3f}", bar=True)
        for share, name, f in shares[:_MOST_DRIFTED]
    ]
    spans = run.policy.data_gate
    return _Panel(
        "Drift, the columns that moved most",
        f"Spans {', '.join(spans.current_spans)} against {', '.join(spans.baseline_spans)}, as a "
        f"share of each column's limit (1 closes the gate); {len(found)} columns are watched.",
        chart(
            rows,
            label="Drift of columns as share of their limits",
            span=(0.0, 1.0),
            limits=[(1.0, "limit")],
        ),
    )


def _time(runs: list[RunSummary]) -> _Panel:
    rows = [
        ChartRow(_short(r), r.seconds, f"{r.seconds:.1f} s", series=r.stack, bar=True) for r in runs
    ]
    longest = max((r.seconds for r in runs), default=1.0) or 1.0
    return _Panel(
        "Wall time",
        "Seconds from start to the last record; the first run of a stack includes loading its "
        "frameworks.",
        chart(rows, label="Seconds of each run", span=(0.0, longest)),
    )


def _limit_rows(run: RunSummary) -> list[tuple[Limit, Figure | None, Figure | None, str, str]]:
    """Each release limit with the referee's figure, the native figure, the status and reason.

    A limit that holds for every group has a row for each.
    """
    judged = [f for where, f in run.findings if where == "release_gate referee"]
    native = {(f.name, f.slice): f for f in run.native_figures}
    rows: list[tuple[Limit, Figure | None, Figure | None, str, str]] = []
    for limit in run.policy.release_gate.limits:
        mine = [f for f in judged if f["rule"].split(":")[:2] == ["limit", limit.id]]
        if not mine:
            rows.append((limit, None, None, NOT_RUN, "a gate before it is closed"))
        for finding in mine:
            measured = finding["measurement"]
            figure = to_figure(measured) if measured else None
            key = (figure.name, figure.slice) if figure else ("", "")
            rows.append((limit, figure, native.get(key), finding["status"], finding["reason"]))
    return rows


def _pair_text(pair: Parity) -> str:
    if pair.intervals_overlap is None:
        return "no AUC on one side"
    return "AUC intervals overlap" if pair.intervals_overlap else "AUC intervals are apart"
