"""Compiles the contract, and the policy's drift limits, to what TFDV can enforce.

What TensorFlow Metadata has no words for is listed, clause by clause, never dropped: the referee
enforces those alone, and the list goes into the store and into the data gate's record.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2

from components.contract.clauses import (
    Clause,
    ClauseKind,
    Unexpressed,
    claimed,
    drift_clauses,
    drifting_columns,
    schema_clauses,
)
from components.contract.contract import Column, Contract, Role
from components.contract.features import model_inputs
from components.contract.policy import Candidate, DriftLimit, DriftStatistic, Policy
from components.profile.compute import is_identifier
from components.stacks.tfx_stack.example_columns import (
    ExampleColumn,
    Kind,
    drift_feature,
    kind_of,
)
from components.stacks.tfx_stack.tfmd_domains import set_domain, why_no_list, why_no_range

ENGINE = "tfdv"
TRAINING, SERVING = "TRAINING", "SERVING"
"""TFMD environments: at serving, rows have no label yet."""

_COMPARATORS = {
    DriftStatistic.JENSEN_SHANNON: "jensen_shannon_divergence",
    DriftStatistic.L_INFINITY: "infinity_norm",
}
_NEVER = {
    ClauseKind.CONFIRMED: "whether a person has confirmed the contract is not in the data",
    ClauseKind.TYPE: (
        "a cell of another type is null already when TFDV sees it; the schema states the type of "
        "what is there, the referee counts what was not of it"
    ),
    ClauseKind.PATTERN: "TFMD has no patterns",
    ClauseKind.UNIQUE: (
        "TFMD limits how many distinct values one column of one side has; it knows no repeated row "
        "and no key of several columns"
    ),
}
_NAMES_PEOPLE = (
    "the column names people and is not shown to TFDV, whose statistics keep a column's least, "
    "greatest and most frequent values"
)
_ONE_SIDE = "TFDV is shown baseline and current rows apart, the clause is about all rows"


@dataclass(frozen=True, slots=True)
class CompiledSchema:
    """A TFMD schema, and the contract's and policy's clauses that it does not hold."""

    schema: schema_pb2.Schema
    unexpressed: tuple[Unexpressed, ...]

    @property
    def not_expressed(self) -> str:
        """The unexpressed clauses as one text to read, gathered by their reason."""
        by_reason: dict[str, list[str]] = {}
        for left_out in self.unexpressed:
            by_reason.setdefault(left_out.why, []).append(left_out.rule)
        return "; ".join(f"{', '.join(rules)}: {why}" for why, rules in by_reason.items())


def compile_schema(contract: Contract, policy: Policy) -> CompiledSchema:
    """Types, presence, ranges, domains, comparators and, where it can be, the number of rows.

    Drift and skew comparators stand on the features that ``drift_columns`` makes, which have the
    policy's bins and count nulls. The tolerance of ranges is that of ``tfmd_domains``. Ranges and
    domains are judged for each side that TFDV is shown: where both keep to them, all rows do.
    Presence is judged over both, see ``null_counts``.
    """
    schema = schema_pb2.Schema(default_environment=[TRAINING, SERVING])
    for column in contract.columns:
        if is_identifier(column):
            continue
        feature = _feature(schema, ExampleColumn(column.name, column.name, kind_of(column)))
        _presence(feature, column)
        set_domain(feature, column)
        if column.role is Role.LABEL:
            feature.not_in_environment.append(SERVING)
    for name in drifting_columns(contract):
        if is_identifier(contract.column(name)):
            continue
        feature = _feature(schema, ExampleColumn(drift_feature(name), name, Kind.CATEGORY))
        _comparators(feature, policy.data_gate.limit_for(name))
    _row_limits(schema, contract, policy)
    reasons = {c.rule: _why_not(c, contract, policy) for c in all_clauses(contract, policy)}
    return CompiledSchema(
        schema, tuple(Unexpressed(rule, ENGINE, why) for rule, why in reasons.items() if why)
    )


def all_clauses(contract: Contract, policy: Policy) -> tuple[Clause, ...]:
    """Everything that contract and data gate ask, the contract's clauses first."""
    return (*schema_clauses(contract), *drift_clauses(contract, policy.data_gate))


def claimed_clauses(contract: Contract, policy: Policy) -> tuple[Clause, ...]:
    """The clauses that TFDV enforces."""
    return claimed(all_clauses(contract, policy), compile_schema(contract, policy).unexpressed)


