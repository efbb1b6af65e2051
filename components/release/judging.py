"""Judging a model from its stored scores alone: what anybody can do again without the model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.checks.limits import release_gate
from components.checks.measurement import Finding, Measurement
from components.checks.release import (
    Scored,
    agreement,
    agreement_rule,
    finite_scores,
    release_measurements,
)
from components.checks.small_figures import hidden_figures, masked
from components.checks.tallies import Groups
from components.contract.contract import Contract, Scalar
from components.contract.errors import EvidenceError, ProcessError
from components.contract.policy import Policy
from components.contract.stages import CHAMPION_PREDICTIONS, PREDICTIONS
from components.datasets.canonical import ROW_COLUMN, Dataset
from components.lineage.digests import sha256_file
from components.lineage.evidence import EvidenceRecord

SKEW, OVERTAKEN = "skew:", "champion"
NOT_FROM_SCORES = (SKEW, OVERTAKEN)
"""Beginnings of rules at the release gate that no stored score decides."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What stored scores come to: every figure, and every finding of limits and agreement."""

    measurements: tuple[Measurement, ...]
    findings: tuple[Finding, ...]


def judge(
    dataset: Dataset,
    contract: Contract,
    policy: Policy,
    predictions: Path,
    champion_predictions: Path | None,
    native: Sequence[Measurement],
    *,
    has_champion: bool,
) -> Judged:
    """Every figure and finding that follows from stored scores.

    Args:
        dataset: the canonical dataset; labels and groups are those of its evaluation split.
        contract: its contract.
        policy: the limits.
        predictions: Parquet with ``assay_row`` and ``score`` of every evaluation row.
        champion_predictions: the same of the champion, where it was scored.
        native: the native tools' figures.
        has_champion: whether a champion stands.

    Raises:
        ProcessError: the scores are of other rows than the evaluation split.
    """
    label, protected = contract.label, contract.protected
    columns = [ROW_COLUMN, label.name, *(c.group_column for c in protected)]
    rows = split_rows(dataset, "evaluation", columns)
    scored = Scored(
        labels=flags(rows[label.name], label.positive),
        scores=aligned_scores(predictions, rows[ROW_COLUMN]),
        groups={c.name: Groups.of(rows[c.group_column], c.group_labels) for c in protected},
        champion=None
        if champion_predictions is None
        else aligned_scores(champion_predictions, rows[ROW_COLUMN]),
    )
    measurements = release_measurements(scored, policy)
    verdict = release_gate(measurements, policy, has_champion)
    rules = policy.release_gate
    agreed = agreement(native, measurements, rules.agreement, rules.limits)
    return Judged(measurements, (finite_scores(scored.scores), *verdict.findings, *agreed))


def judge_again(
    dataset: Dataset, contract: Contract, policy: Policy, artifacts: Path, gate: EvidenceRecord
) -> tuple[dict[str, Path], Judged]:
    """Judge the scores that a release gate stored, once they are known to be those it recorded.

    Args:
        dataset: the canonical dataset of the run.
        contract: its contract.
        policy: the limits.
        artifacts: where the run keeps what it stored.
        gate: the gate's record.

    Returns:
        The files of scores by output name, and what they come to. What compares the model with
        training, and what compares the gate with later releases, follows from no score. Whether
        the native tools agree on a figure that the record hides is taken over from it.

    Raises:
        EvidenceError: a file was changed since, or is gone.
    """
    stored = {}
    for name in (PREDICTIONS, CHAMPION_PREDICTIONS):
        if (recorded := gate.body["outputs"].get(name)) is None:
            continue
        stored[name] = artifacts / f"{name}.parquet"
        if not stored[name].is_file() or sha256_file(stored[name]) != recorded["sha256"]:
            raise EvidenceError(f"{name}.parquet is not what stage {gate.stage} recorded")
    judged = judge(
        dataset,
        contract,
        policy,
        stored[PREDICTIONS],
        stored.get(CHAMPION_PREDICTIONS),
        [Measurement.from_json(m) for m in gate.body["nativeMeasurements"]],
        has_champion=gate.body["champion"] is not None,
    )
    taken = [f for f in gate.body["referee"]["findings"] if f["rule"] in taken_over(gate)]
    findings = (*judged.findings, *(Finding.from_json(f) for f in taken))
    return stored, Judged(judged.measurements, findings)


def taken_over(gate: EvidenceRecord) -> frozenset[str]:
    """Rules on whether the native tools agree with figures that the gate's record hides."""
    figures = gate.body["nativeMeasurements"]
    return frozenset(agreement_rule(m["name"], m["slice"]) for m in figures if m["n"] is None)


def as_told(
    measurements: Sequence[Measurement], recorded: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Figures made again, as the record of them would tell them.

    What the record hides is hidden here if it must be: a record that hides more is not the same.
    Records of old formats hide nothing.
    """
    unsaid = {(m["name"], m["slice"]) for m in recorded if m["n"] is None}
    hidden = hidden_figures(measurements) if unsaid else frozenset()
    return [
        (masked(m, hidden) if (m.name, m.slice) in unsaid else m).to_json() for m in measurements
    ]


def split_rows(dataset: Dataset, split: str, columns: Sequence[str]) -> pa.Table:
    """Some columns of a split's rows, in the order of its files."""
    files = dataset.files(split=split)
    return pa.concat_tables(pq.read_table(f, columns=list(columns)) for f in files)


def aligned_scores(path: Path, rows: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """Stored scores in the order of ``rows``, shape (n,); NaN where a score is null.

    Scores that a run kept are in the dataset's order already, and then nothing is joined.

    Raises:
        ProcessError: the file scores other rows, or a row twice.
    """
    table = pq.read_table(path, columns=[ROW_COLUMN, "score"])
    scored = table[ROW_COLUMN].cast(rows.type)
    scores = np.asarray(table["score"].cast(pa.float64()).to_numpy(), np.float64)
    if scored.equals(rows):
        return scores
    places = pc.index_in(rows, value_set=scored.combine_chunks())
    once = len(scored) == len(rows) == pc.count_distinct(scored).as_py()
    if not once or places.null_count:
        raise ProcessError(f"{path.name} scores other rows than the evaluation split, or one twice")
    joined: npt.NDArray[np.float64] = scores[places.to_numpy()]
    return joined


def flags(column: pa.ChunkedArray, positive: Scalar | None) -> npt.NDArray[np.bool_]:
    """Which cells hold the positive value, shape (n,)."""
    held = pc.fill_null(pc.equal(column, pa.scalar(positive, column.type)), False)
    return np.asarray(held.to_numpy(), np.bool_)
