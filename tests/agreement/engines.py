"""Every engine on the same two sides, each in its own way, as findings by rule id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa

from components.checks.drift import drift_findings
from components.checks.measurement import Finding
from components.checks.schema import schema_findings
from components.contract.clauses import (
    Clause,
    ClauseKind,
    Unexpressed,
    claimed,
    drift_clauses,
    schema_clauses,
)
from components.contract.contract import Contract
from components.contract.policy import DataGatePolicy, Policy
from components.datasets.sources import open_source
from components.datasets.typed_rows import open_rows
from components.profile.compute import profile_rows
from components.profile.edges import Edges, edges_of
from components.profile.profile import Profile


@dataclass(frozen=True)
class Sides:
    """Both sides as the contract types them, and what the referee counted of them."""

    tables: dict[str, pa.Table]
    baseline: Profile
    current: Profile
    edges: Edges


@dataclass(frozen=True)
class Answer:
    """What an engine claims to check, and what it found."""

    engine: str
    clauses: tuple[Clause, ...]
    findings: Sequence[Finding]


def read_sides(contract: Contract, gate: DataGatePolicy, files: tuple[Path, Path]) -> Sides:
    """Read both files as ingest does, and profile them as the referee does."""
    tables, profiles, edges = {}, {}, {}
    names = [c.name for c in contract.columns]
    for side, file in zip(("baseline", "current"), files, strict=True):
        with open_rows(contract, open_source(contract, file)) as rows:
            if side == "baseline":
                edges = edges_of(rows, contract, gate.bins)
            profiles[side] = profile_rows(rows, contract, edges, max_categories=gate.max_categories)
            table = rows.database.table(rows.relation).to_arrow_table()
            tables[side] = table.select(names)
    return Sides(tables, profiles["baseline"], profiles["current"], edges)


def all_clauses(contract: Contract, gate: DataGatePolicy) -> tuple[Clause, ...]:
    """Everything that is asked."""
    return (*schema_clauses(contract), *drift_clauses(contract, gate))


def referee(contract: Contract, gate: DataGatePolicy, sides: Sides) -> Answer:
    """The referee, which claims every clause."""
    found = schema_findings(sides.current, contract)
    found += drift_findings(sides.current, sides.baseline, contract, gate)
    return Answer("referee", all_clauses(contract, gate), found)


def tfdv(contract: Contract, policy: Policy, sides: Sides) -> Answer:
    """TFDV: statistics of the tf.Example columns, then schema and drift in one validation."""
    import tensorflow_data_validation as tfdv
    from tensorflow_data_validation.statistics import stats_impl

    from components.stacks.tfx_stack import comparison_anomalies, schema_anomalies
    from components.stacks.tfx_stack.contract_to_tfmd import (
        claimed_clauses,
        compared_columns,
        compile_schema,
    )
    from components.stacks.tfx_stack.example_columns import statistics_columns, to_lists
    from components.stacks.tfx_stack.null_counts import null_findings
    from components.stacks.tfx_stack.statistics_options import statistics_options

    columns = statistics_columns(contract, sides.edges)
    options = statistics_options(contract, policy)
    schema = compile_schema(contract, policy).schema
    options.schema = schema
    statistics = {}
    for side, table in sides.tables.items():
        batch = pa.Table.from_batches(table.to_batches(), table.schema).combine_chunks()
        arrays = [c.chunk(0) if c.num_chunks else pa.array([], c.type) for c in batch.columns]
        rows = to_lists(pa.RecordBatch.from_arrays(arrays, batch.schema.names), columns)
        statistics[side] = stats_impl.generate_statistics_in_memory(rows, options)
    rows = {side: table.num_rows for side, table in sides.tables.items()}
    anomalies: Any | None = None
    if rows["current"]:
        anomalies = tfdv.validate_statistics(
            statistics["current"],
            schema,
            environment="TRAINING",
            previous_statistics=statistics["baseline"] if rows["baseline"] else None,
        )
    mine, gate = claimed_clauses(contract, policy), policy.data_gate
    of_rows = [c for c in mine if c.kind not in (ClauseKind.DRIFT, ClauseKind.ROW_RATIO)]
    found = schema_anomalies.schema_findings({"current": anomalies}, of_rows)
    nulls = [c for c in of_rows if c.kind is ClauseKind.NULLS]
    found = [f for f in found if f.rule in {c.rule for c in mine} - {c.rule for c in nulls}]
    found += null_findings([statistics["current"]], nulls, contract)
    found += comparison_anomalies.drift_findings(
        anomalies,
        compared_columns(contract, policy),
        rows,
        gate,
        comparison_anomalies.uncounted_columns(statistics.values(), contract, gate),
    )
    # The ratio of rows is DistributionValidator's to tell; its own test is in the TFX room.
    return Answer("tfdv", tuple(c for c in mine if c.kind is not ClauseKind.ROW_RATIO), found)


def great_expectations(contract: Contract, sides: Sides) -> Answer:
    """GX on the current rows."""
    from components.stacks.pytorch_stack.contract_to_gx import compile_to_gx
    from components.stacks.pytorch_stack.gx_validation import findings, validate

    compiled = compile_to_gx(contract)
    found = findings(validate(compiled, _frame(sides.tables["current"])))
    return Answer("gx", claimed(schema_clauses(contract), compiled.unexpressed), found)


def evidently(contract: Contract, gate: DataGatePolicy, sides: Sides) -> Answer:
    """Evidently on the labels of both sides."""
    from components.stacks.pytorch_stack.evidently_reports import drift_findings as read
    from components.stacks.pytorch_stack.evidently_reports import measure_drift
    from components.stacks.pytorch_stack.frames import drift_labels
    from components.stacks.pytorch_stack.policy_to_evidently import compile_to_evidently

    compiled = compile_to_evidently(contract, gate)
    labels = {
        side: drift_labels(_frame(table), contract, sides.edges, gate.max_categories)
        for side, table in sides.tables.items()
    }
    measured = measure_drift(compiled, labels["current"], labels["baseline"])
    fewest = min(t.num_rows for t in sides.tables.values())
    left_out: tuple[Unexpressed, ...] = compiled.unexpressed
    return Answer(
        "evidently",
        claimed(drift_clauses(contract, gate), left_out),
        read(measured, fewest, gate.min_rows),
    )


def _frame(table: pa.Table) -> pd.DataFrame:
    from components.stacks.pytorch_stack.frames import _NULLABLE

    return table.to_pandas(types_mapper=_NULLABLE.get)
