"""One column of an ODCS contract: its type, its role, its values, or a one-line refusal."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.contract.contract import Bands, Column, LogicalType, Role, Scalar
from components.contract.errors import InputError
from components.contract.quality_rules import unenforced, value_rules

if TYPE_CHECKING:
    from open_data_contract_standard.model import SchemaProperty

_PYTHON_TYPES: dict[LogicalType, tuple[type, ...]] = {
    LogicalType.STRING: (str,),
    LogicalType.INTEGER: (int,),
    LogicalType.NUMBER: (int, float),
    LogicalType.BOOLEAN: (bool,),
}
_TYPE_OPTIONS = {"minimum", "maximum", "pattern"}
_ONLY_FOR = {
    "assayBands": (Role.PROTECTED, Role.SPAN),
    "assayPositive": (Role.LABEL,),
    "assayProxyOf": (Role.FEATURE, Role.EXCLUDED),
}


def our_properties(properties: list[Any] | None) -> dict[str, Any]:
    """The vendor-tagged properties that are ours, by name."""
    return {p.property: p.value for p in properties or [] if p.vendor == "assay"}


def load_column(prop: SchemaProperty, path: Path, *, only_key: bool) -> Column:
    """Load one column.

    Args:
        prop: the column as the standard's own model reads it.
        path: the contract, for messages.
        only_key: whether the primary key, if any, is a single column.

    Raises:
        InputError: a rule that no engine enforces, or values that do not fit the type.
    """
    where = f"{path}, column {prop.name}"
    custom = our_properties(prop.customProperties)
    logical_type = LogicalType(str(prop.logicalType))
    options = prop.logicalTypeOptions or {}
    _refuse_unenforced(prop, options, where)
    column = Column(
        name=str(prop.name),
        role=Role(custom["assayRole"]),
        logical_type=logical_type,
        categorical=custom.get("assayKind") == "categorical"
        or logical_type in (LogicalType.STRING, LogicalType.BOOLEAN),
        classification=prop.classification,
        required=bool(prop.required or prop.primaryKey),
        unique=bool(prop.unique or (prop.primaryKey and only_key)),
        minimum=options.get("minimum"),
        maximum=options.get("maximum"),
        pattern=_pattern(options.get("pattern"), logical_type, where),
        bands=_bands(custom.get("assayBands"), where),
        proxy_of=tuple(custom.get("assayProxyOf", ())),
        positive=custom.get("assayPositive"),
        to_confirm=custom.get("assayConfirm"),
        **value_rules(prop, where),
    )
    _check_values(column, where)
    _check_our_use(column, custom, where)
    return column


def _refuse_unenforced(prop: SchemaProperty, options: dict[str, Any], where: str) -> None:
    if not prop.name or not prop.name.isprintable():
        raise InputError("not a name", where=where, expected="printable characters")
    for field in ("relationships", "properties", "items", "map"):
        if getattr(prop, field):
            raise unenforced(field, where)
    if prop.semanticType == "measure":
        raise InputError("a measure", where=where, expected="a column that is in the data")
    if prop.physicalName not in (None, prop.name):
        raise InputError(
            f"physicalName {prop.physicalName} is not the name",
            where=where,
            expected="the name that the column has in the data, as name",
        )
    if unknown := sorted(set(options) - _TYPE_OPTIONS):
        raise InputError(
            f"logicalTypeOptions.{unknown[0]} is one no engine enforces",
            where=where,
            expected="only " + ", ".join(sorted(_TYPE_OPTIONS)),
        )


def _check_our_use(column: Column, custom: dict[str, Any], where: str) -> None:
    for name, roles in _ONLY_FOR.items():
        if name in custom and column.role not in roles:
            raise InputError(
                f"{name} on a column with the role {column.role}",
                where=where,
                expected="it on the role " + " or ".join(roles),
            )
    if column.categorical and custom.get("assayKind") == "numeric":
        raise InputError(
            "assayKind numeric on text", where=where, expected="numeric on numbers only"
        )


def _pattern(pattern: Any, logical_type: LogicalType, where: str) -> str | None:
    """A pattern that Python and RE2 both read: stacks match with the one, DuckDB with the other."""
    if pattern is None:
        return None
    if logical_type is not LogicalType.STRING or not isinstance(pattern, str):
        raise InputError("a pattern on numbers", where=where, expected="a pattern on text only")
    import duckdb

    try:
        re.compile(pattern)
        with duckdb.connect() as database:
            database.execute("SELECT regexp_matches('', ?)", [pattern]).fetchall()
    except (re.error, OverflowError, RecursionError, duckdb.Error) as error:
        reason = error.msg if isinstance(error, re.error) else "not within RE2"
        raise InputError(
            f"pattern is not a regular expression that every engine reads ({reason})",
            where=where,
            expected="a regular expression without look-around and back-references",
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


def _check_values(column: Column, where: str) -> None:
    numeric = column.logical_type in (LogicalType.INTEGER, LogicalType.NUMBER)
    if not numeric and (column.minimum is not None or column.maximum is not None):
        raise InputError("a range on text", where=where, expected="a range on numbers only")
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
