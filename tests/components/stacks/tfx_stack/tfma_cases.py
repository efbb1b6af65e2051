"""Generated predictions, measured by TFMA itself and by the referee."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from functools import cache
from typing import Any

import apache_beam as beam
import numpy as np
import pyarrow as pa
import tensorflow as tf
import tensorflow_model_analysis as tfma
from tfx_bsl.tfxio import tf_example_record

from components.checks.measurement import Measurement
from components.checks.release import (
    Scored,
    changes,
    release_measurements,
    slices_measured,
)
from components.checks.tallies import Groups
from components.contract.contract import Contract
from components.contract.policy import MISSING, Policy
from components.stacks.tfx_stack.beam_options import beam_options
from components.stacks.tfx_stack.evaluation_config import CANDIDATE, CHAMPION, compile_evaluation
from components.stacks.tfx_stack.evaluation_results import measurements
from components.stacks.tfx_stack.evaluation_sums import Evaluation, read_evaluation
from components.stacks.tfx_stack.evaluation_thresholds import (
    Combinations,
    CompiledLimits,
    compile_limits,
)
from components.stacks.tfx_stack.example_columns import LABEL_FEATURE
from components.stacks.tfx_stack.serving import SCORE, SIGNATURE
from tests import clinic

GROUNDS = "long enough to be grounds"
AGES = ("young", "middle", "old")
SEXES = ("f", "1", "Ä ö", None)
"""A label that reads as a number, one that is not ASCII, and none at all."""


def limit(name: str, metric: str, **fields: Any) -> clinic.Document:
    """One limit of a policy, on the point and from one case on; it keeps unless it says when."""
    common = {"tested_on": "point", "min_n": 1, "grounds": GROUNDS}
    if "at_most" not in fields:
        common["at_least"] = 0.001
    return {"id": name.replace("_", "-"), "metric": metric, **common, **fields}


def everything(document: clinic.Document) -> None:
    """Limits that ask for every figure there is, of groups and of changes too."""
    gate = document["release_gate"]
    change = {"change": "absolute"}
    gate["limits"] += [
        *(
            limit(f"{metric}-{where}", metric, slice=columns)
            for metric in ("roc_auc", "average_precision", "brier", "ppv")
            for where, columns in (("age", "age"), ("both", ["sex", "age"]))
        ),
        *(
            limit(f"{metric}-gap-{where}", f"{metric}_difference", slice=columns, at_most=0.999)
            for metric in ("selection_rate", "fpr", "ppv")
            for where, columns in (("sex", "sex"), ("both", ["sex", "age"]))
        ),
        limit("calibration", "calibration_error", at_most=0.999, tested_on="worst_bound"),
        limit("bias", "calibration_bias", slice="sex", at_most=0.999),
        limit("impact", "selection_rate_ratio", slice="sex"),
        limit("auc-change", "roc_auc", at_least=-0.999, champion=change),
        limit("auc-share", "roc_auc", at_least=-0.999, champion={"change": "relative"}),
        limit("brier-change", "brier", at_most=0.999, champion=change, tested_on="worst_bound"),
        limit("gap-change", "ppv_difference", slice="sex", at_most=0.999, champion=change),
        limit("tpr-change", "tpr", slice={"age": "old"}, at_least=-0.999, champion=change),
    ]


def of_single_attributes(document: clinic.Document) -> None:
    """The same without the differences between intersections, for which TFMA takes its time."""
    everything(document)
    gate = document["release_gate"]
    gate["limits"] = [x for x in gate["limits"] if not x["id"].endswith("gap-both")]


def pooled(document: clinic.Document) -> None:
    """The same with groups counted as one, alone and in pairs."""
    everything(document)
    gate = document["release_gate"]
    gate["limits"] = [x for x in gate["limits"] if x["id"] != "tpr-change"]
    gate["limits"].append(limit("pool", "tpr", slice={"age": "from 40"}))
    gate["pools"] = [
        {"slice": "age", "groups": ["middle", "old"], "into": "from 40", "grounds": GROUNDS},
        {
            "slice": ["sex", "age"],
            "groups": [["f", "young"], ["1", "young"]],
            "into": "below 40",
            "grounds": GROUNDS,
        },
    ]


class Case:
    """Generated rows; the contract declares the ages, so that one may have no row."""

    def __init__(self, n: int = 300, seed: int = 0) -> None:
        chance = np.random.default_rng(seed)
        self.labels = chance.random(n) < 0.4
        noise = chance.normal(0.45, 0.25, n) + 0.1 * self.labels
        # As a model gives them: 32 bits wide, many alike, some on the edges of bins.
        self.scores = np.clip(np.round(noise, 2), 0, 1).astype(np.float32)
        other = noise + chance.normal(0, 0.2, n)
        self.champion = np.clip(np.round(other, 3), 0, 1).astype(np.float32)
        # The last sex has few rows, and some of its intersections none.
        shares = [0.5, 0.35, 0.12, 0.03]
        self.sex = [SEXES[i] for i in chance.choice(len(SEXES), n, p=shares)]
        self.age = [AGES[i] for i in chance.integers(0, len(AGES), n)]

    @property
    def texts(self) -> dict[str, list[str]]:
        """Labels of each row as examples hold them."""
        return {
            name: [MISSING if g is None else g for g in held]
            for name, held in (("age", self.age), ("sex", self.sex))
        }

    @property
    def held(self) -> Combinations:
        """The combinations of groups that the rows hold."""
        return {
            attributes: frozenset(zip(*(self.texts[a] for a in attributes), strict=True))
            for attributes in slices_measured(("age", "sex"))
        }

    def referee(
        self, policy: Policy, *, compared: bool = True
    ) -> dict[tuple[str, str], Measurement]:
        """What the referee measures of the rows, with the champion's scores or without."""
        groups = {
            "age": Groups.of(self.age, AGES),
            "sex": Groups.of(pa.chunked_array([pa.array(self.sex, pa.string())])),
        }
        champion = self.champion.astype(np.float64) if compared else None
        scored = Scored(self.labels, self.scores.astype(np.float64), groups, champion)
        return by_key(release_measurements(scored, policy))


