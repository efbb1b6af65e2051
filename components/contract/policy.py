"""The policy as frozen types: every threshold, with its statistic, direction and minimum n."""

from __future__ import annotations

from dataclasses import dataclass, field
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
    AVERAGE_PRECISION = "average_precision"
    BRIER = "brier"
    CALIBRATION_ERROR = "calibration_error"
    CALIBRATION_BIAS = "calibration_bias"
    SELECTION_RATE = "selection_rate"
    TPR = "tpr"
    FPR = "fpr"
    PPV = "ppv"
    SELECTION_RATE_DIFFERENCE = "selection_rate_difference"
    TPR_DIFFERENCE = "tpr_difference"
    FPR_DIFFERENCE = "fpr_difference"
    PPV_DIFFERENCE = "ppv_difference"
    CALIBRATION_BIAS_DIFFERENCE = "calibration_bias_difference"
    SELECTION_RATE_RATIO = "selection_rate_ratio"
    TPR_RATIO = "tpr_ratio"
    FPR_RATIO = "fpr_ratio"
    PPV_RATIO = "ppv_ratio"

    @property
    def is_difference(self) -> bool:
        """Whether the figure is the largest difference between two groups; 0 is alike."""
        return self.value.endswith("_difference")

    @property
    def is_ratio(self) -> bool:
        """Whether the figure is the smallest rate of a group over the largest; 1 is alike."""
        return self.value.endswith("_ratio")

    @property
    def compares_groups(self) -> bool:
        """Whether the figure is about several groups and not about one."""
        return self.is_difference or self.is_ratio

    @property
    def of_group(self) -> Metric:
        """The figure of one group that a comparison compares; any other metric is its own."""
        return Metric(self.value.removesuffix("_difference").removesuffix("_ratio"))

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest value that the metric can take, both inclusive."""
        if self is Metric.CALIBRATION_BIAS:
            return -1.0, 1.0
        return 0.0, 2.0 if self is Metric.CALIBRATION_BIAS_DIFFERENCE else 1.0


RATES = (Metric.SELECTION_RATE, Metric.TPR, Metric.FPR, Metric.PPV)
"""Shares of rows that are selected or positive; each is a proportion of whole rows."""

COMPARISONS = tuple(m for m in Metric if m.compares_groups)


class Change(StrEnum):
    """How a candidate's figure is held against the champion's."""

    ABSOLUTE = "absolute"
    RELATIVE = "relative"


@dataclass(frozen=True, slots=True)
class Slice:
    """Whom a figure is about: everybody, the groups of up to two attributes, or one such group.

    ``attributes`` are protected columns, none for everybody. ``groups`` has one label for each
    attribute, or the one label of a pool; empty means every group in turn.
    """

    attributes: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """``overall``, ``sex``, ``sex*age``, ``sex=f``, ``sex=f*age=young``, ``sex*age=pool``."""
        if not self.attributes:
            return "overall"
        if len(self.groups) == len(self.attributes):
            return "*".join(f"{a}={g}" for a, g in zip(self.attributes, self.groups, strict=True))
        return "=".join(["*".join(self.attributes), *self.groups])

    def group(self, labels: tuple[str, ...]) -> Slice:
        """One group of these attributes."""
        return Slice(self.attributes, labels)


EVERYBODY = Slice()

MISSING = "(missing)"
"""The group of rows that have no label of an attribute."""


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


class Mitigation(StrEnum):
    """What is done in training so that groups are treated alike.

    See ``components.checks.reweighing`` and ``components.checks.opportunity_penalty``.
    """

    NONE = "none"
    REWEIGHING = "reweighing"
    OPPORTUNITY_PENALTY = "opportunity_penalty"


@dataclass(frozen=True, slots=True)
class Candidate:
    """One way to train: which protected columns the model sees, and which mitigation it gets.

    ``protected_grounds`` says why protected columns are seen at decision time; empty where none
    is. ``mitigate_by`` are the protected columns whose groups the mitigation is about.
    ``penalty_strength`` is above 0 with the opportunity penalty, else 0.
    """

    name: str
    description: str
    protected_features: tuple[str, ...]
    protected_grounds: str
    mitigation: Mitigation
    mitigate_by: tuple[str, ...]
    penalty_strength: float = 0.0


@dataclass(frozen=True, slots=True)
class ChampionLimit:
    """A limit on how far a figure may be from the champion's, instead of on the figure itself.

    ``none_yet`` holds the grounds on which a first model may pass without a champion; None means
    that it may not.
    """

    change: Change
    none_yet: str | None = None


@dataclass(frozen=True, slots=True)
class Limit:
    """One release limit. Exactly one of ``at_least`` and ``at_most`` is set, both inclusive.

    ``tested_on`` is ``point`` or ``worst_bound``, the end of the interval that is worse.
    ``min_n`` is the fewest cases behind the figure, in each group. ``waive_inconclusive`` says
    whether two people may excuse the limit where it could not be judged.
    """

    id: str
    metric: Metric
    slice: Slice
    at_least: float | None
    at_most: float | None
    tested_on: str
    min_n: int
    grounds: str
    champion: ChampionLimit | None = None
    waive_inconclusive: bool = False

    @property
    def rule(self) -> str:
        """Id of the limit's findings, the same in every engine."""
        return f"limit:{self.id}"


