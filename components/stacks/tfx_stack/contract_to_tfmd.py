"""Compiles the contract, and the policy's drift limits, to what TFDV can enforce.

What TensorFlow Metadata has no words for is listed, clause by clause, never dropped: the referee
enforces those alone, and the list goes into the store and into the data gate's record.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2

from components.checks.drift import drifting_columns
from components.checks.preprocessing import as_text
from components.contract.contract import Column, Contract, LogicalType, Scalar
from components.contract.features import model_inputs
from components.contract.policy import Candidate, DriftLimit, DriftStatistic, Policy
from components.stacks.tfx_stack.example_columns import (
    ExampleColumn,
    Kind,
    drift_feature,
    kind_of,
)


@dataclass(frozen=True, slots=True)
class CompiledSchema:
    """A TFMD schema, and the contract's and policy's clauses that it does not hold.

    ``not_expressed`` names clauses as ``<clause>:<column>: <why>``.
    """

    schema: schema_pb2.Schema
    not_expressed: tuple[str, ...]


def compile_schema(contract: Contract, policy: Policy) -> CompiledSchema:
    """Types, presence, ranges, domains and drift comparators of every column of the contract.

    Drift comparators stand on the features that ``drift_columns`` makes, which have the policy's
    bins and count nulls.
    """
    schema = schema_pb2.Schema()
    missing: list[str] = []
    for column in contract.columns:
        feature = _feature(schema, ExampleColumn(column.name, column.name, kind_of(column)))
        _presence(feature, column)
        missing += [f"{clause}: {why}" for clause, why in _values(feature, column)]
    for name in drifting_columns(contract):
        feature = _feature(schema, ExampleColumn(drift_feature(name), name, Kind.CATEGORY))
        missing += _drift(feature, name, policy.data_gate.limit_for(name))
    missing += [f"{clause}: {why}" for clause, why in _whole_table(contract)]
    return CompiledSchema(schema, tuple(missing))


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
    if column.max_null_fraction < 1.0:
        feature.presence.min_fraction = 1.0 - column.max_null_fraction
        feature.presence.min_count = 1


def _values(feature: schema_pb2.Feature, column: Column) -> Iterator[tuple[str, str]]:
    """Set the feature's domain; yield the clauses that it cannot hold."""
    if column.pattern is not None:
        yield f"values:{column.name}", "TFMD has no patterns"
    if column.unique:
        yield f"unique:{column.name}", "TFDV counts distinct values, not repeated ones"
    setter = _DOMAINS[kind_of(column)]
    yield from setter(feature, column)


def _integer_domain(feature: schema_pb2.Feature, column: Column) -> Iterator[tuple[str, str]]:
    low, high = _bounds(column)
    if math.isfinite(low):
        feature.int_domain.min = math.ceil(low)
    if math.isfinite(high):
        feature.int_domain.max = math.floor(high)
    if column.categorical:
        feature.int_domain.is_categorical = True
    allowed = _numbers(column.allowed)
    if allowed and len(set(allowed)) != max(allowed) - min(allowed) + 1:
        yield f"values:{column.name}", "TFMD has no list of integers, only their range"


def _float_domain(feature: schema_pb2.Feature, column: Column) -> Iterator[tuple[str, str]]:
    low, high = _bounds(column)
    if math.isfinite(low):
        feature.float_domain.min = low
    if math.isfinite(high):
        feature.float_domain.max = high
    if column.allowed:
        yield f"values:{column.name}", "TFMD has no list of numbers, only their range"


def _text_domain(feature: schema_pb2.Feature, column: Column) -> Iterator[tuple[str, str]]:
    allowed = column.allowed
    if allowed is None and column.logical_type is LogicalType.BOOLEAN:
        allowed = (False, True)
    if allowed is not None:
        texts = [_text(value, column) for value in allowed]
        feature.string_domain.value.extend(sorted(t for t in texts if t is not None))
    if column.minimum is not None or column.maximum is not None:
        yield f"values:{column.name}", "a categorical number is text to TFDV, which has no range"


_Domain = Callable[[schema_pb2.Feature, Column], Iterator[tuple[str, str]]]
_DOMAINS: dict[Kind, _Domain] = {
    Kind.INTEGER: _integer_domain,
    Kind.FLOAT: _float_domain,
    Kind.TEXT: _text_domain,
}


def _text(value: Scalar, column: Column) -> str | None:
    number = column.logical_type is LogicalType.NUMBER
    return as_text(float(value) if number else value)


def _numbers(values: tuple[Scalar, ...] | None) -> list[float]:
    return [float(v) for v in values or ()]


def _bounds(column: Column) -> tuple[float, float]:
    """The tightest range that range and list of values leave, infinite where there is none."""
    allowed = _numbers(column.allowed)
    lows = [-math.inf, *([column.minimum] if column.minimum is not None else [])]
    highs = [math.inf, *([column.maximum] if column.maximum is not None else [])]
    if allowed:
        lows.append(min(allowed))
        highs.append(max(allowed))
    return max(lows), min(highs)


def _whole_table(contract: Contract) -> Iterator[tuple[str, str]]:
    for keys in contract.unique_together:
        yield f"unique:{'+'.join(keys)}", "TFDV sees one column at a time"
    if contract.min_rows > 1 or math.isfinite(contract.max_rows):
        yield "row_count", "TFDV is shown one span at a time, the clause is about all rows"


def _drift(feature: schema_pb2.Feature, column: str, limit: DriftLimit) -> Iterator[str]:
    """Set the feature's comparator; yield why there is none.

    TFDV's Jensen-Shannon figure is a divergence, base 2, as the policy's is: no conversion.
    """
    if limit.statistic is DriftStatistic.JENSEN_SHANNON:
        feature.drift_comparator.jensen_shannon_divergence.threshold = limit.at_most
    elif limit.statistic is DriftStatistic.L_INFINITY:
        feature.drift_comparator.infinity_norm.threshold = limit.at_most
    else:
        yield f"drift:{column}: TFDV has no {limit.statistic}"


def compared_columns(contract: Contract, policy: Policy) -> dict[str, DriftStatistic]:
    """The columns whose drift TFDV measures, with the statistic that it computes."""
    limits = {name: policy.data_gate.limit_for(name) for name in drifting_columns(contract)}
    known = (DriftStatistic.JENSEN_SHANNON, DriftStatistic.L_INFINITY)
    return {name: x.statistic for name, x in limits.items() if x.statistic in known}


def compile_drift(contract: Contract, policy: Policy) -> Any:
    """The same comparators as DistributionValidator's configuration."""
    from tfx.proto import distribution_validator_pb2

    config = distribution_validator_pb2.DistributionValidatorConfig()
    for feature in compile_schema(contract, policy).schema.feature:
        if feature.HasField("drift_comparator"):
            entry = config.default_slice_config.feature.add()
            entry.path.step.append(feature.name)
            entry.distribution_comparator.CopyFrom(feature.drift_comparator)
    return config
