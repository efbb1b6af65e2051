"""Faults after a release: each is done to a copy of a home, and both audits are asked of it."""

from __future__ import annotations

import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from components.compare.fault_catalogue import FAULTS
from components.compare.faults import Cell, Column, Moment, Outcome
from components.contract.errors import AssayError
from components.lineage.actor import actor
from components.lineage.durable import writable_directory
from components.lineage.evidence import EvidenceRecord, chain_of
from components.lineage.keys import KeyPair, new_key, public_text
from components.release.records import read_releases
from components.release.waiver_requests import Asked, request_waiver
from components.release.waiver_terms import Waiver
from components.stacks.run_spec import RunSpec
from pipelines.catalogue import find
from pipelines.fault_audit import ask
from pipelines.launch import Order, execute, prepare, prepare_release
from pipelines.spoilt_homes import SPOIL, Spoilt

_PEOPLE = ("ann", "bob")
_EVIDENCE_ALONE = ("record_removed", "waiver_replayed")
"""What neither stack has by itself: nothing there could be spoilt."""


@dataclass(frozen=True, slots=True)
class Aftermath:
    """Faults after a release, in a matrix' folder; ``tell`` is told what is done."""

    folder: Path
    tell: Callable[[str], None]
    columns: tuple[Column, ...] = (Column.NATIVE, Column.ASSAY)

    def cells(self, stack: str, faults: Sequence[str]) -> Iterator[Cell]:
        """The native and the assay cells of faults that come after a release."""
        due = [f for f in FAULTS if f.name in faults and f.moment is Moment.AFTER]
        for fault in due:
            if stack not in fault.stacks:
                for column in self.columns:
                    yield _inexpressible(fault.name, stack, column, "the stack has no such store")
                continue
            if fault.name in _EVIDENCE_ALONE:
                what = "the stack keeps no evidence and no waivers"
                yield _inexpressible(fault.name, stack, Column.NATIVE, what)
            if fault.name not in SPOIL:
                yield self._replayed(fault.name, stack)
                continue
            spoilt = self._copy(fault.name, stack)
            SPOIL[fault.name](spoilt)
            for column in self.columns:
                if column is Column.ASSAY or fault.name not in _EVIDENCE_ALONE:
                    yield self._asked(fault.name, spoilt, column)

    def _watch(self, _: RunSpec, record: EvidenceRecord) -> None:
        self.tell(f"a run to be spoilt: {record.stage} is over")

    def _asked(self, fault: str, spoilt: Spoilt, column: Column) -> Cell:
        told = ask(spoilt.home, spoilt.stack, column)
        outcome = Outcome.AT_AUDIT if told.message else Outcome.MISSED
        message = told.message or "nothing differs"
        where = spoilt.home.relative_to(self.folder)
        return Cell(
            fault, spoilt.stack, column, outcome, "audit" if told.message else "", told.tool,
            message[:500], told.seconds, f"{where}, as it stands: ask it again",
        )  # fmt: skip

    def _replayed(self, fault: str, stack: str) -> Cell:
        """A run whose gate is closed, a waiver of a month ago that was good for a week, a release.

        Who asks is told the gate's answer, so the cell is that of the run that was to release it.
        """
        home = self.folder / "homes" / f"{fault}-{stack}"
        shutil.rmtree(home, ignore_errors=True)
        keys = writable_directory(self.folder / "keys" / stack)
        signer, cosigner = (new_key(keys, f"{name}-{secrets.token_hex(4)}") for name in _PEOPLE)
        policy = self._waivable(stack, signer, cosigner)
        order = Order(stack, "mitigated", policy)
        (blocked,) = prepare(find("schemas", "rand_hie"), [order], home, None)
        execute([blocked], self._watch)
        then = datetime.now(UTC) - timedelta(days=30)
        last = f"{then + timedelta(days=7):%Y-%m-%d}"
        asked = Asked(
            "release_gate",
            "a trial of a week",
            last,
            signer.private,
            cosigner.private,
            actor(),
            then,
        )
        answer = request_waiver(blocked.directory, asked)
        if not isinstance(answer.result, Waiver):
            raise AssayError(f"the waiver was not granted in the first place: {answer.result}")
        began = time.perf_counter()
        released = prepare_release(blocked.directory, "the waiver of last month")
        execute([released], self._watch)
        seconds = time.perf_counter() - began
        records = chain_of(released.directory).records()
        gate, last_record = records[0], records[-1]
        stopped = last_record.body["outcome"] == "blocked"
        return Cell(
            fault, stack, Column.ASSAY,
            Outcome.BEFORE_RELEASE if stopped else Outcome.MISSED,
            gate.stage if stopped else "", "assay release" if stopped else "",
            str(last_record.body["reason"])[:500], seconds,
            f"{released.directory.relative_to(self.folder)}, record {gate.stage}, "
            f"sha256 {gate.digest}",
        )  # fmt: skip

    def _waivable(self, stack: str, signer: KeyPair, cosigner: KeyPair) -> Path:
        """The pilot's policy with a calibration that no model reaches, and two people's keys."""
        document = yaml.safe_load(find("policies", "rand_hie_pilot").read_bytes())
        for limit in document["release_gate"]["limits"]:
            if limit["id"] == "calibration":
                limit["at_most"] = 0.0001
        document["waivers"] = {
            "max_days": 30,
            "signers": {_PEOPLE[0]: public_text(signer.raw)},
            "cosigners": {_PEOPLE[1]: public_text(cosigner.raw)},
        }
        path = writable_directory(self.folder / "policies") / f"waivable-{stack}.yaml"
        path.write_text(yaml.safe_dump(document, sort_keys=False), "utf-8")
        return path

    def _copy(self, fault: str, stack: str) -> Spoilt:
        base = self._base(stack)
        home = self.folder / "homes" / f"{fault}-{stack}"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(base, home, symlinks=True)
        release = read_releases(home, "rand_hie", stack)[-1]
        return Spoilt(home, home / "runs" / release.run, stack)

    def _base(self, stack: str) -> Path:
        """A home with one released run, made once."""
        home = self.folder / "homes" / f"released-{stack}"
        if not any((home / "releases").rglob("*.json")):
            shutil.rmtree(home, ignore_errors=True)
            order = Order(stack, "mitigated", find("policies", "rand_hie_pilot"))
            specs = prepare(find("schemas", "rand_hie"), [order], home, None)
            execute(specs, self._watch)
            if not any((home / "releases").rglob("*.json")):
                raise AssayError("the run without a fault was not released, so nothing is compared")
            for column in self.columns:
                if message := ask(home, stack, column).message:
                    raise AssayError(f"a home without a fault fails its audit: {message}")
        return home


def _inexpressible(fault: str, stack: str, column: Column, why: str) -> Cell:
    return Cell(fault, stack, column, Outcome.NOT_EXPRESSIBLE, "", "", why, 0.0, "nothing was run")
