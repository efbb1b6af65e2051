"""What a stock run is given, and what its tools said of it; the same of both stacks.

A run works in a folder of its own: ``data/`` is what it is given, ``work/`` all that it writes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib import metadata
from pathlib import Path

import pandas as pd

from components.contract.contract import Contract, Role
from components.contract.contract_loader import load_contract
from components.contract.json_schema import ROOT
from components.contract.policy import Policy
from components.contract.policy_loader import load_policy
from components.datasets.canonical import split_of

DATA, WORK, ROWS = "data", "work", "rows.csv"
LABEL, PERSON, YEAR = "admitted_next_year", "zper", "year"
SHIFT = 0.05
"""How far a served feature is off under ``serving_skew``, in standard deviations."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a fault may change in how a quickstart is called.

    Attributes:
        learning_rate: of the optimiser.
        baseline: the years that current rows are compared with.
        thresholds: whether the evaluation has any.
        skew: whether the exported model prepares its inputs in another way than training did.
    """

    learning_rate: float
    baseline: tuple[str, ...]
    thresholds: bool = True
    skew: bool = False


@dataclass(frozen=True, slots=True)
class Said:
    """What a tool said, no value of the data in it, and the file that holds it."""

    stage: str
    tool: str
    message: str
    file: Path


@dataclass(slots=True)
class Run:
    """What came of a run, filled in as it goes on.

    Attributes:
        said: what tools reported without stopping anything.
        stopped: what ended the run, where something did.
        crashed: whether that was a breakdown.
        trained: whether a model was trained.
        released: what the run came to where nothing stopped it, and the file that shows it.
        at: stage and tool that are at work, for a breakdown to name.
        database: the store that knows of the run, once it is there.
    """

    said: list[Said] = field(default_factory=list)
    stopped: Said | None = None
    crashed: bool = False
    trained: bool = False
    released: Said | None = None
    at: tuple[str, str] = ("read the rows", "")
    database: Path | None = None


@cache
def contract() -> Contract:
    """The contract of the RAND Health Insurance Experiment."""
    return load_contract(ROOT / "schemas" / "rand_hie.yaml")


@cache
def policy() -> Policy:
    """The pilot's policy: rows, network, budget and limits are those of the other columns."""
    return load_policy(ROOT / "policies" / "rand_hie_pilot.yaml", contract())


def settings() -> Settings:
    """The settings of a run without a fault."""
    return Settings(policy().training.learning_rate, policy().data_gate.baseline_spans)


def features() -> list[str]:
    """The columns that the contract calls features, in its order."""
    return [c.name for c in contract().columns if c.role is Role.FEATURE]


def categories() -> list[str]:
    """Those of them that are numbers only by name."""
    return [c.name for c in contract().columns if c.name in features() and c.categorical]


def auc_limits() -> tuple[float, float]:
    """The policy's floor of the area under the curve, and the change from the last model."""
    limits = {x.id: x.at_least for x in policy().release_gate.limits}
    floor, change = limits["auc-floor"], limits["no-worse-than-champion"]
    assert floor is not None and change is not None
    return floor, change


def judged(rows: pd.DataFrame) -> pd.Series:
    """Whether each row is of the people that models are judged on: a mask of shape (n,)."""
    splits = {p: split_of(str(p), policy().splits) for p in rows[PERSON].unique()}
    return rows[PERSON].map(splits) == "evaluation"


@cache
def tool(distribution: str) -> str:
    """Name and version of a distribution."""
    return f"{distribution} {metadata.version(distribution)}"
