"""The peers of the release benchmark, each at the best documented setting that was found for it.

One peer, one process:

    python -m benchmarks.release_peers NAME FOLDER

prints one JSON line: seconds of importing, seconds of the work alone, and what was measured, so
that a peer that answered another question shows. The work starts from the Parquet files.
"""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.harness import run_peer
from benchmarks.release_data import (
    ATTRIBUTES,
    CONFIDENCE,
    CONTRACT,
    POLICY,
    PREDICTIONS,
    SLICES,
    THRESHOLD,
)

RATES = ("selection_rate", "tpr", "fpr", "ppv")
BOOTSTRAPS = "ASSAY_BENCH_BOOTSTRAPS"
"""Environment variable with fairlearn's number of bootstrap samples."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What a peer came to.

    ``figures`` maps ``metric of slice`` to the figure, ``intervals`` counts those that have one.
    """

    figures: dict[str, float]
    intervals: int


Work = Callable[[], Measured]


def referee(folder: Path) -> Work:
    """Assay's referee: digests checked, every figure with its interval, every limit held."""
    # What the work would import when it gets there.
    import scipy.stats  # noqa: F401
    import statsmodels.stats.proportion  # noqa: F401

    from components.contract.contract_loader import load_contract
    from components.contract.policy_loader import load_policy
    from components.datasets.canonical import Dataset
    from components.release.judging import judge

    def work() -> Measured:
        contract = load_contract(folder / CONTRACT)
        policy = load_policy(folder / POLICY, contract)
        dataset = Dataset.open(folder / "dataset")
        predictions = folder / PREDICTIONS
        found = judge(dataset, contract, policy, predictions, None, [], has_champion=False)
        return Measured(
            {f"{m.name} of {m.slice}": m.value for m in found.measurements},
            sum(m.low is not None for m in found.measurements),
        )

    return work


def fairlearn_bootstrap(folder: Path) -> Work:
    """fairlearn: one MetricFrame a slice, with its bootstrap's quantiles for intervals."""
    import numpy as np
    import pandas as pd  # noqa: F401
    from fairlearn.metrics import (
        MetricFrame,
        false_positive_rate,
        mean_prediction,
        selection_rate,
        true_positive_rate,
    )
    from sklearn.metrics import precision_score

    def bias(labels: Any, _: Any, scores: Any) -> float:
        return mean_prediction(labels, scores) - mean_prediction(labels, labels)

    def calibration_error(labels: Any, _: Any, scores: Any) -> float:
        bins = np.minimum((np.asarray(scores) * 10).astype(int), 9)
        sums = np.bincount(bins, np.asarray(scores) - np.asarray(labels))
        return float(np.abs(sums).sum()) / len(bins)

    metrics = {
        "selection_rate": selection_rate,
        "tpr": true_positive_rate,
        "fpr": false_positive_rate,
        "ppv": precision_score,
        "calibration_bias": bias,
        "calibration_error": calibration_error,
    }
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]

    def work() -> Measured:
        frame = _frame(folder)
        figures: dict[str, float] = {}
        intervals = 0
        for attributes in SLICES:
            given = {"scores": frame["score"]}
            found = MetricFrame(
                metrics=metrics,
                y_true=frame["label"],
                y_pred=(frame["score"] >= THRESHOLD).astype(int),
                sensitive_features=frame[list(attributes)],
                sample_params={"calibration_bias": given, "calibration_error": given},
                n_boot=int(os.environ[BOOTSTRAPS]),
                ci_quantiles=tails,
                random_state=1,
            )
            where = "*".join(attributes)
            for group, row in found.by_group.iterrows():
                labels = group if isinstance(group, tuple) else (group,)
                name = "*".join(f"{a}={g}" for a, g in zip(attributes, labels, strict=True))
                figures |= {f"{m} of {name}": float(row[m]) for m in metrics}
            intervals += found.by_group_ci[0].size
            for kind in ("difference", "ratio"):
                between = getattr(found, kind)(method="between_groups")
                intervals += getattr(found, f"{kind}_ci")(method="between_groups")[0].size
                figures |= {f"{m}_{kind} of {where}": float(between[m]) for m in RATES}
        return Measured(figures, intervals)

    return work


