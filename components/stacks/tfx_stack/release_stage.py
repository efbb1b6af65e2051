"""What the TFX stack hands over at the release gate: TFMA's figures, verdict and scores."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import tensorflow_model_analysis as tfma

from components.checks.measurement import Measurement, Verdict
from components.checks.release import changes, slices_measured
from components.checks.small_figures import hidden_figures, masked, masked_verdict
from components.contract.policy import MISSING
from components.lineage.digests import canonical_json, sha256_tree
from components.lineage.durable import write_atomically
from components.release.judging import split_rows
from components.stacks.process import ReleaseProcess
from components.stacks.stages import CHAMPION_PREDICTIONS, PREDICTIONS, StageResult
from components.stacks.tfx_stack.evaluation_config import CANDIDATE, CHAMPION, compile_evaluation
from components.stacks.tfx_stack.evaluation_results import measurements
from components.stacks.tfx_stack.evaluation_sums import read_evaluation
from components.stacks.tfx_stack.evaluation_thresholds import (
    Combinations,
    CompiledLimits,
    compile_limits,
)
from components.stacks.tfx_stack.evaluation_verdict import (
    native_verdict,
    slice_findings,
    validation_findings,
)
from components.stacks.tfx_stack.recorded_artifacts import fetch_champion
from components.stacks.tfx_stack.serving import write_served_scores
from components.stacks.tfx_stack.stage_hooks import EVALUATION, native_file, tools


def evaluation_config(process: ReleaseProcess) -> Any:
    """What the Evaluator is told; with the champion beside the candidate where it must be."""
    return compile_evaluation(
        process.contract,
        process.policy,
        evaluation_groups(process),
        with_champion=process.champion_run is not None,
    )


def evaluation_groups(process: ReleaseProcess) -> Combinations:
    """The combinations of groups of each attribute and pair that the evaluation rows hold."""
    contract = process.contract
    columns = {c.name: c.group_column for c in contract.protected}
    rows = split_rows(process.dataset, EVALUATION, list(columns.values()))
    found = {}
    for attributes in slices_measured(columns):
        names = [columns[a] for a in attributes]
        held = rows.group_by(names).aggregate([]).select(names)
        found[attributes] = frozenset(zip(*(_labels(held[n]) for n in names), strict=True))
    return found


def _labels(column: pa.ChunkedArray) -> list[str]:
    return [MISSING if label is None else label for label in column.to_pylist()]


@dataclass(frozen=True, slots=True)
class Judged:
    """What stands before the release gate.

    Attributes:
        evaluation_uri: where Evaluator wrote.
        examples_uri: the raw rows.
        predictions: the candidate's scores.
        features: the features that the candidate scored by.
        compared: the SavedModel that TFMA held the candidate against; None where there was none.
    """

    evaluation_uri: str
    examples_uri: str
    predictions: Path
    features: Path
    compared: Path | None


def release_gate_result(process: ReleaseProcess, judged: Judged) -> StageResult:
    """TFMA's figures and verdict; scores and features of the exported model that TFMA judged.

    Another run may have been released while TFMA was at work. The champion that stands now is the
    one that is scored, and of a change against it TFMA has no figure if it compared with another.

    Raises:
        EvidenceError: the champion's model is not the one that its release names.
    """
    contract, policy = process.contract, process.policy
    held = evaluation_groups(process)
    compiled = compile_limits(contract, policy, held)
    name = CANDIDATE if judged.compared else ""
    found = read_evaluation(judged.evaluation_uri, contract, name)
    measured = measurements(found, contract, policy, held, compiled)
    champion: tuple[Measurement, ...] = ()
    standing = process.champion_run
    if standing and judged.compared and sha256_tree(judged.compared) == standing.release.model:
        before = read_evaluation(judged.evaluation_uri, contract, CHAMPION)
        champion = measurements(before, contract, policy, held, compiled)
        measured += changes(measured, champion, policy)
    own_word = slice_findings(found, contract, held)
    own_word += validation_findings(_validation(judged.evaluation_uri), compiled, contract)
    verdict = native_verdict(
        measured, policy, compiled, own_word, has_champion=process.champion is not None
    )
    return StageResult(
        {
            PREDICTIONS: judged.predictions,
            "features": judged.features,
            "evaluation": Path(judged.evaluation_uri),
            "report": _report(process, measured, champion, compiled, verdict),
            **_champion_predictions(process, judged.examples_uri),
        },
        tools("tensorflow-model-analysis", "apache-beam", "tensorflow"),
        native=verdict,
        measurements=measured,
        facts={"notExpressible": len(compiled.unexpressed)},
    )


def _validation(evaluation_uri: str) -> Any | None:
    """TFMA's own verdict; None where it wrote none."""
    if not any(Path(evaluation_uri).glob("validations*")):
        return None
    return tfma.load_validation_result(evaluation_uri)


def _champion_predictions(process: ReleaseProcess, examples_uri: str) -> dict[str, Path]:
    """The champion's scores of the same rows: they hold what any model may look at."""
    standing = process.champion_run
    if standing is None:
        return {}
    model = native_file(process, "champion")
    fetch_champion(Path(process.spec.home), standing, model)
    target = native_file(process, "champion-predictions.parquet")
    return {CHAMPION_PREDICTIONS: write_served_scores(str(model), examples_uri, EVALUATION, target)}


def _report(
    process: ReleaseProcess,
    measured: tuple[Measurement, ...],
    champion: tuple[Measurement, ...],
    compiled: CompiledLimits,
    verdict: Verdict,
) -> Path:
    path = native_file(process, "release-gate.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    hidden, before = hidden_figures(measured), hidden_figures(champion)
    document = {
        "measurements": [masked(m, hidden).to_json() for m in measured],
        "champion": [masked(m, before).to_json() for m in champion],
        "notExpressible": [u.to_json() for u in compiled.unexpressed],
        "verdict": masked_verdict(verdict, measured, hidden).to_json(),
    }
    write_atomically(path, canonical_json(document))
    return path
