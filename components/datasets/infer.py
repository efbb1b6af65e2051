"""A first contract from data: what the rows show, and guesses that a person must confirm.

Types, domains and ranges are only what this one sample holds, and classes are guessed from names,
so every column is marked with ``assayConfirm``; a contract with such marks closes the data gate.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from components.contract.contract import IDENTIFIER, Column, Contract, LogicalType, Role, Source
from components.contract.errors import InputError
from components.datasets.sources import RowSource, open_source
from components.datasets.typed_rows import open_rows
from components.profile.compute import TypedRows, profile_rows
from components.profile.profile import ColumnProfile
from components.profile.sql import quote

MOST_CATEGORIES = 50
"""Text of at most so many distinct values is taken for a domain."""
_RANGE_MARGIN = 0.5
"""A range is widened by this share of its width on each side, and not across zero."""
_NULL_MARGIN = 1.5
_ROWS_MARGIN = 2
_SMALL_GROUP = 11
"""A value of fewer people may name one of them, and stays out of the contract."""

_IDENTIFYING = re.compile(
    r"(?i)(^|_)(ssn|mrn|npi|nbr|e?mail|phone|fax|address|street|zip|dob|surname|\w*name|\w*id)$"
)
_CODE = re.compile(r"(?i)(_id|_code|code|type|kind)$")
_INTEGER = "-?(0|[1-9][0-9]{0,17})"
_NUMBER = "-?(0|[1-9][0-9]*)([.][0-9]+)?([eE][-+]?[0-9]+)?"
_TYPES = {
    "BOOLEAN": LogicalType.BOOLEAN,
    **dict.fromkeys(("FLOAT", "DOUBLE", "DECIMAL"), LogicalType.NUMBER),
    **dict.fromkeys(
        ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"),
        LogicalType.INTEGER,
    ),
}
"""DuckDB's types that a logical type holds; of every other a contract has only the text."""
_NUMERIC = (LogicalType.INTEGER, LogicalType.NUMBER)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What data cannot tell: what is to be predicted, about whom, and what may not matter."""

    name: str
    label: str
    positive: str
    entity: str
    span: str | None = None
    protected: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    delimiter: str = ","

    def role(self, column: str) -> Role:
        """The role of a column: a feature unless it was named as something else."""
        if column in self.protected:
            return Role.PROTECTED
        named = {self.label: Role.LABEL, self.entity: Role.ENTITY, self.span: Role.SPAN}
        return named.get(column, Role.FEATURE)


def infer_contract(data: Path, wishes: Wishes, path: str) -> str:
    """The YAML text of a contract that the data keep to.

    Args:
        data: CSV or Parquet, a file or a folder.
        wishes: what a person must say.
        path: where the contract will find the data, as it should stand in it.

    Raises:
        InputError: files cannot be read, a column that was named is not in them, or no row has
            the positive label.
    """
    source = open_source(_contract(wishes, ()), data)
    types = source.types
    named = (wishes.label, wishes.entity, *wishes.protected, *filter(None, [wishes.span]))
    if unknown := [n for n in named if n not in types]:
        raise InputError(
            f"there is no column {unknown[0]}", where=source.named, expected="a column of the data"
        )
    texts = _contract(wishes, tuple(_text(n, wishes) for n in types))
    with open_rows(texts, source) as rows:
        distinct = {n: int(rows.one(f"count(DISTINCT {quote(n)})")[0]) for n in types}
        columns = tuple(
            _typed(c, _type(c.name, types[c.name], rows), distinct[c.name]) for c in texts.columns
        )
    typed = _contract(wishes, columns)
    with open_rows(typed, source) as rows:
        profile = profile_rows(rows, typed, {}, max_categories=MOST_CATEGORIES)
        rare = {c.name for c in columns if c.categorical and _names_few(rows, c.name, wishes)}
    _require_positive(wishes, profile.columns[wishes.label], source)
    document = _document(wishes, source, path, profile.rows)
    document["schema"][0]["properties"] = [
        _property(c, profile.columns[c.name], wishes, distinct[c.name], c.name in rare)
        for c in columns
    ]
    header = "# yaml-language-server: $schema=./contract-v1.schema.json\n"
    return header + yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)


def _contract(wishes: Wishes, columns: tuple[Column, ...]) -> Contract:
    source = Source(None, "data", "csv", wishes.delimiter)
    return Contract(
        wishes.name, "0", Path("inferred"), "", source, columns, missing_markers=wishes.missing
    )


def _text(name: str, wishes: Wishes) -> Column:
    return Column(name, wishes.role(name), LogicalType.STRING, categorical=True)


def _typed(column: Column, kind: LogicalType, distinct: int) -> Column:
    """The column with its guessed type and class; few numbers are codes and name no person."""
    few = distinct <= MOST_CATEGORIES and kind is not LogicalType.STRING
    named = _IDENTIFYING.search(column.name) and not few
    return replace(
        column,
        logical_type=kind,
        categorical=kind not in _NUMERIC or column.role is Role.LABEL,
        classification=IDENTIFIER if named or column.role is Role.ENTITY else "phi",
    )


def _type(name: str, sql_type: str, rows: TypedRows) -> LogicalType:
    """The narrowest type that holds every cell; text with a leading zero is a code."""
    if sql_type != "VARCHAR":
        return _TYPES.get(sql_type.partition("(")[0], LogicalType.STRING)
    cell = quote(name)
    present, integers, numbers, flags = rows.one(
        f"count({cell}), "
        f"count(*) FILTER (regexp_full_match({cell}, '{_INTEGER}')), "
        f"count(*) FILTER (regexp_full_match({cell}, '{_NUMBER}')), "
        f"count(*) FILTER (lower({cell}) IN ('true', 'false'))"
    )
    for counted, kind in (
        (integers, LogicalType.INTEGER),
        (numbers, LogicalType.NUMBER),
        (flags, LogicalType.BOOLEAN),
    ):
        if present and counted == present:
            return kind
    return LogicalType.STRING


def _names_few(rows: TypedRows, column: str, wishes: Wishes) -> bool:
    """Whether some value of a column belongs to fewer people than make a group."""
    by_value = rows.database.execute(
        f"SELECT count(DISTINCT {quote(wishes.entity)}) FROM {rows.relation} "  # noqa: S608
        f"WHERE {quote(column)} IS NOT NULL GROUP BY {quote(column)} ORDER BY 1 LIMIT 1"
    ).fetchall()
    return bool(by_value) and int(by_value[0][0]) < _SMALL_GROUP


def _require_positive(wishes: Wishes, label: ColumnProfile, source: RowSource) -> None:
    if label.counts is None or wishes.positive not in label.counts:
        raise InputError(
            f"no row has that label in {wishes.label}, or it has too many values",
            where=source.named,
            expected="--positive with a value as it is written in the data",
        )


def _document(wishes: Wishes, source: RowSource, path: str, rows: int) -> dict[str, Any]:
    kind = "parquet" if source.typed else "csv"
    server: dict[str, Any] = {"server": "files", "type": "local", "path": path, "format": kind}
    if wishes.delimiter != ",":
        server["customProperties"] = [_ours("assayDelimiter", wishes.delimiter)]
    table: dict[str, Any] = {"name": "rows", "physicalType": "table"}
    if wishes.missing:
        table["customProperties"] = [_ours("assayMissingMarkers", list(wishes.missing))]
    bounds = [max(1, rows // _ROWS_MARGIN), max(1, rows * _ROWS_MARGIN)]
    table["quality"] = [{"metric": "rowCount", "mustBeBetween": bounds}]
    return {
        "version": "0.1.0",
        "apiVersion": "v3.2.0",
        "kind": "DataContract",
        "id": f"urn:assay:contract:{wishes.name}",
        "name": wishes.name,
        "status": "draft",
        "servers": [server],
        "schema": [table],
    }


def _ours(name: str, value: Any) -> dict[str, Any]:
    return {"property": name, "value": value, "vendor": "assay"}


def _property(
    column: Column, found: ColumnProfile, wishes: Wishes, distinct: int, rare: bool
) -> dict[str, Any]:
    """One column as the contract states it."""
    identifying = column.classification == IDENTIFIER
    numeric = column.logical_type in _NUMERIC
    coded = numeric and distinct <= MOST_CATEGORIES and bool(_CODE.search(column.name))
    stated: dict[str, Any] = {"name": column.name, "logicalType": str(column.logical_type)}
    quality: list[dict[str, Any]] = []
    if found.nulls == 0:
        stated["required"] = True
    elif found.nulls < found.rows:
        most = min(100, math.ceil(100 * _NULL_MARGIN * found.nulls / found.rows))
        quality.append({"metric": "nullValues", "mustBeLessOrEqualTo": most, "unit": "percent"})
    if 1 < found.rows == distinct and column.role is not Role.ENTITY:
        stated["unique"] = True
    stated["classification"] = column.classification
    if numeric and column.role is not Role.LABEL and not identifying and found.minimum is not None:
        stated["logicalTypeOptions"] = dict(_range(column, found))
    values = [] if identifying or rare else _domain(column, found)
    if values:
        quality.append(
            {"metric": "invalidValues", "mustBe": 0, "arguments": {"validValues": values}}
        )
    if quality:
        stated["quality"] = quality
    ours = [_ours("assayRole", str(column.role))]
    if coded and column.role in (Role.FEATURE, Role.PROTECTED):
        ours.append(_ours("assayKind", "categorical"))
    if column.role is Role.LABEL:
        ours.append(_ours("assayPositive", _scalar(wishes.positive, column.logical_type)))
    guesses = ["class", "type", *(k for k in ("range",) if "logicalTypeOptions" in stated)]
    guesses += ["domain"] if values else []
    ours.append(_ours("assayConfirm", f"{', '.join(guesses)} guessed from {found.rows} rows"))
    return {**stated, "customProperties": ours}


def _scalar(text: str, kind: LogicalType) -> str | int | float | bool:
    if kind is LogicalType.BOOLEAN:
        return text.lower() == "true"
    return int(text) if kind is LogicalType.INTEGER else float(text) if kind in _NUMERIC else text


def _domain(column: Column, found: ColumnProfile) -> list[str | int | float | bool]:
    """Values, where there are few and none of them is rare enough to name a person."""
    if not column.categorical or column.logical_type is LogicalType.BOOLEAN:
        return []
    return [_scalar(text, column.logical_type) for text in sorted(found.counts or ())]


def _range(column: Column, found: ColumnProfile) -> Iterator[tuple[str, float]]:
    """Bounds with a margin, rounded outwards, so that no extreme of a person stands in them."""
    assert found.minimum is not None and found.maximum is not None  # noqa: S101 - caller checked
    margin = _RANGE_MARGIN * (found.maximum - found.minimum) or 1.0
    low, high = found.minimum - margin, found.maximum + margin
    low = max(low, 0.0) if found.minimum >= 0 else low
    high = min(high, 0.0) if found.maximum <= 0 < high and found.minimum < 0 else high
    whole = column.logical_type is LogicalType.INTEGER
    for name, bound, away in (("minimum", low, math.floor), ("maximum", high, math.ceil)):
        rounded = _outwards(bound, away)
        yield name, int(rounded) if whole else rounded


def _outwards(bound: float, away: Any) -> float:
    """To two significant digits, away from the data."""
    if bound == 0:
        return 0.0
    step = 10.0 ** (math.floor(math.log10(abs(bound))) - 1)
    return float(f"{away(bound / step) * step:.12g}")
