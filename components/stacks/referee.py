"""The shared half of each stage: what the referee recomputes from the same bytes."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.checks import gates, preprocessing
from components.checks.leak import leak_findings
from components.checks.measurement import Finding, Measurement, Status, Verdict, conclude, within
from components.checks.release import finite_scores
from components.checks.serving_skew import compare, list_matrix
from components.contract.contract import Contract
from components.contract.errors import EvidenceError, ProcessError
from components.contract.features import model_inputs
from components.contract.policy import Candidate, Policy
from components.datasets.canonical import ROW_COLUMN, SPLITS, Dataset, rows_root
from components.datasets.profiles import profile_nonce, profiles_of
from components.decisions.log import write_decisions
from components.lineage.commitments import artifact_nonce
from components.lineage.digests import sha256_file, sha256_tree
from components.lineage.durable import sync_file, write_atomically
from components.lineage.evidence import EvidenceChain, EvidenceRecord
from components.profile.profile import Profile
from components.profile.stored import StoredProfile
from components.release.judging import (
    OVERTAKEN,
    SKEW,
    aligned_scores,
    as_told,
    flags,
    judge,
    judge_again,
    split_rows,
)
from components.release.records import Release, read_releases
from components.stacks.kept_outputs import keep, kept
from components.stacks.run_spec import RunSpec
from components.stacks.stages import CHAMPION_PREDICTIONS, PREDICTIONS, Stage, StageResult


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
    origin: EvidenceChain
    champion: Release | None

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
        gate, outputs = self.policy.data_gate, {}
        for name, profile in profiles_of(self.dataset, self.contract, gate):
            path = self._artifacts / f"profile-{name}.json"
            nonce = profile_nonce(self.row_key, self.dataset, name)
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
        leaks = self._leaks()
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
                        ),
                        *leaks,
                    ]
                )
            )
        worst = float(np.abs(matrix - mine).max(initial=0.0))
        measured = Measurement("largest feature difference", worst, len(mine), unit="std")
        finding = within(
            "transform", measured, at_most=self.policy.release_gate.transform_tolerance
        )
        return RefereeResult(verdict=conclude([finding, *leaks]), measurements=(measured,))

    def _leaks(self) -> list[Finding]:
        """No column that the model sees knows the label by itself."""
        label = self.contract.label
        inputs = model_inputs(self.contract, self.candidate)
        columns = list(dict.fromkeys([label.name, *(i.name for i in inputs)]))
        train, validation = (
            split_rows(self.dataset, split, columns) for split in ("train", "validation")
        )
        positive = [flags(t[label.name], label.positive) for t in (train, validation)]
        return leak_findings(
            train,
            validation,
            (positive[0], positive[1]),
            inputs,
            at_most=self.policy.leak_check.at_most,
            min_n=self.policy.leak_check.min_n,
        )

    def train(self, native: StageResult) -> RefereeResult:
        """Training came to numbers; what they are worth is judged at the release gate.

        Native tools break down on a score that is no number, and quote the row.
        """
        keep(self._artifacts, Stage.TRAIN, "scores", native.outputs["scores"])
        rows = split_rows(self.dataset, "evaluation", [ROW_COLUMN])[ROW_COLUMN]
        scores = aligned_scores(native.outputs["scores"], rows)
        return RefereeResult(verdict=conclude([finite_scores(scores)]))

    def release_gate(self, native: StageResult) -> RefereeResult:
        """Accuracy and fairness from the stored scores, and agreement with the native figures."""
        outputs = {PREDICTIONS: self._keep_scores(PREDICTIONS, native)}
        if self.champion is not None and CHAMPION_PREDICTIONS in native.outputs:
            outputs[CHAMPION_PREDICTIONS] = self._keep_scores(CHAMPION_PREDICTIONS, native)
        judged = judge(
            self.dataset,
            self.contract,
            self.policy,
            outputs[PREDICTIONS],
            outputs.get(CHAMPION_PREDICTIONS),
            native.measurements,
            has_champion=self.champion is not None,
        )
        findings = [*judged.findings, *self._skew(native)]
        return RefereeResult(outputs, conclude(findings), judged.measurements)

    def rejudge(self, before: EvidenceRecord, overtaken: str | None) -> RefereeResult:
        """Judge the stored scores of an earlier release gate again, and come to the same figures.

        What compared the model with training is taken over from that gate: the files that it rests
        on are those of the run that trained.

        Args:
            before: the record of that gate.
            overtaken: why its comparison with the champion says nothing any more.

        Raises:
            EvidenceError: the scores are not those that were judged, or the figures differ.
        """
        artifacts = self.spec.origin / "artifacts"
        stored, judged = judge_again(self.dataset, self.contract, self.policy, artifacts, before)
        recorded = before.body["measurements"]
        if as_told(judged.measurements, recorded) != recorded:
            raise EvidenceError("the stored scores give other figures than the gate recorded")
        found = [Finding.from_json(f) for f in before.body["referee"]["findings"]]
        skew = [f for f in found if f.rule.startswith(SKEW)]
        late = [Finding(OVERTAKEN, Status.INCONCLUSIVE, overtaken)] if overtaken else []
        verdict = conclude([*judged.findings, *skew, *late])
        outputs = {n: Path(shutil.copy(p, self._artifacts)) for n, p in stored.items()}
        return RefereeResult(outputs, verdict, judged.measurements)

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
        trained = next(r for r in self.origin.records() if r.stage == Stage.TRAIN)
        same = digest(native.outputs["serving_model"]) == trained.body["outputs"]["model"]["sha256"]
        finding = Finding(
            "pushed_model",
            Status.PASS if same else Status.FAIL,
            f"the pushed model {'is' if same else 'is not'} the model that was judged",
        )
        return RefereeResult(verdict=conclude([finding]))

    def score(self, native: StageResult) -> RefereeResult:
        """The serving model gives the scores that were judged; then the decision log is written."""
        rows = split_rows(self.dataset, "evaluation", [ROW_COLUMN])[ROW_COLUMN]
        judged = aligned_scores(self._artifacts / "predictions.parquet", rows)
        scores = aligned_scores(native.outputs["predictions"], rows)
        worst = float(np.max(np.abs(scores - judged)))
        measured = Measurement("largest score difference at serving", worst, len(rows))
        finding = within("serving", measured, at_most=self.policy.release_gate.serving_tolerance)
        verdict = conclude([finding])
        if not verdict.is_open:
            return RefereeResult(verdict=verdict, measurements=(measured,))
        log = self._artifacts / "decisions.parquet"
        write_decisions(
            log,
            rows.to_pylist(),
            scores,
            threshold=self.policy.decision_threshold,
            run=self.spec.run_id,
            model=str(native.facts["model"]),
            policy=self.policy.digest,
            at=datetime.now(UTC),
        )
        return RefereeResult({"decisions": log}, verdict, (measured,))

    def _keep_scores(self, name: str, native: StageResult) -> Path:
        """Copy scores into the run, in the dataset's row order, with a nonce for their digest.

        In that order they need no join to be judged again.
        """
        rows = split_rows(self.dataset, "evaluation", [ROW_COLUMN])[ROW_COLUMN]
        scores = aligned_scores(native.outputs[name], rows)
        nonce = artifact_nonce(self.row_key, f"{self.spec.run_id}:{name}")
        table = pa.table({ROW_COLUMN: rows, "score": scores})
        path = self._artifacts / f"{name}.parquet"
        pq.write_table(table.replace_schema_metadata({"nonce": nonce}), path, compression="zstd")
        sync_file(path)
        return path

    def _evaluation(self) -> pa.Table:
        return pa.concat_tables(pq.read_table(f) for f in self.dataset.files(split="evaluation"))

    def _rows_of(self, commitments: list[bytes]) -> pa.Table:
        rows = self._evaluation()
        index = {c: i for i, c in enumerate(rows[ROW_COLUMN].to_pylist())}
        missing = [c for c in commitments if c not in index]
        if missing or len(set(commitments)) != len(index):
            raise ProcessError("features were handed over for other rows than the evaluation split")
        return rows.take([index[c] for c in commitments])


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
