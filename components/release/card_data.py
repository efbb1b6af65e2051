"""The section on data: contract, rows, spans, columns, and what of them the model sees."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.contract.contract import Column as DataColumn
from components.contract.contract import Contract
from components.contract.features import model_inputs
from components.contract.policy import Metric
from components.contract.stages import Stage
from components.release.card_masking import HIDDEN, is_small, shown_count, shown_number
from components.release.card_parts import Column, Field, Fields, Kind, Origin, Section, Table
from components.release.card_source import CardSource
from components.release.card_statements import known

_SPLITS = ("train", "validation", "evaluation")
_NO_MANIFEST = "unknown: the dataset's manifest is no longer beside the run"


def data(source: CardSource) -> Section:
    """What the model was trained and judged on."""
    blocks = (
        Fields(tuple(_identity(source))),
        Fields(tuple(_protected(source)), "Protected attributes"),
        _rows(source),
        _drift(source),
        _columns(source),
    )
    return Section("data", "Data", blocks)


def _identity(source: CardSource) -> Iterator[Field]:
    contract, inputs = source.contract, source.run.inputs
    yield Field(
        "Data contract", f"{contract.name} {contract.version} (Open Data Contract Standard)"
    )
    yield known(source.policy, "input_data_source", "Input data source", _origin(contract))
    yield known(source.policy, "development_data", "Development data", source.described.usage)
    yield known(source.policy, "inclusion_criteria", "Inclusion and exclusion criteria", "")
    yield Field("Dataset version, SHA-256", inputs["datasetVersion"], kind=Kind.CODE)
    yield Field("Root over all row commitments", inputs["rowsRoot"], kind=Kind.CODE)
    label = contract.label
    yield Field("Label", f"{label.name}; positive is {label.positive}")
    yield Field("Splits", _splits(source))
    yield from _cases(source)


def _origin(contract: Contract) -> str:
    """The source without its path, which would name a machine."""
    if contract.source.builtin:
        return f"The built-in source {contract.source.builtin}."
    return f"Files of the organisation's own ({contract.source.format or 'format not stated'})."


def _splits(source: CardSource) -> str:
    shares = source.policy.splits
    return (
        f"Training {shares.train:.0%}, validation {shares.validation:.0%}, evaluation "
        f"{shares.evaluation:.0%} of people; each person is in one split only."
    )


def _cases(source: CardSource) -> Iterator[Field]:
    """Positives and negatives of the evaluation split, as the figures that rest on them say."""
    for name, metric in (("positive", Metric.TPR), ("negative", Metric.FPR)):
        found = source.measured(metric)
        if found is not None:
            yield Field(f"Evaluation rows, {name}", source.masking.count(found))


def _protected(source: CardSource) -> Iterator[Field]:
    candidate = source.candidate
    for column in source.contract.protected:
        groups = ", ".join(column.group_labels) or "as they occur in the data"
        yield Field(column.name, f"Groups: {groups}")
    if candidate.protected_features:
        seen = ", ".join(candidate.protected_features)
        yield Field("Seen by the model at decision time", seen)
        yield Field("Grounds", candidate.protected_grounds, Origin.POLICY)
    else:
        yield Field("Seen by the model at decision time", "none")
    yield known(source.policy, "representativeness", "Demographic representativeness", "")


def _rows(source: CardSource) -> Table:
    """Rows by split and span. A span that the policy does not name is a cell of the data."""
    gate = source.policy.data_gate
    named = {**dict.fromkeys(gate.baseline_spans, "baseline")}
    named |= dict.fromkeys(gate.current_spans, "current")
    splits = source.manifest["splits"] if source.manifest else {}
    rows = []
    for split in _SPLITS if source.manifest else ():
        cells = _counts(splits[split], list(named))
        changes = [
            abs(now - before)
            for other in source.earlier
            for now, before in zip(cells, _counts(other["splits"][split], list(named)), strict=True)
        ]
        few = any(is_small(n) for n in (*cells, *changes))
        rows.append((split, *(HIDDEN if few else shown_count(n) for n in cells)))
    spans = (Column(f"Span {s} ({side})", Kind.NUMBER) for s, side in named.items())
    return Table(
        "Rows",
        (Column("Split"), Column("Rows", Kind.NUMBER), *spans),
        tuple(rows),
        note=f"A split's rows are {HIDDEN} where one of the numbers is 1 to 10, or differs by as "
        "few from that of an earlier release." + ("" if named else " The policy names no spans."),
        empty=_NO_MANIFEST,
    )


def _counts(split: Mapping[str, Any], spans: Sequence[str]) -> list[int]:
    """Rows of a split, and of each of these spans of it."""
    held = split["spans"]
    return [int(split["rows"]), *(int(held.get(s, {"rows": 0})["rows"]) for s in spans)]


def _drift(source: CardSource) -> Table:
    """The columns that moved most, as shares of their limits."""
    gate = source.policy.data_gate
    found = []
    for finding in source.findings(Stage.DATA_GATE, "referee"):
        kind, _, column = finding.rule.partition(":")
        if kind == "drift" and finding.measurement is not None:
            limit = gate.limit_for(column).at_most
            value = finding.measurement.value
            share = value / limit if limit else value
            found.append((share, column, finding.measurement.name, value, limit, finding.status))
    worst = sorted(found, key=lambda row: (-row[0], row[1]))[:5]
    return Table(
        "Drift: the five columns nearest to their limits",
        (
            Column("Column"),
            Column("Statistic", width=3),
            Column("Figure", Kind.NUMBER),
            Column("At most", Kind.NUMBER),
            Column("Status", Kind.STATUS),
        ),
        tuple(
            (column, name, shown_number(value), f"{limit:g}", str(status))
            for _, column, name, value, limit, status in worst
        ),
        note=f"{len(found)} columns of the current spans were held against the baseline's."
        if found
        else "",
        empty="Drift was not measured.",
    )


def _columns(source: CardSource) -> Table:
    inputs = {i.name for i in model_inputs(source.contract, source.candidate)}
    return Table(
        "Columns",
        (
            Column("Column", width=2),
            Column("Meaning", width=5),
            Column("Type", width=2),
            Column("Role", width=2),
            Column("Classification", width=2),
            Column("Model input", width=1),
        ),
        tuple(
            (
                c.name,
                source.described.columns.get(c.name, ""),
                f"{c.logical_type}, categories" if c.categorical else str(c.logical_type),
                _role(c),
                c.classification or "not stated",
                "yes" if c.name in inputs else "no",
            )
            for c in source.contract.columns
        ),
    )


def _role(column: DataColumn) -> str:
    stands_for = ", ".join(column.proxy_of)
    return f"{column.role}, stands in for {stands_for}" if stands_for else str(column.role)