def by_key(found: Any) -> dict[tuple[str, str], Measurement]:
    """Measurements by name and slice, each there once."""
    keyed = {(m.name, m.slice): m for m in found}
    assert len(keyed) == len(found)
    return keyed


@dataclass(frozen=True, slots=True)
class Measured:
    """One case as TFMA measured it."""

    case: Case
    contract: Contract
    policy: Policy
    uri: str
    limits: CompiledLimits
    candidate: Evaluation
    champion: Evaluation | None

    def figures(self, candidate: Evaluation | None = None) -> tuple[Measurement, ...]:
        """The native figures, changes against the champion among them."""
        now = self._measured(candidate or self.candidate)
        if self.champion is None:
            return now
        return now + changes(now, self._measured(self.champion), self.policy)

    def _measured(self, found: Evaluation) -> tuple[Measurement, ...]:
        return measurements(found, self.contract, self.policy, self.case.held, self.limits)

    @property
    def referee(self) -> dict[tuple[str, str], Measurement]:
        """The referee's figures of the same rows."""
        return self.case.referee(self.policy, compared=self.champion is not None)

    @property
    def validation(self) -> Any:
        """TFMA's own verdict."""
        return tfma.load_validation_result(self.uri)


def measure(
    case: Case, contract: Contract, policy: Policy, *, with_champion: bool = True
) -> Measured:
    """Run TFMA on the rows, the champion's scores beside the candidate's where it is there."""
    config = compile_evaluation(contract, policy, case.held, with_champion=with_champion)
    uri = run_tfma(config, case)
    limits = compile_limits(contract, policy, case.held)
    candidate = read_evaluation(uri, contract, CANDIDATE if with_champion else "")
    champion = read_evaluation(uri, contract, CHAMPION) if with_champion else None
    return Measured(case, contract, policy, uri, limits, candidate, champion)


class Lookup(tf.Module):
    """A model that finds its score in the row."""

    def __init__(self, column: str) -> None:
        super().__init__()
        self._column = column

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def serve(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        """Scores, shape (batch, 1)."""
        spec = {self._column: tf.io.FixedLenFeature([1], tf.float32)}
        return {SCORE: tf.io.parse_example(examples, spec)[self._column]}


@cache
def saved_model(column: str) -> str:
    """Where the model that reads one column is saved."""
    directory, module = tempfile.mkdtemp(), Lookup(column)
    tf.saved_model.save(module, directory, signatures={SIGNATURE: module.serve})
    return directory


def run_tfma(config: Any, case: Case) -> str:
    """Run TFMA as Evaluator does, on records and saved models; returns where it wrote."""
    has_champion = len(config.model_specs) > 1
    config = tfma.utils.update_eval_config_with_defaults(
        config, has_baseline=has_champion, rubber_stamp=True
    )
    models = [
        tfma.default_eval_shared_model(
            eval_saved_model_path=saved_model(column), model_name=spec.name, eval_config=config
        )
        for spec, column in zip(config.model_specs, ("score", "champion_score"), strict=False)
    ]
    uri = tempfile.mkdtemp()
    source = tf_example_record.TFExampleRecord(
        _records(case),
        telemetry_descriptors=["test"],
        raw_record_column_name=tfma.constants.ARROW_INPUT_COLUMN,
    )
    with beam.Pipeline(argv=beam_options(())) as pipeline:
        _ = (
            pipeline
            | source.BeamSource()
            | tfma.ExtractEvaluateAndWriteResults(
                eval_shared_model=models if has_champion else models[0],
                eval_config=config,
                output_path=uri,
            )
        )
    return uri


def _records(case: Case) -> str:
    path = f"{tempfile.mkdtemp()}/rows.tfrecord"
    groups = [
        {f"assay_group_{k}": v[i] for k, v in case.texts.items()} for i in range(len(case.sex))
    ]
    with tf.io.TFRecordWriter(path) as writer:
        for i, held in enumerate(groups):
            example = tf.train.Example()
            feature = example.features.feature
            feature["score"].float_list.value.append(case.scores[i])
            feature["champion_score"].float_list.value.append(case.champion[i])
            feature[LABEL_FEATURE].int64_list.value.append(int(case.labels[i]))
            for name, label in held.items():
                feature[name].bytes_list.value.append(label.encode())
            writer.write(example.SerializeToString())
    return path
