"""One column that knows the answer shows, in whichever shape; one that does not, does not."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import roc_auc_score

from components.checks.leak import leak_findings
from components.checks.measurement import Finding, Status
from components.checks.suppression import told_count
from components.contract.features import ModelInput

TRAIN, VALIDATION = 4000, 2000
_CHANCE = np.random.default_rng(11)
LABELS = _CHANCE.random(TRAIN) < 0.2, _CHANCE.random(VALIDATION) < 0.2
RARE = _CHANCE.random(TRAIN) < 0.015, _CHANCE.random(VALIDATION) < 0.015
_NOISE = _CHANCE.normal(0, 1, TRAIN), _CHANCE.normal(0, 1, VALIDATION)
Column = tuple[Any, Any]


def _finding(
    column: Column,
    labels: tuple[np.ndarray, np.ndarray] = LABELS,
    *,
    categorical: bool = False,
    at_most: float = 0.85,
    min_n: int = 1,
) -> Finding:
    train, validation = (
        pa.table({"x": c if isinstance(c, pa.Array) else pa.array(c)}) for c in column
    )
    (found,) = leak_findings(
        train, validation, labels, [ModelInput("x", categorical)], at_most=at_most, min_n=min_n
    )
    assert found.rule == "leak:x"
    return found


def _with(labels: tuple[np.ndarray, np.ndarray], make) -> Column:
    return make(labels[0], _NOISE[0]), make(labels[1], _NOISE[1])


LEAKS = {
    "copied": (_with(LABELS, lambda y, _: y.astype(float)), LABELS, False),
    "copied upside down": (_with(LABELS, lambda y, _: -y.astype(float)), LABELS, False),
    "copied as text": (_with(LABELS, lambda y, _: np.where(y, "yes", "no")), LABELS, True),
    "copied as a flag": (_with(LABELS, lambda y, _: y), LABELS, True),
    "with noise": (_with(LABELS, lambda y, e: 4 * y + e), LABELS, False),
    "in the middle": (_with(LABELS, lambda y, e: np.where(y, e / 9, e + 3 * np.sign(e))), LABELS,
                      False),
    "at both ends": (_with(LABELS, lambda y, e: np.where(y, e + 6 * np.sign(e), e)), LABELS, False),
    "by being missing": (
        tuple(pa.array(e, mask=y) for y, e in zip(LABELS, _NOISE, strict=True)), LABELS, False),
    "by not being missing": (
        tuple(pa.array(e, mask=~y) for y, e in zip(LABELS, _NOISE, strict=True)), LABELS, False),
    "by a missing code": (
        tuple(pa.array(["a"] * len(y), mask=y) for y in LABELS), LABELS, True),
    "by being infinite": (_with(LABELS, lambda y, e: np.where(y, np.inf, e)), LABELS, False),
    # What only those few have who were admitted: nothing but zeros up to the 98th percentile.
    "beside a heap of zeros": (_with(RARE, lambda y, e: np.where(y, 1 + e**2, 0.0)), RARE, False),
    "below a heap of zeros": (_with(RARE, lambda y, e: np.where(y, -1 - e**2, 0.0)), RARE, False),
    "between two heaps": (
        _with(RARE, lambda y, e: np.where(y, 4.5 + np.tanh(e), np.where(e > 0, 0.0, 9.0))), RARE,
        False),
    "by one code of ten": (
        _with(RARE, lambda y, e: np.where(y, 7, np.abs(e * 99).astype(int) % 7)), RARE, False),
}  # fmt: skip


@pytest.mark.parametrize("shape", LEAKS)
def test_a_leak_shows_in_whichever_shape(shape: str) -> None:
    column, labels, categorical = LEAKS[shape]
    found = _finding(column, labels, categorical=categorical)
    assert found.status is Status.FAIL
    assert found.measurement.value > 0.9
    assert found.measurement.n == labels[1].sum()
    assert found.reason.startswith("AUC of x alone ")


HONEST = {
    "noise": (_NOISE, False),
    "a weak signal": (_with(LABELS, lambda y, e: 0.7 * y + e), False),
    "a constant": (([3.0] * TRAIN, [3.0] * VALIDATION), False),
    "a constant word": ((["a"] * TRAIN, ["a"] * VALIDATION), True),
    "nothing at all": ((pa.nulls(TRAIN, pa.float64()), pa.nulls(VALIDATION, pa.float64())), False),
    "no word at all": ((pa.nulls(TRAIN, pa.string()), pa.nulls(VALIDATION, pa.string())), True),
    "whole numbers beyond a double": (([2**53 + 1] * TRAIN, [2**53 + 1] * VALIDATION), False),
    "not a number": (([math.nan] * TRAIN, [math.nan] * VALIDATION), False),
    # A name for each person: in training it says everything, of anybody else nothing.
    "a name for each person": (
        ([f"p{i}" for i in range(TRAIN)], [f"q{i}" for i in range(VALIDATION)]), True),
    "a number for each person": (
        (list(range(TRAIN)), list(range(TRAIN, TRAIN + VALIDATION))), False),
    "words that are seldom seen twice": (
        tuple([f"w{i}" for i in _CHANCE.integers(0, TRAIN, n)] for n in (TRAIN, VALIDATION)), True),
    "words never seen in training": ((["a"] * TRAIN, ["b"] * VALIDATION), True),
    "missing in training alone": (
        (pa.nulls(TRAIN, pa.float64()), pa.array(_NOISE[1])), False),
}  # fmt: skip


@pytest.mark.parametrize("kind", HONEST)
def test_what_knows_nothing_is_no_leak(kind: str) -> None:
    column, categorical = HONEST[kind]
    found = _finding(column, categorical=categorical)
    assert found.status is Status.PASS
    assert 0.4 < found.measurement.value < 0.75


def test_a_word_that_training_never_saw_is_not_the_missing_one() -> None:
    """Missing is always positive in training; a word that is new says no more than anybody."""
    train = pa.array([None, "a", "a", None])
    labels = np.array([True, False, False, True]), np.array([True, False, True, False])
    validation = pa.array([None, "new", None, "new"])
    found = _finding((train, validation), labels, categorical=True)
    assert found.measurement.value == 1.0
    found = _finding((train, pa.array(["new", "a", "a", None])), labels, categorical=True)
    assert found.measurement.value == (0 + 1 + 0 + 0.5) / 4


def test_worked_by_hand() -> None:
    """Shares in training: a 2/3, b 1/3, missing 0; of whoever is new, 3/7."""
    train = pa.array(["a", "a", "a", "b", "b", "b", None])
    labels = np.array([1, 1, 0, 1, 0, 0, 0], dtype=bool)
    validation = pa.array(["a", "b", None, "new", "a"])
    asked = np.array([1, 0, 1, 1, 0], dtype=bool)
    scores = [2 / 3, 1 / 3, 0, 3 / 7, 2 / 3]
    found = _finding((train, validation), (labels, asked), categorical=True)
    assert found.measurement.value == pytest.approx(roc_auc_score(asked, scores))
    assert found.measurement.value == 2.5 / 6


@pytest.mark.parametrize("everybody", [True, False])
def test_one_class_in_validation_proves_nothing(everybody: bool) -> None:
    found = _finding(_NOISE, (LABELS[0], np.full(VALIDATION, everybody)))
    assert (found.status, found.measurement.n) == (Status.INCONCLUSIVE, 0)


def test_one_class_in_training_ranks_nobody() -> None:
    found = _finding(_NOISE, (np.zeros(TRAIN, dtype=bool), LABELS[1]))
    assert found.measurement.value == 0.5


@pytest.mark.parametrize("categorical", [True, False])
@pytest.mark.parametrize("empty", ["train", "validation", "both"])
def test_no_rows_prove_nothing_and_break_nothing(categorical: bool, empty: str) -> None:
    kind = pa.string() if categorical else pa.float64()
    some = pa.array(["1", "2", "1", "2"]).cast(kind)
    labels = np.array([True, False, True, False])
    none = (some[:0], labels[:0])
    train = none if empty in ("train", "both") else (some, labels)
    validation = none if empty in ("validation", "both") else (some, labels)
    found = _finding((train[0], validation[0]), (train[1], validation[1]), categorical=categorical)
    if empty == "train":
        assert (found.status, found.measurement.value) == (Status.PASS, 0.5)
    else:
        assert found.status is Status.INCONCLUSIVE


@pytest.mark.parametrize("column", ["copied", "noise"])
@pytest.mark.parametrize("rarer", [True, False])
def test_too_few_of_either_class_prove_nothing(column: str, rarer: bool) -> None:
    """Nine of the rarer class, whichever it is, whatever the column knows."""
    asked = np.arange(VALIDATION) < 9
    labels = LABELS[0], asked if rarer else ~asked
    given = _with(labels, lambda y, _: y.astype(float)) if column == "copied" else _NOISE
    found = _finding(given, labels, min_n=10)
    assert found.status is Status.INCONCLUSIVE
    assert found.reason == "AUC of x alone rests on under 11 cases, 10 required"
    enough = _finding(given, labels, min_n=9)
    assert enough.status is (Status.FAIL if column == "copied" else Status.PASS)


def test_the_limit_is_inclusive() -> None:
    column = (pa.array([1.0, 0.0]), pa.array([1.0, 0.0]))
    labels = np.array([True, False]), np.array([True, False])
    assert _finding(column, labels, at_most=1.0).status is Status.PASS
    assert _finding(column, labels, at_most=0.999).status is Status.FAIL


def test_every_input_has_its_finding_and_no_other_column() -> None:
    table = pa.table({"a": [1.0, 2.0] * 5, "b": ["x", "y"] * 5, "c": [1.0] * 10})
    labels = np.array([True, False] * 5)
    inputs = [ModelInput("b", True), ModelInput("c", False)]
    found = leak_findings(table, table, (labels, labels), inputs, at_most=0.9, min_n=1)
    assert [(f.rule, f.status) for f in found] == [
        ("leak:b", Status.FAIL),
        ("leak:c", Status.PASS),
    ]


def test_a_model_that_sees_nothing_was_not_checked() -> None:
    empty = pa.table({})
    (found,) = leak_findings(empty, empty, LABELS, [], at_most=0.9, min_n=1)
    assert (found.rule, found.status) == ("leak", Status.INCONCLUSIVE)


def test_a_leak_of_too_few_rows_is_not_judged() -> None:
    copied = _with(LABELS, lambda labels, _: labels.astype(float))
    fewest = min(int(LABELS[1].sum()), int((~LABELS[1]).sum()))
    assert _finding(copied, min_n=fewest).status is Status.FAIL
    few = _finding(copied, min_n=fewest + 1)
    assert few.status is Status.INCONCLUSIVE
    assert few.reason.endswith(f"rests on {told_count(fewest)} cases, {fewest + 1} required")
