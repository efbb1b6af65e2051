"""From an ODCS v3 YAML file to a Contract, refusing everything that would be silently dropped."""

from __future__ import annotations

import hashlib
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.contract.contract import Bands, Column, Contract, LogicalType, Role, Scalar, Source
from components.contract.errors import InputError
from components.contract.json_schema import validate
from components.contract.strict_yaml import load_yaml

if TYPE_CHECKING:
    from open_data_contract_standard.model import (
        DataQuality,
        SchemaObject,
        SchemaProperty,
        Server,
    )

SCHEMA = "contract-v1.schema.json"
_PYTHON_TYPES: dict[LogicalType, tuple[type, ...]] = {
    LogicalType.STRING: (str,),
    LogicalType.INTEGER: (int,),
    LogicalType.NUMBER: (int, float),
    LogicalType.BOOLEAN: (bool,),
}
_TYPE_OPTIONS = {"minimum", "maximum", "pattern"}


def load_contract(path: Path) -> Contract:
    """Load and check a data contract.

    The file is validated against the ODCS v3 JSON schema and against Assay's own roles before it
    is parsed, since the standard's own model ignores misspelt keys.

    Raises:
        InputError: names the file, the field and what would be right.
    """
    from open_data_contract_standard.model import OpenDataContractStandard

    document, raw = load_yaml(path)
    validate(document, SCHEMA, path)
    model = OpenDataContractStandard(**document)
    (table,) = model.schema_ or []
    (server,) = model.servers or []
    rows = _TableRules(path, table)
    columns = tuple(_column(p, path) for p in table.properties or [])
    contract = Contract(
        name=str(model.name),
        version=str(model.version),
        path=path,
        digest=hashlib.sha256(raw).hexdigest(),
        source=_source(server, path),
        columns=columns,
        unique_together=rows.unique_together,
        min_rows=rows.min_rows,
        max_rows=rows.max_rows,
        missing_markers=tuple(_custom(table.customProperties).get("assayMissingMarkers", ())),
    )
    _check_roles(contract)
    return contract


def _custom(properties: list[Any] | None) -> dict[str, Any]:
    return {p.property: p.value for p in properties or [] if p.vendor == "assay"}


def _source(server: Server, path: Path) -> Source:
    custom = _custom(server.customProperties)
    if server.type == "custom":
        if "assaySource" not in custom:
            raise InputError(
                "a custom server without a source",
                where=f"{path}, field servers[0].customProperties",
                expected="an assay property assaySource that names a built-in source",
            )
        return Source(builtin=custom["assaySource"], path=None, format=None, delimiter=",")
    return Source(
        builtin=None, path=server.path, format=server.format, delimiter=server.delimiter or ","
    )


class _TableRules:
    """The quality rules that stand on the table: row count and composite uniqueness."""

    def __init__(self, path: Path, table: SchemaObject) -> None:
        self.min_rows, self.max_rows = 1, math.inf
        unique: list[tuple[str, ...]] = []
        names = {p.name for p in table.properties or []}
        for i, rule in enumerate(table.quality or []):
            where = f"{path}, field schema[0].quality[{i}]"
            if rule.metric == "rowCount":
                self.min_rows, self.max_rows = _row_bounds(rule, where)
            elif rule.metric == "duplicateValues" and rule.mustBe == 0:
                keys = tuple((rule.arguments or {}).get("properties", ()))
                if unknown := [k for k in keys if k not in names] or ([] if keys else ["(none)"]):
                    raise InputError(
                        f"duplicateValues over unknown column {unknown[0]}",
                        where=where,
                        expected="arguments.properties with names of columns of this table",
                    )
                unique.append(keys)
            else:
                raise _unsupported(rule, where, "rowCount, or duplicateValues with mustBe: 0")
        primary = [p for p in table.properties or [] if p.primaryKey]
        if primary:
            unique.append(
                tuple(str(p.name) for p in sorted(primary, key=lambda p: p.primaryKeyPosition or 0))
            )
        self.unique_together = tuple(dict.fromkeys(unique))


def _row_bounds(rule: DataQuality, where: str) -> tuple[int, float]:
    if rule.mustBeBetween is not None:
        low, high = rule.mustBeBetween
        return int(low), high
    if rule.mustBeGreaterOrEqualTo is not None:
        return int(rule.mustBeGreaterOrEqualTo), math.inf
    if rule.mustBeGreaterThan is not None:
        return int(rule.mustBeGreaterThan) + 1, math.inf
    raise _unsupported(rule, where, "mustBeBetween, mustBeGreaterThan or mustBeGreaterOrEqualTo")


def _unsupported(rule: DataQuality, where: str, expected: str) -> InputError:
    named = rule.metric or rule.type or "a rule without a metric"
    return InputError(
        f"quality rule {named} is one no engine enforces", where=where, expected=expected
    )


