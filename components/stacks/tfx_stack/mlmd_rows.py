"""The rows of an MLMD store, in a fixed number of calls, and everything they hold of each run."""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from google.protobuf import json_format
from ml_metadata.metadata_store import ListOptions
from ml_metadata.proto import metadata_store_pb2 as pb

from components.contract.errors import InputError
from components.lineage.digests import decimal
from components.stacks.tfx_stack import mlmd_names as names
from components.stacks.tfx_stack.mlmd_links import Links
from components.stacks.tfx_stack.mlmd_store import CountedStore

_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_FEW_RUNS = 4
"""So many runs are asked for by name; of more the whole store is read, and the rest left out."""

_LONGEST_VALUE = 2000
_EVENT_TYPES = {number: name for name, number in pb.Event.Type.items()}


Properties = Mapping[str, str]
"""Custom properties of a row, as text."""


@dataclass(frozen=True, slots=True)
class Rows:
    """What an MLMD store holds of the runs of the release process.

    Rows of other pipelines in the same database are left out: a run is a context that carries our
    properties, and its rows are those that name it. ``types`` are names by id; every other mapping
    is by run id, its rows in id order.
    """

    types: Mapping[int, str]
    contexts: Mapping[str, Any]
    artifacts: Mapping[str, list[Any]]
    executions: Mapping[str, list[Any]]
    events: Mapping[int, list[Any]]
    """Events of each execution, by its id."""

    calls: int

    @property
    def runs(self) -> list[str]:
        """Every run that anything is held of."""
        return sorted({*self.contexts, *self.artifacts, *self.executions})

    def of(self, runs: Collection[str]) -> Rows:
        """What they hold of some runs only."""
        return replace(
            self,
            contexts={k: v for k, v in self.contexts.items() if k in runs},
            artifacts={k: v for k, v in self.artifacts.items() if k in runs},
            executions={k: v for k, v in self.executions.items() if k in runs},
        )


def read_rows(home: Path, runs: Collection[str] | None = None) -> Rows:
    """Read the store of a home: everything, or what it holds of some runs.

    Raises:
        InputError: the store cannot be used, or a run's id is none.
        EvidenceError: the store is broken.
    """
    for run in runs or ():
        if not _RUN_ID.fullmatch(run):
            raise InputError(f"no run {run!r}", where=str(home), expected="a run's id")
    store = CountedStore(home)
    wanted = None if runs is None else set(runs)
    kinds = [*store.get_artifact_types(), *store.get_execution_types(), *store.get_context_types()]
    types = {t.id: plain(t.name) for t in kinds}
    artifacts = _by_run(store.get_artifacts(_naming(wanted)), wanted)
    executions = _by_run(store.get_executions(_naming(wanted)), wanted)
    contexts = {
        plain(c.name): c
        for c in store.get_contexts_by_type(names.RUN_CONTEXT)
        if (wanted is None or plain(c.name) in wanted)
        and any(plain(k).startswith(names.PREFIX) for k in c.custom_properties)
    }
    events: dict[int, list[Any]] = defaultdict(list)
    ids = [e.id for rows in executions.values() for e in rows]
    for event in store.get_events_by_execution_ids(ids) if ids else []:
        events[event.execution_id].append(event)
    return Rows(types, contexts, artifacts, executions, events, store.calls)


def _naming(wanted: set[str] | None) -> Any:
    """Only rows that name one of some runs."""
    if not wanted or len(wanted) > _FEW_RUNS:
        return None
    listed = ", ".join(f"'{run}'" for run in sorted(wanted))
    field = f"custom_properties.{names.RUN}.string_value"
    return ListOptions(filter_query=f"{field} IN ({listed})")


def _by_run(rows: list[Any], wanted: set[str] | None) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = defaultdict(list)
    for row in sorted(rows, key=lambda r: r.id):
        # To ask a map of messages for a key that it lacks would add it.
        if names.RUN in row.custom_properties:
            run = plain(row.custom_properties[names.RUN].string_value)
            if wanted is None or run in wanted:
                found[run].append(row)
    return dict(found)


