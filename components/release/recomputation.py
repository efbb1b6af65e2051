"""Recomputing a release gate from stored scores and the dataset, without the model."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from components.checks.small_figures import NOT_SHOWN
from components.contract.errors import InputError
from components.contract.policy import Policy
from components.contract.stages import Stage
from components.datasets.canonical import Dataset
from components.lineage.evidence import EvidenceRecord
from components.release.judging import NOT_FROM_SCORES, Judged, as_told, judge_again, taken_over
from components.release.run_evidence import read_evidence

RELEASE_GATE = "release gate"


class Outcome(StrEnum):
    """How what was recorded stands to what comes out now."""

    EQUAL = "bit-equal"
    CLOSE = "within tolerance"
    DIFFERENT = "different"
    IMPOSSIBLE = "cannot be recomputed"
    NOT_CHECKED = "not checked"


@dataclass(frozen=True, slots=True)
class Recomputed:
    """One figure or finding as the record has it and as it comes out now, as text.

    Empty where one side lacks it.
    """

    name: str
    slice: str
    recorded: str
    computed: str
    outcome: Outcome
    part: str = RELEASE_GATE

    @property
    def same(self) -> bool:
        """Whether both are the same to the last digit."""
        return self.outcome is Outcome.EQUAL

    def to_json(self) -> dict[str, Any]:
        """The fields."""
        return asdict(self)


Figure = Mapping[str, Any] | None
"""A measurement as records hold it: decimal strings, and ``n``; None where there is none."""


def recompute(directory: Path) -> list[Recomputed]:
    """Every figure of a run's release gate, and every finding that follows from figures.

    Args:
        directory: the run's, in its home.

    Raises:
        InputError: the run has no records, or has not come to a release gate.
        EvidenceError: its data or scores are not those that were judged.
    """
    run = read_evidence(directory)
    gate = run.own.get(Stage.RELEASE_GATE)
    if gate is None:
        raise InputError(
            "has not come to a release gate",
            where=str(directory),
            expected="a run whose model was judged",
        )
    home = directory.resolve().parent.parent
    dataset = Dataset.open(dataset_directory(home / "datasets", run.inputs))
    _, judged = judge_again(dataset, run.contract, run.policy, directory / "artifacts", gate)
    return compare_gate(gate, judged, run.policy)


def dataset_directory(datasets: Path, inputs: Mapping[str, str]) -> Path:
    """Where a dataset version lies among others: ``<dataset>/<first 16 digits of its version>``."""
    return datasets / inputs["dataset"] / inputs["datasetVersion"][:16]


def compare_gate(gate: EvidenceRecord, judged: Judged, policy: Policy) -> list[Recomputed]:
    """A release gate's record against what its stored scores come to.

    The tolerance is the policy's for how far two engines' figures may be apart.
    """
    recorded = {(m["name"], m["slice"]): m for m in gate.body["measurements"]}
    told = as_told(judged.measurements, gate.body["measurements"])
    computed = {(m["name"], m["slice"]): m for m in told}
    found = [
        compare_figures(*key, recorded.get(key), computed.get(key), policy)
        for key in dict.fromkeys([*recorded, *computed])
    ]
    now = {f.rule: str(f.status) for f in judged.findings}
    then = {
        f["rule"]: f["status"]
        for f in gate.body["referee"]["findings"]
        if not f["rule"].startswith(NOT_FROM_SCORES)
    }
    unchecked = taken_over(gate)
    return found + [
        Recomputed("finding", rule, then[rule], "", Outcome.NOT_CHECKED)
        if rule in unchecked and rule in then
        else compare_texts("finding", rule, then.get(rule, ""), now.get(rule, ""))
        for rule in dict.fromkeys([*then, *now])
    ]


def compare_figures(
    name: str,
    slice_: str,
    recorded: Figure,
    computed: Figure,
    policy: Policy,
    part: str = RELEASE_GATE,
) -> Recomputed:
    """One figure then and now: equal to the last digit, or as far apart as the policy allows."""
    then, now = _text(recorded), _text(computed)
    outcome = Outcome.EQUAL if then == now else Outcome.DIFFERENT
    if outcome is Outcome.DIFFERENT and recorded and computed:
        close = _close(recorded, computed, policy.release_gate.agreement)
        outcome = Outcome.CLOSE if close else Outcome.DIFFERENT
    return Recomputed(name, slice_, then, now, outcome, part)


def compare_texts(
    name: str, slice_: str, recorded: str, computed: str, part: str = RELEASE_GATE
) -> Recomputed:
    """A digest or a status then and now: equal, or not."""
    outcome = Outcome.EQUAL if recorded == computed else Outcome.DIFFERENT
    return Recomputed(name, slice_, recorded, computed, outcome, part)


def _close(recorded: Mapping[str, Any], computed: Mapping[str, Any], tolerance: float) -> bool:
    if recorded["n"] is None or recorded["n"] != computed["n"]:
        return False
    for key in ("value", "low", "high"):
        then, now = recorded[key], computed[key]
        if then == now:
            continue
        if then is None or now is None:
            return False
        apart = abs(float(then) - float(now))
        if not math.isfinite(apart) or apart > tolerance:
            return False
    return True


def _text(m: Figure) -> str:
    if m is None:
        return ""
    if m["n"] is None:
        return NOT_SHOWN
    interval = "" if m["low"] is None else f" [{m['low']}, {m['high']}]"
    return f"{m['value']}{interval} n={m['n']}"
