"""One run's chain, checked to the last signature, and what of it goes into a lineage graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from hashlib import sha256
from multiprocessing import get_context
from os import sched_getaffinity
from pathlib import Path
from typing import Any

from components.contract.clauses import ClauseKind
from components.contract.errors import EvidenceError
from components.contract.stages import Stage
from components.lineage.evidence import CLOSING_STAGE, EvidenceRecord, read_chain
from components.lineage.regular_file import read_regular
from components.release.run_evidence import findings_by_rule

Keys = Mapping[str, bytes]

_ALL_ROWS = f"{ClauseKind.ROW_COUNT}:least"
"""The referee's rule whose figure is the number of all rows of the data."""

_FEW = 64
"""So many runs are read sooner than other processes start."""


@dataclass(frozen=True, slots=True)
class StageFacts:
    """One stage's record without what no graph holds. ``record`` is its digest.

    ``outputs`` are name, file, kind (``file`` or ``directory``) and SHA-256. ``findings`` has each
    rule's status, the worse one where both sides judged. ``figures`` are the gate's, by
    ``<name>@<slice>``: the native tools' own, so that a native store can be held against them, and
    the referee's where the native tools gave none.
    """

    stage: str
    record: str
    status: str
    reason: str
    started: str
    finished: str
    tools: str
    facts: Mapping[str, str]
    outputs: tuple[tuple[str, str, str, str], ...]
    findings: Mapping[str, str]
    figures: Mapping[str, str]
    waiver: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class RunFacts:
    """A run as its chain tells it. ``outcome`` is ``unfinished`` where no record closes it.

    ``head`` is the digest of the last record. ``rows`` are all rows of the data as the referee
    counted them at the data gate, None where it did not. ``files`` counts what was read.
    """

    run: str
    stack: str
    candidate: str
    actor: str
    outcome: str
    reason: str
    finished: str
    head: str
    inputs: Mapping[str, str]
    stages: tuple[StageFacts, ...]
    rows: int | None
    files: int

    def stage(self, stage: str) -> StageFacts | None:
        """A stage's facts, None where it has no record."""
        return next((s for s in self.stages if s.stage == stage), None)

    @property
    def continued(self) -> tuple[str, str] | None:
        """Name and head of the run that trained the model, where it is another one."""
        gate = self.stage(Stage.RELEASE_GATE)
        named = gate.facts.get("continues") if gate else None
        return (named, gate.facts.get("head", "")) if gate and named else None


def read_runs(directories: Sequence[Path], trusted: Keys) -> list[RunFacts]:
    """Read many runs, on all processors where there are many; runs without a record are left out.

    Raises:
        EvidenceError: a chain is broken; names the run and the file.
    """
    if len(directories) <= _FEW:
        found = [read_run(d, trusted) for d in directories]
    else:
        # Spawned and not forked: a framework in this process may hold threads and locks.
        with ProcessPoolExecutor(len(sched_getaffinity(0)), get_context("spawn")) as pool:
            found = list(
                pool.map(read_run, directories, [trusted] * len(directories), chunksize=16)
            )
    return [run for run in found if run is not None]


def read_run(directory: Path, trusted: Keys) -> RunFacts | None:
    """Read one run; None where it has no record yet.

    Args:
        directory: the run's, ``<home>/runs/<run id>``.
        trusted: raw public key of each name whose signature counts.

    Raises:
        EvidenceError: the chain is broken, or the run's contract or policy is not the one that its
            records are bound to; names the run and the file.
    """
    paths = sorted((directory / "evidence").glob("[0-9]*-*.json"))
    try:
        named = [(p.name, read_regular(p)) for p in paths]
        records = read_chain(named, directory.name, trusted)
        if not records:
            return None
        for name in ("contract", "policy"):
            if (
                sha256(read_regular(directory / f"{name}.yaml")).hexdigest()
                != records[0].body["inputs"][name]
            ):
                raise EvidenceError(f"{name}.yaml is not the one that the run was bound to")
        return _facts(directory.name, records, len(paths) + 2)
    except OSError as error:
        name = Path(error.filename).name
        raise EvidenceError(
            f"run {directory.name}: {name} cannot be read ({error.strerror})"
        ) from error
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise EvidenceError(f"run {directory.name}: a record lacks fields of its schema") from error
    except EvidenceError as error:
        raise type(error)(f"run {directory.name}: {error}") from error


def _facts(run: str, records: list[EvidenceRecord], files: int) -> RunFacts:
    first, last = records[0].body, records[-1]
    closing = last.body if last.stage == CLOSING_STAGE else {}
    for record in records:
        if record.body["inputs"] != first["inputs"] or record.body["stack"] != first["stack"]:
            raise EvidenceError(f"the record of {record.stage} is bound to something else")
    return RunFacts(
        run=run,
        stack=first["stack"],
        candidate=first["candidate"],
        actor=first["actor"],
        outcome=closing.get("outcome", "unfinished"),
        reason=closing.get("reason", ""),
        finished=closing.get("finished", ""),
        head=last.digest,
        inputs=first["inputs"],
        stages=tuple(_stage(r) for r in records if r.stage != CLOSING_STAGE),
        rows=_rows(records),
        files=files,
    )


def _rows(records: Sequence[EvidenceRecord]) -> int | None:
    gate = next((r.body for r in records if r.stage == Stage.DATA_GATE), None)
    judged = gate["referee"]["findings"] if gate and gate["referee"] else []
    found = next((f["measurement"] for f in judged if f["rule"] == _ALL_ROWS), None)
    # A number that would tell of a few people is not in the record.
    return int(found["n"]) if found and found["n"] is not None else None


def _stage(record: EvidenceRecord) -> StageFacts:
    body = record.body
    return StageFacts(
        stage=record.stage,
        record=record.digest,
        status=body["verdict"]["status"],
        reason=body["verdict"]["reason"],
        started=body["started"],
        finished=body["finished"],
        tools=", ".join(f"{name} {version}" for name, version in sorted(body["tools"].items())),
        facts={k: str(v) for k, v in body["facts"].items() if v is not None},
        outputs=tuple(
            (name, o["name"], o["kind"], o["sha256"]) for name, o in body["outputs"].items()
        ),
        findings=findings_by_rule(body),
        figures=_figures(body) if body["isGate"] else {},
        waiver={
            k: v
            for k, v in (body.get("waiver") or {}).items()
            if k in ("sha256", "reason", "expires", "signer", "cosigner")
        },
    )


def _figures(body: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for measured in (*body["nativeMeasurements"], *body["measurements"]):
        if measured["value"] is not None:
            found.setdefault(f"{measured['name']}@{measured['slice']}", measured["value"])
    return found
