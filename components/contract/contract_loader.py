"""From an ODCS v3 YAML file to a Contract, refusing everything that would be silently dropped."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.contract.column_loader import load_column, our_properties
from components.contract.contract import Contract, Role, Source
from components.contract.errors import InputError
from components.contract.json_schema import validate
from components.contract.quality_rules import TableRules, severities, unenforced
from components.contract.strict_yaml import load_yaml

if TYPE_CHECKING:
    from open_data_contract_standard.model import Server

SCHEMA = "contract-v1.schema.json"
_OUR_PROPERTIES = {
    "servers[0]": {"assaySource", "assayDelimiter"},
    "schema[0]": {"assayMissingMarkers"},
    "schema[0].properties": {
        "assayRole",
        "assayKind",
        "assayBands",
        "assayProxyOf",
        "assayPositive",
        "assayConfirm",
    },
}
"""Where our vendor-tagged properties may stand; anywhere else they would be read by nobody."""


def load_contract(path: Path) -> Contract:
    """Load and check a data contract.

    The file is validated against the ODCS v3 JSON schema and against Assay's own roles before it
    is parsed, since the standard's own model ignores misspelt keys.

    Raises:
        InputError: names the file, the field and what would be right.
    """
    from open_data_contract_standard.model import OpenDataContractStandard
    from pydantic import ValidationError

    document, raw = load_yaml(path)
    validate(document, SCHEMA, path)
    _check_our_properties(document, path)
    try:
        model = OpenDataContractStandard(**document)
    except ValidationError as error:
        field = ".".join(str(part) for part in error.errors()[0]["loc"])
        raise InputError(
            error.errors()[0]["msg"],
            where=f"{path}, field {field}",
            expected="a value that the standard's own model reads",
        ) from error
    (table,) = model.schema_ or []
    (server,) = model.servers or []
    if table.relationships:
        raise unenforced("relationships", f"{path}, field schema[0]")
    rows = TableRules(table, f"{path}, field schema[0]")
    only_key = sum(bool(p.primaryKey) for p in table.properties or []) == 1
    columns = tuple(load_column(p, path, only_key=only_key) for p in table.properties or [])
    single = {(c.name,) for c in columns if c.unique}
    contract = Contract(
        name=str(model.name),
        version=str(model.version),
        path=path,
        digest=hashlib.sha256(raw).hexdigest(),
        source=_source(server, path),
        columns=columns,
        unique_together=tuple(k for k in rows.unique_together if k not in single),
        min_rows=rows.min_rows,
        max_rows=rows.max_rows,
        missing_markers=tuple(
            our_properties(table.customProperties).get("assayMissingMarkers", ())
        ),
        severities=severities(table),
    )
    _check_names(contract)
    _check_roles(contract)
    return contract


def _check_our_properties(node: Any, path: Path, field: str = "") -> None:
    """Refuse an assay property without its vendor, twice, or where nobody reads it."""
    if isinstance(node, list):
        for i, item in enumerate(node):
            _check_our_properties(item, path, f"{field}[{i}]")
    if not isinstance(node, dict):
        return
    known = _OUR_PROPERTIES.get(re.sub(r"(properties)\[\d+\]$", r"\1", field), set())
    seen: set[str] = set()
    for entry in node.get("customProperties") or []:
        name, vendor = str(entry["property"]), str(entry.get("vendor"))
        if not (name.lower().startswith("assay") or vendor.lower() == "assay"):
            continue
        where = f"{path}, field {(field + '.').lstrip('.')}customProperties"
        if vendor != "assay":
            raise InputError(f"{name} without its vendor", where=where, expected="vendor: assay")
        if name not in known:
            expected = "one of " + ", ".join(sorted(known)) if known else "no assay property here"
            raise InputError(f"{name} is read by nobody", where=where, expected=expected)
        if name in seen:
            raise InputError(f"{name} appears twice", where=where, expected="each property once")
        seen.add(name)
    for key, item in node.items():
        _check_our_properties(item, path, f"{field}.{key}" if field else key)


def _source(server: Server, path: Path) -> Source:
    custom, where = our_properties(server.customProperties), f"{path}, field servers[0]"
    if (server.encoding or "utf-8").lower().replace("_", "-") not in ("utf-8", "utf8"):
        raise InputError(f"encoding {server.encoding}", where=where, expected="UTF-8")
    if (server.type == "custom") != ("assaySource" in custom):
        raise InputError(
            "a custom server and a source do not go without each other",
            where=f"{where}.customProperties",
            expected="type: custom with an assay property assaySource, or type: local without",
        )
    if server.type == "custom":
        given = [k for k in ("path", "format", "delimiter") if getattr(server, k)]
        if given := given + [k for k in custom if k == "assayDelimiter"]:
            raise InputError(
                f"{given[0]} beside assaySource", where=where, expected="one or the other"
            )
        return Source(builtin=custom["assaySource"], path=None, format=None, delimiter=",")
    # The standard gives a local server no delimiter, hence a property of ours.
    delimiter = custom.get("assayDelimiter", ",")
    if len(delimiter) != 1 or delimiter in '"\r\n' or not delimiter.isascii():
        raise InputError(
            "assayDelimiter is not a delimiter", where=where, expected="one character, as ; or \\t"
        )
    return Source(builtin=None, path=server.path, format=server.format, delimiter=delimiter)


def _check_names(contract: Contract) -> None:
    path, seen = contract.path, set()
    for name in (c.name for c in contract.columns):
        where = f"{path}, column {name!r}"
        if name.casefold() in seen:
            raise InputError(
                "the column appears twice",
                where=where,
                expected="each column once; upper and lower case do not tell columns apart",
            )
        if name.casefold().startswith("assay_"):
            raise InputError(
                "a name that Assay uses", where=where, expected="no assay_ at its beginning"
            )
        seen.add(name.casefold())
    keys = [*((c.name,) for c in contract.columns if c.unique), *contract.unique_together]
    names = ["+".join(key) for key in keys]
    if len(set(names)) != len(names):
        raise InputError(
            "two uniqueness rules read alike", where=str(path), expected="column names without +"
        )


def _check_roles(contract: Contract) -> None:
    path = contract.path
    for role, least, most in ((Role.LABEL, 1, 1), (Role.ENTITY, 1, 1), (Role.SPAN, 0, 1)):
        if not least <= len(contract.with_role(role)) <= most:
            raise InputError(
                f"{len(contract.with_role(role))} columns have the role {role}",
                where=str(path),
                expected=f"exactly {least}" if least == most else f"at most {most}",
            )
    for column in (contract.label, contract.entity):
        if column.max_null_fraction > 0:
            raise InputError(
                f"the {column.role} may be null",
                where=f"{path}, column {column.name}",
                expected="required: true",
            )
    label = contract.label
    if label.positive is None or label.positive not in (label.allowed or (label.positive,)):
        raise InputError(
            "the label does not say which of its values is positive",
            where=f"{path}, column {label.name}",
            expected="an assay property assayPositive with one of the label's values",
        )
    for column in contract.columns:
        for target in column.proxy_of:
            if target not in {c.name for c in contract.protected}:
                raise InputError(
                    f"assayProxyOf names {target}",
                    where=f"{path}, column {column.name}",
                    expected="the name of a protected column",
                )
