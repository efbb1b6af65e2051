"""The rows of MLMD that tie artifacts, executions and contexts to a context, read by SQL.

MLMD's own interface tells of them row by row, or context by context. What is held of a thousand
runs must not take more statements than what is held of one, so they are asked of the database.
"""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import closing
from functools import cached_property
from pathlib import Path
from typing import Any

from components.contract.errors import EvidenceError
from components.stacks.store_uris import mlmd_uri, without_password
from components.stacks.tfx_stack.mlmd_postgresql import opened
from components.stacks.tfx_stack.mlmd_store import PATIENCE_SECONDS, connection, locked

_CONTEXTS = "SELECT c.id, t.name, c.name FROM Context c LEFT JOIN Type t ON t.id = c.type_id"
_LINKS = """
SELECT 'association', context_id, execution_id, 1 FROM Association
UNION ALL SELECT 'parent', context_id, parent_context_id, 1 FROM ParentContext
UNION ALL SELECT 'attribution', a.context_id, a.artifact_id, CASE WHEN EXISTS (
  SELECT 1 FROM Event e JOIN Association n ON n.execution_id = e.execution_id
  WHERE e.artifact_id = a.artifact_id AND n.context_id = a.context_id
) THEN 1 ELSE 0 END FROM Attribution a
"""
"""Kind, context, what is tied to it, and whether an execution of that context accounts for it.

An execution accounts for the attribution of what it read or wrote; TFX makes no other."""

_KINDS = ("association", "attribution", "parent")
_Tied = dict[int, set[int]]


class Links:
    """The links of a store, read when they are first asked for, in two statements.

    In MySQL none are read: MLMD brings no way to ask it by SQL, and no driver is installed.
    """

    def __init__(self, home: Path) -> None:
        # The settings as they are now: the store may be another one by the time of the reading.
        self._config = connection(home, read_only=True)
        self._shown = without_password(mlmd_uri(home))

    def of_run(
        self, context: int | None, artifacts: Collection[int], executions: Collection[int]
    ) -> dict[str, str]:
        """The links of a run, each path ``<kind>/<context>/<id>``, with the context's name.

        Contexts of nodes and of pipelines are shared by runs. A later run may read what this one
        left, and TFX then attributes it to contexts of that run's own: such a link is not of this
        run. One to a context that this run has, or that no execution accounts for, is.

        Args:
            context: id of the run's context, None where there is none.
            artifacts: ids of what the run left.
            executions: ids of what it ran.
        """
        contexts, found = set() if context is None else {context}, set[tuple[str, int, int]]()
        for execution in executions:
            its = self._to["association"].get(execution, set())
            contexts |= its
            found |= {("association", c, execution) for c in its}
        for artifact in artifacts:
            its = self._to["attribution"].get(artifact, set())
            its = {c for c in its if c in contexts or (c, artifact) in self._unaccounted}
            found |= {("attribution", c, artifact) for c in its}
        for c in contexts:
            found |= {("parent", c, p) for p in self._of["parent"].get(c, ())}
        if context is not None:
            found |= {("parent", c, context) for c in self._to["parent"].get(context, ())}
            for kind in ("association", "attribution"):
                found |= {(kind, context, i) for i in self._of[kind].get(context, ())}
        names = self._names
        return {f"{kind}/{c}/{i}": names.get(c, "no context") for kind, c, i in found}

    @cached_property
    def _names(self) -> dict[int, str]:
        return {number: f"{kind} {name}" for number, kind, name in self._read[0]}

    @cached_property
    def _of(self) -> dict[str, _Tied]:
        """By kind and context, what is tied to it."""
        return _grouped((kind, c, i) for kind, c, i, _ in self._read[1])

    @cached_property
    def _to(self) -> dict[str, _Tied]:
        """By kind and what is tied, to which contexts."""
        return _grouped((kind, i, c) for kind, c, i, _ in self._read[1])

    @cached_property
    def _unaccounted(self) -> set[tuple[int, int]]:
        return {(c, i) for _, c, i, accounted in self._read[1] if not accounted}

    @cached_property
    def _read(self) -> tuple[list[Any], list[Any]]:
        if self._config.HasField("mysql"):
            return [], []
        read = _from_sqlite if self._config.HasField("sqlite") else _from_postgresql
        names, links = read(self._config, self._shown)
        return names, links


def _grouped(triples: Iterator[tuple[str, int, int]]) -> dict[str, _Tied]:
    found: dict[str, _Tied] = {kind: defaultdict(set) for kind in _KINDS}
    for kind, key, value in triples:
        found[kind][key].add(value)
    return found


def _from_sqlite(config: Any, shown: str) -> list[list[Any]]:
    path = Path(config.sqlite.filename_uri)
    try:
        with closing(
            sqlite3.connect(path.as_uri() + "?mode=ro", uri=True, timeout=PATIENCE_SECONDS)
        ) as database:
            # Somebody may have left what is no UTF-8.
            database.text_factory = lambda raw: raw.decode("utf-8", "backslashreplace")
            return [database.execute(s).fetchall() for s in (_CONTEXTS, _LINKS)]
    except sqlite3.DatabaseError as error:
        if "locked" in str(error):
            raise locked(shown) from error
        raise EvidenceError(f"the MLMD store {shown} cannot be used") from error


def _from_postgresql(config: Any, shown: str) -> list[list[Any]]:
    import psycopg2  # type: ignore[import-untyped]

    found = []
    try:
        with closing(opened(config.postgresql)) as database, database.cursor() as cursor:
            for statement in (_CONTEXTS, _LINKS):
                cursor.execute(statement)
                found.append(cursor.fetchall())
    except psycopg2.Error as error:
        raise EvidenceError(f"the MLMD store {shown} cannot be used") from error
    return found
