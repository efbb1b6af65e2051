"""A third, tiny stack for tests of the process itself: a logistic regression in numpy.

It leaves what every stack must leave, in a second, and can be told to leave something wrong.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.checks import preprocessing
from components.checks.limits import release_gate
from components.checks.measurement import Finding, Status, conclude
from components.checks.release import Scored, release_measurements
from components.checks.tallies import Groups
from components.contract.contract_loader import load_contract
from components.contract.features import model_inputs
from components.contract.json_schema import ROOT
from components.contract.policy_loader import load_policy
from components.datasets.canonical import ROW_COLUMN, SPLITS, Dataset, ingest
from components.lineage.durable import writable_directory
from components.lineage.row_key import row_key_for_rows
from components.stacks.mitigation import group_columns, training_groups
from components.stacks.process import ReleaseProcess
from components.stacks.referee import digest
from components.stacks.run_spec import RunSpec, new_run_id, utc_now
from components.stacks.stages import CHAMPION_PREDICTIONS, Stage, StageResult
from pipelines.launch import prepare_release

CONTRACT = ROOT / "schemas" / "rand_hie.yaml"
PRODUCTION = ROOT / "policies" / "rand_hie.yaml"
PILOT = ROOT / "policies" / "rand_hie_pilot.yaml"
_TOOLS = {"numpy": np.__version__}

Change = Callable[["PlainStack", StageResult], StageResult]


def start(
    home: Path,
    candidate: str,
    *,
    policy: Path = PILOT,
    contract: Path = CONTRACT,
    data: Path | None = None,
    stack: str = "tfx",
    continues: ReleaseProcess | None = None,
) -> ReleaseProcess:
    """A run that is ready for its first stage; it calls itself a run of ``stack``."""
    if continues is not None:
        return ReleaseProcess(prepare_release(continues.spec.directory, "a test"))
    writable_directory(home / "keys")
    loaded = load_contract(contract)
    rules = load_policy(policy, loaded)
    dataset = _ingested(home, contract, policy, data)
    run_id = new_run_id(stack, candidate)
    directory = writable_directory(home / "runs" / run_id)
    shutil.copyfile(contract, directory / "contract.yaml")
    shutil.copyfile(policy, directory / "policy.yaml")
    spec = RunSpec(
        run_id, stack, candidate, str(home), str(directory / "contract.yaml"), loaded.digest,
        str(directory / "policy.yaml"), rules.digest, loaded.name, str(dataset.directory),
        dataset.version, "code", "environment", "tester", utc_now(),
    )  # fmt: skip
    spec.save()
    return ReleaseProcess(spec)


@cache
def _ingested(home: Path, contract: Path, policy: Path, data: Path | None) -> Dataset:
    loaded = load_contract(contract)
    rules = load_policy(policy, loaded)
    return ingest(loaded, rules, home, row_key_for_rows(home), data)


class PlainStack:
    """The hooks, with one optional change to what one of them hands over."""

    def __init__(self, process: ReleaseProcess, changes: dict[Stage, Change] | None = None) -> None:
        self.process, self.changes = process, changes or {}
        self.called: list[Stage] = []
        self.out = process.artifacts / "plain"
        self.out.mkdir(exist_ok=True)
        self.trained = process.spec.origin / "artifacts" / "plain" / "model.json"

    def run(self) -> str:
        """All stages that may run, then the closing record; returns the outcome."""
        for stage in Stage:
            if not self.process.run_stage(stage, lambda s=stage: self.hook(s)):
                break
        return self.process.close()

    def release(self) -> str:
        """The last stages of a run that releases what another run trained."""
        if self.process.rejudge():
            for stage in (Stage.PUSH, Stage.SCORE):
                self.process.run_stage(stage, lambda s=stage: self.hook(s))
        return self.process.close()

    def hook(self, stage: Stage) -> StageResult:
        """What the stack hands over at one stage, changed if it was told to."""
        self.called.append(stage)
        result: StageResult = getattr(self, str(stage))()
        return self.changes[stage](self, result) if stage in self.changes else result

    def table(self, split: str) -> pa.Table:
        """All rows of a split."""
        return pa.concat_tables(pq.read_table(f) for f in self.process.dataset.files(split=split))

    def write(self, name: str, table: pa.Table) -> Path:
        """A Parquet file of the stack's own."""
        pq.write_table(table, self.out / name)
        return self.out / name

    def ingest(self) -> StageResult:
        """Row commitments as read from the canonical files."""
        parts = []
        for split in SPLITS:
            rows = self.table(split)[ROW_COLUMN].combine_chunks()
            parts.append(pa.table({"split": [split] * len(rows), ROW_COLUMN: rows}))
        path = self.write("rows.parquet", pa.concat_tables(parts))
        return StageResult({"rows": path}, _TOOLS)

    def statistics(self) -> StageResult:
        """A row count."""
        path = self.out / "statistics.json"
        path.write_text(json.dumps({"rows": self.process.dataset.manifest["rows"]}))
        return StageResult({"statistics": path}, _TOOLS)

    def data_gate(self) -> StageResult:
        """A native verdict that finds nothing: the referee is what is tested."""
        path = self.out / "report.json"
        path.write_text("{}")
        verdict = conclude([Finding("plain", Status.PASS, "nothing found")])
        return StageResult({"report": path}, _TOOLS, native=verdict)

    def _features(self, split: str) -> np.ndarray:
        process = self.process
        fitted = preprocessing.fit(
            process.dataset.files(split="train"),
            model_inputs(process.contract, process.candidate),
            process.policy.training.min_category_count,
        )
        return preprocessing.features(self.table(split), fitted)

    def transform(self) -> StageResult:
        """The referee's own features."""
        return StageResult(
            {"transform": self.out / "report.json", "features": self.features("f.parquet")},
            _TOOLS,
        )

    def features(self, name: str, shift: float = 0.0) -> Path:
        """Features of the evaluation rows, the first of them shifted."""
        matrix = self._features("evaluation")
        matrix[:, 0] += shift
        rows = self.table("evaluation")[ROW_COLUMN]
        return self.write(name, pa.table({ROW_COLUMN: rows, "features": pa.array(list(matrix))}))

    def train(self) -> StageResult:
        """A logistic regression by a few hundred steps of gradient descent."""
        contract = self.process.contract
        labels = np.array(self.table("train")[contract.label.name].to_pylist(), dtype=float)
        matrix = np.hstack([self._features("train"), np.ones((len(labels), 1))])
        importance = self._importance(labels == 1)
        weights = np.zeros(matrix.shape[1])
        for _ in range(300):
            scores = 1 / (1 + np.exp(-matrix @ weights))
            error = importance * (scores - labels)
            weights -= 0.5 * (matrix.T @ error / len(labels) + 0.001 * weights)
        path = self.out / "model.json"
        path.write_text(json.dumps(weights.tolist()))
        scores = self.predictions(self.scores(), "trained.parquet")
        return StageResult({"model": path, "checkpoint": path, "scores": scores}, _TOOLS)

    def _importance(self, positive: np.ndarray) -> np.ndarray:
        process, rows = self.process, self.table("train")
        found = training_groups(process.dataset, process.contract, process.candidate)
        groups = {
            c: rows[c].to_pylist() for c in group_columns(process.contract, process.candidate)
        }
        return found.row_weights(groups, list(positive))

    def scores(self) -> np.ndarray:
        """The model's scores of the evaluation rows."""
        return self._score(self.trained)

    def _score(self, model: Path) -> np.ndarray:
        weights = np.array(json.loads(model.read_text()))
        matrix = np.hstack([self._features("evaluation"), np.ones((self.rows, 1))])
        return 1 / (1 + np.exp(-matrix @ weights))

    @property
    def rows(self) -> int:
        """Number of evaluation rows."""
        return self.process.dataset.rows("evaluation")

    def predictions(self, scores: np.ndarray, name: str = "p.parquet") -> Path:
        """Scores of the evaluation rows as the process wants them."""
        rows = self.table("evaluation")[ROW_COLUMN]
        return self.write(name, pa.table({ROW_COLUMN: rows, "score": scores}))

    def release_gate(self) -> StageResult:
        """The referee's own formulas as native figures."""
        rows, contract = self.table("evaluation"), self.process.contract
        scores = self.scores()
        scored = Scored(
            np.array(rows[contract.label.name].to_pylist()) == contract.label.positive,
            scores,
            {c.name: Groups.of(rows[c.group_column], c.group_labels) for c in contract.protected},
            champion=self._champion_scores(),
        )
        found = release_measurements(scored, self.process.policy)
        return StageResult(
            {
                "predictions": self.predictions(scores),
                "report": self.out / "report.json",
                "features": self.features("served-features.parquet"),
                **self._champion_output(scored.champion),
            },
            _TOOLS,
            native=release_gate(found, self.process.policy, self.process.champion is not None),
            measurements=found,
        )

    def _champion_scores(self) -> np.ndarray | None:
        """The champion's scores of the same rows; it must have been trained on the same columns."""
        run = self.process.champion_run
        if run is None:
            return None
        model = run.spec.origin / "artifacts" / "plain" / "model.json"
        assert digest(model) == run.release.model
        return self._score(model)

    def _champion_output(self, scores: np.ndarray | None) -> dict[str, Path]:
        if scores is None:
            return {}
        return {CHAMPION_PREDICTIONS: self.predictions(scores, "champion.parquet")}

    def push(self) -> StageResult:
        """A copy of the model."""
        target = self.out / "pushed.json"
        shutil.copyfile(self.trained, target)
        return StageResult({"serving_model": target}, _TOOLS, facts={"location": "plain"})

    def score(self) -> StageResult:
        """The pushed model's scores."""
        return StageResult(
            {"predictions": self.predictions(self.scores(), "served.parquet")},
            _TOOLS,
            facts={"model": digest(self.out / "pushed.json")},
        )


def changed_outputs(result: StageResult, **outputs: Path) -> StageResult:
    """A result with some outputs replaced."""
    return replace(result, outputs={**result.outputs, **outputs})


def without(result: StageResult, name: str) -> StageResult:
    """A result with one output left out."""
    return replace(result, outputs={k: v for k, v in result.outputs.items() if k != name})
