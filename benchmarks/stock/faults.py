"""The stock column: each fault put to a stack as its quickstart wires it, and what came of it.

Every run works in ``stock/<stack>/now``, for stores keep whole paths. The state after the run on
good rows is kept beside it; each fault begins with a copy, and its home is then named after it.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.stock.runs import (
    DATA,
    ROWS,
    WORK,
    Run,
    Said,
    Settings,
    contract,
    policy,
    settings,
)
from benchmarks.stock.spoiling import spoil
from components.compare.canary import files_with
from components.compare.data_faults import IDENTITY, SQL, write_rows
from components.compare.fault_catalogue import FAULTS
from components.compare.faults import Cell, Column, Fault, Moment, Outcome
from components.contract.errors import AssayError
from components.datasets.sources import open_source
from components.lineage.digests import canonical_json, sha256_file

GOOD = "as_it_is"
_NO_SUCH_THING = {
    "record_removed": "the stack keeps no evidence beside its store",
    "waiver_replayed": "the stack has no waivers",
}


@dataclass(frozen=True, slots=True)
class Stock:
    """One stack's column in a matrix' folder.

    Attributes:
        stack: ``tfx`` or ``pytorch``.
        folder: the matrix' folder.
    """

    stack: str
    folder: Path

    @property
    def _homes(self) -> Path:
        return self.folder / "stock" / self.stack

    @property
    def _now(self) -> Path:
        return self._homes / "now"

    def cells(self, names: Sequence[str]) -> Iterator[Cell]:
        """The cells of faults, each as soon as it is known, in the catalogue's order."""
        for fault in (f for f in FAULTS if f.name in names):
            if self.stack not in fault.stacks or fault.name in _NO_SUCH_THING:
                why = _NO_SUCH_THING.get(fault.name, "the stack has no such store")
                yield self._cell(fault, Outcome.NOT_EXPRESSIBLE, _nothing(why), 0.0)
                continue
            said_of_good = self._good()
            self._begin(self._homes / GOOD)
            if fault.moment is Moment.AFTER:
                cell = self._after(fault)
            else:
                cell = self._run(fault, said_of_good)
            yield cell

    def _good(self) -> frozenset[str]:
        """What the tools say of rows without a fault; the first run is made where it is missing.

        An alarm that rings of those as well tells nobody of a fault.
        """
        kept = self._homes / GOOD
        if not (kept / "said.json").exists():
            shutil.rmtree(self._now, ignore_errors=True)
            self._rows(GOOD)
            (self._now / WORK).mkdir()
            found, _ = self._make(settings())
            if found.released is None:
                why = found.stopped.message if found.stopped else "nothing"
                raise AssayError(f"the stock {self.stack} run on good rows ended with: {why}")
            if told := self._look(self._now):
                raise AssayError(f"a look at a state without a fault tells: {told[0].message}")
            said = sorted(s.message for s in found.said)
            (self._now / "said.json").write_bytes(canonical_json({"said": said}))
            shutil.rmtree(kept, ignore_errors=True)
            self._now.rename(kept)
        return frozenset(json.loads((kept / "said.json").read_bytes())["said"])

    def _run(self, fault: Fault, said_of_good: frozenset[str]) -> Cell:
        """A second run, on rows or with settings that are spoilt."""
        self._rows(fault.name if fault.name in SQL else GOOD)
        found, seconds = self._make(_spoilt(fault.name))
        if found.stopped is not None:
            outcome = Outcome.BEFORE_RELEASE if found.trained else Outcome.BEFORE_TRAINING
            return self._cell(fault, outcome, found.stopped, seconds, crashed=found.crashed)
        if found.released is None:
            raise AssayError(f"the stock {self.stack} run neither stopped nor released")
        new = [s for s in found.said if s.message not in said_of_good]
        if fault.name == "phi_in_text":
            return self._identities(fault, found.released, new, seconds)
        if new:
            return self._cell(fault, Outcome.AT_AUDIT, _joined(new), seconds)
        return self._cell(fault, Outcome.MISSED, found.released, seconds)

    def _identities(self, fault: Fault, end: Said, new: Sequence[Said], seconds: float) -> Cell:
        """Whether what a run wrote holds identities; what a tool said of the column stands by."""
        found, searched = files_with(self._now / WORK, IDENTITY.encode())
        message = f"identities in {len(found)} of {searched} files that the runs wrote"
        if new:
            message += f"; {_joined(new).message}"
        file = self._now / WORK / found[0] if found else end.file
        outcome = Outcome.MISSED if found else Outcome.KEPT_OUT
        return self._cell(fault, outcome, Said("", "", message, file), seconds)

    def _after(self, fault: Fault) -> Cell:
        """Something is done to the released state, and somebody looks."""
        spoil(fault.name, self.stack, self._now)
        began = time.perf_counter()
        said = self._look(self._now)
        seconds = time.perf_counter() - began
        answers = self._now / "look.json"
        told = [{"stage": s.stage, "tool": s.tool, "message": s.message} for s in said]
        answers.write_bytes(canonical_json({"said": told}))
        if said:
            heard = dataclasses.replace(_joined(said), file=answers)
            return self._cell(fault, Outcome.AT_AUDIT, heard, seconds)
        nothing = Said("", "", "nothing differs", answers)
        return self._cell(fault, Outcome.MISSED, nothing, seconds)

    def _make(self, given: Settings) -> tuple[Run, float]:
        """A run in ``now``, and its seconds; a breakdown leaves no more than its name."""
        found, began = Run(), time.perf_counter()
        try:
            self._module("quickstart").run(self._now, given, found)
        except Exception as error:  # noqa: BLE001 - whatever a fault breaks is what is measured
            kind = type(error).__name__
            print(f"{self.stack}: broke down with {kind}", file=sys.stderr)
            stage, tool = found.at
            file = found.database or self._now / DATA / ROWS
            found.crashed = True
            found.stopped = Said(stage, tool, f"broke down with {kind}", file)
        return found, time.perf_counter() - began

    def _look(self, home: Path) -> list[Said]:
        said: list[Said] = self._module("look").look(home)
        return said

    def _module(self, name: str) -> Any:
        """The stack's part; its frameworks load with it."""
        return importlib.import_module(f"benchmarks.stock.{self.stack}_{name}")

    def _begin(self, state: Path) -> None:
        shutil.rmtree(self._now, ignore_errors=True)
        shutil.copytree(state, self._now)

    def _rows(self, name: str) -> None:
        """Put a matrix' rows where a run reads them; they are made where they are missing."""
        path = self.folder / DATA / f"{name}.csv"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            write_rows(open_source(contract()), name, policy(), path)
        (self._now / DATA).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, self._now / DATA / ROWS)

    def _cell(
        self, fault: Fault, outcome: Outcome, told: Said, seconds: float, *, crashed: bool = False
    ) -> Cell:
        """The cell; the home is then named after the fault, and the evidence stands in it."""
        evidence = "nothing was run"
        if outcome is not Outcome.NOT_EXPRESSIBLE:
            home = self._homes / fault.name
            shutil.rmtree(home, ignore_errors=True)
            self._now.rename(home)
            file = home / told.file.relative_to(self._now)
            evidence = f"{file.relative_to(self.folder)}, sha256 {sha256_file(file)}"
        heard = outcome not in (Outcome.MISSED, Outcome.KEPT_OUT)
        stage, tool = (told.stage, told.tool) if heard else ("", "")
        return Cell(
            fault.name, self.stack, Column.STOCK, outcome, stage, tool, told.message[:500],
            seconds, evidence, crashed,
        )  # fmt: skip


def _spoilt(fault: str) -> Settings:
    """How a quickstart is called with a fault."""
    changes: Mapping[str, dict[str, Any]] = {
        "stale_baseline": {"baseline": policy().data_gate.current_spans},
        "threshold_removed": {"thresholds": False},
        "nan_metric": {"learning_rate": 1e30},
        "serving_skew": {"skew": True},
    }
    return dataclasses.replace(settings(), **changes.get(fault, {}))


def _joined(said: Sequence[Said]) -> Said:
    """One sentence of all that was said: the first, and how much more there is."""
    more = f"; and {len(said) - 1} more" if len(said) > 1 else ""
    stages = ", ".join(dict.fromkeys(s.stage for s in said))
    tools = ", ".join(dict.fromkeys(s.tool for s in said))
    return Said(stages, tools, said[0].message + more, said[0].file)


def _nothing(why: str) -> Said:
    return Said("", "", why, Path())