def _why_not(clause: Clause, contract: Contract, policy: Policy) -> str | None:
    """Why TFDV does not hold a clause; None where it does."""
    if clause.kind in _NEVER:
        return _NEVER[clause.kind]
    if clause.subject in {c.name for c in contract.columns if is_identifier(c)}:
        return _NAMES_PEOPLE
    if clause.kind is ClauseKind.ROW_COUNT:
        return _ONE_SIDE if policy.data_gate.first_release is None else None
    if clause.kind is ClauseKind.RANGE:
        return why_no_range(contract.column(clause.subject))
    if clause.kind is ClauseKind.DOMAIN:
        return why_no_list(contract.column(clause.subject))
    if clause.kind is ClauseKind.DRIFT:
        statistic = policy.data_gate.limit_for(clause.subject).statistic
        return None if statistic in _COMPARATORS else f"TFDV has no {statistic}"
    return None


def compile_inputs(contract: Contract, candidate: Candidate) -> schema_pb2.Schema:
    """The schema of what a candidate's model is given, and of nothing else."""
    schema = schema_pb2.Schema()
    for item in model_inputs(contract, candidate):
        kind = kind_of(contract.column(item.name))
        _feature(schema, ExampleColumn(item.name, item.name, kind))
    return schema


def _feature(schema: schema_pb2.Schema, column: ExampleColumn) -> schema_pb2.Feature:
    types = {True: schema_pb2.BYTES, False: schema_pb2.FLOAT}
    kind = schema_pb2.INT if column.kind.is_integer else types[column.kind.is_bytes]
    feature = schema.feature.add(name=column.name, type=kind)
    # At most one value a row, and no fixed shape: an absent value is then read as absent, not
    # refused by the parser, in training and at serving alike.
    feature.value_count.min = 1
    feature.value_count.max = 1
    return feature


def _presence(feature: schema_pb2.Feature, column: Column) -> None:
    allowed = column.max_null_fraction
    if allowed < 1.0:
        # Two steps below, where nulls are allowed at all: ``1 - 0.18`` as a double lies above what
        # TFDV computes of 41 rows in 50.
        least = 1.0 - allowed
        feature.presence.min_fraction = least - 2 * math.ulp(least) if allowed else least
        feature.presence.min_count = 1


def _comparators(feature: schema_pb2.Feature, limit: DriftLimit) -> None:
    """Set drift and skew comparators, where TFDV has the statistic.

    TFDV's Jensen-Shannon figure is a divergence, base 2, as the policy's is: no conversion.
    """
    if limit.statistic in _COMPARATORS:
        for comparator in (feature.drift_comparator, feature.skew_comparator):
            getattr(comparator, _COMPARATORS[limit.statistic]).threshold = limit.at_most


def _row_limits(schema: schema_pb2.Schema, contract: Contract, policy: Policy) -> None:
    """Set the number of rows where one side holds them all, and the policy's ratio of sides."""
    gate, limits = policy.data_gate, schema.dataset_constraints
    if gate.first_release is not None:
        limits.min_examples_count = contract.min_rows
        if math.isfinite(contract.max_rows):
            limits.max_examples_count = int(contract.max_rows)
    if gate.row_ratio_at_least is not None:
        limits.num_examples_drift_comparator.min_fraction_threshold = gate.row_ratio_at_least
    if gate.row_ratio_at_most is not None:
        limits.num_examples_drift_comparator.max_fraction_threshold = gate.row_ratio_at_most


def compared_columns(contract: Contract, policy: Policy) -> dict[str, DriftStatistic]:
    """The columns whose drift TFDV measures, with the statistic that it computes."""
    shown = [n for n in drifting_columns(contract) if not is_identifier(contract.column(n))]
    limits = {name: policy.data_gate.limit_for(name) for name in shown}
    return {name: x.statistic for name, x in limits.items() if x.statistic in _COMPARATORS}


def compile_drift(contract: Contract, policy: Policy) -> Any:
    """The same comparators as DistributionValidator's configuration."""
    from tfx.proto import distribution_validator_pb2

    config = distribution_validator_pb2.DistributionValidatorConfig()
    schema = compile_schema(contract, policy).schema
    for feature in schema.feature:
        if feature.HasField("drift_comparator"):
            entry = config.default_slice_config.feature.add()
            entry.path.step.append(feature.name)
            entry.distribution_comparator.CopyFrom(feature.drift_comparator)
    if schema.dataset_constraints.HasField("num_examples_drift_comparator"):
        config.default_slice_config.num_examples_comparator.CopyFrom(
            schema.dataset_constraints.num_examples_drift_comparator
        )
    return config
