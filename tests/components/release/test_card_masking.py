"""A card leaves out the counts with which those of a small group could be worked out."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.checks.measurement import Measurement
from components.release.card_masking import HIDDEN, Masking
from tests import clinic


def _figure(name: str, where: str, n: int) -> Measurement:
    of = "*".join(part.partition("=")[0] for part in where.split("*")) if "=" in where else ""
    return Measurement(name, 0.5, n, slice=where, low=0.4, high=0.6, of=of)


def _masking(folder: Path, counts: dict[tuple[str, str], int]) -> dict[tuple[str, str], str]:
    figures = [_figure(name, where, n) for (name, where), n in counts.items()]
    masking = Masking.of(clinic.contract(folder), figures)
    for figure in figures:
        assert (masking.interval(figure) == "") == (masking.count(figure) in (HIDDEN, "<11"))
    return {(f.name, f.slice): masking.count(f) for f in figures}


ROWS, TPR, FPR = "selection_rate", "tpr", "fpr"


def test_the_one_other_group_is_not_counted_either(tmp_path: Path) -> None:
    counts = {(ROWS, "overall"): 94, (ROWS, "sex=f"): 4, (ROWS, "sex=m"): 90}
    assert list(_masking(tmp_path, counts).values()) == ["94", "<11", HIDDEN]
    counts = {(ROWS, "overall"): 190, (ROWS, "sex=f"): 100, (ROWS, "sex=m"): 90}
    assert list(_masking(tmp_path, counts).values()) == ["190", "100", "90"]


def test_positives_are_not_told_by_rows_and_negatives(tmp_path: Path) -> None:
    counts = {(ROWS, "sex=f"): 100, (TPR, "sex=f"): 4, (FPR, "sex=f"): 96}
    shown = _masking(tmp_path, counts)
    assert shown[TPR, "sex=f"] == "<11"
    assert HIDDEN in shown.values()


@pytest.mark.parametrize("other", ["calibration_bias", "roc_auc"])
def test_figures_of_the_same_cases_are_hidden_alike(tmp_path: Path, other: str) -> None:
    counts = {(ROWS, "overall"): 94, (ROWS, "sex=f"): 4, (ROWS, "sex=m"): 90, (other, "sex=m"): 90}
    shown = _masking(tmp_path, counts)
    assert shown[ROWS, "sex=m"] == shown[other, "sex=m"] == HIDDEN


def test_groups_of_two_attributes_do_not_tell_of_one_another(tmp_path: Path) -> None:
    counts = {(ROWS, "overall"): 160, (ROWS, "sex=f"): 80, (ROWS, "sex=m"): 80}
    pairs = {("f", "young"): 3, ("f", "old"): 77, ("m", "young"): 40, ("m", "old"): 40}
    counts |= {(ROWS, f"age={a}*sex={s}"): n for (s, a), n in pairs.items()}
    counts |= {(ROWS, "age=young"): 43, (ROWS, "age=old"): 117}
    shown = _masking(tmp_path, counts)
    assert shown[ROWS, "age=young*sex=f"] == "<11"
    assert sum(v == HIDDEN for v in shown.values()) >= 3
