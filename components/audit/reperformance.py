"""Re-performance: a run's figures made again from bytes, and held against what it recorded.

A signature proves that nothing changed after it was made. That it was true then is shown by doing
the work again: from the data files, what was profiled and measured for drift; from the stored
scores, accuracy and fairness. Nothing of it needs the model, nor a framework.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.audit.reperformed_data import DATA, ROWS, check_files, check_rows, digest_of
from components.audit.reperformed_profile import (
    DATA_GATE,
    PROFILE,
    check_data_gate,
    check_profiles,
)
from components.contract.errors import EvidenceError, InputError, ProcessError
from components.contract.stages import CHAMPION_PREDICTIONS, PREDICTIONS, Stage
from components.datasets.canonical import Dataset
from components.lineage.evidence import EvidenceRecord
from components.profile.compute import Watch, nobody
from components.release.judging import judge_again
from components.release.recomputation import (
    RELEASE_GATE,
    Outcome,
    Recomputed,
    compare_gate,
    compare_texts,
    dataset_directory,
)
from components.release.run_evidence import RunEvidence

PARTS = (DATA, ROWS, PROFILE, DATA_GATE, RELEASE_GATE)
_BAD = (Outcome.DIFFERENT, Outcome.IMPOSSIBLE)


@dataclass(frozen=True, slots=True)
class Reperformance:
    """Everything that was done again of one run, part by part."""

    run: str
    found: tuple[Recomputed, ...]

    @property
    def holds(self) -> bool:
        """Whether nothing differs and nothing had to be left undone."""
        return all(f.outcome not in _BAD for f in self.found)

    @property
    def wrong(self) -> list[Recomputed]:
        """What differs, or could not be done again."""
        return [f for f in self.found if f.outcome in _BAD]

    def counts(self, part: str) -> Mapping[str, int]:
        """How many things of a part had each outcome."""
        return Counter(str(f.outcome) for f in self.found if f.part == part)

    def to_json(self) -> dict[str, Any]:
        """Everything, for machines."""
        return {
            "run": self.run,
            "holds": self.holds,
            "parts": {part: dict(self.counts(part)) for part in PARTS},
            "figures": [f.to_json() for f in self.found],
        }


def reperform(
    run: RunEvidence, data: Path, row_key: bytes | None = None, watch: Watch = nobody
) -> Reperformance:
    """Do again what a run did to its data and its scores.

    Args:
        run: its records, every signature and link checked, with its contract and policy.
        data: a home, or a folder with copies of its ``datasets`` and of the run's ``artifacts``.
        row_key: the home's row key; without it nobody can say whose commitment a row carries.
        watch: told what is being done.

    Raises:
        InputError: there is no such folder.
    """
    if not data.is_dir():
        raise InputError(
            "is no directory",
            where=str(data),
            expected="a home, or a folder with its `datasets` and the run's `artifacts`",
        )
    checked = check_files(_dataset(data, run.inputs), run.inputs, watch)
    if checked.dataset is None:
        why = f"{checked.wrong} is not what was recorded"
        undone = [_impossible(part, why) for part in _parts(run) if part != DATA]
        return Reperformance(run.run_id, (*checked.found, *undone))
    profiled = _artifacts(data, run.origin_id)
    rows = list(check_rows(checked.dataset, run.contract, row_key, watch))
    profiles, made = check_profiles(run, checked.dataset, profiled, row_key, watch)
    gate = check_data_gate(run, checked.dataset, made) if made else []
    watch("release gate")
    judged = _release_gate(run, checked.dataset, _artifacts(data, run.run_id))
    return Reperformance(run.run_id, (*checked.found, *rows, *profiles, *gate, *judged))


def _dataset(data: Path, inputs: Mapping[str, str]) -> Path:
    """Where the dataset version lies: in a home, or in a copy of its folder of datasets."""
    places = [dataset_directory(folder, inputs) for folder in (data / "datasets", data)]
    return next((p for p in places if p.is_dir()), places[0])


def _artifacts(data: Path, run: str) -> Path:
    """Where a run's artifacts lie: in a home, or in a copy of the one folder."""
    places = [data / "runs" / run / "artifacts", data / "artifacts"]
    return next((p for p in places if p.is_dir()), places[0])


def _parts(run: RunEvidence) -> list[str]:
    """What there is to do again of a run that may have ended early."""
    stages = {PROFILE: Stage.STATISTICS, DATA_GATE: Stage.DATA_GATE}
    reached = {part for part, stage in stages.items() if run.stage(stage)}
    if Stage.RELEASE_GATE in run.own:
        reached.add(RELEASE_GATE)
    return [part for part in PARTS if part in {DATA, ROWS} | reached]


def _release_gate(run: RunEvidence, dataset: Dataset, artifacts: Path) -> list[Recomputed]:
    gate = run.own.get(Stage.RELEASE_GATE)
    if gate is None:
        return []
    files = _scores(gate, artifacts)
    if wrong := next((f.name for f in files if not f.same), None):
        return [*files, _impossible(RELEASE_GATE, f"{wrong} is not what was recorded")]
    try:
        _, judged = judge_again(dataset, run.contract, run.policy, artifacts, gate)
    except (EvidenceError, ProcessError) as error:
        return [*files, _impossible(RELEASE_GATE, str(error))]
    return [*files, *compare_gate(gate, judged, run.policy)]


def _scores(gate: EvidenceRecord, artifacts: Path) -> list[Recomputed]:
    """The stored scores against the digests that the gate recorded."""
    found = []
    for name in (PREDICTIONS, CHAMPION_PREDICTIONS):
        if (output := gate.body["outputs"].get(name)) is None:
            continue
        file, recorded = f"{name}.parquet", output["sha256"]
        if computed := digest_of(artifacts / file):
            found.append(compare_texts(file, "", recorded, computed))
        else:
            missing = Outcome.IMPOSSIBLE
            found.append(Recomputed(file, "", recorded, "is not there", missing))
    return found


def _impossible(part: str, why: str) -> Recomputed:
    return Recomputed("every figure", "", "", why, Outcome.IMPOSSIBLE, part)