def tfma_jackknife(folder: Path) -> Work:
    """TFMA's analyze_raw_data with jackknife intervals, of 20 samples as it comes.

    A Beam pipeline over batches of rows takes as long. AUC is not asked for: TFMA would give it of
    every group, which takes ten times as long and 6 GB.
    """
    from components.stacks.tfx_stack import portable_lane  # noqa: F401 - repairs TFX's imports

    import tensorflow_model_analysis as tfma  # isort: skip

    def work() -> Measured:
        frame = _frame(folder)
        with tempfile.TemporaryDirectory(prefix="assay-bench-") as scratch:
            result = tfma.analyze_raw_data(frame, _eval_config(), scratch)
        figures: dict[str, float] = {}
        intervals = 0
        for key, values in result.slicing_metrics:
            place = dict(key)
            where = "*".join(f"{a}={place[a]}" for a in ATTRIBUTES if a in place) or "overall"
            found = {n: v.get("boundedValue", v) for n, v in values[""][""].items()}
            intervals += sum("boundedValue" in v for v in values[""][""].values())
            numbers = {n: float(v.get("value", v.get("doubleValue"))) for n, v in found.items()}
            numbers["calibration_bias"] = numbers.pop("mean_score") - numbers.pop("mean_label")
            figures |= {f"{n} of {where}": number for n, number in numbers.items()}
        return Measured(figures, intervals)

    return work


def _frame(folder: Path) -> Any:
    """Label, score and groups of each row; the scores are in the dataset's order."""
    import pandas as pd
    import pyarrow.parquet as pq

    (path,) = (folder / "dataset").rglob("*.parquet")
    groups = {f"assay_group_{a}": a for a in ATTRIBUTES}
    rows = pq.read_table(path, columns=["label", *groups])
    frame: pd.DataFrame = rows.to_pandas().rename(columns=groups)
    scores = pq.read_table(folder / PREDICTIONS, columns=["score"])
    return frame.assign(score=scores["score"].to_numpy())


def _eval_config() -> Any:
    """Rates and calibration of everybody and of every group, with jackknife intervals."""
    from tensorflow_model_analysis.proto import config_pb2

    # TFMA selects above a threshold, the referee at or above it.
    at = {"thresholds": [math.nextafter(THRESHOLD, 0)]}
    kinds: dict[str, tuple[str, dict[str, Any]]] = {
        "selection_rate": ("PredictedPositiveRate", at),
        "tpr": ("Recall", at),
        "fpr": ("FallOut", at),
        "ppv": ("Precision", at),
        "mean_score": ("MeanPrediction", {}),
        "mean_label": ("MeanLabel", {}),
    }
    metrics = [
        config_pb2.MetricConfig(class_name=kind, config=json.dumps({"name": name, **settings}))
        for name, (kind, settings) in kinds.items()
    ]
    options = config_pb2.Options()
    options.compute_confidence_intervals.value = True
    options.confidence_intervals.method = config_pb2.ConfidenceIntervalOptions.JACKKNIFE
    return config_pb2.EvalConfig(
        model_specs=[config_pb2.ModelSpec(prediction_key="score", label_key="label")],
        metrics_specs=[config_pb2.MetricsSpec(metrics=metrics)],
        slicing_specs=[config_pb2.SlicingSpec(feature_keys=list(s)) for s in ((), *SLICES)],
        options=options,
    )


PEERS: dict[str, Callable[[Path], Work]] = {
    "referee": referee,
    "fairlearn-bootstrap": fairlearn_bootstrap,
    "tfma-jackknife": tfma_jackknife,
}


if __name__ == "__main__":
    run_peer(PEERS)
