"""Quality rules of an ODCS contract: those that every engine enforces, and a refusal of the rest.

A rule that were read and then not enforced would be worse than none, so whatever is not understood
to the last key is refused.
"""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from components.contract.errors import InputError

if TYPE_CHECKING:
    from open_data_contract_standard.model import DataQuality, SchemaObject, SchemaProperty


_GRAVITY = ("info", "warning", "error")
"""The severities that the standard names, the gravest last."""


class TableRules:
    """The rules that stand on the table: row count and composite uniqueness.

    Attributes:
        min_rows: fewest rows, inclusive.
        max_rows: most rows, inclusive; infinite where there is no limit.
        unique_together: sets of columns that no two rows share, primary key included.
    """

    def __init__(self, table: SchemaObject, where: str) -> None:
        self.min_rows, self.max_rows = 1, math.inf
        unique: list[tuple[str, ...]] = []
        names = {p.name for p in table.properties or []}
        for i, rule in enumerate(table.quality or []):
            at = f"{where}.quality[{i}]"
            if rule.metric == "rowCount":
                _check_plain(rule, at, arguments=(), units=("rows",))
                least, most = _row_bounds(rule, at)
                self.min_rows = max(self.min_rows, least)
                self.max_rows = min(self.max_rows, most)
            elif rule.metric == "duplicateValues" and _is_zero(rule.mustBe):
                _check_plain(rule, at, arguments=("properties",), units=("rows", "percent"))
                unique.append(_key(rule, names, at))
            else:
                raise unsupported(rule, at, "rowCount, or duplicateValues with mustBe: 0")
        primary = [p for p in table.properties or [] if p.primaryKey]
        if len(primary) > 1:
            by_position = sorted(primary, key=lambda p: p.primaryKeyPosition or 0)
            unique.append(tuple(str(p.name) for p in by_position))
        self.unique_together = tuple(dict.fromkeys(unique))


def value_rules(prop: SchemaProperty, where: str) -> dict[str, Any]:
    """Domain and null limit of a column, as fields of ``Column``.

    They come from ``enum``, ``required``, ``primaryKey`` and the column's quality rules. Of several
    null limits the tightest holds.

    Raises:
        InputError: a rule that no engine enforces, or a domain that is stated twice.
    """
    rules: dict[str, Any] = {}
    if prop.enum:
        rules["allowed"] = tuple(e.value for e in prop.enum)
    limits = [0.0] if prop.required or prop.primaryKey else [1.0]
    for i, rule in enumerate(prop.quality or []):
        at = f"{where}, quality[{i}]"
        if rule.metric == "invalidValues" and _is_zero(rule.mustBe):
            _check_plain(rule, at, arguments=("validValues",), units=("rows", "percent"))
            if "allowed" in rules:
                raise InputError("the domain is stated twice", where=at, expected="one domain")
            rules["allowed"] = _domain(rule, at)
        elif rule.metric == "nullValues":
            _check_plain(rule, at, arguments=(), units=("rows", "percent"))
            limits.append(_null_limit(rule, at))
        elif rule.metric == "duplicateValues" and _is_zero(rule.mustBe):
            raise InputError("duplicateValues on one column", where=at, expected="unique: true")
        else:
            raise unsupported(rule, at, "nullValues, or invalidValues with mustBe: 0")
    return {**rules, "max_null_fraction": min(limits)}


def severities(table: SchemaObject) -> dict[str, str]:
    """The severity of each quality rule that states one, by the rule id of its clause.

    Where two quality rules make one clause, the graver severity holds.
    """
    found: dict[str, str] = {}

    def note(rule: DataQuality, *rules: str) -> None:
        if rule.severity is not None:
            for name in rules:
                found[name] = max(found.get(name, rule.severity), rule.severity, key=_GRAVITY.index)

    for rule in table.quality or []:
        if rule.metric == "rowCount":
            bounds = _row_bounds(rule, "")
            note(rule, "row_count:least", *["row_count:most"] * math.isfinite(bounds[1]))
        else:
            note(rule, "unique:" + "+".join((rule.arguments or {})["properties"]))
    for prop in table.properties or []:
        for rule in prop.quality or []:
            kind = "domain" if rule.metric == "invalidValues" else "nulls"
            note(rule, f"{kind}:{prop.name}")
    return found


