"""The shared half of each stage: what the referee recomputes from the same bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from components.checks import gates, preprocessing
from components.checks.measurement import Finding, Measurement, Status, Verdict, conclude, within
from components.checks.serving_skew import compare, list_matrix
from components.contract.contract import Contract
from components.contract.errors import ProcessError
from components.contract.features import model_inputs
from components.contract.policy import Candidate, Policy
from components.datasets.canonical import ROW_COLUMN, SPLITS, Dataset, rows_root
from components.decisions.log import write_decisions
from components.lineage.commitments import artifact_nonce
from components.lineage.digests import sha256_file, sha256_tree
from components.lineage.durable import write_atomically
from components.lineage.evidence import EvidenceChain
from components.profile.compute import profile_files
from components.profile.edges import quantile_edges
from components.profile.profile import Profile
from components.profile.stored import StoredProfile
from components.release.records import read_releases
from components.stacks.kept_outputs import keep, kept
from components.stacks.run_spec import RunSpec
from components.stacks.stages import Stage, StageResult


@dataclass(frozen=True, slots=True)
class RefereeResult:
    """What the referee adds to a stage: files of its own, and a verdict where it can give one."""

    outputs: Mapping[str, Path] = field(default_factory=dict)
    verdict: Verdict | None = None
    measurements: tuple[Measurement, ...] = ()


@dataclass(frozen=True, slots=True)
class Referee:
    """Recomputes each stage's figures from the canonical data and what the stack handed over."""

    spec: RunSpec
    contract: Contract
    policy: Policy
    candidate: Candidate
    dataset: Dataset
    row_key: bytes
    chain: EvidenceChain

    @property
    def _artifacts(self) -> Path:
        return self.spec.directory / "artifacts"

    def ingest(self, native: StageResult) -> RefereeResult:
        """The stack read exactly the rows of the manifest, split by split."""
        read = pq.read_table(native.outputs["rows"], columns=["split", ROW_COLUMN])
        splits = np.array(read["split"].to_pylist())
        commitments = np.array(read[ROW_COLUMN].to_pylist(), dtype=object)
        findings = []
        for split in SPLITS:
            root = rows_root(commitments[splits == split].tolist())
            same = root == self.dataset.root(split)
            findings.append(
                Finding(
                    f"rows:{split}",
                    Status.PASS if same else Status.FAIL,
                    f"rows of {split} {'are' if same else 'are not'} those of the manifest",
                )
            )
        return RefereeResult(verdict=conclude(findings))

    def statistics(self, _: StageResult) -> RefereeResult:
        """Exact profiles of the baseline spans, the current spans and of all rows."""
        gate = self.policy.data_gate
        baseline, current = self.dataset.sides(gate)
        edges = quantile_edges(baseline, self.contract, gate.bins)
        outputs = {}
        for name, files in (
            ("baseline", baseline),
            ("current", current),
            ("everything", self.dataset.files()),
        ):
            if not files:
                continue
            unparseable = self.dataset.manifest["unparseable"] if name == "everything" else {}
            profile = profile_files(
                files,
                self.contract,
                edges,
                max_categories=gate.max_categories,
                unparseable=unparseable,
            )
            path = self._artifacts / f"profile-{name}.json"
            nonce = artifact_nonce(self.row_key, f"{self.dataset.version}:{name}")
            stored = StoredProfile.of(self.contract, gate, profile, nonce)
            write_atomically(path, stored.to_bytes())
            outputs[f"profile_{name}"] = path
        return RefereeResult(outputs)

    def data_gate(self, _: StageResult) -> RefereeResult:
        """Schema of all rows and drift of the current spans, from the profiles."""
        verdict = gates.data_gate(
            self._profile("everything"),
            self._profile("current"),
            self._profile("baseline"),
            self.contract,
            self.policy,
            self.dataset.spans,
        )
        return RefereeResult(verdict=conclude([*verdict.findings, *self._not_the_first()]))

    def _not_the_first(self) -> list[Finding]:
        """A declared first release is one only until a release stands."""
        if self.policy.data_gate.first_release is None:
            return []
        known = read_releases(Path(self.spec.home), self.spec.dataset, self.spec.stack)
        reason = f"the policy declares a first release, {len(known)} stand already"
        status = Status.INCONCLUSIVE if known else Status.PASS
        return [Finding("first_release:history", status, reason)]

    def _profile(self, name: str) -> Profile | None:
        path = self._artifacts / f"profile-{name}.json"
        if not path.exists():
            return None
        return StoredProfile.read(path).profile

    def transform(self, native: StageResult) -> RefereeResult:
        """The stack's features equal the referee's own, computed from the same training rows."""
        keep(self._artifacts, Stage.TRANSFORM, "features", native.outputs["features"])
        fitted = preprocessing.fit(
            self.dataset.files(split="train"),
            model_inputs(self.contract, self.candidate),
            self.policy.training.min_category_count,
        )
        theirs = pq.read_table(native.outputs["features"])
        matrix = list_matrix(theirs["features"])
        mine = preprocessing.features(self._rows_of(theirs[ROW_COLUMN].to_pylist()), fitted)
        if matrix.shape != mine.shape:
            return RefereeResult(
                verdict=conclude(
                    [
                        Finding(
                            "transform",
                            Status.FAIL,
                            f"features have shape {matrix.shape}, {mine.shape} was expected",
                        )
                    ]
                )
            )
        worst = float(np.abs(matrix - mine).max(initial=0.0))
        measured = Measurement("largest feature difference", worst, len(mine), unit="std")
        finding = within(
            "transform", measured, at_most=self.policy.release_gate.transform_tolerance
        )
        return RefereeResult(verdict=conclude([finding]), measurements=(measured,))

    def train(self, native: StageResult) -> RefereeResult:
        """Nothing to recompute: what training made is judged at the release gate."""
        keep(self._artifacts, Stage.TRAIN, "scores", native.outputs["scores"])
        return RefereeResult()

    def release_gate(self, native: StageResult) -> RefereeResult:
        """Accuracy and fairness from the stored scores, and agreement with the native figures."""
        scored = self._scored(native.outputs["predictions"])
        measurements = gates.release_measurements(scored, self.policy)
        verdict = gates.release_gate(measurements, self.policy)
        rules = self.policy.release_gate
        agreed = gates.agreement(native.measurements, measurements, rules.agreement, rules.limits)
        finite = gates.finite_scores(scored.scores)
        return RefereeResult(
            verdict=conclude([finite, *verdict.findings, *agreed, *self._skew(native)]),
            measurements=measurements,
        )

    def _skew(self, native: StageResult) -> list[Finding]:
        """The model that would be served computes what training computed, for the same rows."""
        rules, outputs = self.policy.release_gate, native.outputs
        features = kept(self._artifacts, self.chain, Stage.TRANSFORM, "features")
        scores = kept(self._artifacts, self.chain, Stage.TRAIN, "scores")
        limits = rules.transform_tolerance, rules.serving_tolerance
        return [
            compare("features", features, outputs["features"], at_most=limits[0], unit="std"),
            compare("score", scores, outputs["predictions"], at_most=limits[1], unit="1"),
        ]

    def push(self, native: StageResult) -> RefereeResult:
        """What was pushed is, to the byte, what was trained and judged."""
        trained = next(r for r in self.chain.records() if r.stage == Stage.TRAIN)
        same = digest(native.outputs["serving_model"]) == trained.body["outputs"]["model"]["sha256"]
        finding = Finding(
            "pushed_model",
            Status.PASS if same else Status.FAIL,
            f"the pushed model {'is' if same else 'is not'} the model that was judged",
        )
        return RefereeResult(verdict=conclude([finding]))

    def score(self, native: StageResult) -> RefereeResult:
        """The serving model gives the scores that were judged; then the decision log is written."""
        judged = self._scores(self._artifacts / "predictions.parquet")
        served = self._scores(native.outputs["predictions"])
        if set(judged) != set(served):
            raise ProcessError("the serving model scored other rows than those that were judged")
        rows = sorted(judged)
        scores = np.array([served[r] for r in rows])
        worst = float(np.max(np.abs(scores - np.array([judged[r] for r in rows]))))
        measured = Measurement("largest score difference at serving", worst, len(rows))
        finding = within("serving", measured, at_most=self.policy.release_gate.serving_tolerance)
        verdict = conclude([finding])
        if not verdict.is_open:
            return RefereeResult(verdict=verdict, measurements=(measured,))
        log = self._artifacts / "decisions.parquet"
        write_decisions(
            log,
            rows,
            scores,
            threshold=self.policy.decision_threshold,
            run=self.spec.run_id,
            model=str(native.facts["model"]),
            policy=self.policy.digest,
            at=datetime.now(UTC),
        )
        return RefereeResult({"decisions": log}, verdict, (measured,))

    def keep_predictions(self, source: Path) -> Path:
        """Copy the evaluation scores into the run, in row order, with a nonce for their digest."""
        scores = self._scores(source)
        rows = sorted(scores)
        nonce = artifact_nonce(self.row_key, f"{self.spec.run_id}:predictions")
        table = pa.table(
            {ROW_COLUMN: pa.array(rows, pa.binary(32)), "score": [scores[r] for r in rows]}
        ).replace_schema_metadata({"nonce": nonce})
        path = self._artifacts / "predictions.parquet"
        pq.write_table(table, path, compression="zstd")
        return path

    def _scores(self, path: Path) -> dict[bytes, float]:
        table = pq.read_table(path, columns=[ROW_COLUMN, "score"])
        scores = dict(zip(table[ROW_COLUMN].to_pylist(), table["score"].to_pylist(), strict=True))
        if len(scores) != table.num_rows:
            raise ProcessError(f"{path.name} scores a row twice")
        return scores

    def _evaluation(self) -> pa.Table:
        return pa.concat_tables(pq.read_table(f) for f in self.dataset.files(split="evaluation"))

    def _rows_of(self, commitments: list[bytes]) -> pa.Table:
        rows = self._evaluation()
        index = {c: i for i, c in enumerate(rows[ROW_COLUMN].to_pylist())}
        missing = [c for c in commitments if c not in index]
        if missing or len(set(commitments)) != len(index):
            raise ProcessError("features were handed over for other rows than the evaluation split")
        return rows.take([index[c] for c in commitments])

    def _scored(self, path: Path) -> gates.Scored:
        scores, rows = self._scores(path), self._evaluation()
        commitments = rows[ROW_COLUMN].to_pylist()
        if set(commitments) != set(scores):
            raise ProcessError("scores were handed over for other rows than the evaluation split")
        positive = self.contract.label.positive
        values: npt.NDArray[np.float64] = np.array(
            [np.nan if scores[c] is None else scores[c] for c in commitments], dtype=np.float64
        )
        return gates.Scored(
            labels=np.array([v == positive for v in rows[self.contract.label.name].to_pylist()]),
            scores=values,
            groups={c.name: rows[c.group_column].to_pylist() for c in self.contract.protected},
        )


def digest(path: Path) -> str:
    """SHA-256, in hex, that names a file's or a directory's content."""
    return sha256_tree(path) if path.is_dir() else sha256_file(path)


def artifact_summary(outputs: Mapping[str, Path]) -> dict[str, Any]:
    """Name, kind and digest of each artifact, as a record holds them; never a path of a machine."""
    return {
        name: {
            "name": path.name,
            "kind": "directory" if path.is_dir() else "file",
            "sha256": digest(path),
        }
        for name, path in sorted(outputs.items())
    }