def _column(prop: SchemaProperty, path: Path) -> Column:
    where = f"{path}, column {prop.name}"
    custom = _custom(prop.customProperties)
    logical_type = LogicalType(str(prop.logicalType))
    options = prop.logicalTypeOptions or {}
    if unknown := sorted(set(options) - _TYPE_OPTIONS):
        raise InputError(
            f"logicalTypeOptions.{unknown[0]} is one no engine enforces",
            where=where,
            expected="only " + ", ".join(sorted(_TYPE_OPTIONS)),
        )
    column = Column(
        name=str(prop.name),
        role=Role(custom["assayRole"]),
        logical_type=logical_type,
        categorical=custom.get("assayKind") == "categorical"
        or logical_type in (LogicalType.STRING, LogicalType.BOOLEAN),
        classification=prop.classification,
        required=bool(prop.required),
        unique=bool(prop.unique),
        minimum=options.get("minimum"),
        maximum=options.get("maximum"),
        pattern=_pattern(options.get("pattern"), where),
        bands=_bands(custom.get("assayBands"), where),
        proxy_of=tuple(custom.get("assayProxyOf", ())),
        positive=custom.get("assayPositive"),
        **_value_rules(prop, where),
    )
    _check_values(column, where)
    return column


def _pattern(pattern: str | None, where: str) -> str | None:
    if pattern is None:
        return None
    try:
        re.compile(pattern)
    except re.error as error:
        raise InputError(
            f"pattern is not a regular expression ({error.msg})",
            where=where,
            expected="a regular expression",
        ) from error
    return pattern


def _bands(raw: dict[str, Any] | None, where: str) -> Bands | None:
    if raw is None:
        return None
    edges, labels = tuple(map(float, raw["edges"])), tuple(raw["labels"])
    if list(edges) != sorted(set(edges)) or len(labels) != len(edges) + 1:
        raise InputError(
            "bands do not fit together",
            where=where,
            expected="strictly rising edges and one label more than edges",
        )
    return Bands(edges, labels)


def _value_rules(prop: SchemaProperty, where: str) -> dict[str, Any]:
    """Domain and null limits, from ``enum``, ``required`` and the library quality rules."""
    rules: dict[str, Any] = {}
    if prop.enum:
        rules["allowed"] = tuple(e.value for e in prop.enum)
    if prop.required:
        rules["max_null_fraction"] = 0.0
    for i, rule in enumerate(prop.quality or []):
        at = f"{where}, quality[{i}]"
        if rule.metric == "invalidValues" and rule.mustBe == 0:
            rules["allowed"] = tuple((rule.arguments or {}).get("validValues", ()))
        elif rule.metric == "nullValues":
            rules["max_null_fraction"] = _null_limit(rule, at)
        elif rule.metric == "duplicateValues" and rule.mustBe == 0:
            raise InputError("duplicateValues on one column", where=at, expected="unique: true")
        else:
            raise _unsupported(rule, at, "nullValues, or invalidValues with mustBe: 0")
    return rules


def _null_limit(rule: DataQuality, where: str) -> float:
    if rule.mustBe == 0:
        return 0.0
    if rule.unit == "percent" and rule.mustBeLessOrEqualTo is not None:
        return float(rule.mustBeLessOrEqualTo) / 100
    raise _unsupported(rule, where, "mustBe: 0, or mustBeLessOrEqualTo with unit: percent")


def _check_values(column: Column, where: str) -> None:
    numeric = column.logical_type in (LogicalType.INTEGER, LogicalType.NUMBER)
    if not numeric and (column.minimum is not None or column.maximum is not None):
        raise InputError("a range on text", where=where, expected="a range on numbers only")
    if column.pattern is not None and column.logical_type is not LogicalType.STRING:
        raise InputError("a pattern on numbers", where=where, expected="a pattern on text only")
    if None not in (column.minimum, column.maximum) and column.minimum > column.maximum:  # type: ignore[operator]
        raise InputError("minimum is above maximum", where=where, expected="minimum <= maximum")
    for value in column.allowed or ():
        _check_type(value, column, where)
    if column.positive is not None:
        _check_type(column.positive, column, where)
    if column.bands and not numeric:
        raise InputError("bands on text", where=where, expected="bands on numbers only")


def _check_type(value: Scalar, column: Column, where: str) -> None:
    wrong_bool = isinstance(value, bool) and column.logical_type is not LogicalType.BOOLEAN
    if wrong_bool or not isinstance(value, _PYTHON_TYPES[column.logical_type]):
        raise InputError(
            f"value {value!r} is not of the column's type",
            where=where,
            expected=f"values of type {column.logical_type}",
        )


def _check_roles(contract: Contract) -> None:
    path = contract.path
    names = [c.name for c in contract.columns]
    if doubled := sorted({n for n in names if names.count(n) > 1}):
        raise InputError(
            f"column {doubled[0]} appears twice", where=str(path), expected="each column once"
        )
    for name in names:
        if name.startswith("assay_"):
            raise InputError(
                f"column {name}",
                where=str(path),
                expected="names that do not begin with assay_, which Assay uses",
            )
    for role, least, most in ((Role.LABEL, 1, 1), (Role.ENTITY, 1, 1), (Role.SPAN, 0, 1)):
        if not least <= len(contract.with_role(role)) <= most:
            raise InputError(
                f"{len(contract.with_role(role))} columns have the role {role}",
                where=str(path),
                expected=f"exactly {least}" if least == most else f"at most {most}",
            )
    if contract.label.positive is None:
        raise InputError(
            "the label does not say which value is positive",
            where=f"{path}, column {contract.label.name}",
            expected="an assay property assayPositive",
        )
    for column in contract.columns:
        for target in column.proxy_of:
            if target not in {c.name for c in contract.protected}:
                raise InputError(
                    f"assayProxyOf names {target}",
                    where=f"{path}, column {column.name}",
                    expected="the name of a protected column",
                )