class RunEntries(Mapping[str, Mapping[str, str]]):
    """The entries of each run, by its id; put together when they are asked for.

    A path is ``context/<id>``, ``execution/<id>`` or ``artifact/<id>`` and ``type``, ``name``,
    ``uri``, ``state``, ``created``, ``property/<name>`` or ``custom_property/<name>``; or
    ``event/<execution>/<artifact>/<type>`` and ``path`` or ``time``. Of a text of more than 2,000
    characters the entry is its digest. MLMD's own time of the last update is none of them: it
    moves though nothing changed. Then there are the ``links``, which are asked for with the first
    entries, and not by those who want the lineage alone: ``calls`` does not count them.
    """

    def __init__(self, rows: Rows, links: Links) -> None:
        self._rows, self._links = rows, links
        self._runs = set(rows.runs)

    def __getitem__(self, run: str) -> Mapping[str, str]:
        if run not in self._runs:
            raise KeyError(run)
        rows, found = self._rows, dict[str, str]()
        if run in rows.contexts:
            found |= _row("context", rows.contexts[run], rows.types)
        for artifact in rows.artifacts.get(run, ()):
            found |= _row("artifact", artifact, rows.types)
        for execution in rows.executions.get(run, ()):
            found |= _row("execution", execution, rows.types)
            for event in rows.events.get(execution.id, ()):
                found |= _event(event)
        context = rows.contexts.get(run)
        artifacts, executions = rows.artifacts.get(run, ()), rows.executions.get(run, ())
        return found | self._links.of_run(
            None if context is None else context.id,
            [a.id for a in artifacts],
            [e.id for e in executions],
        )

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._runs))

    def __len__(self) -> int:
        return len(self._runs)


def plain(held: str | bytes) -> str:
    """A text as MLMD holds it. It gives bytes where somebody left what is no UTF-8."""
    return held.decode("utf-8", "backslashreplace") if isinstance(held, bytes) else held


def type_name(types: Mapping[int, str], number: int) -> str:
    """The name of a row's type, which somebody may have made one that is not there."""
    return types.get(number, f"unknown {number}")


def text_of(value: Any) -> str:
    """A property's value as text; empty where it has none."""
    kind = value.WhichOneof("value")
    if kind is None:
        return ""
    held = getattr(value, kind)
    match kind:
        case "string_value":
            return plain(held)
        case "double_value":
            return str(decimal(held))
        case "struct_value" | "proto_value":
            # The order in which a message keeps its fields is not the same twice.
            return str(json_format.MessageToJson(held, indent=None, sort_keys=True))
        case _:
            return str(held)


def properties_of(row: Any) -> Properties:
    """The custom properties of a row, as text."""
    return {plain(k): text_of(v) for k, v in row.custom_properties.items()}


def _row(kind: str, row: Any, types: Mapping[int, str]) -> dict[str, str]:
    path = f"{kind}/{row.id}"
    found = {
        f"{path}/type": type_name(types, row.type_id),
        f"{path}/created": str(row.create_time_since_epoch),
    }
    for name in ("name", "uri"):
        if value := getattr(row, name, ""):
            found[f"{path}/{name}"] = plain(value)
    for name, states in (("state", pb.Artifact.State), ("last_known_state", pb.Execution.State)):
        if hasattr(row, name):
            found[f"{path}/state"] = states.Name(getattr(row, name))
    for held, word in ((row.properties, "property"), (row.custom_properties, "custom_property")):
        for name, value in held.items():
            found[f"{path}/{word}/{plain(name)}"] = _shortened(text_of(value))
    return found


def _shortened(text: str) -> str:
    if len(text) <= _LONGEST_VALUE:
        return text
    return f"{len(text)} characters with SHA-256 {hashlib.sha256(text.encode()).hexdigest()}"


def _event(event: Any) -> dict[str, str]:
    path = f"event/{event.execution_id}/{event.artifact_id}/{_EVENT_TYPES[event.type]}"
    steps = (
        plain(s.key) if s.WhichOneof("value") == "key" else str(s.index) for s in event.path.steps
    )
    return {f"{path}/path": "/".join(steps), f"{path}/time": str(event.milliseconds_since_epoch)}
