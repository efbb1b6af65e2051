"""What the fault matrix is made of: faults, the columns they are tried in, and what came of each.

A cell comes from a run and names what carries it. Nothing here knows how a run is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from components.contract.errors import InputError

STACKS = ("tfx", "pytorch")


class Column(StrEnum):
    """How much of the wiring is ours."""

    STOCK = "stock"
    """The stack as its own quickstart wires it, under ``benchmarks/stock``."""
    NATIVE = "native"
    """Our wiring, the stack's own tools alone: what the referee and the evidence say is unheard."""
    ASSAY = "assay"
    """Referee and evidence on."""


class Outcome(StrEnum):
    """When a fault was caught, the best first."""

    BEFORE_TRAINING = "caught before training"
    """The run ended, or broke down, before a model was trained."""
    BEFORE_RELEASE = "caught before release"
    """A model was trained and never pushed."""
    AT_AUDIT = "caught at audit"
    """Nothing was stopped; whoever looks into what the tools keep is told."""
    KEPT_OUT = "kept out"
    """Nothing was stopped, and what was wrong never came in: a scan of all that was written shows
    it."""
    MISSED = "missed"
    """Nothing was stopped and nothing is told."""
    NOT_EXPRESSIBLE = "cannot be expressed"
    """The stack has no such thing, so nothing could be spoilt: a policy without thresholds, say."""


class Moment(StrEnum):
    """When a fault comes in."""

    DATA = "data"
    """In the rows that a run is given."""
    SETTINGS = "settings"
    """In the contract or the policy that a run is given, or the baseline it names."""
    RUN = "run"
    """While a run is working."""
    AFTER = "after"
    """After a run was released."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        name: its name, as on the command line.
        title: what was done, for people who have never seen either stack.
        harm: what it does to somebody when nobody notices.
        moment: when it comes in.
        stacks: the stacks that have what is spoilt; in the others it cannot be expressed.
    """

    name: str
    title: str
    harm: str
    moment: Moment
    stacks: tuple[str, ...] = STACKS


@dataclass(frozen=True, slots=True)
class Cell:
    """What came of a fault in one stack and column.

    Attributes:
        fault: the fault's name.
        stack: ``tfx`` or ``pytorch``.
        column: how much of the wiring was ours.
        outcome: when it was caught.
        stage: the stage or command that caught it; empty where none did.
        tool: the tool that caught it, with its version; empty where none did.
        message: what the tool says, no value out of the data; where nothing was caught, what the
            stack went on to do.
        seconds: from the start of the run, or of the look at it, until it was caught, or the end.
        evidence: what carries the cell: a run's id and the digest of its record, or a file of the
            matrix' folder and its digest.
        crashed: whether what caught it was a breakdown and no verdict.
    """

    fault: str
    stack: str
    column: Column
    outcome: Outcome
    stage: str
    tool: str
    message: str
    seconds: float
    evidence: str
    crashed: bool = False

    @property
    def key(self) -> tuple[str, str, Column]:
        """What names a cell in a matrix."""
        return self.fault, self.stack, self.column

    def to_json(self) -> dict[str, Any]:
        """The fields."""
        return {
            "fault": self.fault,
            "stack": self.stack,
            "column": str(self.column),
            "outcome": str(self.outcome),
            "stage": self.stage,
            "tool": self.tool,
            "message": self.message,
            "seconds": round(self.seconds, 3),
            "evidence": self.evidence,
            "crashed": self.crashed,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any], where: str) -> Cell:
        """A cell as ``to_json`` wrote it.

        Raises:
            InputError: it is none; names ``where`` it stands.
        """
        try:
            fields = dict(document)
            column, outcome = Column(fields.pop("column")), Outcome(fields.pop("outcome"))
            cell = cls(**fields, column=column, outcome=outcome)
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                "is no cell of a fault matrix", where=where, expected="a file of `assay faults`"
            ) from error
        texts = (cell.fault, cell.stack, cell.stage, cell.tool, cell.message, cell.evidence)
        if not all(isinstance(t, str) for t in texts) or cell.stack not in STACKS:
            raise InputError(
                "is no cell of a fault matrix", where=where, expected="a file of `assay faults`"
            )
        return cell
