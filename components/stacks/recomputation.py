"""Recomputing a run's release gate from its stored scores and its dataset, without its model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from components.contract.errors import InputError
from components.stacks.judging import judge_again
from components.stacks.process import ReleaseProcess
from components.stacks.referee import NOT_FROM_SCORES
from components.stacks.stages import Stage


@dataclass(frozen=True, slots=True)
class Recomputed:
    """One figure or finding as the record has it and as it comes out now, as text.

    Empty where one side lacks it.
    """

    name: str
    slice: str
    recorded: str
    computed: str

    @property
    def same(self) -> bool:
        """Whether both are the same to the last digit."""
        return self.recorded == self.computed

    def to_json(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


def recompute(directory: Path) -> list[Recomputed]:
    """Every figure of a run's release gate, and every finding that follows from figures.

    Raises:
        InputError: the run has not come to a release gate.
        EvidenceError: its data or scores are not those that were judged.
    """
    process = ReleaseProcess.open(directory)
    records = {r.stage: r for r in process.chain.records()}
    gate = records.get(Stage.RELEASE_GATE)
    if gate is None:
        raise InputError(
            "has not come to a release gate",
            where=str(directory),
            expected="a run whose model was judged",
        )
    _, judged = judge_again(
        process.dataset, process.contract, process.policy, process.artifacts, gate
    )
    figures = _pairs(
        {(m["name"], m["slice"]): _figure(m) for m in gate.body["measurements"]},
        {(m.name, m.slice): _figure(m.to_json()) for m in judged.measurements},
    )
    computed = {("finding", f.rule): str(f.status) for f in judged.findings}
    recorded = {
        ("finding", f["rule"]): f["status"]
        for f in gate.body["referee"]["findings"]
        if not f["rule"].startswith(NOT_FROM_SCORES)
    }
    return figures + _pairs(recorded, computed)


def _figure(m: dict[str, Any]) -> str:
    interval = "" if m["low"] is None else f" [{m['low']}, {m['high']}]"
    return f"{m['value']}{interval} n={m['n']}"


def _pairs(
    recorded: dict[tuple[str, str], str], computed: dict[tuple[str, str], str]
) -> list[Recomputed]:
    keys = dict.fromkeys([*recorded, *computed])
    return [Recomputed(*k, recorded.get(k, ""), computed.get(k, "")) for k in keys]
