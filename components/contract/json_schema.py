"""Validation of documents against JSON Schemas, told in one line."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from components.contract.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
"""Where ``schemas/`` and ``policies/`` lie: beside ``components/``, in a checkout or a wheel."""

ODCS_URL = (
    "https://raw.githubusercontent.com/bitol-io/open-data-contract-standard/main/schema/"
    "odcs-json-schema-v3.2.0.json"
)
"""The name by which our contract schema refers to the standard's own schema.

Editors fetch it; the program never does: it resolves to the copy that the library bundles.
"""


def validate(document: dict[str, Any], schema_name: str, source: Path) -> None:
    """Check ``document`` against ``schemas/<schema_name>``.

    Raises:
        InputError: names the file, the field and what was expected, for the first violation in
            the order of the document.
    """
    from jsonschema.exceptions import best_match

    error = best_match(_validator(schema_name).iter_errors(document))
    if error is None:
        return
    field = "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in error.absolute_path)
    raise InputError(
        _shorten(error.message),
        where=f"{source}, field {field.lstrip('.') or '(top level)'}",
        expected=_expected(error),
    )


@cache
def _validator(schema_name: str) -> Any:
    from jsonschema import Draft201909Validator, validators
    from referencing import Registry
    from referencing.jsonschema import DRAFT201909

    schema = json.loads((ROOT / "schemas" / schema_name).read_text("utf-8"))
    registry: Registry[Any] = Registry()
    if ODCS_URL in json.dumps(schema):
        registry = registry.with_resource(ODCS_URL, DRAFT201909.create_resource(_odcs_schema()))
    # JSON Schema takes 10.0 for an integer; what is read here goes on to count rows and layers.
    strict = Draft201909Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    )
    return validators.extend(  # type: ignore[no-untyped-call]
        Draft201909Validator, type_checker=strict
    )(schema, registry=registry)


def _odcs_schema() -> dict[str, Any]:
    # The library's package imports pydantic at 0.3 s; its schema is a file beside it.
    import importlib.util

    spec = importlib.util.find_spec("open_data_contract_standard")
    if spec is None or spec.origin is None:
        raise InputError(
            "package open-data-contract-standard is not installed",
            where="this Python environment",
            expected="an installed assay (`make setup`)",
        )
    schema: dict[str, Any] = json.loads(Path(spec.origin).with_name("schema.json").read_text())
    return schema


def _shorten(message: str, limit: int = 160) -> str:
    return message if len(message) <= limit else message[: limit - 1] + "…"


def _expected(error: Any) -> str:
    match error.validator:
        case "enum":
            return "one of " + ", ".join(str(v) for v in error.validator_value)
        case "type":
            return f"{error.validator_value}"
        case "required":
            return "the fields " + ", ".join(error.validator_value)
        case "additionalProperties" | "unevaluatedProperties":
            known = error.schema.get("properties", {})
            return "only " + ", ".join(sorted(known)) if known else "no other field"
        case "const":
            return f"{error.validator_value!r}"
        case _:
            return f"{error.validator} {_shorten(str(error.validator_value), 80)}"
