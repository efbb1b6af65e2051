"""A made-up insurer whose models are good, or bad in one way by construction.

Everybody is seen in two years; whether care is needed depends on ``burden`` and ``visits`` and on
nothing else, so an honest model of the good rows is accurate, calibrated and fair.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.contract.policy import Splits
from components.datasets.canonical import split_of
from tests import clinic

Rows = dict[str, np.ndarray]
Document = dict[str, Any]

PEOPLE = 3000
_SPLITS = {"salt": "seeded", "train": 0.5, "validation": 0.1, "evaluation": 0.4}
_GROUNDS = "a limit of a made-up policy, for a test"


def contract_document() -> Document:
    """The insurer's contract."""
    document = clinic.contract_document()
    document.update(name="insurer", id="urn:test:insurer")
    document["servers"][0]["path"] = "insurer.csv"
    column, table = clinic._column, document["schema"][0]
    table["properties"] = [
        column("person", "string", "entity", required=True),
        column("year", "integer", "span", required=True),
        column("sex", "string", "protected"),
        column(
            "age",
            "number",
            "protected",
            assayBands={"edges": [50], "labels": ["under 50", "50 and over"]},
        ),
        column("burden", "number", "feature"),
        column("visits", "number", "feature"),
        column("region", "string", "feature"),
        column("cared_for", "integer", "label", required=True, assayPositive=1),
    ]
    return document


def limit(id_: str, metric: str, **fields: Any) -> Document:
    """One limit, on the point and from thirty cases on unless it says otherwise."""
    defaults = {"tested_on": "point", "min_n": 30, "grounds": _GROUNDS}
    return {"id": id_, "metric": metric, **defaults, **fields}


def policy_document() -> Document:
    """A policy that the honest model keeps: accuracy, calibration, fairness, and the champion."""
    document = clinic.policy_document()
    document.update(name="insurer", dataset="insurer", splits=dict(_SPLITS))
    document["data_gate"].update(bins=10)
    document["data_gate"]["drift"]["default"]["at_most"] = 0.5
    document["training"].update(
        epochs=10, batch_size=64, learning_rate=0.01, hidden=[8], min_category_count=5
    )
    document["candidates"] = {
        "plain": {"description": "d", "protected_features": [], "mitigation": "none"},
        "penalised": {
            "description": "d",
            "protected_features": [],
            "mitigation": "opportunity_penalty",
            "mitigate_by": ["sex", "age"],
            "penalty_strength": 5.0,
        },
        "reweighed": {
            "description": "d",
            "protected_features": [],
            "mitigation": "reweighing",
            "mitigate_by": ["sex"],
        },
    }
    document["decision"]["threshold"] = 0.3
    document["release_gate"]["agreement"] = 0.02
    document["release_gate"]["limits"] = [
        limit("auc", "roc_auc", at_least=0.6),
        limit("calibration", "calibration_error", at_most=0.1),
        limit("opportunity-sex", "tpr_difference", slice="sex", at_most=0.15),
        limit("opportunity-age", "tpr_difference", slice="age", at_most=0.15),
        limit("impact-sex", "selection_rate_ratio", slice="sex", at_least=0.7),
        limit(
            "champion",
            "roc_auc",
            at_least=-0.03,
            champion={"change": "absolute", "none_yet": _GROUNDS},
        ),
    ]
    return document


def good_rows(seed: int = 1) -> Rows:
    """Two rows of each person; a quarter to a third of them positive."""
    chance = np.random.default_rng(seed)
    n = 2 * PEOPLE
    burden, visits = chance.normal(size=n), chance.normal(size=n)
    risk = 1 / (1 + np.exp(1.2 - 1.6 * burden - 0.6 * visits))
    return {
        "person": np.repeat([f"p{i:05d}" for i in range(PEOPLE)], 2),
        "year": np.tile(["2001", "2002"], PEOPLE),
        "sex": np.repeat(chance.choice(["f", "m"], PEOPLE), 2),
        "age": np.repeat(chance.integers(20, 80, PEOPLE), 2),
        "burden": burden,
        "visits": visits,
        "region": chance.choice(["north", "south", "east"], n),
        "cared_for": (chance.random(n) < risk).astype(int),
    }


