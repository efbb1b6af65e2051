"""YAML without surprises: what a person reads in the file is what the program gets.

YAML 1.1 turns ``NO`` into false, ``2024-01-01`` into a date, ``1:30`` into 90 and ``010`` into 8;
aliases make bombs; a repeated key silently wins. All of these are errors here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from components.contract.errors import InputError

MAX_BYTES = 1_000_000
MAX_DEPTH = 40

_MOST_DIGITS = 300
"""More make a whole number that no double holds."""

_DECIMAL_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")


class _Surprise(yaml.MarkedYAMLError):
    """A construct that is refused; ``problem`` says what, ``note`` what would be right."""

    def __init__(self, problem: str, expected: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark, note=expected)


class _StrictLoader(yaml.SafeLoader):
    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise _Surprise("anchor or alias", "the value written out", event.start_mark)
        if getattr(event, "tag", None):
            raise _Surprise("explicit tag", "an untagged value", event.start_mark)
        if isinstance(event, yaml.ScalarEvent) and not _is_text(event.value):
            raise _Surprise("half a surrogate pair", "a whole character", event.start_mark)
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise _Surprise("nested too deeply", f"at most {MAX_DEPTH} levels", event.start_mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                shown = (
                    f"key {key.value!r} is not text"
                    if isinstance(key, yaml.ScalarNode)
                    else "key is not text"
                )
                raise _Surprise(shown, "a quoted text key", key.start_mark)
            if key.value in seen:
                raise _Surprise(f"key {key.value!r} appears twice", "each key once", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _is_text(value: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _construct_bool(_: _StrictLoader, node: yaml.ScalarNode) -> bool:
    if node.value not in ("true", "false"):
        raise _Surprise(
            f"{node.value!r} would be read as a boolean",
            "true or false, or quotes around text",
            node.start_mark,
        )
    return bool(node.value == "true")


def _construct_int(_: _StrictLoader, node: yaml.ScalarNode) -> int:
    if not _DECIMAL_INT.fullmatch(node.value):
        raise _Surprise(
            f"{node.value!r} would be read as a number in another notation",
            "a plain decimal number, or quotes around text",
            node.start_mark,
        )
    if len(node.value) > _MOST_DIGITS:
        raise _Surprise("a number of very many digits", "a smaller number", node.start_mark)
    return int(node.value)


def _construct_float(loader: _StrictLoader, node: yaml.ScalarNode) -> float:
    if ":" in node.value or "_" in node.value:
        raise _Surprise(
            f"{node.value!r} would be read as a number in another notation",
            "a plain decimal number, or quotes around text",
            node.start_mark,
        )
    value = float(loader.construct_yaml_float(node))
    if not math.isfinite(value):
        raise _Surprise(f"{node.value!r} is not a finite number", "a number", node.start_mark)
    return value


def _refuse_timestamp(_: _StrictLoader, node: yaml.ScalarNode) -> None:
    raise _Surprise(
        f"{node.value!r} would be read as a timestamp", "quotes around it", node.start_mark
    )


_StrictLoader.add_constructor("tag:yaml.org,2002:bool", _construct_bool)
_StrictLoader.add_constructor("tag:yaml.org,2002:int", _construct_int)
_StrictLoader.add_constructor("tag:yaml.org,2002:float", _construct_float)
_StrictLoader.add_constructor("tag:yaml.org,2002:timestamp", _refuse_timestamp)


def load_yaml(path: Path) -> tuple[dict[str, Any], bytes]:
    """Read one YAML mapping.

    Returns the mapping and the exact bytes it came from, so that a digest of the file and its
    meaning cannot come from two different reads.

    Raises:
        InputError: missing, larger than 1 MB, not UTF-8, not one mapping, or a YAML surprise.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(
                "cannot be read (no file)", where=str(path), expected="a readable YAML file"
            )
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise InputError(
            f"cannot be read ({error.strerror})", where=str(path), expected="a readable YAML file"
        ) from error
    if len(raw) > MAX_BYTES:
        raise InputError("too large", where=str(path), expected=f"at most {MAX_BYTES:,} bytes")
    try:
        document = yaml.load(raw.decode("utf-8"), Loader=_StrictLoader)  # noqa: S506 - a SafeLoader
    except UnicodeDecodeError as error:
        raise InputError(
            f"byte {error.start} is not UTF-8", where=str(path), expected="a UTF-8 file"
        ) from error
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise InputError(
            error.problem or "not YAML",
            where=f"{path}, line {line}",
            expected=error.note or "valid YAML",
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError("not YAML", where=str(path), expected="valid YAML") from error
    if not isinstance(document, dict):
        raise InputError("not a mapping", where=str(path), expected="`key: value` lines")
    return document, raw
