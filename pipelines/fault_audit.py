"""What an audit of a home finds, with the stack's own store alone, or with the evidence as well."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from components.audit.mutation_check import check_stack
from components.checks.measurement import Status
from components.compare.faults import Column
from components.compare.native_audit import native_audit
from components.contract.errors import EvidenceError, InputError
from pipelines.lineage_stores import native_store

_STORES = {"tfx": "MLMD", "pytorch": "MLflow"}


@dataclass(frozen=True, slots=True)
class Told:
    """What an audit says: the tool, its message (empty where it finds nothing), its seconds."""

    tool: str
    message: str
    seconds: float


def ask(home: Path, stack: str, column: Column) -> Told:
    """Audit a home with what a column has.

    Args:
        home: the home.
        stack: the stack whose store is asked.
        column: ``native`` looks at the store and the files, ``assay`` at the signed evidence too.
    """
    began = time.perf_counter()
    if column is Column.NATIVE:
        tool, found = f"{_STORES[stack]} and the files", _native(home, stack)
    else:
        tool, found = "assay audit mutations", _signed(home, stack)
    more = f"; and {len(found) - 1} more" if len(found) > 1 else ""
    message = found[0] + more if found else ""
    return Told(tool if found else "", message, time.perf_counter() - began)


def _native(home: Path, stack: str) -> list[str]:
    try:
        reading = native_store(stack, home).read(None)
    except (EvidenceError, InputError) as error:
        return [str(error).replace(str(home), "…")]
    return native_audit(reading, home)


def _signed(home: Path, stack: str) -> list[str]:
    check = check_stack(home, stack, native_store(stack, home))
    return [
        f"{d.kind}: {d.to_json()['where']}" for d in check.differences if d.status is Status.FAIL
    ]