def unsupported(rule: DataQuality, where: str, expected: str) -> InputError:
    """The refusal of a rule that no engine enforces."""
    named = rule.metric or rule.type or "a rule without a metric"
    return InputError(
        f"quality rule {named} is one no engine enforces", where=where, expected=expected
    )


def unenforced(field: str, where: str) -> InputError:
    """The refusal of a field that states a rule beside the quality rules."""
    return InputError(
        f"{field} is a rule that no engine enforces", where=where, expected=f"no {field}"
    )


def _check_plain(
    rule: DataQuality, where: str, *, arguments: tuple[str, ...], units: tuple[str, ...]
) -> None:
    """Refuse whatever a rule says beside its metric, its operator and the arguments we read."""
    if rule.type not in (None, "library") or rule.rule is not None:
        raise unsupported(rule, where, "type: library, and metric without rule")
    if unknown := sorted(set(rule.arguments or {}) - set(arguments)):
        raise InputError(
            f"argument {unknown[0]} of {rule.metric} is one no engine enforces",
            where=where,
            expected=f"only {', '.join(arguments)}" if arguments else "no arguments",
        )
    if rule.severity not in (None, *_GRAVITY):
        raise InputError(
            f"severity {rule.severity!r} of {rule.metric}",
            where=where,
            expected="one of " + ", ".join(_GRAVITY),
        )
    if rule.unit not in (None, *units):
        raise InputError(
            f"unit {rule.unit!r} of {rule.metric}", where=where, expected=" or ".join(units)
        )


def _is_zero(value: object) -> bool:
    return value == 0 and not isinstance(value, bool)


def _row_bounds(rule: DataQuality, where: str) -> tuple[int, float]:
    if rule.mustBeBetween is not None:
        low, high = rule.mustBeBetween
        if low > high:
            raise InputError(
                "bounds the wrong way round", where=where, expected="the smaller number first"
            )
        return math.ceil(low), high
    if rule.mustBeGreaterOrEqualTo is not None:
        return math.ceil(rule.mustBeGreaterOrEqualTo), math.inf
    if rule.mustBeGreaterThan is not None:
        return math.floor(rule.mustBeGreaterThan) + 1, math.inf
    raise unsupported(rule, where, "mustBeBetween, mustBeGreaterThan or mustBeGreaterOrEqualTo")


def _key(rule: DataQuality, names: set[str | None], where: str) -> tuple[str, ...]:
    keys = (rule.arguments or {}).get("properties")
    if not isinstance(keys, list) or not keys or len(set(map(str, keys))) != len(keys):
        raise InputError(
            "duplicateValues without a list of columns",
            where=where,
            expected="arguments.properties with names of columns of this table, each once",
        )
    for key in keys:
        if not isinstance(key, str) or key not in names:
            raise InputError(
                f"duplicateValues over unknown column {key}",
                where=where,
                expected="names of columns of this table",
            )
    return tuple(keys)


def _domain(rule: DataQuality, where: str) -> tuple[Any, ...]:
    values = (rule.arguments or {}).get("validValues")
    if not isinstance(values, list) or not values:
        raise InputError(
            "invalidValues without a list of valid values",
            where=where,
            expected="arguments.validValues with at least one value",
        )
    return tuple(values)


def _null_limit(rule: DataQuality, where: str) -> float:
    if _is_zero(rule.mustBe):
        return 0.0
    most = rule.mustBeLessOrEqualTo
    if rule.unit == "percent" and most is not None and 0 <= most <= 100:
        # By decimals: 0.57 / 100 in floats is a little less than 0.0057.
        return float(Decimal(str(most)) / 100)
    raise unsupported(
        rule, where, "mustBe: 0, or mustBeLessOrEqualTo from 0 to 100 with unit: percent"
    )
