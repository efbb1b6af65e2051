"""Metrics and limits in words, the same wherever a card speaks of them."""

from __future__ import annotations

from components.contract.policy import Limit, Metric

MEANINGS = {
    Metric.ROC_AUC: (
        "ROC AUC",
        "chance that a positive ranks above a negative; 1 is best, 0.5 a guess",
    ),
    Metric.AVERAGE_PRECISION: (
        "Average precision",
        "precision averaged over recall; 1 is best, the share of positives a guess",
    ),
    Metric.BRIER: ("Brier score", "mean squared distance of score and label; 0 is best"),
    Metric.CALIBRATION_ERROR: (
        "Calibration error",
        "expected calibration error over ten bins; 0 is best",
    ),
    Metric.CALIBRATION_BIAS: (
        "Calibration bias",
        "mean score less share of positives; above 0 risk is overstated",
    ),
    Metric.SELECTION_RATE: ("Selection rate", "selected of all"),
    Metric.TPR: ("True positive rate", "selected of positives"),
    Metric.FPR: ("False positive rate", "selected of negatives"),
    Metric.PPV: ("Positive predictive value", "positives of selected"),
}
"""Each metric's name, and what its values mean."""


def metric_title(metric: Metric) -> str:
    """A metric in words; that of a comparison names what it compares."""
    words = MEANINGS[metric.of_group][0]
    if metric.is_difference:
        return f"{words}, largest difference"
    return f"{words}, smallest ratio" if metric.is_ratio else words


def rule_of(limit: Limit) -> str:
    """What a limit requires, as ``ROC AUC at least 0.7``; of a change, against the champion."""
    bound = (
        f"at least {limit.at_least:g}"
        if limit.at_least is not None
        else f"at most {limit.at_most:g}"
    )
    words = metric_title(limit.metric)
    if limit.champion is not None:
        words = f"{limit.champion.change} change against the champion: {words}"
    where = "" if not limit.slice.attributes else f" of {limit.slice.name}"
    return f"{words}{where} {bound}"
