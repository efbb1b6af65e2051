"""The policy as frozen types: every threshold, with its statistic, direction and minimum n."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path


class DriftStatistic(StrEnum):
    """How two distributions are compared; see ``components.checks.drift`` for the formulas."""

    JENSEN_SHANNON = "jensen_shannon"
    L_INFINITY = "l_infinity"
    PSI = "psi"


class Metric(StrEnum):
    """What a release limit may be set on; see ``components.checks`` for the formulas."""

    ROC_AUC = "roc_auc"
    BRIER = "brier"
    TPR_DIFFERENCE = "tpr_difference"
    FPR_DIFFERENCE = "fpr_difference"
    SELECTION_RATE_DIFFERENCE = "selection_rate_difference"

    @property
    def is_group_difference(self) -> bool:
        """Whether the figure is a gap between the groups of a protected attribute."""
        return self.value.endswith("_difference")


@dataclass(frozen=True, slots=True)
class Splits:
    """Shares of people in each split; they depend on the entity's hash and on nothing else."""

    salt: str
    train: float
    validation: float
    evaluation: float


@dataclass(frozen=True, slots=True)
class DriftLimit:
    """A statistic and the largest value, inclusive, that is not drift."""

    statistic: DriftStatistic
    at_most: float


@dataclass(frozen=True, slots=True)
class DataGatePolicy:
    """What the data gate compares, and from how many rows on it dares to judge.

    ``first_release`` holds the grounds of a policy that declares that there is no baseline yet;
    it then names no spans, and all rows are current. ``row_ratio_at_least`` and
    ``row_ratio_at_most``, both inclusive, limit current rows divided by baseline rows.
    """

    baseline_spans: tuple[str, ...]
    current_spans: tuple[str, ...]
    min_rows: int
    bins: int
    max_categories: int
    default: DriftLimit
    columns: dict[str, DriftLimit]
    row_ratio_at_least: float | None = None
    row_ratio_at_most: float | None = None
    first_release: str | None = None

    def limit_for(self, column: str) -> DriftLimit:
        """The column's own drift limit, or the default."""
        return self.columns.get(column, self.default)


@dataclass(frozen=True, slots=True)
class Training:
    """Training budget and network, the same for both stacks."""

    seed: int
    epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    dropout: float
    hidden: tuple[int, ...]
    min_category_count: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to train: which protected columns the model sees, and which mitigation it gets."""

    name: str
    description: str
    protected_features: tuple[str, ...]
    mitigation: str
    reweigh_by: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Limit:
    """One release limit. Exactly one of ``at_least`` and ``at_most`` is set, both inclusive."""

    id: str
    metric: Metric
    attribute: str | None
    at_least: float | None
    at_most: float | None
    tested_on: str
    min_n: int
    grounds: str


@dataclass(frozen=True, slots=True)
class ReleaseGatePolicy:
    """Limits of the release gate and the tolerances of its agreement checks."""

    confidence: float
    agreement: float
    transform_tolerance: float
    serving_tolerance: float
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy. ``digest`` is the SHA-256 of the file's bytes, in hex.

    ``decision_threshold`` is in (0, 1); a row is selected when its score is at or above it.
    """

    name: str
    dataset: str
    purpose: str
    path: Path
    digest: str
    splits: Splits
    data_gate: DataGatePolicy
    training: Training
    candidates: dict[str, Candidate]
    decision_threshold: float
    release_gate: ReleaseGatePolicy
