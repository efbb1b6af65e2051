"""Whether the schema of an MLflow store is the installed MLflow's."""

from __future__ import annotations

import re
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.contract.errors import EvidenceError, InputError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Select

_REVISION = re.compile(r'^revision\b.*?=\s*"(\w+)"', re.MULTILINE)
_BEFORE = re.compile(r"^down_revision\b.*?=(.*)$", re.MULTILINE)


def require_schema(connection: Connection, shown: str) -> None:
    """See that a store is of the installed MLflow.

    Args:
        connection: to the store's database.
        shown: the store's URI, as it may be shown.

    Raises:
        InputError: it is of an older or newer MLflow, or none.
    """
    from sqlalchemy import column, inspect, select, table

    if not inspect(connection).has_table("alembic_version"):
        raise InputError("is no MLflow store", where=shown, expected="one that MLflow has made")
    version: Select[Any] = select(column("version_num")).select_from(table("alembic_version"))
    held = connection.execute(version).scalar()
    known, latest = schema_revisions()
    if held == latest:
        return
    if held in known:
        what, expected = "is of an older MLflow", f"revision {latest}: `mlflow db upgrade <URI>`"
    else:
        what, expected = "is of a newer MLflow", f"revision {latest}, or a newer MLflow here"
    raise InputError(f"{what} (schema {held})", where=shown, expected=expected)


@cache
def schema_revisions() -> tuple[frozenset[str], str]:
    """Every revision of the schema that the installed MLflow knows, and the latest.

    They are read out of its migrations, of which each names the one before; none of them is run.

    Raises:
        InputError: MLflow is not installed.
        EvidenceError: the revisions do not lead to one end.
    """
    found = find_spec("mlflow")
    if found is None or not found.submodule_search_locations:
        raise InputError(
            "extra pytorch is not installed",
            where="this Python environment",
            expected="`make setup EXTRAS=pytorch` (or EXTRAS=all)",
        )
    folder = Path(found.submodule_search_locations[0]) / "store" / "db_migrations" / "versions"
    known, before = set[str](), set[str]()
    for path in folder.glob("*.py"):
        text = path.read_text("utf-8")
        known.update(_REVISION.findall(text))
        for line in _BEFORE.findall(text):
            before.update(re.findall(r'"(\w+)"', line))
    latest = known - before
    if len(latest) != 1:
        raise EvidenceError("the revisions of MLflow's schema do not lead to one end")
    return frozenset(known), latest.pop()