@dataclass(frozen=True, slots=True)
class Pool:
    """Groups that are counted as one, and why they may be.

    ``groups`` holds, for each group, one label for each attribute of ``attributes``.
    """

    attributes: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    into: str
    grounds: str


@dataclass(frozen=True, slots=True)
class ReleaseGatePolicy:
    """Limits of the release gate and the tolerances of its agreement checks."""

    confidence: float
    agreement: float
    transform_tolerance: float
    serving_tolerance: float
    limits: tuple[Limit, ...]
    pools: tuple[Pool, ...] = ()

    def pooled(self, attributes: tuple[str, ...], labels: tuple[str, ...]) -> tuple[str, ...]:
        """Labels of a row's group once pools are applied: those of one attribute, then of two."""
        single = {(p.attributes, g): p.into for p in self.pools for g in p.groups}
        own = tuple(single.get(((a,), (g,)), g) for a, g in zip(attributes, labels, strict=True))
        whole = single.get((attributes, own)) if len(attributes) > 1 else None
        return own if whole is None else (whole,)


@dataclass(frozen=True, slots=True)
class LeakCheck:
    """Largest AUC, inclusive, that one column alone may reach; see ``components.checks.leak``.

    ``min_n`` is the fewest validation rows of either class from which that is judged.
    """

    at_most: float
    min_n: int
    grounds: str


@dataclass(frozen=True, slots=True)
class WaiverRules:
    """Who may excuse a closed release gate together, and for how long at most.

    ``signers`` and ``cosigners`` map a person to the base64 of a raw Ed25519 public key.
    """

    max_days: int
    signers: dict[str, str]
    cosigners: dict[str, str]


class OnDrift(StrEnum):
    """What is done with a batch whose drift is beyond the limits, or cannot be judged."""

    REFUSE = "refuse"
    REVIEW = "review"


@dataclass(frozen=True, slots=True)
class DecisionPolicy:
    """What is done with scored cases, beside the threshold.

    ``adverse`` is the outcome that is to somebody's disadvantage, ``selected`` or
    ``not_selected``; None where neither is. ``reasons`` maps a column to the plain sentence that a
    person is told where it moved the score; at most ``reasons_at_most`` are told.
    """

    on_drift: OnDrift = OnDrift.REFUSE
    adverse: str | None = None
    reasons: dict[str, str] = field(default_factory=dict)
    reasons_at_most: int = 3


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy. ``digest`` is the SHA-256 of the file's bytes, in hex.

    ``decision_threshold`` is in (0, 1); a row is selected when its score is at or above it.
    ``model_card`` holds what only people know and the model card must say.
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
    leak_check: LeakCheck
    release_gate: ReleaseGatePolicy
    waivers: WaiverRules | None = None
    decision: DecisionPolicy = field(default_factory=DecisionPolicy)
    model_card: dict[str, str] = field(default_factory=dict)
