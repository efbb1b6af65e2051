"""JSON schemas of OpenLineage, as the classes that its client generates from the specification say.

The specification's own files do not come with the client. Its classes do, each with the URL of the
schema that it was made from: which fields there are, of what type, and which are required. What
they say in code and not in types stands here: enumerations, and the formats that they parse.
"""

from __future__ import annotations

import json
import types
import typing
from datetime import datetime
from enum import Enum
from functools import cache
from typing import Any

import attr
from jsonschema import Draft202012Validator, FormatChecker
from openlineage.client import facet_v2
from openlineage.client.generated import base

from components.contract.json_schema import ROOT

OURS = ROOT / "schemas" / "openlineage"
_FORMATS = {
    "eventTime": {"format": "date-time", "pattern": "T"},
    "producer": {"pattern": "^[a-z]+:"},
    "_producer": {"pattern": "^[a-z]+:"},
    "schemaURL": {"pattern": "^https://openlineage.io/spec/"},
    "_schemaURL": {"pattern": "^[a-z]+:"},
    "runId": {"format": "uuid"},
    "url": {"pattern": "^[a-z]+:"},
}
_TEST_STATUS = {"enum": ["pass", "fail", "skip"]}
_SIMPLE = {str: "string", bool: "boolean", int: "integer", float: "number"}
_ALWAYS = frozenset({"producer", "schemaURL", "_producer", "_schemaURL"})
"""Fields that the client fills in by itself, and the specification requires."""
_OPEN = frozenset({
    base.RunFacet, base.JobFacet, base.DatasetFacet, base.InputDatasetFacet, base.OutputDatasetFacet
})  # fmt: skip
"""Classes that stand for facets of every kind; what else a facet has, its own schema says."""


@cache
def schema_of(kind: type) -> dict[str, Any]:
    """JSON schema of a class of the client, with those of all the classes that it leads to."""
    waiting, found = [kind], {}
    while waiting:
        one = waiting.pop()
        if _name(one) not in found:
            found[_name(one)] = _schema_of_class(one, waiting)
    return {"$defs": found, "$ref": f"#/$defs/{_name(kind)}"}


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__name__}"


def _schema_of_type(kind: Any, met: list[type]) -> dict[str, Any]:
    origin, of = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_schema_of_type(o, met) for o in of if o is not type(None)]}
    if origin is list:
        return {"type": "array", "items": _schema_of_type(of[0], met)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema_of_type(of[1], met)}
    if kind in _SIMPLE:
        return {"type": _SIMPLE[kind]}
    if kind is Any:
        return {}  # the specification lets anything stand there
    if issubclass(kind, Enum):
        return {"enum": [member.value for member in kind]}
    met.append(kind)
    return {"$ref": f"#/$defs/{_name(kind)}"}


def _schema_of_class(kind: type, met: list[type]) -> dict[str, Any]:
    properties, required = {}, []
    for field in attr.fields(attr.resolve_types(kind)):
        properties[field.name] = _schema_of_type(field.type, met) | _FORMATS.get(field.name, {})
        if field.default is attr.NOTHING or field.name in _ALWAYS:
            required.append(field.name)
    if kind.__name__ == "TestExecution":
        properties["status"] = _TEST_STATUS
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": kind in _OPEN,
    }


@cache
def _facet_classes() -> dict[str, type]:
    """Every facet class of the client, by the URL of its schema."""
    modules = [getattr(facet_v2, name) for name in facet_v2.__all__]
    found = [
        kind
        for module in modules
        if isinstance(module, types.ModuleType)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, base.BaseFacet)
    ]
    return {kind._get_schema(): kind for kind in found}


@cache
def _our_schemas() -> dict[str, Any]:
    """Our own schemas by their ``$id``; nothing is fetched."""
    documents = [json.loads(p.read_text()) for p in sorted(OURS.glob("*.json"))]
    return {d["$id"]: d for d in documents}


def check_event(event: dict[str, Any]) -> list[str]:
    """See that a run event and all of its facets are as their schemas ask; returns facet names.

    Raises:
        jsonschema.ValidationError: one is not.
        KeyError: a facet names a schema that is neither the standard's nor ours.
    """
    assert event["schemaURL"] == base.RunEvent._get_schema()
    _check(event, schema_of(base.RunEvent))
    holders = [event["run"], event["job"], *event["inputs"], *event["outputs"]]
    found = []
    for holder in holders:
        for kind in ("facets", "inputFacets", "outputFacets"):
            for name, facet in holder.get(kind, {}).items():
                check_facet(name, facet)
                found.append(name)
    return found


def check_facet(name: str, facet: dict[str, Any]) -> None:
    """See that a facet is as the schema asks that it names; ours by its very file."""
    url = facet["_schemaURL"]
    if name.startswith("assay_"):
        schema = _our_schemas()[url.partition("#")[0]]
        assert list(schema["properties"]) == [name]
        _check({name: facet}, schema)
    else:
        _check(facet, schema_of(_facet_classes()[url]))


def _check(document: Any, schema: dict[str, Any]) -> None:
    formats = FormatChecker(["uuid"])
    formats.checks("date-time", raises=ValueError)(_is_time)
    Draft202012Validator(schema, format_checker=formats).validate(document)


def _is_time(text: object) -> bool:
    return not isinstance(text, str) or datetime.fromisoformat(text).tzinfo is not None