def _learned_from(rows: Rows) -> np.ndarray:
    """Rows of people that a model is trained on or watched with."""
    splits = Splits(**_SPLITS)
    return np.array([split_of(str(p), splits) != "evaluation" for p in rows["person"]])


def biased(rows: Rows) -> None:
    """The burden of men is recorded too low, so fewer of those in need are found."""
    rows["burden"] = rows["burden"] - 1.5 * (rows["sex"] == "m")


def miscalibrated(rows: Rows) -> None:
    """Half of the healthy people that the model learns from are recorded as cared for."""
    chance = np.random.default_rng(2)
    wrong = _learned_from(rows) & (chance.random(len(rows["year"])) < 0.5)
    rows["cared_for"] = np.where(wrong, 1, rows["cared_for"])


def constant(rows: Rows) -> None:
    """Every feature is the same for everybody, and so is every score."""
    for name in ("burden", "visits"):
        rows[name] = np.zeros(len(rows["year"]))
    rows["region"] = np.full(len(rows["year"]), "north")


def leaked(rows: Rows) -> None:
    """Visits are counted after the care, and say whether it was given."""
    rows["visits"] = rows["visits"] + 8.0 * rows["cared_for"]


def degenerate(rows: Rows) -> None:
    """A third sex, of a dozen people."""
    rare = [f"p{i:05d}" for i in range(12)]
    rows["sex"] = np.where(np.isin(rows["person"], rare), "x", rows["sex"])


def uninformed(rows: Rows) -> None:
    """The burden of the people that the model learns from is noise, so it learns little."""
    chance = np.random.default_rng(3)
    held = _learned_from(rows)
    rows["burden"] = np.where(held, chance.normal(size=len(held)), rows["burden"])


@dataclass(frozen=True)
class Fault:
    """One way for a model to fail.

    ``stage`` is where it is stopped, with ``status``, by ``rules``, which are exactly those that
    the referee does not pass. ``after_good`` says that a good model stands as the champion.
    """

    rows: Callable[[Rows], None] | None
    stage: str
    status: str
    rules: frozenset[str]
    policy: Callable[[Document], None] | None = None
    after_good: bool = False


def _diverging(document: Document) -> None:
    document["training"]["learning_rate"] = 10**30  # YAML takes 1e+30 for text


FAULTS = {
    "biased": Fault(
        biased, "release_gate", "FAIL", frozenset({"limit:opportunity-sex", "limit:impact-sex"})
    ),
    "miscalibrated": Fault(miscalibrated, "release_gate", "FAIL", frozenset({"limit:calibration"})),
    "constant": Fault(constant, "release_gate", "FAIL", frozenset({"limit:auc"})),
    "leaked": Fault(leaked, "transform", "FAIL", frozenset({"leak:visits"})),
    "degenerate": Fault(
        degenerate,
        "release_gate",
        "INCONCLUSIVE",
        frozenset({"limit:opportunity-sex", "limit:impact-sex"}),
    ),
    "not_a_number": Fault(None, "train", "INCONCLUSIVE", frozenset({"scores"}), policy=_diverging),
    "worse": Fault(
        uninformed, "release_gate", "FAIL", frozenset({"limit:champion"}), after_good=True
    ),
}
"""Every way for a model to fail that the release process must stop."""


def write_rows(path: Path, fault: Callable[[Rows], None] | None = None, seed: int = 1) -> Path:
    """The insurer's rows as CSV, spoilt by a fault."""
    rows = copy.copy(good_rows(seed))
    if fault is not None:
        fault(rows)
    names = list(rows)
    lines = zip(*(rows[n].tolist() for n in names), strict=True)
    text = "\n".join([",".join(names), *(",".join(map(str, line)) for line in lines)])
    path.write_text(text + "\n")
    return path


def write_documents(
    folder: Path, change: Callable[[Document], None] | None = None
) -> tuple[Path, Path]:
    """Contract and policy as files."""
    document = policy_document()
    if change is not None:
        change(document)
    folder.mkdir(parents=True, exist_ok=True)
    return (
        clinic.write(folder / "insurer.yaml", contract_document()),
        clinic.write(folder / "policy.yaml", document),
    )
